from __future__ import annotations

import re

import pytest

from facefusion.errors import UsageError
from facefusion.jobs.identifier import LONGEST_ID, check_job_id, new_job_id, peer_job_id


@pytest.mark.parametrize('text', ['a', '7', 'my-job', 'a_b', 'v1.2', 'trailing.', '-x', '_', 'A' * LONGEST_ID])
def test_valid_ids_have_letters_digits_dots_dashes_and_underscores(text):
    assert check_job_id(text) == text


@pytest.mark.parametrize(
    'text',
    ['', '.', '..', '.hidden', 'a b', 'a/b', '../up', 'a\\b', 'a@b', 'é', 'a\n', 'a\0', 'a:b', '*', 'A' * 129, '٣'],
)
def test_other_ids_are_refused_with_the_rules(text):
    with pytest.raises(UsageError) as caught:
        check_job_id(text)
    assert caught.value.reference == 'job-id-invalid' and 'at most 128' in caught.value.hint


def test_a_very_long_id_is_shortened_in_the_message():
    with pytest.raises(UsageError) as caught:
        check_job_id('x' * 100_000)
    assert len(caught.value.message) < 100 and '100000 characters' in caught.value.cause


@pytest.mark.parametrize(
    ('typed', 'kept'),
    [
        ('my-job', 'my-job'),
        ('é1', 'é1'),
        # These results were measured with FaceFusion 3.8.
        ('a_b', 'eb2980a5a244aad8cef818994eaae6c75b8eac16'),
    ],
)
def test_ids_of_facefusion_38(typed, kept):
    assert peer_job_id(typed) == kept


@pytest.mark.parametrize('typed', ['a b', '---', '', 'v1.2', 'a/b', '\udcff'])
def test_facefusion_38_hashes_names_with_other_characters(typed):
    assert re.fullmatch('[0-9a-f]{40}', peer_job_id(typed))


def test_generated_ids_are_valid_unique_and_sort_by_time():
    made = [new_job_id('job') for _ in range(500)]
    assert len(set(made)) == 500 and [check_job_id(job_id) for job_id in made] == made
    assert re.fullmatch(r'job-\d{4}(-\d\d){5}-[0-9a-f]{10}', made[0])
    assert re.fullmatch(r'headless-\d{4}(-\d\d){5}-beef-[0-9a-f]{10}', new_job_id('headless', 'beef'))
