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


def test_ten_kills_cost_no_finished_chunk_and_no_finished_segment(face_clip, portrait_source, tmp_path):
    chaos = ResumeChaos(tmp_path, face_clip, portrait_source)
    chance = random.Random(SEED)
    wanted, seconds = chaos.reference()
    # One after the other upon the same command, for the time that a test may take; the benchmark has 50 apart.
    for number, kills in enumerate((4, 3, 3)):
        chaos.round(f'round-{number}', moments(chance, seconds, kills), wanted, temp=number % 2 == 1)
    assert chaos.counts['killed'] >= 6, 'most ended before they were killed'
    assert chaos.counts['chunk_analysed_kept'] > 0
