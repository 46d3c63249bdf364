from __future__ import annotations

import re

import pytest

from facefusion import errors
from facefusion.errors import FaceFusionError, Interrupted, UsageError, error_from_record

CODES = {
    'UsageError': 2,
    'InputError': 1,
    'MediaError': 1,
    'NoFaceError': 1,
    'OutputError': 1,
    'ContentRefused': 3,
    'ProvenanceError': 1,
    'Interrupted': 4,
    'ResourceError': 5,
    'ModelError': 6,
    'ProviderError': 7,
    'JobError': 1,
    'ClaimLost': 1,
    'SetupError': 1,
    'InternalError': 1,
}


def types_of(parent: type) -> dict[str, type]:
    found = {}
    for child in parent.__subclasses__():
        if child.__module__ == 'facefusion.errors':
            found |= {child.__name__: child, **types_of(child)}
    return found


def test_each_error_class_has_its_exit_code():
    assert {name: kind.exit_code for name, kind in types_of(FaceFusionError).items()} == CODES


def test_the_tree_in_the_docstring_matches_the_classes():
    drawn = dict(re.findall(r'[├└]── (\w+) +(\d)', errors.__doc__))
    assert {name: int(code) for name, code in drawn.items()} == CODES


def test_an_error_is_restored_from_its_record_with_its_exit_code():
    for name, kind in types_of(FaceFusionError).items():
        raised = (
            kind('why', cause='c', hint='h') if name == 'Interrupted' else kind('some-ref', 'why', cause='c', hint='h')
        )
        again = error_from_record(raised.as_record())
        assert again.as_record() == raised.as_record()
    odd = error_from_record({'exit_code': 'x', 'reference': 'Not Kebab', 'message': None, 'facts': 'none'})
    assert (odd.exit_code, odd.reference, odd.message, odd.facts) == (1, 'job-failed', 'it failed', None)


def test_a_record_has_facts_only_if_the_error_has_and_restores_them():
    facts = {'scores': [0.5], 'frames': [7]}
    for name, kind in types_of(FaceFusionError).items():
        words = ('why',) if name == 'Interrupted' else ('some-ref', 'why')
        assert 'facts' not in kind(*words).as_record()
        raised = kind(*words, facts=facts)
        assert raised.as_record()['facts'] == facts
        again = error_from_record(raised.as_record())
        assert again.facts == facts and again.as_record() == raised.as_record()


def test_a_record_contains_all_fields_of_a_job_file():
    error = UsageError('no-such-thing', 'it is not there', cause='it was moved', hint='look elsewhere')
    assert error.as_record() == {
        'reference': 'no-such-thing',
        'message': 'it is not there',
        'cause': 'it was moved',
        'hint': 'look elsewhere',
        'exit_code': 2,
    }
    assert str(error) == 'it is not there'


@pytest.mark.parametrize('reference', ['', 'Upper', 'two words', 'under_score', '-edge', 'edge-', 'a--b', 'ä'])
def test_a_reference_is_kebab_case(reference):
    with pytest.raises(ValueError, match='kebab'):
        FaceFusionError(reference, 'message')


def test_interruption_has_one_reference():
    assert Interrupted().as_record() | {'message': ''} == {
        'reference': 'interrupted',
        'message': '',
        'cause': '',
        'hint': '',
        'exit_code': 4,
    }
