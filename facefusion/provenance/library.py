"""Access to the C2PA library that needs little memory, uses the network only for timestamps, and can be stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urlsplit

import c2pa

from facefusion.provenance.trust import Root
from facefusion.stopping import StopFlag

# Without these two settings the library reads an entire video into memory: a video of 254 MB took 543 MB of memory
# without them, and 48 MB with them.
_CHUNK_KILOBYTES = 1024
_MEMORY_MEGABYTES = 32
# The maximum decompressed size of a compressed manifest.
_LARGEST_MANIFEST_MEGABYTES = 32
_LONGEST_TEXT = 300
_Result = TypeVar('_Result')


def make_context(
    roots: Sequence[Root] = (), relay_url: str | None = None, verify_signature: bool = False
) -> c2pa.Context:
    """Return a context with the settings of this program.

    The context trusts ``roots``, and reports them by their fingerprints. The library may connect only to the host of
    ``relay_url`` (timestamp.py). With ``verify_signature`` it verifies each new signature.
    """
    host = urlsplit(relay_url).hostname if relay_url else None
    settings = {
        'core': {
            'merkle_tree_chunk_size_in_kb': _CHUNK_KILOBYTES,
            'backing_store_memory_threshold_in_mb': _MEMORY_MEGABYTES,
            'max_decompressed_manifest_size_in_mb': _LARGEST_MANIFEST_MEGABYTES,
            # A host name that cannot exist (RFC 6761), because an empty list would allow every host.
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
            # The hash of the file is not verified after signing, because the library has just computed it.
            'verify_after_sign_hash': False,
            'ocsp_fetch': False,
            'remote_manifest_fetch': False,
        },
        'builder': {'thumbnail': {'enabled': False}},
    }
    return c2pa.Context.from_json(json.dumps(settings))


def words_of(error: BaseException) -> str:
    """Return the text of a library error as one line of limited length."""
    return plain(' '.join(str(error).split()), _LONGEST_TEXT) or type(error).__name__.lstrip('_')


def plain(text: str, longest: int = _LONGEST_TEXT) -> str:
    """Return untrusted text, cut to ``longest`` characters and without characters that control a terminal."""
    clean = ''.join(letter if letter.isprintable() else '?' for letter in text[: longest + 1])
    return clean if len(clean) <= longest else clean[: longest - 1] + '…'


class WatchedStream:
    """A file for the library; its operations fail once ``flag`` is set.

    The library processes a file in a single call and discards errors of the stream: ``failure`` is the first of them.
    """

    def __init__(self, file: BinaryIO, flag: StopFlag | None = None) -> None:
        self._file = file
        self._flag = flag
        self.failure: BaseException | None = None

    def readinto(self, buffer: Any) -> int:
        return self._do(lambda: self._file.readinto(buffer))  # type: ignore[attr-defined, no-any-return]

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

    def _do(self, action: Callable[[], _Result]) -> _Result:
        try:
            if self._flag is not None:
                self._flag.check()
            return action()
        except BaseException as error:
            self.failure = self.failure or error
            raise


class Discarded:
    """A stream that discards all data, for the copy of a file whose credentials are in a sidecar."""

    def __init__(self) -> None:
        self._position = 0

    def read(self, length: int = -1) -> bytes:
        return b''

    def write(self, data: bytes) -> int:
        self._position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset if whence == os.SEEK_SET else self._position + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        """Do nothing: no data is stored."""
