"""Read the user's statement of consent by the people shown: a text, or a file that contains it."""

from __future__ import annotations

import hashlib
import stat
import unicodedata
from pathlib import Path

from facefusion.errors import UsageError
from facefusion.options import expand_home
from facefusion.safety.options import ConsentOptions, PolicyOptions
from facefusion.settings import Settings

MAXIMUM_TEXT = 4096
MAXIMUM_FILE = 10_000_000
# Suffixes of documents: an argument with one of these is a file name even if it contains spaces.
_DOCUMENTS = frozenset(('.txt', '.text', '.md', '.rst', '.html', '.json', '.rtf', '.pdf', '.doc', '.docx', '.odt'))


def resolve_consent(text_or_path: str) -> str:
    """Return the text to store for ``--consent TEXT|FILE``.

    A text of up to 4 KB of UTF-8, given directly or in a file, is stored stripped. For a file with a longer text (up to
    10 MB), ``sha256:<hex> <file name> <size> bytes`` is stored. The argument counts as a file if the path exists, if it
    has the suffix of a document, or if it has a suffix or a separator and no white space. Raises UsageError
    consent-missing, consent-empty, consent-binary, consent-too-large, consent-too-long, consent-directory,
    consent-unreadable.
    """
    if not text_or_path.strip():
        raise _empty('the text of --consent is empty')
    if len(text_or_path) <= MAXIMUM_TEXT and '\0' not in text_or_path:
        path = _path(text_or_path)
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            if _looks_like_path(text_or_path):
                raise UsageError(
                    'consent-missing',
                    f'no consent file at {path}',
                    cause='--consent looks like the name of a file',
                    hint='check the path, or write the consent as a sentence',
                ) from None
        except OSError as error:
            # A sentence may be an invalid path, because it is too long or has a file in the position of a folder.
            if _looks_like_path(text_or_path):
                raise _unreadable(path, error.strerror or str(error)) from None
        else:
            return _from_file(path, mode)
    return _from_argument(text_or_path.strip())


def consent_file(text_or_path: str) -> Path | None:
    """Return the file that ``resolve_consent`` reads for this argument, or None for a text.

    Raises UsageError consent-unreadable for an unknown user's home.
    """
    if len(text_or_path) > MAXIMUM_TEXT or '\0' in text_or_path:
        return None
    path = _path(text_or_path)
    try:
        path.stat()
    except OSError:
        return path if _looks_like_path(text_or_path) else None
    return path


def _path(text: str) -> Path:
    """Return the file that the text may name. Raises UsageError consent-unreadable for an unknown user's home."""
    try:
        return Path(expand_home(text))
    except ValueError as error:
        if _looks_like_path(text):
            raise _unreadable(Path(text), str(error)) from None
        return Path(text)


def check_consent(settings: Settings) -> None:
    """Raise UsageError consent-required when the operator requires a statement of consent and the step has none."""
    if settings[PolicyOptions].require_consent and not (settings[ConsentOptions].consent or '').strip():
        raise UsageError(
            'consent-required',
            'no consent of the people shown is stated',
            cause='[policy] require_consent in the ini file of this installation requires one for every step',
            hint='add --consent "who agreed to what", or --consent FILE with such a text',
        )


def _looks_like_path(text: str) -> bool:
    suffix = Path(text).suffix
    if suffix.lower() in _DOCUMENTS:
        return True
    has_space = any(letter.isspace() for letter in text)
    return not has_space and '://' not in text and (len(suffix) > 1 or '/' in text or '\\' in text)


def _from_argument(text: str) -> str:
    # Bytes of the argument that are not UTF-8 arrive as surrogates.
    size = len(text.encode('utf-8', 'surrogatepass'))
    if _is_binary(text):
        raise _binary('the text of --consent')
    if size > MAXIMUM_TEXT:
        raise UsageError(
            'consent-too-long',
            f'the text of --consent is too long ({size} bytes)',
            cause=f'up to {MAXIMUM_TEXT} bytes are stored as text',
            hint='save it as a text file and pass the name of the file: its digest is stored then',
        )
    return text


def _from_file(path: Path, mode: int) -> str:
    if stat.S_ISDIR(mode):
        raise UsageError('consent-directory', f'--consent names a folder: {path}', hint='specify a text file in it')
    if not stat.S_ISREG(mode):
        # Opening a pipe would block until a program writes to it, perhaps forever.
        raise _unreadable(path, 'it is a pipe, a socket or a device')
    try:
        with path.open('rb') as file:
            # One byte more than the maximum is read, because the size from stat may be outdated.
            data = file.read(MAXIMUM_FILE + 1)
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    if len(data) > MAXIMUM_FILE:
        raise UsageError(
            'consent-too-large',
            f'the consent file {path} is too large',
            cause=f'the maximum is {MAXIMUM_FILE // 1_000_000} MB',
            hint='write a short text that names the document and its location',
        )
    if not data:
        raise _empty(f'the consent file {path} is empty (0 bytes)')
    text = data.decode('utf-8-sig', 'surrogateescape')
    if _is_binary(text):
        raise _binary(f'the consent file {path}')
    if not text.strip():
        raise _empty(f'the consent file {path} contains only white space')
    if len(data) <= MAXIMUM_TEXT:
        return text.strip()
    return f'sha256:{hashlib.sha256(data).hexdigest()} {path.name} {len(data)} bytes'


def _is_binary(text: str) -> bool:
    """Whether a text contains surrogates or control characters; terminals may interpret both sets (C0 and C1)."""
    return any(unicodedata.category(letter) in ('Cc', 'Cs') and letter not in '\t\n\r\f' for letter in text)


def _empty(message: str) -> UsageError:
    return UsageError(
        'consent-empty', message, hint='state which of the people shown agreed to what, such as --consent "A. agreed"'
    )


def _binary(subject: str) -> UsageError:
    return UsageError(
        'consent-binary',
        f'{subject} is not plain text',
        cause='it is not UTF-8, or contains control characters',
        hint='save it as UTF-8 text, or write a short text that names the document and its location',
    )


def _unreadable(path: Path, cause: str) -> UsageError:
    return UsageError(
        'consent-unreadable', f'the consent file {path} cannot be read', cause=cause, hint='check path and permissions'
    )
