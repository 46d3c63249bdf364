"""Tests that runs on an accelerator have the pixels of an undisturbed run, whatever its memory holds."""

from __future__ import annotations

import shutil

import av
import numpy as np
import pytest
from fakes.accelerator import Accelerator
from fakes.batch_networks import SIDE, network
from fakes.runs import execute_run

from facefusion.errors import ProviderError, ResourceError
from facefusion.inference.batches import run_batched
from facefusion.inference.pool import SessionPool
from facefusion.media.frame import Window
from facefusion.pipeline.units import DEVICE_MEMORY, RenderUnits

BATCH = 4


class Painter:
    """A processor that paints the output of a network into each frame with a face, in calls of BATCH crops."""

    name = 'painter'

    def __init__(self, pool):
        self._session = pool.batched('reshape')

    def process(self, batch):
        window = Window(8, 8, 8 + SIDE, 8 + SIDE)
        crops = np.stack([task.frame.read(window) for task in batch]).astype(np.float32).transpose(0, 3, 1, 2)
        (found,) = run_batched(self._session, {'crops': np.ascontiguousarray(crops / 255)}, BATCH)
        for task, values in zip(batch, found, strict=True):
            pixels = np.clip(values.reshape(4, SIDE, SIDE)[:3] * 30 + 128, 0, 255).astype(np.uint8)
            task.frame.write(window, np.ascontiguousarray(pixels.transpose(1, 2, 0)))
        return [True] * len(batch)


@pytest.fixture
def render(runs, tmp_path, monkeypatch):
    """A function that executes a run; returns its output, the noted steps down by segment, warnings, and calls."""

    class Files:
        def path(self, model_id):
            return tmp_path / f'{model_id}.onnx'

    (tmp_path / 'reshape.onnx').write_bytes(network('reshape'))
    # The work files of a finished run are removed, so their manifests are kept here.
    manifests, run_segment = [], RenderUnits.run
    monkeypatch.setattr(RenderUnits, 'run', lambda *given: manifests.append(run_segment(*given)) or manifests[-1])

    def execute(segment_frames=25, workers=1, batch=BATCH, **failures):
        device = Accelerator(**failures).install(monkeypatch)
        pool, warnings = SessionPool(Files(), ('cuda', 'cpu'), 0), []
        pool.ladder.begin(lambda event: warnings.append(event.text))
        shutil.rmtree(runs.work, ignore_errors=True)
        more = {'segment_frames': segment_frames, 'workers': workers, 'batch': batch}
        run = runs.build(processor=Painter(pool), sessions=pool, **more)
        manifests.clear()
        rendered = execute_run(run)
        assert rendered['frames_changed'] == 50
        noted = [each.facts.get(DEVICE_MEMORY, []) for each in sorted(manifests, key=lambda each: each.key.start)]
        return pixels(runs.output), noted, warnings, len(device.calls)

    return execute


def pixels(path):
    """The decoded frames of a file."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray() for frame in container.decode(video=0)])


@pytest.mark.parametrize(('segment_frames', 'workers', 'batch'), [(60, 1, 1), (60, 3, BATCH), (60, 1, 8)])
def test_the_grouping_of_frames_changes_no_pixel(render, segment_frames, workers, batch):
    wanted = render(60, 1, BATCH)[0]
    found, noted, warnings, _ = render(segment_frames, workers, batch)
    np.testing.assert_array_equal(found, wanted)
    assert noted == [[]] and not warnings


def test_memory_that_runs_out_at_any_call_changes_no_pixel_and_is_noted(render):
    wanted, noted, _, calls = render()
    assert noted == [[], [], []] and calls >= 12
    step = {'model': 'reshape', 'step': 'smaller calls', 'crops': BATCH // 2}
    for number in range(1, calls + 1):
        found, noted, warnings, _ = render(full_at=[number])
        np.testing.assert_array_equal(found, wanted)
        # From the segment of the failed call on, every segment has the note.
        assert noted == sorted(noted, key=len) and noted[-1] == [step]
        assert len(warnings) == 1
    assert noted[0] == []


def test_memory_that_never_suffices_ends_the_run_with_numbers(render):
    with pytest.raises(ResourceError) as error:
        render(full_above=0)
    assert error.value.reference == 'device-memory-out'


def test_a_device_that_is_lost_in_a_segment_ends_the_run_with_the_reason(render, runs):
    with pytest.raises(ProviderError) as error:
        render(lost_at=9)
    assert error.value.reference == 'device-failed' and not runs.output.exists()
