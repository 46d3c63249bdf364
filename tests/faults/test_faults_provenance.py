"""Tests that failures while an output is signed are reported and leave no files."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.statements import make_noise_clip, make_picture, swap_of
from fakes.time_stamps import Authority, serving

from facefusion.errors import OutputError, ProvenanceError
from facefusion.events import Message, silent
from facefusion.provenance.credentials_reader import read_credentials
from facefusion.provenance.credentials_writer import Ingredient, sign
from facefusion.provenance.options import ProvenanceOptions
from facefusion.provenance.signer import prepare_signing
from facefusion.provenance.trust import trusted_roots

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def own(tmp_path):
    return ProvenanceOptions(provenance_path=str(tmp_path / 'own'))


@pytest.fixture
def picture(tmp_path):
    return make_picture(tmp_path / 'picture.jpg')


@pytest.fixture
def sign_with(own, picture, tmp_path):
    """Return a function that signs an image with a timestamp authority at ``url``."""

    def make(url, require=False, emit=silent, name='out.jpg', unsigned=None):
        options = replace(own, timestamp_url=url, require_timestamp=require)
        signing = prepare_signing(options, {}, tmp_path, emit)
        return sign(unsigned or picture, tmp_path / name, swap_of(picture), [Ingredient(picture)], signing, emit, None)

    return make


@pytest.fixture
def own_roots(own, tmp_path):
    return lambda: trusted_roots(own, {}, tmp_path)


def closed_port():
    with closing(socket.socket()) as listener:
        listener.bind(('127.0.0.1', 0))
        return listener.getsockname()[1]


def test_a_timestamp_is_requested_and_stored(sign_with, own_roots):
    asked = []
    authority = Authority()

    def answer(query):
        asked.append(query)
        return authority.answer(query)

    with serving(answer) as url:
        signed = sign_with(url, require=True)
    assert len(asked) == 1 and len(asked[0]) < 100, 'only a digest is sent'
    assert signed.time_stamp
    found = read_credentials(signed.media, own_roots())
    assert (found.state, found.time_stamp) == ('trusted', 'untrusted') and found.signed_at == signed.time_stamp


def stale(authority):
    """A function that replies to every request with the reply to another request."""
    first = []

    def answer(query):
        first.append(authority.answer(query[:-60] + bytes(reversed(query[-60:-20])) + query[-20:]))
        return first[0]

    return answer


@pytest.mark.parametrize(
    'answer',
    [lambda query: b'garbage' * 20, lambda query: b'', lambda query: b'\x30\x80' * 5000, stale(Authority())],
    ids=['garbage', 'nothing', 'hostile', 'stale'],
)
def test_an_invalid_timestamp_is_omitted_with_a_warning(sign_with, own_roots, tmp_path, answer):
    said = []
    with serving(answer) as url:
        signed = sign_with(f'{url}?user=secret', emit=said.append)
        with pytest.raises(ProvenanceError) as error:
            sign_with(url, require=True, name='required.jpg')
    assert signed.time_stamp is None
    assert read_credentials(signed.media, own_roots()).state == 'trusted'
    (text,) = [event.text for event in said if isinstance(event, Message) and event.level == 'warn']
    assert text.startswith('no timestamp from 127.0.0.1') and 'secret' not in text
    assert error.value.reference == 'timestamp-failed' and error.value.cause and error.value.hint
    assert not (tmp_path / 'required.jpg').exists()


def test_a_sidecar_is_written_without_a_timestamp_authority(sign_with, own_roots, tmp_path):
    clip = make_noise_clip(tmp_path / 'clip.mkv')
    url = f'http://127.0.0.1:{closed_port()}'
    said = []
    signed = sign_with(url, name='out.mkv', unsigned=clip, emit=said.append)
    assert read_credentials(signed.media, own_roots(), signed.sidecar).state == 'trusted'
    assert 'no timestamp' in said[-1].text
    with pytest.raises(ProvenanceError) as error:
        sign_with(url, require=True, name='required.mkv', unsigned=clip)
    assert error.value.reference == 'timestamp-failed'
    assert not list(tmp_path.glob('required*'))


@pytest.mark.parametrize('name', ['out.jpg', 'out.mkv'])
def test_a_missing_folder_is_an_error(sign_with, tmp_path, name):
    with pytest.raises(OutputError) as error:
        sign_with(None, name=f'gone/{name}')
    assert error.value.reference == 'output-unwritable' and error.value.hint


def test_a_file_that_cannot_be_parsed_is_not_signed(sign_with, tmp_path):
    unsigned = tmp_path / 'broken.jpg'
    unsigned.write_bytes(b'\xff\xd8\xff' + b'\0' * 500)
    with pytest.raises(ProvenanceError) as error:
        sign_with(None, unsigned=unsigned)
    assert error.value.reference == 'signing-failed' and error.value.cause
    assert not (tmp_path / 'out.jpg').exists() and unsigned.stat().st_size == 503


@pytest.mark.skipif(sys.platform == 'win32', reason='this system does not limit the size of files')
def test_a_full_disk_leaves_no_files(own, picture, tmp_path):
    clip = make_noise_clip(tmp_path / 'clip.mp4', frames=30)
    assert clip.stat().st_size > 60_000
    code = f"""
import json, resource, sys
from pathlib import Path
sys.path[:0] = ['tests', '.']
from fakes.statements import swap_of
from facefusion.errors import FaceFusionError
from facefusion.events import silent
from facefusion.provenance.credentials_writer import Ingredient, sign
from facefusion.provenance.options import ProvenanceOptions
from facefusion.provenance.signer import prepare_signing
folder = Path({str(tmp_path)!r})
signing = prepare_signing(ProvenanceOptions(provenance_path=str(folder / 'own')), {{}}, folder, silent)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
picture = folder / 'picture.jpg'
try:
    sign(folder / 'clip.mp4', folder / 'out.mp4', swap_of(picture), [Ingredient(picture)], signing, silent)
except FaceFusionError as error:
    print(json.dumps(error.as_record()))
"""
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert not done.stderr
    assert json.loads(done.stdout)['reference'] == 'disk-full'
    assert not (tmp_path / 'out.mp4').exists()


def test_memory_does_not_grow_with_the_clip(own, picture, tmp_path):
    """Signing a clip of half a gigabyte may use at most 100 MB more memory than signing a small one."""
    pytest.importorskip('resource', reason='this system does not report the memory of processes')
    small = make_noise_clip(tmp_path / 'small.mp4')
    inflate(small, tmp_path / 'large.mp4', 500_000_000)
    code = f"""
import resource, sys
from pathlib import Path
sys.path[:0] = ['tests', '.']
from fakes.statements import swap_of
from facefusion.events import silent
from facefusion.provenance.credentials_writer import Ingredient, sign
from facefusion.provenance.options import ProvenanceOptions
from facefusion.provenance.credentials_reader import read_credentials
from facefusion.provenance.signer import prepare_signing
from facefusion.provenance.trust import trusted_roots
folder = Path({str(tmp_path)!r})
options = ProvenanceOptions(provenance_path=str(folder / 'own'))
signing = prepare_signing(options, {{}}, folder, silent)
picture = folder / 'picture.jpg'
roots = trusted_roots(options, {{}}, folder)
for name in ('small', 'large'):
    target = folder / f'{{name}}.mp4'
    out = folder / 'out.mp4'
    sign(target, out, swap_of(picture), [Ingredient(picture)], signing, silent)
    assert read_credentials(out, roots).state == 'trusted'
    # Credentials of a target are read, too.
    sign(folder / 'small.mp4', folder / 'again.mp4', swap_of(picture), [Ingredient(out)], signing, silent)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert not done.stderr
    before, after = (int(line) * (1 if sys.platform == 'darwin' else 1024) for line in done.stdout.split())
    assert after - before < 100_000_000


def inflate(clip, path, more):
    """Add ``more`` unused bytes to the end of the mdat box of a clip, as a hole in the sparse file."""
    data = clip.read_bytes()
    at = 0
    with path.open('wb') as file:
        while at < len(data):
            size, name = int.from_bytes(data[at : at + 4], 'big'), data[at + 4 : at + 8]
            more_here = more if name == b'mdat' else 0
            file.write((size + more_here).to_bytes(4, 'big') + data[at + 4 : at + size])
            file.seek(more_here, 1)
            at += size
