"""Tests of complete runs on an accelerator that fails: the run ends with the reason and resumes, or warns and goes on.

The clip is swapped and gets another background, so networks run in analyse and in render. Segments are short.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import av
import cv2
import pytest
from fakes.accelerator import MISSING_LIBRARY, Accelerator
from fakes.media_files import photo_view, write_views
from fakes.program import UNMARKED

from facefusion.cli.main import main
from facefusion.pipeline import planning
from facefusion.steps import step_run

pytestmark = pytest.mark.network
FRAMES, SEGMENT = 18, 6


@pytest.fixture(scope='module')
def clip(example_group, tmp_path_factory) -> Path:
    photo = cv2.imread(str(example_group))
    path = tmp_path_factory.mktemp('accelerators') / 'clip.mp4'
    return write_views(path, lambda k: photo_view(photo, 200 + k, 290, 480), FRAMES)


@pytest.fixture
def run(clip, portrait_source, store, tmp_path, monkeypatch, capsys):
    """Return a function that runs the command and returns its exit code and its standard error."""
    store.fetch(('selfie_segmentation',))
    monkeypatch.setattr(step_run, 'make_plan', functools.partial(planning.make_plan, segment_frames=SEGMENT))

    def call(output: str, provider: str, *more: str) -> tuple[int, str]:
        words = ['headless-run', '-s', portrait_source, '-t', clip, '-o', tmp_path / f'{output}.mp4', *UNMARKED]
        words += ['--processors', 'face_swapper', 'background_remover', '--execution-providers', provider]
        words += ['--background-remover-model', 'selfie_segmentation', '--background-remover-fill-color', 0, 90, 0, 255]
        words += ['--execution-engine', 'threads', '--execution-thread-count', 1, '--jobs-path', tmp_path / output]
        words += ['--models-path', store.weights, '--log-level', 'debug', *more]
        code = main([str(word) for word in words], {'FACEFUSION_HOME': str(tmp_path)})
        return code, capsys.readouterr().err

    return call


def pixels_of(path: Path) -> list[str]:
    """Return the digest of every frame."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray().tobytes() for frame in container.decode(video=0)]
    assert len(frames) == FRAMES
    return [hashlib.sha256(frame).hexdigest() for frame in frames]


def test_a_lost_device_ends_the_run_with_its_reason_and_the_next_run_resumes(run, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        undisturbed = Accelerator().install(patch)
        assert run('undisturbed', 'cuda')[0] == 0
    calls = len(undisturbed.calls)
    # The last calls are those of the last segment, and half of them those in its middle.
    for name, lost_at in (('analyse', 4), ('segment', calls - SEGMENT // 2)):
        with pytest.MonkeyPatch.context() as patch:
            Accelerator(lost_at=lost_at).install(patch)
            code, said = run(name, 'cuda')
            assert code == 7 and '[device-failed]' in said and 'CUDA failure 719' in said
            assert not (tmp_path / f'{name}.mp4').exists()
        with pytest.MonkeyPatch.context() as patch:
            resumed = Accelerator().install(patch)
            code, said = run(name, 'cuda')
        assert code == 0 and 'resuming the job' in said
        assert pixels_of(tmp_path / f'{name}.mp4') == pixels_of(tmp_path / 'undisturbed.mp4')
        if name == 'segment':
            assert len(resumed.calls) < calls / 2, 'finished segments were rendered again'


def test_a_mismatch_is_exit_7_and_with_permission_a_warning(run, tmp_path):
    assert run('cpu', 'cpu')[0] == 0
    with pytest.MonkeyPatch.context() as patch:
        Accelerator(mismatch=True, library_error=MISSING_LIBRARY).install(patch)
        code, said = run('refused', 'cuda')
        assert code == 7 and '[provider-unavailable]' in said and 'libcudnn.so.9' in said
        assert not (tmp_path / 'refused.mp4').exists()
        code, said = run('fallback', 'cuda', '--allow-cpu-fallback')
    assert code == 0 and 'the CPU is used' in said
    assert pixels_of(tmp_path / 'fallback.mp4') == pixels_of(tmp_path / 'cpu.mp4')


def test_damaged_engines_are_compiled_again_within_a_run(run, tmp_path, store, monkeypatch):
    Accelerator('tensorrt').install(monkeypatch)
    weights = tmp_path / 'weights'
    weights.mkdir()
    for path in store.weights.iterdir():
        if path.is_file():
            (weights / path.name).symlink_to(path)
    folder = ('--models-path', str(weights))
    assert run('first', 'tensorrt', *folder)[0] == 0
    engines = list((weights / 'engines').glob('*/fake.engine'))
    assert len(engines) > 3
    for engine in engines:
        engine.write_bytes(b'')
    code, said = run('second', 'tensorrt', *folder)
    assert code == 0 and said.count('compiled again') == len(engines)
    assert pixels_of(tmp_path / 'second.mp4') == pixels_of(tmp_path / 'first.mp4')
