from __future__ import annotations

import json
import shutil
from dataclasses import replace
from fractions import Fraction

import av
import c2pa
import numpy as np
import pytest
from fakes.certificates import issue, write_chain, write_key
from fakes.statements import CLIPS, PICTURES, make_file, make_noise_clip, make_picture, swap_of, target_facts
from PIL import Image

from facefusion.errors import Interrupted
from facefusion.events import Message, silent
from facefusion.provenance.credentials_reader import read_credentials
from facefusion.provenance.credentials_writer import Ingredient, sign
from facefusion.provenance.media_types import EMBEDDED
from facefusion.provenance.options import ProvenanceOptions
from facefusion.provenance.sidecar import sidecar_of
from facefusion.provenance.signer import prepare_signing
from facefusion.provenance.statement import COMPOSITE, PROCESSING_LABEL
from facefusion.provenance.trust import trusted_roots
from facefusion.stopping import StopFlag

KINDS = (*PICTURES, *CLIPS)


@pytest.fixture
def target(tmp_path):
    return make_picture(tmp_path / 'target.png')


@pytest.fixture
def signed_as(tmp_path, signing, target):
    """Return a function that signs a new file of a kind."""

    def make(extension, name='out', ingredient=None, statement=None, emit=silent, flag=None, signing=signing):
        unsigned = make_file(tmp_path / f'{name}-unsigned.{extension}')
        ingredient = ingredient or Ingredient(target)
        statement = statement or swap_of(ingredient.path or target, title=f'{name}.{extension}')
        return sign(unsigned, tmp_path / f'{name}.{extension}', statement, [ingredient], signing, emit, flag)

    return make


def warnings_of(events):
    return [event.text for event in events if isinstance(event, Message) and event.level == 'warn']


def pixels_of(path):
    if path.suffix[1:] in PICTURES:
        with Image.open(path) as image:
            return [np.asarray(image.convert('RGB'))]
    with av.open(str(path)) as clip:
        frames = list(clip.decode(video=0))
    assert all(Fraction(frame.pts) is not None for frame in frames)
    return [frame.to_ndarray(format='bgr24') for frame in frames]


@pytest.mark.parametrize('extension', KINDS)
def test_each_kind_is_signed_and_read_back_and_keeps_its_pixels(signed_as, roots, tmp_path, extension):
    signed = signed_as(extension)
    found = read_credentials(signed.media, roots, signed.sidecar)
    assert (found.state, found.is_own_root, found.problems) == ('trusted', True, ())
    is_embedded = f'.{extension}' in EMBEDDED
    assert found.place == ('embedded' if is_embedded else 'sidecar')
    unsigned = tmp_path / f'out-unsigned.{extension}'
    if is_embedded:
        assert (signed.media, signed.sidecar) == (tmp_path / f'out.{extension}', None)
        assert 0 < signed.media.stat().st_size - unsigned.stat().st_size < 10_000
    else:
        assert (signed.media, signed.sidecar) == (unsigned, tmp_path / f'out.{extension}.c2pa')
        assert not (tmp_path / f'out.{extension}').exists()
        assert signed.sidecar.stat().st_size == signed.credentials_size < 10_000
    made, before = pixels_of(signed.media), pixels_of(unsigned)
    assert len(made) == len(before)
    assert all(np.array_equal(frame, other) for frame, other in zip(made, before, strict=True))


def test_the_library_reads_the_required_assertions(signed_as, tmp_path, target):
    signed = signed_as('mp4')
    with c2pa.Reader(str(signed.media)) as reader:
        store = json.loads(reader.json())
    manifest = store['manifests'][store['active_manifest']]
    assert store['active_manifest'] == signed.manifest_id
    assert manifest['claim_generator_info'][0]['name'] == 'FaceFusion'
    assert 'thumbnail' not in manifest
    data = {entry['label']: entry['data'] for entry in manifest['assertions']}
    opened, edited, *_ = data['c2pa.actions.v2']['actions']
    assert opened['action'] == 'c2pa.opened' and opened['parameters']['ingredients'][0]['hash']
    assert (edited['action'], edited['digitalSourceType']) == ('c2pa.edited', COMPOSITE)
    own = data[PROCESSING_LABEL]
    assert own['targets'][0]['sha256'] == target_facts(target).sha256
    assert own['sources'] == [{'name': 'face.jpg', 'sha256': 'ef' * 32, 'size': 1234}]
    assert own['consent'] == ['The person agreed.'] and own['mark_payload'] == '0011223344556677'
    (ingredient,) = manifest['ingredients']
    assert (ingredient['title'], ingredient['relationship']) == ('target.png', 'parentOf')
    assert str(tmp_path) not in json.dumps(store)


@pytest.mark.parametrize('extension', ['jpg', 'mp4', 'mkv'])
def test_earlier_credentials_stay_in_the_chain(signed_as, roots, extension):
    first = signed_as(extension, 'first')
    events = []
    second = signed_as(extension, 'second', Ingredient(first.media, first.sidecar), emit=events.append)
    assert second.inherited == ('intact',) and not warnings_of(events)
    found = read_credentials(second.media, roots, second.sidecar)
    assert found.state == 'trusted'
    assert [claim.manifest for claim in found.chain] == [first.manifest_id, second.manifest_id]
    assert [claim.relationship for claim in found.chain] == ['parentOf', '']
    assert [action.action for claim in found.chain for action in claim.actions].count('c2pa.edited') == 4


@pytest.mark.parametrize('extension', ['jpg', 'mp4'])
def test_a_change_in_earlier_credentials_is_detected(signed_as, roots, tmp_path, extension):
    first = signed_as(extension, 'first')
    second = signed_as(extension, 'second', Ingredient(first.media))
    data = second.media.read_bytes()
    places = [at for at in range(len(data)) if data.startswith(b'The person agreed.', at)]
    assert len(places) == 2
    for at in places:
        path = tmp_path / f'changed.{extension}'
        path.write_bytes(data[:at] + b'My' + data[at + 2 :])
        found = read_credentials(path, roots)
        assert found.state == 'tampered' and found.problems and found.codes


def test_the_sidecar_of_a_target_is_included_in_any_kind(signed_as, tmp_path, roots):
    first = signed_as('mkv', 'first')
    clip = tmp_path / 'clip.mkv'
    shutil.copy(first.media, clip)
    shutil.copy(first.sidecar, sidecar_of(clip))
    second = signed_as('mp4', 'second', Ingredient(clip))
    found = read_credentials(second.media, roots)
    assert second.inherited == ('intact',) and found.chain[0].manifest == first.manifest_id


@pytest.mark.parametrize('extension', ['jpg', 'mp4', 'mkv'])
def test_tampered_credentials_are_included_and_reported(signed_as, roots, tmp_path, extension):
    first = signed_as(extension, 'first')
    data = bytearray(first.media.read_bytes())
    # This byte belongs to the image data, which follows the credentials.
    data[-40] ^= 1
    tampered = tmp_path / f'tampered.{extension}'
    tampered.write_bytes(data)
    events = []
    second = signed_as(extension, 'second', Ingredient(tampered, first.sidecar), emit=events.append)
    assert second.inherited == ('tampered',)
    (text,) = warnings_of(events)
    assert 'tampered.' in text and 'was changed after it was signed' in text and 'included as they are' in text
    found = read_credentials(second.media, roots, second.sidecar)
    assert found.state == 'trusted' and found.chain[0].manifest == first.manifest_id
    assert 'was changed after it was signed' in found.chain[0].problems[0] and not found.chain[1].problems
    # A third signature does not hide the change.
    third = signed_as(extension, 'third', Ingredient(second.media, second.sidecar))
    found = read_credentials(third.media, roots, third.sidecar)
    assert [bool(claim.problems) for claim in found.chain] == [True, False, False]


def test_credentials_that_cannot_be_read_are_reported_and_the_output_is_signed(signed_as, roots, tmp_path):
    first = signed_as('jpg', 'first')
    data = first.media.read_bytes()
    at = data.find(b'jumd')
    broken = tmp_path / 'broken.jpg'
    broken.write_bytes(data[: at - 4] + b'\xff\xff\xff\xff' + data[at:])
    events = []
    second = signed_as('jpg', 'second', Ingredient(broken), emit=events.append)
    assert second.inherited == ('unreadable',)
    (text,) = warnings_of(events)
    assert 'broken.jpg' in text and 'cannot be read' in text
    own = read_credentials(second.media, roots).chain[-1].processing
    assert own['targets'][0]['credentials'] == 'unreadable'
    assert own['targets'][0]['sha256'] == target_facts(broken).sha256


def test_a_missing_target_is_stated_by_its_digest(signed_as, roots, target, tmp_path):
    statement = swap_of(target)
    for ingredient in (Ingredient(None), Ingredient(tmp_path / 'gone.png')):
        events = []
        signed = signed_as('jpg', ingredient=ingredient, statement=statement, emit=events.append)
        assert signed.inherited == ('not read',) and 'the file is missing' in warnings_of(events)[0]
        assert read_credentials(signed.media, roots).state == 'trusted'


def test_joined_clips_are_components(signed_as, signing, roots, tmp_path):
    first = signed_as('mp4', 'first')
    plain = make_noise_clip(tmp_path / 'plain.mp4')
    statement = swap_of(first.media, plain, title='joined.mp4')
    ingredients = [Ingredient(first.media), Ingredient(plain)]
    signed = sign(plain, tmp_path / 'joined.mp4', statement, ingredients, signing, silent)
    assert signed.inherited == ('intact', 'none')
    found = read_credentials(signed.media, roots)
    assert found.state == 'trusted' and [claim.relationship for claim in found.chain] == ['componentOf', '']
    done = [action.action for action in found.chain[-1].actions]
    assert done[:3] == ['c2pa.created', 'c2pa.placed', 'c2pa.placed']


def test_a_certificate_of_an_organisation_is_named(signed_as, house, own_options, tmp_path):
    leaf = issue(house, 'Studio')
    options = ProvenanceOptions(
        certificate_path=str(write_chain(tmp_path / 'chain.pem', leaf)),
        private_key_path=str(write_key(tmp_path / 'key.pem', leaf.key)),
        trusted_roots=(str(write_chain(tmp_path / 'root.pem', house)),),
        provenance_path=own_options.provenance_path,
    )
    signing = prepare_signing(options, {}, tmp_path, silent)
    signed = signed_as('jpg', signing=signing)
    assert (signed.is_local, signed.signer) == (False, 'Studio (Test house)')
    found = read_credentials(signed.media, trusted_roots(options, {}, tmp_path))
    assert (found.state, found.root, found.is_own_root) == ('trusted', 'test root (Test house)', False)
    # Without the root the file is intact, but its signer is unknown.
    found = read_credentials(signed.media, trusted_roots(own_options, {}, tmp_path))
    assert (found.state, found.signer, found.root, found.problems) == ('unknown-signer', 'Studio', '', ())


def test_a_stop_ends_signing_and_leaves_no_file(signed_as, tmp_path):
    flag = StopFlag()
    flag.set('requested')
    for extension in ('mp4', 'mkv', 'jpg'):
        with pytest.raises(Interrupted):
            signed_as(extension, flag=flag)
        assert not (tmp_path / f'out.{extension}').exists()
        assert not (tmp_path / f'out.{extension}.c2pa').exists()


def test_a_stop_is_obeyed_in_the_middle_of_a_file(signing, target, tmp_path, monkeypatch):
    clip = make_noise_clip(tmp_path / 'clip.mp4', frames=12)
    pieces = []

    class After(StopFlag):
        def check(self):
            pieces.append(1)
            if len(pieces) > 30:
                raise Interrupted(cause='requested')

    with pytest.raises(Interrupted):
        sign(clip, tmp_path / 'out.mp4', swap_of(target), [Ingredient(target)], signing, silent, After())
    assert len(pieces) == 31 and not (tmp_path / 'out.mp4').exists()


def test_the_record_of_a_signature_is_plain(signed_as):
    record = json.loads(json.dumps(signed_as('mkv').as_record()))
    assert record['is_local'] and record['sidecar'] and record['time_stamp'] is None


def test_ingredients_must_be_those_of_the_statement(signing, target, tmp_path):
    from facefusion.errors import InternalError

    with pytest.raises(InternalError):
        sign(target, tmp_path / 'out.png', swap_of(target), [], signing, silent)


def test_long_statements_are_signed(signed_as, target, roots):
    statement = replace(swap_of(target), consent=('x' * 4096,) * 4)
    found = read_credentials(signed_as('jpg', statement=statement).media, roots)
    assert found.state == 'trusted' and found.chain[-1].processing['consent'][0] == 'x' * 4096
