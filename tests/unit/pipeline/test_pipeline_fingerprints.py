"""Tests of the digests of a run, and of the changes that lead to other digests."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from types import MappingProxyType

import pytest
from fakes.tiny_clip import make_tiny_clip

from facefusion.cli.headless_run import GROUPS
from facefusion.errors import InputError, Interrupted, MediaError
from facefusion.events import silent
from facefusion.faces.measurement_table import measurements_named
from facefusion.faces.options import FaceDetectorOptions
from facefusion.inference.options import ExecutionOptions
from facefusion.media import file_stamp
from facefusion.media.file_stamp import check_unchanged
from facefusion.media.options import OutputOptions, TrimOptions
from facefusion.models.choice import EmbeddedModels
from facefusion.models.digests import file_sha256
from facefusion.pipeline import fingerprints
from facefusion.pipeline.fingerprints import (
    InputDigests,
    check_sources_unchanged,
    code_sha256,
    fingerprint_run,
    fingerprint_survey,
    hash_inputs,
    stamp_sources,
    target_sha256,
)
from facefusion.pipeline.options import PathOptions, WorkOptions
from facefusion.pipeline.planning import make_plan
from facefusion.processors.face_debugger.options import FaceDebuggerOptions
from facefusion.processors.registry import ProcessorsOptions
from facefusion.provenance.label_options import DisclosureOptions
from facefusion.safety.options import ConsentOptions
from facefusion.safety.voters import ONLY_EMBEDDED, Voters
from facefusion.settings import resolve
from facefusion.steps.arguments import freeze_models
from facefusion.stopping import StopFlag

needs_inode_times = pytest.mark.skipif(os.name == 'nt', reason='on Windows only the bytes reveal such a change')
MODELS = {'centerface': 'aa', 'face_mesh': 'bb', 'open_nsfw': 'cc'}


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    return make_tiny_clip(tmp_path_factory.mktemp('identity') / 'clip.mp4', 30)


@pytest.fixture
def digests(clip, tmp_path):
    """Return a function that computes the digests of a run with the given groups of options replaced."""

    def of(
        *groups,
        models=MODELS,
        current=None,
        providers=('cpu',),
        workers=1,
        segment_frames=10,
        target=clip,
        mark=None,
        voters=ONLY_EMBEDDED,
    ):
        settings = resolve(GROUPS, {}, None, {}).replace(PathOptions((), str(target), str(tmp_path / 'out.mp4')))
        settings = freeze_models(settings.replace(ProcessorsOptions(('face_debugger',))), EmbeddedModels(), silent)
        for group in groups:
            settings = settings.replace(group)
        plan = make_plan(settings, workers, segment_frames, voters=voters)
        inputs = hash_inputs(plan, models, StopFlag())
        screening = [current or {}, {'ages': 'dd'}]
        return fingerprint_run(plan, plan.video, settings, inputs, screening, providers, mark)

    return of


def test_equal_runs_have_equal_digests(digests):
    first = digests()
    assert first == digests()
    assert len({first.target, first.analysis, first.plan, *first.fuller}) == 3 + len(first.fuller) > 3


def test_settings_tuned_to_a_machine_change_no_digest(digests, tmp_path):
    frozen = digests()
    for group in (
        ExecutionOptions(execution_thread_count=7, execution_engine='processes'),
        WorkOptions(temp_path=str(tmp_path), cache_size=0.0, system_memory_limit=9.0),
        ConsentOptions('they all agreed'),
    ):
        assert digests(group) == frozen
    assert digests(workers=5) == frozen


def test_analysis_and_plan_have_separate_digests(digests, clip):
    first, detector = digests(), FaceDetectorOptions('centerface', face_detector_score=0.7)
    rendering = [
        digests(OutputOptions(output_video_quality=50)),
        digests(TrimOptions(trim_frame_end=20)),
        digests(segment_frames=15),
        digests(models=MODELS | {'open_nsfw': 'ee'}),
        digests(mark='0102'),
        digests(ExecutionOptions(execution_batch_size=8)),
        digests(DisclosureOptions('corner')),
    ]
    analysing = [
        digests(detector),
        digests(models=MODELS | {'face_mesh': 'ee'}),
        digests(current={'ages': 'ff'}),
        digests(providers=('cuda', 'cpu')),
    ]
    assert all(each.analysis == first.analysis for each in rendering)
    assert len({each.plan for each in (first, *rendering, *analysing)}) == 12
    assert len({each.analysis for each in (first, *analysing)}) == 5


def test_the_analysis_of_a_survey_serves_runs_that_measure_no_more(digests, clip, tmp_path):
    run, weights = digests(FaceDebuggerOptions(('face-mask',))), MODELS | {'dlib_face_resnet': 'dd'}
    settings = freeze_models(resolve(GROUPS, {}, None, {}), EmbeddedModels(), silent)
    inputs = InputDigests(run.target, (), weights)

    def survey(*names, watched=MappingProxyType({}), models=weights):
        measurements = measurements_named(names)
        given = replace(inputs, models=models)
        return fingerprint_survey(measurements, settings, given, [watched], ('cpu',)).analysis

    assert survey('skin') == run.analysis
    assert survey('skin', watched={'ages': 'dd'}) in run.fuller
    larger = survey('skin', 'identity_dlib_face_resnet')
    assert larger != run.analysis and larger not in run.fuller
    # A run that knows the weights of the recogniser finds the larger analysis, unless the weights differ.
    assert larger in digests(FaceDebuggerOptions(('face-mask',)), models=weights).fuller
    other = survey('skin', 'identity_dlib_face_resnet', models=weights | {'dlib_face_resnet': 'ee'})
    assert other not in digests(FaceDebuggerOptions(('face-mask',)), models=weights).fuller


def test_the_classifiers_of_the_content_gate_change_the_plan(digests):
    weights = {name: name * 2 for name in ('nsfw_1', 'nsfw_2')}
    plans = [digests()]
    plans += [digests(models=MODELS | weights, voters=Voters((name,))) for name in weights]
    plans += [digests(models=MODELS | weights, voters=Voters(tuple(weights)))]
    plans += [digests(models=MODELS | weights | {'nsfw_1': 'other'}, voters=Voters(('nsfw_1',)))]
    assert len({each.plan for each in plans}) == 5
    assert digests(voters=Voters(missing=('nsfw_1',))) == plans[0]


def test_another_version_of_the_code_or_a_library_counts(digests, monkeypatch):
    first = digests()
    monkeypatch.setattr(fingerprints.cv2, '__version__', '0.0.1')
    assert digests().analysis != first.analysis
    monkeypatch.undo()
    assert code_sha256(['faces']) == code_sha256(['faces']) != code_sha256(['media'])
    assert code_sha256(['pipeline/tracking.py']) != code_sha256(['pipeline/selection.py']) != code_sha256([])


def test_a_copy_of_the_target_has_the_same_digests_and_a_changed_one_has_not(digests, clip, tmp_path):
    copy = tmp_path / 'copy.mp4'
    copy.write_bytes(clip.read_bytes())
    assert digests(target=copy) == digests()
    copy.write_bytes(clip.read_bytes() + b'\0\0\0\x08free')
    other = digests(target=copy)
    assert other.target != digests().target and other.analysis != digests().analysis


@pytest.mark.parametrize(
    'change', ['gone', 'longer', 'touched', 'replaced', pytest.param('rewritten', marks=needs_inode_times)]
)
def test_a_changed_target_is_detected(clip, tmp_path, change):
    from facefusion.media.probe import probe

    path = tmp_path / 'clip.mp4'
    path.write_bytes(clip.read_bytes())
    target, time = probe(path), path.stat().st_mtime_ns
    assert target_sha256(target, StopFlag()) == hashlib.sha256(path.read_bytes()).hexdigest()
    if change == 'gone':
        path.unlink()
    elif change == 'longer':
        path.write_bytes(clip.read_bytes() + b'x')
    elif change == 'touched':
        os.utime(path, (1, 1))
    elif change == 'rewritten':
        data = bytearray(clip.read_bytes())
        data[-9] ^= 1
        write_behind_the_clock(path, bytes(data))
    else:
        other = tmp_path / 'other.mp4'
        other.write_bytes(clip.read_bytes())
        os.utime(other, ns=(time, time))
        other.replace(path)
    with pytest.raises(MediaError) as caught:
        target_sha256(target, StopFlag())
    assert caught.value.reference == ('media-missing' if change == 'gone' else 'media-changed')


def write_behind_the_clock(path, data):
    """Write other bytes of the same length into a file, and reset its modification time."""
    time = path.stat().st_mtime_ns
    with path.open('r+b') as file:
        file.write(data)
    os.utime(path, ns=(time, time))


@needs_inode_times
def test_a_changed_source_with_its_time_reset_is_detected(tmp_path):
    path = tmp_path / 'face.png'
    path.write_bytes(b'x')
    seen, digests = stamp_sources([path]), [file_sha256(path)]
    path.chmod(0o600)
    check_sources_unchanged([path], seen, digests, StopFlag())
    write_behind_the_clock(path, b'y')
    with pytest.raises(InputError, match=r'face\.png changed'):
        check_sources_unchanged([path], seen, digests, StopFlag())


@needs_inode_times
def test_a_target_with_changed_permissions_or_links_is_read_once_and_accepted(clip, tmp_path, monkeypatch):
    from facefusion.media.probe import probe

    path = tmp_path / 'clip.mp4'
    path.write_bytes(clip.read_bytes())
    target = probe(path)
    target_sha256(target, StopFlag())
    reads = []
    monkeypatch.setattr(file_stamp, 'file_sha256', lambda *args: (reads.append(args), file_sha256(*args))[1])
    path.chmod(0o600)
    os.link(path, tmp_path / 'other.mp4')
    for _ in range(3):
        check_unchanged(target)
    assert len(reads) == 1
    (tmp_path / 'other.mp4').unlink()
    check_unchanged(target)
    assert len(reads) == 2
    # Without a digest, changed permissions cannot be distinguished from changed bytes.
    target = probe(path)
    path.chmod(0o644)
    with pytest.raises(MediaError, match='changed'):
        check_unchanged(target)


def test_a_source_that_changes_while_it_is_read(tmp_path):
    path = tmp_path / 'face.png'
    path.write_bytes(b'x')
    seen, digests, flag = stamp_sources([path]), [file_sha256(path)], StopFlag()
    check_sources_unchanged([path], seen, digests, flag)
    path.write_bytes(b'xy')
    with pytest.raises(InputError, match=r'face\.png changed'):
        check_sources_unchanged([path], seen, digests, flag)
    path.unlink()
    with pytest.raises(InputError, match='cannot be read'):
        stamp_sources([path])


def test_the_digest_of_a_target_can_be_stopped(clip):
    from facefusion.media.probe import probe

    flag = StopFlag()
    flag.set('SIGTERM')
    with pytest.raises(Interrupted):
        target_sha256(probe(clip), flag)
