from __future__ import annotations

import io
import json
import os
import time
from dataclasses import replace
from datetime import timedelta

import c2pa
import pytest
from fakes.certificates import issue, write_chain
from fakes.statements import CLIPS, PICTURES, make_file, make_picture, swap_of
from fakes.time_stamps import Authority, serving

from facefusion.errors import Interrupted, MediaError
from facefusion.events import silent
from facefusion.provenance import chain
from facefusion.provenance.certificate import make_credential
from facefusion.provenance.chain import MOST_CLAIMS, read_chain
from facefusion.provenance.credentials_reader import read_credentials
from facefusion.provenance.credentials_writer import Ingredient, sign
from facefusion.provenance.media_types import PLAIN
from facefusion.provenance.options import ProvenanceOptions
from facefusion.provenance.sidecar import LARGEST_SIDECAR, sidecar_of
from facefusion.provenance.signer import make_signer
from facefusion.provenance.statement import PROCESSING_LABEL
from facefusion.provenance.trust import trusted_roots
from facefusion.stopping import StopFlag


@pytest.fixture
def signed(tmp_path, signing):
    def make(name='out.jpg', signing=signing):
        target = make_picture(tmp_path / 'target.png')
        unsigned = make_file(tmp_path / f'unsigned-{name}')
        made = sign(unsigned, tmp_path / name, swap_of(target, title=name), [Ingredient(target)], signing, silent)
        if made.sidecar is not None:
            made.media.replace(tmp_path / name)
        return tmp_path / name

    return make


def trusting(*files):
    options = ProvenanceOptions(provenance_path=str(files[0].parent / 'nobody'), trusted_roots=tuple(map(str, files)))
    return trusted_roots(options, {}, files[0].parent)


@pytest.mark.parametrize('extension', [*PICTURES, *CLIPS])
def test_files_without_credentials_have_none(tmp_path, roots, extension):
    path = make_file(tmp_path / f'plain.{extension}')
    found = read_credentials(path, roots)
    assert (found.state, found.place, found.chain) == ('none', 'none', ())


@pytest.mark.parametrize('name', ['text.txt', 'music.mp3', 'paper.pdf', 'noise.jpg', 'noise.mp4', 'noise.mkv', 'none'])
def test_garbage_is_reported_and_never_raised(tmp_path, roots, name):
    path = tmp_path / name
    for data in (b'hello\n', b'\0' * 5000, os.urandom(3000), b'\xff\xd8\xff\xe0' + b'\0' * 100):
        path.write_bytes(data)
        found = read_credentials(path, roots)
        assert found.state in ('none', 'unreadable') and found.place == 'none'
        json.dumps(found.as_record())


@pytest.mark.parametrize(
    ('make', 'reference'),
    [
        (lambda path: None, 'media-missing'),
        (lambda path: path.mkdir(), 'media-directory'),
        (lambda path: path.write_bytes(b''), 'media-empty'),
        pytest.param(
            lambda path: os.mkfifo(path),
            'media-not-a-file',
            marks=pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='this system has no named pipes'),
        ),
    ],
    ids=['missing', 'folder', 'empty', 'pipe'],
)
def test_paths_that_are_not_files_are_refused(tmp_path, roots, make, reference):
    make(tmp_path / 'x.jpg')
    with pytest.raises(MediaError) as error:
        read_credentials(tmp_path / 'x.jpg', roots)
    assert error.value.reference == reference


@pytest.mark.parametrize('name', ['out.jpg', 'out.mp4', 'out.mkv', 'out.png'])
def test_truncated_files_are_not_intact(signed, roots, name):
    path = signed(name)
    data = path.read_bytes()
    for share in range(1, 20):
        path.write_bytes(data[: len(data) * share // 20])
        assert read_credentials(path, roots).state in ('tampered', 'unreadable', 'none')


def test_a_sidecar_is_found_by_its_name_or_named(signed, roots, tmp_path):
    path = signed('out.mkv')
    assert read_credentials(path, roots).place == 'sidecar'
    elsewhere = sidecar_of(path).rename(tmp_path / 'elsewhere.bin')
    assert read_credentials(path, roots).state == 'none'
    assert read_credentials(path, roots, elsewhere).state == 'trusted'


def test_embedded_credentials_come_before_a_sidecar(signed, roots):
    path = signed('out.jpg')
    other = sidecar_of(signed('out.mkv'))
    other.rename(sidecar_of(path))
    found = read_credentials(path, roots)
    assert (found.state, found.place, found.chain[-1].title) == ('trusted', 'embedded', 'out.jpg')


@pytest.mark.parametrize('data', [b'', b'garbage', b'\0\0\0\x20jumb' + b'\xff' * 60], ids=['empty', 'text', 'box'])
def test_invalid_sidecars_are_ignored_or_reported(tmp_path, roots, data):
    path = make_file(tmp_path / 'x.mkv')
    sidecar_of(path).write_bytes(data)
    found = read_credentials(path, roots)
    assert found.state in ('none', 'unreadable') and (data or found.state == 'none')


def test_the_size_of_a_sidecar_is_limited(tmp_path, roots):
    path = make_file(tmp_path / 'x.mkv')
    with sidecar_of(path).open('wb') as file:
        file.truncate(LARGEST_SIDECAR + 1)
    assert read_credentials(path, roots).state == 'none'


def test_the_sidecar_of_another_file_does_not_match(signed, roots, tmp_path):
    path = signed('out.mkv')
    other = make_file(tmp_path / 'other.webm')
    found = read_credentials(other, roots, sidecar_of(path))
    assert found.state == 'tampered' and 'was changed after it was signed' in found.problems[0]
    assert found.codes == ('assertion.dataHash.mismatch',)


def test_reading_can_be_stopped(signed, roots):
    flag = StopFlag()
    flag.set('requested')
    with pytest.raises(Interrupted):
        read_credentials(signed(), roots, flag=flag)


def test_the_record_is_complete_plain_json(signed, roots):
    record = read_credentials(signed(), roots).as_record()
    assert json.loads(json.dumps(record)) == record
    (claim,) = record['chain']
    assert [action['action'] for action in claim['actions']][:2] == ['c2pa.opened', 'c2pa.edited']
    assert claim['actions'][1]['source_type'] == 'compositeWithTrainedAlgorithmicMedia'
    assert claim['actions'][1]['software'].startswith('FaceFusion ')
    assert claim['processing']['consent'] == ['The person agreed.']


def test_an_expired_signer_is_reported_unless_a_trusted_timestamp_helps(signed, signing, house, tmp_path):
    authority = Authority()
    leaf = issue(house, end=timedelta(seconds=3))
    credential = make_credential((leaf.certificate,), leaf.key)
    plain = signed('plain.jpg', replace(signing, credential=credential))
    with serving(authority.answer) as url:
        stamped = signed('stamped.jpg', replace(signing, credential=credential, timestamp_url=url))
    root = write_chain(tmp_path / 'root.pem', house)
    stamps = write_chain(tmp_path / 'stamps.pem', authority.root)
    assert read_credentials(plain, trusting(root)).state == 'trusted'
    found = read_credentials(stamped, trusting(root))
    assert (found.state, found.time_stamp) == ('trusted', 'untrusted') and found.signed_at
    assert read_credentials(stamped, trusting(root, stamps)).time_stamp == 'trusted'
    time.sleep(4.2)
    found = read_credentials(plain, trusting(root))
    assert found.state == 'expired' and 'has expired' in found.problems[0]
    # Without a trusted timestamp, a thief of the old key could have created the signature later.
    assert read_credentials(stamped, trusting(root)).state == 'expired'
    assert read_credentials(stamped, trusting(root, stamps)).state == 'trusted'
    # A target with an expired signer causes no warning.
    events = []
    again = sign(plain, tmp_path / 'again.jpg', swap_of(plain), [Ingredient(plain)], signing, events.append)
    assert (again.inherited, events) == (('expired',), [])


def foreign(path, assertions, **more):
    """Return a function that signs ``path`` like another program."""
    definition = {'claim_generator_info': [{'name': 'Other'}], 'assertions': assertions, **more}

    def write(signing):
        with c2pa.Builder(definition) as builder, make_signer(signing) as signer:
            builder.set_no_embed()
            store = builder.sign(signer, PLAIN, io.BytesIO(path.read_bytes()), io.BytesIO())
        sidecar_of(path).write_bytes(store)

    return write


def created(**more):
    return {
        'label': 'c2pa.actions.v2',
        'data': {'actions': [{'action': 'c2pa.created', 'digitalSourceType': 'http://x/y/digitalCapture', **more}]},
    }


def test_untrusted_text_cannot_control_a_terminal(signing, roots, tmp_path):
    path = make_file(tmp_path / 'x.mkv')
    evil = '\x1b[2J\r\nfake: trusted\x9b0m\u202e'
    foreign(path, [created(description=evil), {'label': PROCESSING_LABEL, 'data': {'consent': [evil]}}], title=evil)(
        signing
    )
    found = read_credentials(path, roots)
    assert found.state == 'trusted' and found.generator == 'Other'
    text = json.dumps(found.as_record(), ensure_ascii=False)
    assert not set(text) & set('\x1b\r\x9b\u202e') and '\\n' not in text and '\\u' not in text


def test_the_size_of_a_forged_assertion_is_limited(signing, roots, tmp_path, monkeypatch):
    # The library itself accepts about 1 MB.
    monkeypatch.setattr(chain, 'LARGEST_PROCESSING', 64_000)
    path = make_file(tmp_path / 'x.mkv')
    deep = []
    for _ in range(60):
        deep = [deep]
    for data in ({'more': ['y' * 4000] * 20}, {'deep': deep}, {'n': None}):
        foreign(path, [created(), {'label': PROCESSING_LABEL, 'data': data}])(signing)
        found = read_credentials(path, roots)
        assert found.state == 'trusted'
        assert bool(found.chain[-1].left_out) == ('n' not in data)
        assert len(json.dumps(found.as_record())) < 2 * 64_000


def test_long_statements_are_shown_and_lines_become_spaces(signing, roots, tmp_path):
    path = make_file(tmp_path / 'x.mkv')
    data = {'consent': ['One agreed.\r\nTwo agreed.\n'], 'targets': [{'name': f'clip-{n}.mp4'} for n in range(4000)]}
    foreign(path, [created(), {'label': PROCESSING_LABEL, 'data': data}])(signing)
    (claim,) = read_credentials(path, roots).chain
    assert len(claim.processing['targets']) == 4000 and claim.left_out == ''
    assert claim.processing['consent'] == ['One agreed. Two agreed.']


def test_a_cyclic_or_endless_chain_ends():
    def manifest(*labels):
        return {'ingredients': [{'active_manifest': label, 'relationship': 'parentOf'} for label in labels]}

    store = {
        'active_manifest': 'a',
        'manifests': {'a': manifest('b', 'c'), 'b': manifest('a', 'b'), 'c': manifest('b')},
    }
    assert [claim.manifest for claim in read_chain(store)] == ['b', 'c', 'a']
    long = {str(number): manifest(str(number + 1)) for number in range(5000)}
    assert len(read_chain({'active_manifest': '0', 'manifests': long})) == MOST_CLAIMS
    assert read_chain({}) == () == read_chain({'active_manifest': [], 'manifests': 7})
    odd = {'a': {'ingredients': 'x', 'assertions': [1, {'label': 'c2pa.actions', 'data': {'actions': {}}}]}}
    assert read_chain({'active_manifest': 'a', 'manifests': odd})[0].actions == ()
