"""Tests of the messages between a run and its worker processes."""

from __future__ import annotations

import pickle

import pytest

from facefusion import errors
from facefusion.engines.messages import Failed
from facefusion.errors import FaceFusionError, Interrupted

KINDS = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, FaceFusionError)]


@pytest.mark.parametrize('kind', KINDS, ids=lambda kind: kind.__name__)
def test_an_error_of_a_worker_keeps_its_class_and_its_record(kind):
    details = {'cause': 'why', 'hint': 'do this', 'facts': {'frame': 3}}
    error = kind('it failed', **details) if kind is Interrupted else kind('some-reason', 'it failed', **details)
    again = pickle.loads(pickle.dumps(Failed.of(error))).as_error()
    assert type(again) is kind and again.as_record() == error.as_record()
    with pytest.raises(kind, match='it failed'):
        raise again
