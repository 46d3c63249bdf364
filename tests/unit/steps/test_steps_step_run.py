from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes.owners import dead_owner

from facefusion.cli.headless_run import GROUPS
from facefusion.errors import ContentRefused, MediaError, ModelError, OutputError, ResourceError
from facefusion.events import silent
from facefusion.faces.masks.options import FaceMaskOptions
from facefusion.faces.options import FaceDetectorOptions, FaceLandmarkerOptions
from facefusion.media.frame import PixelFrame
from facefusion.media.image import write_image
from facefusion.models.choice import Choice, EmbeddedModels
from facefusion.pipeline.analysis_cache import AnalysisCache
from facefusion.pipeline.fingerprints import RunDigests
from facefusion.pipeline.options import PathOptions
from facefusion.pipeline.output import check_space, check_work_folder
from facefusion.processors.face_swapper.options import FaceSwapperOptions
from facefusion.processors.registry import ProcessorsOptions
from facefusion.safety.voters import GATE_MODELS
from facefusion.settings import resolve
from facefusion.steps import step_run
from facefusion.steps.arguments import freeze_models
from facefusion.steps.step_run import (
    RunFolders,
    StepEnvironment,
    StepName,
    plan_step,
    run_step,
)
from facefusion.stopping import StopFlag

DEFAULTS, EMBEDDED = resolve(GROUPS, {}, None, {}), EmbeddedModels()
DIGESTS, NO_CACHE = RunDigests('t', 'a', 'p'), AnalysisCache(Path('none'), 0)


class NoModels:
    """A store without models that records the requested ids; ``sizes`` are those of its files."""

    offline = True
    catalog = GATE_MODELS

    def __init__(self, **sizes: int) -> None:
        self.asked: list[str] = []
        self._sizes = sizes

    def file_size(self, model_id):
        return self._sizes.get(model_id)

    def published_bytes(self, model_id):
        return self._sizes.get(model_id, 0)

    def fetch(self, model_ids):
        self.asked += model_ids
        raise ModelError('model-missing-offline', 'it is not there')


@pytest.fixture
def picture_step(tmp_path):
    """Settings of a step that runs face_debugger on a small image."""
    target = tmp_path / 'target.png'
    write_image(PixelFrame(np.full((48, 64, 3), 90, np.uint8)), target, 'png', 100, silent)
    chosen = DEFAULTS.replace(PathOptions((), str(target), str(tmp_path / 'out' / 'result.png')))
    return chosen.replace(ProcessorsOptions(('face_debugger',)))


def test_every_auto_model_gets_a_name_and_is_reported():
    messages = []
    frozen = freeze_models(DEFAULTS, EMBEDDED, messages.append)
    assert frozen[FaceDetectorOptions].face_detector_model == 'centerface'
    assert frozen[FaceLandmarkerOptions].face_landmarker_model == 'face_mesh'
    assert frozen[FaceSwapperOptions].face_swapper_model == 'mesh_warp'
    (message,) = messages
    assert (message.level, message.origin) == ('info', 'plan')
    assert message.text == (
        'chosen automatically: face detector model centerface, face landmarker model face_mesh,'
        ' face occluder model mesh, face swapper model mesh_warp'
    )


def test_freezing_changes_nothing_else_and_happens_once():
    messages = []
    frozen = freeze_models(DEFAULTS, EMBEDDED, silent)
    again = freeze_models(frozen, EMBEDDED, messages.append)
    assert messages == [] and again.as_record() == frozen.as_record()
    changed = {key for key, value in frozen.as_record().items() if value != DEFAULTS.as_record()[key]}
    faces = {'face_detector_model', 'face_landmarker_model', 'face_recognizer_model', 'face_swapper_model'}
    assert changed == {*faces, 'face_occluder_model', 'face_parser_model'}
    assert 'auto' in DEFAULTS.as_record().values()


def test_models_of_other_processors_are_not_reported():
    messages = []
    settings = DEFAULTS.replace(ProcessorsOptions(('face_debugger',)))
    frozen = freeze_models(settings, EMBEDDED, messages.append)
    assert frozen[FaceSwapperOptions].face_swapper_model == 'auto' and 'swapper' not in messages[0].text


def test_a_selected_model_is_unchanged():
    messages = []
    settings = DEFAULTS.replace(replace(DEFAULTS[FaceDetectorOptions], face_detector_model='centerface'))
    freeze_models(settings, EMBEDDED, messages.append)
    assert 'detector' not in messages[0].text


@pytest.mark.parametrize(
    ('types', 'named'),
    [
        (('box',), set()),
        (('box', 'occlusion'), {'occluder'}),
        (('region',), {'parser'}),
        (('occlusion', 'area', 'region'), {'occluder', 'parser'}),
    ],
)
def test_mask_models_are_reported_if_their_mask_type_is_selected(types, named):
    messages = []
    settings = DEFAULTS.replace(replace(DEFAULTS[FaceMaskOptions], face_mask_types=types))
    frozen = freeze_models(settings, EMBEDDED, messages.append)
    assert (frozen[FaceMaskOptions].face_occluder_model, frozen[FaceMaskOptions].face_parser_model) == ('mesh', 'mesh')
    assert {word for word in ('occluder', 'parser') if word in messages[0].text} == named


def test_better_models_are_reported():
    class Poor:
        def choose(self, preferred):
            return Choice(preferred[-1], f'large_{preferred[-1]}')

    messages = []
    freeze_models(DEFAULTS.replace(ProcessorsOptions(('face_debugger',))), Poor(), messages.append)
    assert [message.level for message in messages] == ['info', 'info']
    assert '`facefusion models fetch large_centerface large_face_mesh large_mesh`' in messages[1].text


def test_work_folders_are_in_the_job_store_or_in_the_temp_folder(tmp_path):
    jobs, temp = tmp_path / 'jobs', tmp_path / 'temp'
    in_store = RunFolders(jobs, None).work_of('id').begin('s', 'ab' * 32)
    assert in_store.parent == jobs / '.work' / 'id' and in_store.name.startswith('work-')
    in_temp = RunFolders(jobs, temp).work_of('id').begin('s', 'ab' * 32)
    assert in_temp.parent.name == 'id' and in_temp.parent.parent.parent == temp / 'facefusion'
    assert in_temp.name == in_store.name


def test_a_plan_has_the_frozen_models(picture_step):
    record = plan_step(freeze_models(picture_step, EMBEDDED, silent), NoModels(), silent).summary()
    assert record['models'] == ['centerface', 'face_mesh', 'open_nsfw']
    assert record['settings']['face_detector_model'] == 'centerface'
    assert record['settings']['face_selector_mode'] == 'many'
    assert record['settings']['face_landmarker_model'] == 'face_mesh'


def test_a_plan_names_the_classifiers_of_the_content_gate_if_there_are_several(picture_step):
    def messages(store):
        found = []
        plan_step(freeze_models(picture_step, EMBEDDED, silent), store, found.append)
        return [(message.level, message.text) for message in found if 'content gate' in message.text]

    text = 'the content gate uses open_nsfw; not on this machine: nsfw_1, nsfw_2, nsfw_3'
    assert messages(NoModels()) == [('debug', text)]
    text = 'the content gate uses open_nsfw, nsfw_2; not on this machine: nsfw_1, nsfw_3'
    assert messages(NoModels(nsfw_2=9)) == [('info', text)]


def test_a_plan_counts_the_memory_of_published_models(picture_step):
    plans = [
        plan_step(freeze_models(picture_step, EMBEDDED, silent), store, silent).memory
        for store in (NoModels(), NoModels(nsfw_3=10**9))
    ]
    assert plans[1] - plans[0] >= 10**9


def test_the_classifiers_with_weights_are_verified_before_a_run(picture_step, tmp_path):
    store = NoModels(nsfw_3=9)
    environment = StepEnvironment(store, RunFolders(tmp_path / 'jobs', None), {'XDG_DATA_HOME': str(tmp_path / 'data')})
    with pytest.raises(ModelError):
        run_step(picture_step, environment, StepName('job', 'step'), silent, StopFlag())
    assert {'open_nsfw', 'nsfw_3'} <= {*store.asked} and not {'nsfw_1', 'nsfw_2'} & {*store.asked}


def leftovers(tmp_path) -> list[str]:
    return sorted(
        str(path.relative_to(tmp_path)) for path in tmp_path.rglob('*') if path.is_file() and 'data' not in path.parts
    )


def test_missing_models_fail_before_any_file_is_written(picture_step, tmp_path):
    store = NoModels()
    environment = StepEnvironment(store, RunFolders(tmp_path / 'jobs', None), {'XDG_DATA_HOME': str(tmp_path / 'data')})
    with pytest.raises(ModelError):
        run_step(picture_step, environment, StepName('job', 'step'), silent, StopFlag())
    assert 'centerface' in store.asked
    assert leftovers(tmp_path) == ['target.png'] and not (tmp_path / 'out').exists()


def test_partial_files_of_a_killed_run_are_removed_first(picture_step, tmp_path):
    part = tmp_path / 'out' / f'.{dead_owner().tag}.part.png'
    part.parent.mkdir()
    part.write_bytes(b'half')
    environment = StepEnvironment(
        NoModels(), RunFolders(tmp_path / 'jobs', None), {'XDG_DATA_HOME': str(tmp_path / 'data')}
    )
    with pytest.raises(ModelError):
        run_step(picture_step, environment, StepName('job', 'step'), silent, StopFlag())
    assert not part.exists()


@pytest.mark.parametrize('shortage', ['check_asked', 'check_threads', 'check_space'])
def test_memory_and_disk_are_checked_before_models_are_fetched(picture_step, tmp_path, monkeypatch, shortage):
    def fail(*arguments):
        raise ResourceError('short', 'too little')

    monkeypatch.setattr(step_run, shortage, fail)
    store = NoModels()
    environment = StepEnvironment(store, RunFolders(tmp_path / 'jobs', None), {'XDG_DATA_HOME': str(tmp_path / 'data')})
    with pytest.raises(ResourceError):
        run_step(picture_step, environment, StepName('job', 'step'), silent, StopFlag())
    assert store.asked == [] and leftovers(tmp_path) == ['target.png']


@pytest.mark.parametrize(
    ('error', 'is_kept'),
    [
        (MediaError('media-changed', 'the target was changed'), False),
        (ContentRefused('content-refused', 'no'), False),
        (MediaError('media-missing', 'the target is gone'), True),
        (ResourceError('disk-full', 'no space is left'), True),
    ],
)
def test_reusable_work_files_remain_after_a_failure(tmp_path, error, is_kept):
    work = RunFolders(tmp_path, None).work_of('job')
    with pytest.raises(type(error)), step_run.open_work_folder(work, 'step', DIGESTS, NO_CACHE, silent) as folder:
        for name in ('segment-00000.nut', 'linked-000000000.npz', 'selected-000000000.npz'):
            (folder.path / name).write_bytes(b'123')
        raise error
    assert folder.path.exists() == is_kept
    if is_kept:
        # A full disk leaves space for the job store to record the failure.
        is_full = error.reference == 'disk-full'
        assert len(list(folder.path.iterdir())) == (1 if is_full else 3)
        assert (folder.path / 'segment-00000.nut').exists()


def test_an_unwritable_work_folder_is_reported_with_its_option(tmp_path):
    (tmp_path / 'file').write_bytes(b'')
    for temp, option in ((tmp_path / 'file' / 'x', '--temp-path'), (None, '--jobs-path')):
        work = RunFolders(tmp_path / 'file', temp).work_of('job')
        with pytest.raises(OutputError) as caught, step_run.open_work_folder(work, 's', DIGESTS, NO_CACHE, silent):
            pytest.fail('a folder was created there')
        wanted = temp or tmp_path / 'file'
        assert caught.value.reference == 'work-unwritable' and option in caught.value.hint
        assert caught.value.message == f'work files cannot be written in {wanted}'
        with pytest.raises(OutputError, match='work files cannot be written in'):
            check_work_folder(wanted / 'y', option)
    check_work_folder(tmp_path / 'new', '--temp-path')


@pytest.mark.skipif(not Path('/proc/self').exists(), reason='needs a file system that stores no user files')
def test_a_file_system_without_files_is_reported():
    with pytest.raises(ResourceError) as caught:
        check_space(Path('/proc/x'), 1, 'the work files')
    assert 'does not store files' in caught.value.cause and '--temp-path' in caught.value.hint
