"""The C2PA library as this program uses it: little memory, no network but for time stamps, streams that stop."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urlsplit

import c2pa

from facefusion.provenance.trust import Root
from facefusion.stopping import StopFlag

# Without these two the library keeps a whole video in memory (254 MB took 543 MB, with them 48 MB).
_CHUNK_KILOBYTES = 1024
_MEMORY_MEGABYTES = 32
# Manifests that are kept compressed: no more than this comes out of them.
_LARGEST_MANIFEST_MEGABYTES = 32
_LONGEST_TEXT = 300
_Result = TypeVar('_Result')


def make_context(
    roots: Sequence[Root] = (), relay_url: str | None = None, verify_signature: bool = False
) -> c2pa.Context:
    """A context with this program's settings.

    ``roots`` are trusted, and known by their fingerprints. ``relay_url`` (timestamp.py) names the only host that is
    ever asked. With ``verify_signature`` a signature is checked right after it was made.
    """
    host = urlsplit(relay_url).hostname if relay_url else None
    settings = {
        'core': {
            'merkle_tree_chunk_size_in_kb': _CHUNK_KILOBYTES,
            'backing_store_memory_threshold_in_mb': _MEMORY_MEGABYTES,
            'max_decompressed_manifest_size_in_mb': _LARGEST_MANIFEST_MEGABYTES,
            # A name that cannot exist (RFC 6761): an empty list would allow every host.
            'allowed_network_hosts': [host or 'nowhere.invalid'],
        },
        'trust': {
            'anchors': [
                {'trust_anchors': root.pem, 'trust_uri': root.fingerprint, 'trust_kind': 'manifest'} for root in roots
            ]
        },
        'verify': {
            'verify_trust': True,
            'verify_timestamp_trust': True,
            'verify_after_sign': verify_signature,
            # The library has just hashed the file itself.
            'verify_after_sign_hash': False,
            'ocsp_fetch': False,
            'remote_manifest_fetch': False,
        },
        'builder': {'thumbnail': {'enabled': False}},
    }
    return c2pa.Context.from_json(json.dumps(settings))


def words_of(error: BaseException) -> str:
    """What an error of the library says, in one line of bounded length."""
    return plain(' '.join(str(error).split()), _LONGEST_TEXT) or type(error).__name__.lstrip('_')


def plain(text: str, longest: int = _LONGEST_TEXT) -> str:
    """Text of a stranger's file without what could steer a terminal, cut to a length."""
    clean = ''.join(letter if letter.isprintable() else '?' for letter in text[: longest + 1])
    return clean if len(clean) <= longest else clean[: longest - 1] + '…'


class WatchedStream:
    """A file that the library reads or writes, which fails as soon as ``flag`` is set.

    The library runs in one call from the first byte to the last, and its callbacks swallow errors: the reason is kept
    in ``failure``. ``on_read`` is told how many bytes were read.
    """

    def __init__(
        self, file: BinaryIO, flag: StopFlag | None = None, on_read: Callable[[int], None] | None = None
    ) -> None:
        self._file = file
        self._flag = flag
        self._on_read = on_read
        self.failure: BaseException | None = None

    def readinto(self, buffer: Any) -> int:
        return self._do(lambda: self._read(buffer))

    def read(self, length: int = -1) -> bytes:
        return self._do(lambda: self._file.read(length))

    def write(self, data: bytes) -> int:
        return self._do(lambda: self._file.write(data))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._do(lambda: self._file.seek(offset, whence))

    def tell(self) -> int:
        return self._file.tell()

    def flush(self) -> None:
        self._do(self._file.flush)

    def _read(self, buffer: Any) -> int:
        count: int = self._file.readinto(buffer)  # type: ignore[attr-defined]
        if self._on_read is not None:
            self._on_read(count)
        return count

    def _do(self, action: Callable[[], _Result]) -> _Result:
        try:
            if self._flag is not None:
                self._flag.check()
            return action()
        except BaseException as error:
            self.failure = self.failure or error
            raise


class Discarded:
    """Takes what is written and keeps nothing: a side-car needs no copy of its file."""

    def __init__(self) -> None:
        self._at = 0

    def read(self, length: int = -1) -> bytes:
        return b''

    def write(self, data: bytes) -> int:
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset if whence == os.SEEK_SET else self._at + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        """Nothing is kept back."""
