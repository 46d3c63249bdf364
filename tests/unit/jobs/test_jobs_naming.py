from __future__ import annotations

import os
from pathlib import Path

import pytest

from facefusion.jobs.naming import step_output_path
from facefusion.provenance.media_types import holds_credentials
from facefusion.provenance.sidecar import sidecar_of


@pytest.mark.parametrize(
    ('output', 'expected'),
    [
        # These are the examples of FaceFusion 3.8.
        ('test.mp4', 'test-test-job-0.mp4'),
        ('test/test.mp4', 'test/test-test-job-0.mp4'),
        ('/a/b.c/Clip.MP4', '/a/b.c/Clip-test-job-0.mp4'),
        ('two.dots.mov', 'two.dots-test-job-0.mov'),
    ],
)
def test_the_output_of_a_step_is_named_as_in_facefusion_38(output, expected):
    assert step_output_path(output, 'test-job', 0) == os.path.normpath(expected)


def test_names_of_steps_and_jobs_are_distinct():
    names = {step_output_path('out.mp4', job_id, index) for job_id in ('a', 'a-1', 'b') for index in (0, 1, 11)}
    assert len(names) == 9


@pytest.mark.parametrize('extension', ['.mp4', '.mkv'])
@pytest.mark.parametrize('stem', ['x' * 250, 'é' * 125])
def test_a_long_name_is_cut_and_stays_distinct(stem, extension, tmp_path):
    job_id = 'j' * 128
    first, second = (step_output_path(str(tmp_path / f'{stem}{end}{extension}'), job_id, 9999) for end in 'ab')
    assert first != second
    for path in map(Path, (first, second)):
        assert len(os.fsencode(path.name)) <= 255 and path.name.endswith(f'-{job_id}-9999{extension}')
        path.write_bytes(b'')
        if not holds_credentials(path):
            sidecar_of(path).write_bytes(b'')
