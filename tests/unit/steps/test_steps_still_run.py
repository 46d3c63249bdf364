from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes.screenings import BrightIsBad

from facefusion.cli.headless_run import GROUPS
from facefusion.errors import ContentRefused, MediaError, ModelError, UsageError
from facefusion.events import silent
from facefusion.gui.media_library import MediaLibrary, key_of
from facefusion.models.choice import EmbeddedModels
from facefusion.options import describe
from facefusion.pipeline.options import PathOptions
from facefusion.safety.content_gate import ContentGate
from facefusion.safety.options import PolicyOptions
from facefusion.settings import resolve
from facefusion.steps.step_run import RunFolders, StepEnvironment, StepName, run_step
from facefusion.steps.still_run import StillFile, StillRenderer
from facefusion.stopping import StopFlag

pytestmark = pytest.mark.network


def settings_of(target, processors, **more):
    values = {'processors': processors, 'target_path': str(target), **more}
    known = {info.key for group in GROUPS for info in describe(group)}
    assert known >= set(values)
    return resolve(GROUPS, values, None, {})


@pytest.fixture
def environment(store, tmp_path):
    return StepEnvironment(store, RunFolders(tmp_path / 'jobs', None), {}, EmbeddedModels())


@pytest.fixture
def render(environment):
    library = MediaLibrary()
    renderer = StillRenderer(library)

    def call(settings, number=0, environment=environment):
        key = key_of(Path(settings[PathOptions].target_path))
        return renderer.render(settings, StillFile(*key, number), environment, StopFlag())

    yield call
    library.close()


@pytest.mark.parametrize('processors', [('face_swapper',), ('face_debugger',)], ids=' '.join)
def test_a_preview_of_an_image_equals_the_output_of_a_run(
    render, environment, example_group, portrait_source, tmp_path, processors
):
    settings = settings_of(example_group, processors, source_paths=(str(portrait_source),), disclosure_label='corner')
    still = render(settings)
    output = tmp_path / 'output.png'
    settings = settings.replace(replace(settings[PathOptions], output_path=str(output)))
    # The invisible mark depends on the name of the job.
    run_step(settings, environment, StepName('preview', 'step'), silent, StopFlag())
    written = cv2.imread(str(output)).astype(int)
    assert still.is_changed and np.abs(written - still.pixels).max() <= 1
    assert np.abs(written - cv2.imread(str(example_group))).max() > 50


def test_a_frame_without_a_face_stays_as_it_is(render, tmp_path, portrait_source):
    target = tmp_path / 'plain.png'
    pixels = np.random.default_rng(1).integers(0, 255, (120, 160, 3), np.uint8)
    cv2.imwrite(str(target), pixels)
    still = render(settings_of(target, ('face_swapper',), source_paths=(str(portrait_source),)))
    assert not still.is_changed and np.array_equal(still.pixels, pixels)


def test_a_frame_of_a_clip_is_found_by_its_number(render, face_clip):
    settings = settings_of(face_clip, ('face_debugger',), face_debugger_items=('bounding-box',))
    first, later = render(settings, 3), render(settings, 50)
    assert first.is_changed and later.is_changed
    frame = MediaLibrary().frame(face_clip, 50)
    distance = [np.abs(still.pixels.astype(int) - frame.read(frame.window)).mean() for still in (first, later)]
    assert distance[1] < distance[0] / 2
    with pytest.raises(MediaError) as caught:
        render(settings, 60)
    assert caught.value.reference == 'frame-out-of-range'


def test_a_changed_option_changes_the_preview(render, face_clip, portrait_source):
    settings = [
        settings_of(face_clip, ('face_swapper',), source_paths=(str(portrait_source),), face_mask_blur=blur)
        for blur in (0.1, 0.9)
    ]
    one, other = render(settings[0], 5), render(settings[1], 5)
    assert not np.array_equal(one.pixels, other.pixels) and np.array_equal(render(settings[0], 5).pixels, one.pixels)


def test_refused_content_is_never_shown(render, face_clip, monkeypatch):
    gate = ContentGate([BrightIsBad(threshold=0.0)], 1)
    monkeypatch.setattr('facefusion.pipeline.content_screening.prepare_gate', lambda sessions, models: gate)
    monkeypatch.setattr(
        'facefusion.pipeline.content_screening.model_digests', lambda store, ids: dict.fromkeys(ids, 'ab' * 32)
    )
    for _ in range(2):
        with pytest.raises(ContentRefused):
            render(settings_of(face_clip, ('face_debugger',)), 5)


def test_a_preview_needs_the_consent_that_a_run_needs(render, face_clip):
    settings = settings_of(face_clip, ('face_debugger',)).replace(PolicyOptions(require_consent=True))
    with pytest.raises(UsageError) as caught:
        render(settings)
    assert caught.value.reference == 'consent-required'


def test_a_preview_fetches_no_model(render, face_clip, environment, monkeypatch):
    monkeypatch.setattr(type(environment.store), 'file_size', lambda self, model_id: None)
    monkeypatch.setattr(type(environment.store), 'fetch', lambda self, ids: pytest.fail('a model was fetched'))
    with pytest.raises(ModelError) as caught:
        render(settings_of(face_clip, ('face_debugger',)))
    assert caught.value.reference == 'model-missing' and 'centerface' in caught.value.facts['models']


def test_a_face_map_of_a_clip_needs_the_people_of_the_clip(render, face_clip, portrait_source):
    settings = settings_of(face_clip, ('face_swapper',), face_map=f'{portrait_source}=0')
    with pytest.raises(UsageError) as caught:
        render(settings, 5)
    assert caught.value.reference == 'preview-people-unknown'
