"""Compare the CPU time of a run with the last figures in ``benchmarks/results``, so that nothing gets slower unseen."""

from __future__ import annotations

import json

import cv2
import pipeline_cost
import pytest

pytestmark = pytest.mark.network
# The CPU time of the run beyond the loop, relative to the loop, may exceed the stored one by this factor: other
# programs on the machine slow both down, but not equally.
MARGIN = 2.0
FRAMES = 150


def test_a_run_takes_about_the_cpu_time_of_the_last_figures(example_portrait, example_group, tmp_path):
    results = json.loads((pipeline_cost.ROOT / 'benchmarks/results/pipeline_cost.json').read_text())['results']
    (stored,) = [each for each in results if each['frames'] == FRAMES and each['faces'] == 1]
    clip = tmp_path / 'clip.mp4'
    scene = pipeline_cost.Scene(FRAMES, 1, 1280, 720, stored['face'])
    pipeline_cost.make_clip(clip, cv2.imread(str(example_portrait)), scene)
    now = pipeline_cost.compare(tmp_path, example_group, clip, FRAMES, 1)
    before = stored['swap_cpu_ms_a_frame'] / stored['loop_cpu_ms_a_frame']
    assert now['swap_cpu_ms_a_frame'] / now['loop_cpu_ms_a_frame'] < MARGIN * before
