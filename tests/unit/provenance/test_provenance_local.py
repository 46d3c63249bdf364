from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from facefusion.errors import ProvenanceError
from facefusion.events import Message, silent
from facefusion.provenance.local_certificate import default_folder, local_credential, own_roots
from facefusion.provenance.options import ProvenanceOptions
from facefusion.provenance.signer import prepare_signing

ROOT = Path(__file__).resolve().parents[3]
posix = pytest.mark.skipif(os.name != 'posix', reason='needs POSIX permissions')
not_root = pytest.mark.skipif(hasattr(os, 'geteuid') and os.geteuid() == 0, reason='root may write everywhere')
DAY = timedelta(days=1)


def leaf_of(credential):
    return x509.load_pem_x509_certificates(credential.chain)[0]


def test_it_is_created_once(tmp_path):
    events = []
    first = local_credential(tmp_path / 'a' / 'b', events.append)
    assert local_credential(tmp_path / 'a' / 'b', events.append) == first
    assert [event.level for event in events] == ['info'] and 'does not prove who you are' in events[0].text


@posix
def test_only_the_owner_can_read_it(tmp_path):
    folder = tmp_path / 'own'
    before = os.umask(0)
    try:
        local_credential(folder, silent)
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    secret = {path.name for path in folder.iterdir() if b'PRIVATE KEY' in path.read_bytes()}
    assert secret == {'root.pem', 'signer.pem'}
    assert {stat.S_IMODE((folder / name).stat().st_mode) for name in secret} == {0o600}
    (folder / 'root.pem').chmod(0o644)
    local_credential(folder, silent)
    assert stat.S_IMODE((folder / 'root.pem').stat().st_mode) == 0o600


def test_its_name_states_that_it_is_self_made_and_not_on_which_machine(tmp_path):
    chain = x509.load_pem_x509_certificates(local_credential(tmp_path, silent).chain)
    leaf, root = (certificate.subject.rfc4514_string() for certificate in chain)
    organisation = r'O=Self-made by FaceFusion\\, proves no identity'
    assert re.fullmatch(f'CN=FaceFusion local signer on this machine,{organisation}', leaf)
    assert re.fullmatch(f'CN=FaceFusion local root [0-9a-f]{{8}},{organisation}', root)
    # The only extensions are those for usage and keys, which cannot name the machine.
    assert [len(certificate.extensions) for certificate in chain] == [5, 3]


def test_the_signer_is_renewed_before_it_expires_and_the_root_stays(tmp_path):
    now = datetime.now(UTC)
    first = local_credential(tmp_path, silent, now)
    root = own_roots(tmp_path)
    assert local_credential(tmp_path, silent, now + 300 * DAY) == first
    renewed = local_credential(tmp_path, silent, now + 340 * DAY)
    assert leaf_of(renewed).serial_number != leaf_of(first).serial_number
    assert own_roots(tmp_path) == root
    # A clock that was set back causes a new signer, because the current one is not valid yet.
    assert local_credential(tmp_path, silent, now).expires < renewed.expires


def test_an_expiring_root_is_replaced_and_stays_known(tmp_path):
    now = datetime.now(UTC)
    local_credential(tmp_path, silent, now)
    old = own_roots(tmp_path)
    late = local_credential(tmp_path, silent, now + 3640 * DAY)
    assert leaf_of(late).issuer != old[0].subject
    assert set(old) < set(own_roots(tmp_path)) and len(own_roots(tmp_path)) == 2


@pytest.mark.parametrize('name', ['signer.pem', 'root.pem'])
@pytest.mark.parametrize('damage', ['empty', 'garbage', 'half', 'gone'])
def test_damaged_files_are_replaced(tmp_path, name, damage):
    local_credential(tmp_path, silent)
    path = tmp_path / name
    data = path.read_bytes()
    if damage == 'gone':
        path.unlink()
    else:
        path.write_bytes({'empty': b'', 'garbage': b'\xff' * 99, 'half': data[: len(data) // 2]}[damage])
    again = local_credential(tmp_path, silent)
    assert local_credential(tmp_path, silent) == again
    leaf, root = x509.load_pem_x509_certificates(again.chain)
    leaf.verify_directly_issued_by(root)
    assert root in own_roots(tmp_path)


@pytest.mark.parametrize('damage', ['garbage', 'half', 'gone'])
def test_an_old_root_stays_known_when_its_key_is_damaged(tmp_path, damage):
    local_credential(tmp_path, silent)
    (old,) = own_roots(tmp_path)
    path = tmp_path / 'root.pem'
    data = path.read_bytes()
    path.unlink() if damage == 'gone' else path.write_bytes(b'x' if damage == 'garbage' else data[: len(data) // 2])
    events = []
    local_credential(tmp_path, events.append)
    assert old in own_roots(tmp_path) and len(own_roots(tmp_path)) == 2
    (warning,) = [event.text for event in events if event.level == 'warn']
    assert 'damaged or missing: a new root was created' in warning
    local_credential(tmp_path, events.append)
    assert len(events) == 1 and old in own_roots(tmp_path)


def test_processes_at_once_agree_on_one_root(tmp_path):
    code = (
        'import sys\n'
        'from pathlib import Path\n'
        'from facefusion.events import silent\n'
        'from facefusion.provenance.local_certificate import local_credential\n'
        'sys.stdin.readline()\n'
        'print(local_credential(Path(sys.argv[1]), silent).chain.split(b"-----BEGIN")[2].hex())\n'
    )
    command = [sys.executable, '-c', code, str(tmp_path / 'own')]
    pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'text': True}
    started = [subprocess.Popen(command, cwd=ROOT, **pipes) for _ in range(6)]
    for process in started:
        process.stdin.write('go\n')
        process.stdin.flush()
    roots = {process.communicate()[0] for process in started}
    assert len(roots) == 1 and roots != {''}
    assert not list((tmp_path / 'own').glob('.*'))
    local_credential(tmp_path / 'own', silent)
    assert len(own_roots(tmp_path / 'own')) == 1


def test_the_fallback_replaces_a_folder_that_cannot_be_created(tmp_path):
    (tmp_path / 'file').write_text('no folder')
    events = []
    environ = {name: str(tmp_path / 'file') for name in ('HOME', 'XDG_DATA_HOME', 'LOCALAPPDATA', 'USERPROFILE')}
    signing = prepare_signing(ProvenanceOptions(), environ, tmp_path / 'fallback', events.append)
    assert signing.is_local and (tmp_path / 'fallback' / 'root.pem').is_file()
    warned = [event.text for event in events if isinstance(event, Message) and event.level == 'warn']
    assert len(warned) == 1 and 'fallback' in warned[0] and '--provenance-path' in warned[0]


def test_a_folder_of_the_options_has_no_fallback(tmp_path):
    (tmp_path / 'file').write_text('no folder')
    options = ProvenanceOptions(provenance_path=str(tmp_path / 'file' / 'x'))
    with pytest.raises(ProvenanceError) as error:
        prepare_signing(options, {}, tmp_path / 'fallback', silent)
    assert error.value.reference == 'provenance-folder-unwritable' and error.value.hint
    assert not (tmp_path / 'fallback').exists()


@posix
@not_root
def test_a_read_only_folder_still_signs(tmp_path):
    now = datetime.now(UTC)
    first = local_credential(tmp_path / 'own', silent, now)
    (tmp_path / 'own').chmod(0o500)
    try:
        assert local_credential(tmp_path / 'own', silent, now + 340 * DAY) == first
        with pytest.raises(OSError):
            local_credential(tmp_path / 'own', silent, now + 370 * DAY)
    finally:
        (tmp_path / 'own').chmod(0o700)


@pytest.mark.skipif(sys.platform in ('win32', 'darwin'), reason='this system has no XDG folders')
def test_the_default_folder_is_in_the_data_folder():
    assert default_folder({'XDG_DATA_HOME': '/data', 'HOME': '/h'}) == Path('/data/facefusion/provenance')
    assert default_folder({'XDG_DATA_HOME': 'relative', 'HOME': '/h'}) == Path('/h/.local/share/facefusion/provenance')
    assert default_folder({'HOME': '/h'}) == Path('/h/.local/share/facefusion/provenance')
