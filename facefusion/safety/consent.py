"""The consent of the people shown, as a user states it: a text, or a file that holds one."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

from facefusion.errors import UsageError
from facefusion.options import expand_home
from facefusion.safety.options import ConsentOptions, PolicyOptions
from facefusion.settings import Settings

LONGEST_TEXT = 4096
LARGEST_FILE = 10_000_000
# Names of documents: with one of these even a name with spaces is meant as a file.
_DOCUMENTS = frozenset(('.txt', '.text', '.md', '.rst', '.html', '.json', '.rtf', '.pdf', '.doc', '.docx', '.odt'))
_WHITE = '\t\n\r'


def resolve_consent(text_or_path: str) -> str:
    """What is kept of ``--consent TEXT|FILE``.

    The text itself, stripped, up to 4 KB of UTF-8; of a file with a longer text (up to 10 MB)
    ``sha256:<hex> <file name> <size> bytes``. Whatever exists is a file; what does not is one when it has no white
    space, but a suffix or a separator, or is named like a document. Raises UsageError consent-missing, consent-empty,
    consent-binary, consent-too-large, consent-too-long, consent-directory, consent-unreadable.
    """
    if not text_or_path.strip():
        raise _empty('the text of --consent is empty')
    if len(text_or_path) <= LONGEST_TEXT and '\0' not in text_or_path:
        path = _path(text_or_path)
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            if _looks_like_path(text_or_path):
                raise _missing(path) from None
        except OSError as error:
            # A sentence may be no possible name of a file: too long, or with a file as a folder.
            if _looks_like_path(text_or_path):
                raise _unreadable(path, error.strerror or str(error)) from None
        else:
            return _from_file(path, mode)
    return _from_argument(text_or_path.strip())


def _path(text: str) -> Path:
    """The file that the text may name. Raises UsageError consent-unreadable for that of an unknown user."""
    try:
        return Path(expand_home(text))
    except ValueError as error:
        if _looks_like_path(text):
            raise _unreadable(Path(text), str(error)) from None
        return Path(text)


def check_consent(settings: Settings) -> None:
    """Raises UsageError consent-required when the operator demands a consent and the step states none."""
    if settings[PolicyOptions].require_consent and not (settings[ConsentOptions].consent or '').strip():
        raise UsageError(
            'consent-required',
            'no consent of the people shown is stated',
            cause='[policy] require_consent in the ini file of this installation demands one for every step',
            hint='give it with --consent "who agreed to what", or --consent FILE with a text that says so',
        )


def _looks_like_path(text: str) -> bool:
    suffix = Path(text).suffix
    if suffix.lower() in _DOCUMENTS:
        return True
    has_space = any(letter.isspace() for letter in text)
    return not has_space and '://' not in text and (len(suffix) > 1 or '/' in text or '\\' in text)


def _from_argument(text: str) -> str:
    try:
        size = len(text.encode('utf-8'))
    except UnicodeEncodeError:
        raise _binary('the text of --consent') from None
    if _has_control_letters(text):
        raise _binary('the text of --consent')
    if size > LONGEST_TEXT:
        raise UsageError(
            'consent-too-long',
            f'the text of --consent is too long ({size} bytes)',
            cause=f'up to {LONGEST_TEXT} bytes are kept as they are',
            hint='save it as a text file and give the name of the file: its digest is kept then',
        )
    return text


def _from_file(path: Path, mode: int) -> str:
    if stat.S_ISDIR(mode):
        raise UsageError(
            'consent-directory', f'--consent names a folder: {path}', hint='name the text file in it that says so'
        )
    if not stat.S_ISREG(mode):
        # Opening a pipe would wait for a writer, perhaps for ever.
        raise _unreadable(path, 'it is a pipe, a socket or a device')
    data = _read(path)
    if not data:
        raise _empty(f'the consent file {path} is empty (0 bytes)')
    try:
        text = data.decode('utf-8-sig')
    except UnicodeDecodeError:
        raise _binary(f'the consent file {path}') from None
    if _has_control_letters(text):
        raise _binary(f'the consent file {path}')
    if not text.strip():
        raise _empty(f'the consent file {path} holds only white space')
    if len(data) <= LONGEST_TEXT:
        return text.strip()
    return f'sha256:{hashlib.sha256(data).hexdigest()} {path.name} {len(data)} bytes'


def _read(path: Path) -> bytes:
    try:
        with path.open('rb') as file:
            # One byte more than is taken: the size that the folder tells may be outdated.
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    if len(data) > LARGEST_FILE:
        raise UsageError(
            'consent-too-large',
            f'the consent file {path} is too large',
            cause=f'a text of up to {LARGEST_FILE // 1_000_000} MB is read',
            hint='give a short text that names the document, and where it is kept',
        )
    return data


def _has_control_letters(text: str) -> bool:
    # The second set (C1) moves the cursor of some terminals just as the first does.
    return any((letter < ' ' and letter not in _WHITE + '\f') or '\x7f' <= letter < '\xa0' for letter in text)


def _missing(path: Path) -> UsageError:
    return UsageError(
        'consent-missing',
        f'no consent file at {path}',
        cause='--consent is taken for the name of a file, since it looks like one',
        hint='check the path, or write the consent as a sentence',
    )


def _empty(message: str) -> UsageError:
    return UsageError(
        'consent-empty', message, hint='say who of the people shown agreed to what, such as --consent "A. agreed"'
    )


def _binary(what: str) -> UsageError:
    return UsageError(
        'consent-binary',
        f'{what} is no plain text',
        cause='it is not UTF-8, or holds control characters',
        hint='save it as UTF-8 text, or give a short text that names the document, and where it is kept',
    )


def _unreadable(path: Path, cause: str) -> UsageError:
    return UsageError(
        'consent-unreadable', f'the consent file {path} cannot be read', cause=cause, hint='check path and permissions'
    )
