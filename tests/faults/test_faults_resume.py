"""Killed at random moments, and run again: the same frames, the same sound, nothing finished done again."""

from __future__ import annotations

import random
import sys

import pytest
from fakes.resume_chaos import ResumeChaos, moments

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(sys.platform == 'win32', reason='there a dead process is not known to be dead at once'),
]
SEED = 6
# The second number with --exhaustive.
KILLS = (4, 10)


def test_killed_runs_lose_no_finished_chunk_or_segment(face_clip, portrait_source, tmp_path, request):
    kills = KILLS[request.config.getoption('--exhaustive')]
    chaos = ResumeChaos(tmp_path, face_clip, portrait_source)
    chance = random.Random(SEED)
    wanted, seconds = chaos.reference()
    number = 0
    while chaos.counts['killed'] < kills:
        # Several upon the same command; the benchmark has 50 apart. Runs are not equally fast: one may end before.
        chaos.round(f'round-{number}', moments(chance, 0.8 * seconds, 4), wanted, temp=number % 2 == 1)
        number += 1
        assert number < 2 * kills, 'most ended before they were killed'
    assert chaos.counts['chunk_analysed_kept'] > 0
