"""Fixtures of a signer of this machine, created once per session, and of the trusted roots."""

from __future__ import annotations

import pytest
from fakes.certificates import make_root

from facefusion.events import silent
from facefusion.provenance.options import ProvenanceOptions
from facefusion.provenance.signer import prepare_signing
from facefusion.provenance.trust import trusted_roots


@pytest.fixture(scope='session')
def own_options(tmp_path_factory):
    return ProvenanceOptions(provenance_path=str(tmp_path_factory.mktemp('own')))


@pytest.fixture(scope='session')
def signing(own_options, tmp_path_factory):
    return prepare_signing(own_options, {}, tmp_path_factory.mktemp('unused'), silent)


@pytest.fixture(scope='session')
def roots(own_options, signing, tmp_path_factory):
    return trusted_roots(own_options, {}, tmp_path_factory.mktemp('unused'))


@pytest.fixture(scope='session')
def house():
    """A root certificate of another organisation."""
    return make_root()
