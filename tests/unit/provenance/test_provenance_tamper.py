"""Tests that any flipped bit in the media or the signed data is detected, except in the listed unprotected bytes."""

from __future__ import annotations

import random
from pathlib import Path
from typing import NamedTuple

import pytest
from fakes.statements import CLIPS, PICTURES, make_file, make_picture, swap_of

from facefusion.events import silent
from facefusion.provenance.credentials_reader import read_credentials
from facefusion.provenance.credentials_writer import Ingredient, sign
from facefusion.provenance.statement import PROCESSING_LABEL

POSITIONS = 200
INTACT = ('trusted', 'unknown-signer', 'expired')
KINDS = [kind for kind in (*PICTURES, *CLIPS) if kind != 'm4v']


class Made(NamedTuple):
    """A signed file, its sidecar if any, and the position of its manifest store."""

    path: Path
    sidecar: Path | None
    store: range


@pytest.fixture(scope='module')
def made(tmp_path_factory, signing):
    folder = tmp_path_factory.mktemp('tamper')
    target = make_picture(folder / 'target.png')
    files = {}

    def make(extension):
        if extension not in files:
            unsigned = make_file(folder / f'unsigned.{extension}')
            statement = swap_of(target, title=f'out.{extension}')
            signed = sign(unsigned, folder / f'out.{extension}', statement, [Ingredient(target)], signing, silent)
            holder = (signed.sidecar or signed.media).read_bytes()
            begin = holder.index(b'jumb') - 4
            files[extension] = Made(
                signed.media, signed.sidecar, range(begin, begin + int.from_bytes(holder[begin : begin + 4], 'big'))
            )
        return files[extension]

    return make


@pytest.fixture
def state_of(roots, tmp_path):
    def state(made, data, in_sidecar=False):
        path = tmp_path / f'x{made.path.suffix}'
        path.write_bytes(made.path.read_bytes() if in_sidecar else data)
        if in_sidecar:
            (tmp_path / 'x.c2pa').write_bytes(data)
        return read_credentials(path, roots, tmp_path / 'x.c2pa' if in_sidecar else made.sidecar).state

    return state


def flipped(data, position, generator):
    changed = bytearray(data)
    changed[position] ^= 1 << generator.randrange(8)
    return bytes(changed)


def around(extension, store):
    """Return the unprotected bytes outside a store that are not media, as listed in docs/provenance.md."""
    if extension in ('mp4', 'mov'):
        # These are the ftyp box and the header of the C2PA box.
        return range(store.start)
    if extension == 'jpg':
        # These are the box instance and packet number of the APP11 segment.
        return range(store.start - 8, store.start)
    # In PNG this is the checksum of the chunk.
    return range(store.stop, store.stop + 4) if extension == 'png' else range(0)


@pytest.mark.parametrize('extension', KINDS)
def test_a_flip_in_the_media_is_detected(made, state_of, extension):
    file = made(extension)
    data = file.path.read_bytes()
    left_out = set(file.store) | set(around(extension, file.store)) if file.sidecar is None else set()
    generator = random.Random(7)
    media = [position for position in range(len(data)) if position not in left_out]
    assert state_of(file, data) == 'trusted'
    for position in generator.sample(media, min(POSITIONS, len(media))):
        assert state_of(file, flipped(data, position, generator)) not in INTACT, position


def content_of(data, label):
    """Return the position of an assertion's content, which is the box after its label box (ISO/IEC 19566-5)."""
    at = data.index(label.encode() + b'\0') + len(label) + 1
    while data[at + 4 : at + 8] != b'cbor':
        at += 1
    return range(at + 8, at + int.from_bytes(data[at : at + 4], 'big'))


@pytest.mark.parametrize('extension', KINDS)
def test_a_flip_in_the_signed_data_is_detected(made, state_of, extension):
    file = made(extension)
    data = (file.sidecar or file.path).read_bytes()
    labels = (PROCESSING_LABEL, 'c2pa.actions.v2', 'c2pa.ingredient.v3', 'c2pa.claim.v2')
    signed = [position for label in labels for position in content_of(data, label)]
    generator = random.Random(8)
    for position in generator.sample(signed, POSITIONS):
        changed = flipped(data, position, generator)
        assert state_of(file, changed, in_sidecar=file.sidecar is not None) not in INTACT, position


def region_of(data, position, extension, store):
    """Return the name of the part that an unprotected byte belongs to, or '' for a protected byte."""
    if position in around(extension, store):
        return 'frame of the store'
    if position not in store:
        return ''
    if any(data[begin + 4 : begin + 8] == b'jumb' for begin in range(position - 3, position + 1)):
        return 'size of a box'
    padding = data.index(b'cpad')
    if padding <= position:
        return 'padding of the signature'
    # A description box contains a size, name, type, flags and label.
    begin = data.rindex(b'jumd', 0, position + 4) - 4
    end = begin + int.from_bytes(data[begin : begin + 4], 'big')
    return 'name of a box' if begin <= position < end else ''


@pytest.mark.parametrize('extension', ['png', 'mp4'])
def test_the_unprotected_bytes_are_those_in_the_docs(made, state_of, extension):
    file = made(extension)
    data = file.path.read_bytes()
    generator = random.Random(9)
    unseen = {
        position: region_of(data, position, extension, file.store)
        for position in range(generator.randrange(7), file.store.stop + 200, 7)
        if state_of(file, flipped(data, position, generator)) in INTACT
    }
    assert all(unseen.values()), [position for position, region in unseen.items() if not region]
    assert 'padding of the signature' in unseen.values()


def box(name, content=b''):
    """Return a box of ISO/IEC 14496-12."""
    return (8 + len(content)).to_bytes(4, 'big') + name + content


# The identifier of C2PA boxes, version and flags, and a purpose outside the standard.
UNKNOWN_PURPOSE = bytes.fromhex('d8fec3d61b0e483c92975828877ec481') + bytes(4) + b'stranger\0' + b'words'
LEFT_OUT = {
    'free': box(b'free', b'words'),
    'skip': box(b'skip', b'words'),
    'mfra': box(b'mfra', box(b'mfro', bytes(8))),
    'uuid of C2PA': box(b'uuid', UNKNOWN_PURPOSE),
}
SEEN = {
    'unknown': box(b'abcd', b'words'),
    'uuid of others': box(b'uuid', bytes(16) + b'words'),
    'udta': box(b'udta', b'words'),
    'mdat': box(b'mdat', b'words'),
    'moov': box(b'moov'),
}


@pytest.mark.parametrize('extension', ['mp4', 'm4v', 'mov'])
def test_only_unprotected_boxes_may_be_appended(made, state_of, extension):
    file = made(extension)
    data = file.path.read_bytes()
    assert {name: state_of(file, data + more) for name, more in LEFT_OUT.items()} == dict.fromkeys(LEFT_OUT, 'trusted')
    seen = {name: state_of(file, data + more) for name, more in SEEN.items()}
    assert seen == dict.fromkeys(SEEN, 'tampered')


@pytest.mark.parametrize('extension', ['mp4', 'm4v', 'mov'])
def test_unprotected_boxes_may_be_renamed(made, state_of, extension):
    file = made(extension)
    data = file.path.read_bytes()
    padded = data + LEFT_OUT['free']
    at = padded.rindex(b'free')
    assert state_of(file, padded[:at] + b'skip' + padded[at + 4 :]) == 'trusted'
    assert state_of(file, padded[:at] + b'frei' + padded[at + 4 :]) == 'tampered'


def test_data_appended_to_a_sidecar_is_ignored(made, state_of):
    file = made('mkv')
    assert state_of(file, file.sidecar.read_bytes() + b'words', in_sidecar=True) == 'trusted'
