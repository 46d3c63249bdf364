"""Pure parts of the server: addresses, names of uploads, folders, drafts and media roots."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facefusion.errors import JobError, UsageError
from facefusion.gui import file_listing
from facefusion.gui.draft import DraftStore
from facefusion.gui.guard import Access, is_loopback
from facefusion.gui.media_roots import MediaRoots, find_roots
from facefusion.gui.uploads import safe_name
from facefusion.safety.consent import consent_file


@pytest.mark.parametrize('host', ['127.0.0.1', '127.0.0.5', 'localhost', '::1'])
def test_loopback_addresses_are_local(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    'host', ['', '0.0.0.0', '::', '192.168.1.2', '127.0.0.1.example.com', '127.x', 'localhost.example']
)
def test_other_addresses_are_not_local(host):
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ('access', 'host', 'accepted'),
    [
        (Access('127.0.0.5', 7860, 't'), '127.0.0.5:7860', True),
        (Access('127.0.0.1', 80, 't'), 'localhost', True),
        (Access('::1', 80, 't'), '[::1]', True),
        (Access('127.0.0.1', 80, 't'), 'evil.example', False),
        (Access('127.0.0.1', 7860, 't'), 'localhost', False),
        (Access('0.0.0.0', 7860, 't'), 'studio.example', True),
        (Access('0.0.0.0', 7860, 't'), '', False),
    ],
)
def test_a_server_accepts_the_names_of_its_address(access, host, accepted):
    assert access.accepts_host(host) is accepted


def test_the_printed_address_can_be_opened():
    assert Access('::1', 7860, 'a b').address() == 'http://[::1]:7860/login?token=a+b'
    assert Access('0.0.0.0', 7860, 't').address() == 'http://127.0.0.1:7860/login?token=t'


@given(st.text(max_size=300))
def test_every_name_of_an_upload_becomes_a_plain_file_name(name):
    safe = safe_name(name)
    assert safe and len(safe.encode()) <= 120 and not safe.startswith('.') and safe == safe.strip(' .')
    assert not set(safe) & set('/\\:*?"<>|\0\n\r\u202e')


@pytest.mark.parametrize(
    ('name', 'safe'),
    [('clip.mp4', 'clip.mp4'), ('größe 1.png', 'größe 1.png'), ('../../etc/passwd', '_.._etc_passwd'), ('.ssh', 'ssh'),
     ('', 'upload'), ('..', 'upload'), ('a\u202egnp.exe', 'a_gnp.exe')],
)  # fmt: skip
def test_names_of_uploads_stay_readable(name, safe):
    assert safe_name(name) == safe


def test_a_long_name_keeps_its_extension():
    assert safe_name('x' * 500 + '.webm').endswith('x.webm')


def test_a_folder_with_more_entries_than_are_scanned_says_that_there_are_more(tmp_path, monkeypatch):
    monkeypatch.setattr(file_listing, 'MOST_SCANNED', 5)
    for number in range(9):
        (tmp_path / f'{number}.txt').touch()
    listing = file_listing.list_folder(MediaRoots((tmp_path,)), str(tmp_path), 'image')
    assert listing['entries'] == [] and listing['more'] > 0


def test_of_two_writers_of_one_version_exactly_one_succeeds(tmp_path):
    drafts = DraftStore(tmp_path / 'state' / 'draft.json')
    results = []
    gate = threading.Barrier(8)

    def write(number):
        gate.wait()
        try:
            results.append(drafts.write(0, {'max_faces': number}))
        except JobError as error:
            results.append(error.reference)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, results)) == ['1', *['draft-outdated'] * 7]


@pytest.mark.parametrize('text', ['', '[]', '{"version": "1", "args": {}}', '{"version": 1, "args": 3}', '\x00\xff'])
def test_a_damaged_draft_counts_as_empty(tmp_path, text):
    (tmp_path / 'draft.json').write_text(text, encoding='latin-1')
    assert DraftStore(tmp_path / 'draft.json').read() == {'version': 0, 'args': {}}


def test_a_root_that_is_a_link_contains_the_files_of_its_target(tmp_path):
    real, link, sibling = tmp_path / 'real', tmp_path / 'link', tmp_path / 'real-2'
    real.mkdir(), sibling.mkdir(), link.symlink_to(real)
    roots = find_roots([str(link)])
    assert roots.resolve(str(link / 'new.png')) == real / 'new.png'
    with pytest.raises(UsageError, match='may not use'):
        roots.resolve(str(sibling / 'a.png'))
    for path in ('a.png', '\0', str(real) + '/\ud800'):
        with pytest.raises(UsageError):
            roots.resolve(path)


def test_the_file_of_a_consent_is_known_before_it_is_read(tmp_path):
    (tmp_path / 'agreed').write_text('A. agreed')
    assert consent_file(str(tmp_path / 'agreed')) == tmp_path / 'agreed'
    assert consent_file('missing.txt') is not None
    assert consent_file('A. agreed to this on Monday') is None and consent_file('x' * 5000) is None
