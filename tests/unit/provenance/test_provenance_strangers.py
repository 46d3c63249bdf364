"""Tests that statements of unknown signers are never shown as confirmed by this machine."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import c2pa
import pytest
from fakes.certificates import issue, write_chain, write_key
from fakes.statements import make_picture, swap_of

from facefusion.cli.verify import verdict_lines
from facefusion.errors import ProvenanceError
from facefusion.events import Message
from facefusion.provenance.certificate import make_credential
from facefusion.provenance.chain import read_chain
from facefusion.provenance.credentials_writer import Ingredient, sign
from facefusion.provenance.options import ProvenanceOptions
from facefusion.provenance.signer import make_signer, prepare_signing
from facefusion.provenance.trust import trusted_roots
from facefusion.provenance.verify import verify


@pytest.fixture
def stranger(signing, house):
    leaf = issue(house, 'FaceFusion local signer on this machine')
    return replace(signing, credential=make_credential((leaf.certificate,), leaf.key), roots=())


@pytest.fixture
def make(tmp_path):
    def sign_as(signing, name, target, events=None):
        unsigned = make_picture(tmp_path / f'unsigned-{name}')
        statement = replace(swap_of(target, title=name), job_id=f'job of {name}')
        emit = events.append if events is not None else lambda event: None
        return sign(unsigned, tmp_path / name, statement, [Ingredient(target)], signing, emit)

    return sign_as


def test_claims_of_an_unknown_signer_stay_unconfirmed(tmp_path, signing, stranger, roots, house, make):
    target = make_picture(tmp_path / 'target.png')
    make(stranger, 'forged.jpg', target)
    (tmp_path / 'forged.jpg').rename(tmp_path / 'renamed.jpg')
    events = []
    made = make(signing, 'out.jpg', tmp_path / 'renamed.jpg', events)
    assert made.inherited == ('unknown-signer',)
    (warning,) = [event.text for event in events if isinstance(event, Message) and event.level == 'warn']
    assert 'renamed.jpg were signed by FaceFusion local signer' in warning and 'included, but not confirmed' in warning
    verdict = verify(tmp_path / 'out.jpg', roots)
    assert verdict.word == 'intact'
    assert [claim.trust for claim in verdict.credentials.chain] == ['unknown-signer', 'trusted']
    assert verdict.jobs == ('job of out.jpg',)
    assert 'the statements of renamed.jpg have no signer certified by a trusted root' in verdict.remarks()
    signers = [line.strip() for line in verdict_lines(verdict) if '  signed by ' in line]
    assert 'no trusted root certifies this' in signers[0] and signers[1].endswith('(trusted)')
    assert verdict.as_record()['credentials']['chain'][0]['trust'] == 'unknown-signer'
    # With the root among the trusted ones the signer is trusted, regardless of the recorded state.
    root = write_chain(tmp_path / 'root.pem', house)
    knowing = trusted_roots(ProvenanceOptions(trusted_roots=(str(root),)), {}, tmp_path)
    found = verify(tmp_path / 'out.jpg', (*roots, *knowing)).credentials
    assert [claim.trust for claim in found.chain] == ['trusted', 'trusted']


def test_claims_of_this_machine_stay_trusted_below_an_unknown_signer(tmp_path, signing, stranger, roots, make):
    target = make_picture(tmp_path / 'target.png')
    make(signing, 'first.jpg', target)
    make(stranger, 'between.jpg', tmp_path / 'first.jpg')
    make(signing, 'last.jpg', tmp_path / 'between.jpg')
    make(signing, 'again.jpg', tmp_path / 'last.jpg')
    for name in ('last.jpg', 'again.jpg'):
        trusts = [claim.trust for claim in verify(tmp_path / name, roots).credentials.chain]
        assert trusts[:3] == ['trusted', 'unknown-signer', 'trusted'] and set(trusts[3:]) <= {'trusted'}
    verdict = verify(tmp_path / 'between.jpg', roots)
    assert verdict.word == 'unknown-signer' and verdict.credentials.chain[-1].trust == 'unknown-signer'


@pytest.mark.parametrize('own', ['trusted', 'unknown-signer'])
def test_the_findings_of_an_unknown_signer_are_no_evidence(own):
    def found(code, label):
        entry = {'code': f'signingCredential.{code}', 'url': f'self#jumbf=/c2pa/{label}/c2pa.signature'}
        return {'activeManifest': {'success' if code == 'trusted' else 'failure': [entry]}}

    def manifest(label, results):
        return {'ingredients': [{'active_manifest': label, 'validation_results': results}]}

    store = {
        'active_manifest': 'c',
        'manifests': {
            'c': manifest('b', found('untrusted', 'b')),
            'b': manifest('a', found('trusted', 'a')),
            'a': {'n': 1},
        },
    }
    assert [claim.trust for claim in read_chain(store, own)] == ['unknown-signer', 'unknown-signer', own]
    store['manifests']['c'] = manifest('b', found('trusted', 'b'))
    assert {claim.trust for claim in read_chain(store, own)} == {own}


def test_remote_credentials_are_reported(tmp_path, signing, roots, make):
    target, remote = make_picture(tmp_path / 'target.jpg'), tmp_path / 'remote.jpg'
    action = {'action': 'c2pa.created', 'digitalSourceType': 'http://x/y/digitalCapture'}
    assertion = {'label': 'c2pa.actions.v2', 'data': {'actions': [action]}}
    definition = {'claim_generator_info': [{'name': 'Other'}], 'assertions': [assertion]}
    with c2pa.Builder(definition) as builder, make_signer(signing) as signer:
        builder.set_no_embed()
        builder.set_remote_url('http://nowhere.invalid/x.c2pa')
        with target.open('rb') as source, remote.open('w+b') as copy:
            builder.sign(signer, 'image/jpeg', source, copy)
    verdict = verify(remote, roots)
    assert verdict.word == 'nothing-found' and 'stored elsewhere' in verdict.credentials.detail
    events = []
    assert make(signing, 'out.jpg', remote, events).inherited == ('elsewhere',)
    assert 'stored at a network address' in events[-1].text and 'do not match' not in events[-1].text


def test_an_expiring_certificate_causes_a_warning_and_a_hint(tmp_path, signing, house, make):
    def prepared(end, events):
        leaf = issue(house, end=end)
        paths = write_chain(tmp_path / 'leaf.pem', leaf, house), write_key(tmp_path / 'leaf.key', leaf.key)
        options = ProvenanceOptions(certificate_path=str(paths[0]), private_key_path=str(paths[1]))
        return prepare_signing(options, {'HOME': str(tmp_path)}, tmp_path, events.append)

    events = []
    prepared(timedelta(days=2), events)
    assert events == []
    prepared(timedelta(hours=3), events)
    assert events[0].level == 'warn' and 'expires at' in events[0].text
    leaf = issue(house, begin=timedelta(days=-3), end=timedelta(days=-1))
    ended = replace(signing, credential=make_credential((leaf.certificate,), leaf.key))
    with pytest.raises(ProvenanceError) as error:
        make(ended, 'out.jpg', make_picture(tmp_path / 'target.png'))
    assert 'renew the certificate, then run the same command again' in error.value.hint
