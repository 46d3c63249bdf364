from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from facefusion.errors import UsageError
from facefusion.safety.consent import MAXIMUM_FILE, MAXIMUM_TEXT, check_consent, resolve_consent
from facefusion.safety.options import ConsentOptions, PolicyOptions
from facefusion.settings import Settings

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refusal(text):
    with pytest.raises(UsageError) as error:
        resolve_consent(str(text))
    assert error.value.message and error.value.hint
    return error.value


@pytest.mark.parametrize(
    'text',
    [
        'The actor agreed on 3 May',
        'yes',
        'agreed, see contract 12/3 of the archive',
        'https://example.org/consents/7',
        'Ja, am 3.5. für den Film „Über“ 日本',
        'two lines\n\tof text',
        'x' * MAXIMUM_TEXT,
    ],
)
def test_a_text_is_stored_unchanged(text):
    assert resolve_consent(text) == text
    assert resolve_consent(f'  {text}\n') == text


def test_a_short_file_is_stored_as_text(tmp_path):
    for name in ('consent.txt', 'my consent.txt', 'consent', 'yes'):
        (tmp_path / name).write_bytes('\ufeffÄ agreed\r\n'.encode())
        assert resolve_consent(name) == resolve_consent(str(tmp_path / name)) == 'Ä agreed'
    (tmp_path / 'edge.txt').write_text('x' * MAXIMUM_TEXT)
    assert resolve_consent('edge.txt') == 'x' * MAXIMUM_TEXT


def test_a_file_in_the_home_folder_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.setenv('USERPROFILE', str(tmp_path))
    (tmp_path / 'agreed.txt').write_text('all agreed')
    assert resolve_consent('~/agreed.txt') == 'all agreed'
    assert resolve_consent('~all of them agreed') == '~all of them agreed'
    with pytest.raises(UsageError) as caught:
        resolve_consent('~no-such-user/agreed.txt')
    assert caught.value.reference == 'consent-unreadable' and 'no user no-such-user' in caught.value.cause


def test_a_long_file_is_stored_as_digest_name_and_size(tmp_path):
    for size in (MAXIMUM_TEXT + 1, MAXIMUM_FILE):
        (tmp_path / 'long.txt').write_bytes(b'x' * size)
        digest = hashlib.sha256(b'x' * size).hexdigest()
        assert resolve_consent(str(tmp_path / 'long.txt')) == f'sha256:{digest} long.txt {size} bytes'


@pytest.mark.parametrize('name', ['consent.txt', 'papers/consent', './consent', 'my consent.txt', 'a b.PDF', 'c.7z'])
def test_a_missing_file_is_not_a_text(name):
    error = refusal(name)
    assert error.reference == 'consent-missing' and name.split('/')[-1] in error.message


@pytest.mark.parametrize('text', ['', '  ', '\n\t'])
def test_an_empty_text_is_refused(text):
    assert refusal(text).reference == 'consent-empty'


@pytest.mark.parametrize('data', [b'', b' \n\t\r\n', b'\xef\xbb\xbf', b'\n' * 9000])
def test_an_empty_file_is_refused(tmp_path, data):
    (tmp_path / 'consent.txt').write_bytes(data)
    assert refusal('consent.txt').reference == 'consent-empty'


@pytest.mark.parametrize(
    'data', [b'\x89PNG\r\n\x1a\n', b'yes\0', 'yes'.encode('utf-16'), b'agr\xe9ed', b'%PDF-1.7\n\xe2\xe3', b'a\x1b[2J']
)
def test_a_binary_file_is_refused(tmp_path, data):
    (tmp_path / 'consent.txt').write_bytes(data)
    error = refusal('consent.txt')
    assert error.reference == 'consent-binary' and 'consent.txt' in error.message


@pytest.mark.parametrize('text', ['yes\0', 'I agree\x1b[2J', 'I agree\x9b2J', 'agr\udce9ed to it'])
def test_a_binary_text_is_refused(text):
    assert refusal(text).reference == 'consent-binary'


def test_a_huge_file_is_refused_without_reading_all_of_it(tmp_path):
    with (tmp_path / 'huge.txt').open('wb') as file:
        file.truncate(1 << 40)
    assert refusal('huge.txt').reference == 'consent-too-large'
    (tmp_path / 'over.txt').write_bytes(b'x' * (MAXIMUM_FILE + 1))
    assert refusal('over.txt').reference == 'consent-too-large'


@pytest.mark.parametrize('text', ['x' * (MAXIMUM_TEXT + 1), 'Ä' * (MAXIMUM_TEXT // 2 + 1), 'so be it ' * 100_000])
def test_a_text_that_is_too_long_belongs_in_a_file(text):
    error = refusal(text)
    assert error.reference == 'consent-too-long' and 'file' in error.hint


def test_a_folder_is_refused(tmp_path):
    assert refusal(tmp_path).reference == refusal('.').reference == 'consent-directory'


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='this system has no named pipes')
def test_a_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    assert refusal('pipe').reference == 'consent-unreadable'


def test_a_file_that_cannot_be_opened_is_named(tmp_path, monkeypatch):
    (tmp_path / 'consent.txt').write_text('yes')

    def deny(*arguments, **named):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(Path, 'open', deny)
    error = refusal('consent.txt')
    assert error.reference == 'consent-unreadable' and error.cause == 'Permission denied'


def test_a_path_through_a_file_is_unreadable_and_a_long_word_a_text(tmp_path):
    (tmp_path / 'file').write_text('yes')
    assert refusal('file/consent.txt').reference == 'consent-unreadable'
    assert resolve_consent('a' * 300) == 'a' * 300


def test_it_loads_nothing_heavy():
    code = (
        'import sys; import facefusion.safety.consent, facefusion.safety.options; '
        'print(sorted({"numpy", "cv2", "av", "PIL", "onnxruntime"} & set(sys.modules)))'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'


@pytest.mark.parametrize('consent', [None, '', ' \n'], ids=repr)
def test_white_space_in_a_record_does_not_count_as_consent(consent):
    settings = Settings([ConsentOptions(consent), PolicyOptions(require_consent=True)])
    with pytest.raises(UsageError, match='no consent'):
        check_consent(settings)
