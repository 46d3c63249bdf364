"""Tests that runs killed at random and resumed write the same frames and audio, without repeating finished work."""

from __future__ import annotations

import random
import sys

import pytest
from fakes.resume_chaos import ResumeChaos, moments

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(sys.platform == 'win32', reason='the test needs POSIX signals'),
]
SEED = 6
# The numbers of kills without and with --exhaustive.
KILLS = (4, 10)


def test_killed_runs_lose_no_finished_chunk_or_segment(face_clip, portrait_source, tmp_path, request):
    kills = KILLS[request.config.getoption('--exhaustive')]
    chaos = ResumeChaos(tmp_path, face_clip, portrait_source)
    chance = random.Random(SEED)
    wanted, seconds = chaos.reference()
    number = 0
    while chaos.counts['killed'] < kills:
        # The test kills one command several times; the benchmark kills 50 commands once. A run may end before its kill.
        chaos.round(f'round-{number}', moments(chance, 0.8 * seconds, 4), wanted, temp=number % 2 == 1)
        number += 1
        assert number < 2 * kills, 'most runs ended before they were killed'
    assert chaos.counts['chunk_analysed_kept'] > 0
