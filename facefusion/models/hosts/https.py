"""Download files from web servers: resume interrupted downloads, limit their size and verify their digests.

The part file and the validator of the server (ETag or Last-Modified) stay in the workspace, so a later fetch resumes an
interrupted download. Resuming follows RFC 9110 section 13.1.5: with ``If-Range`` the server sends the complete file
(200) instead of the rest (206) when the file has changed.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import NewConnectionError

from facefusion.errors import ModelError
from facefusion.models.catalog import HttpsSource
from facefusion.models.digests import file_sha256
from facefusion.models.hosts.transfer import Watcher
from facefusion.models.hosts.unreachable import UnreachableHosts

_PIECE = 256 << 10
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
PART_NAME = 'body.part'
_VALIDATOR_NAME = 'validator.json'


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a download: seconds to connect and between two pieces, tries without progress, size in bytes.

    ``connect_seconds`` applies to each address of a host.
    """

    connect_seconds: float = 4.0
    read_seconds: float = 30.0
    tries: int = 5
    connect_tries: int = 2
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 30.0
    # No model is larger. If the catalogue states no size, this limit stops an endless response.
    largest_bytes: int = 16 << 30


class _Retry(Exception):
    """The attempt failed, and another one may succeed."""


class _NoConnection(_Retry):
    """The host cannot be reached. ``is_silent``: it did not answer in time, so another try would wait again."""

    def __init__(self, text: str, is_silent: bool) -> None:
        super().__init__(text)
        self.is_silent = is_silent


class _NextMirror(Exception):
    """This address does not serve the file."""


class HttpsDownload:
    """A download into ``folder``; ``sleep`` waits between tries (tests inject their own).

    Downloads that share ``unreachable`` try an unresponsive host only once in total.
    """

    def __init__(
        self,
        source: HttpsSource,
        folder: Path,
        watcher: Watcher,
        *,
        limits: Limits | None = None,
        sleep: Callable[[float], None] = time.sleep,
        unreachable: UnreachableHosts | None = None,
    ) -> None:
        self._source = source
        self._watcher = watcher
        self._limits = limits or Limits()
        self._sleep = sleep
        self._unreachable = unreachable if unreachable is not None else UnreachableHosts()
        self._part = folder / PART_NAME
        self._validator = folder / _VALIDATOR_NAME

    def run(self) -> tuple[Path, str]:
        """Download the file from the first working mirror and return its path in the workspace and its SHA-256.

        Raises ModelError 'model-unreachable' when no mirror serves it, 'model-digest' or 'model-size' when the file of
        a mirror differs from the catalogue (the part file is then deleted), and OSError when it cannot be written.
        """
        failures = []
        with requests.Session() as session:
            for url in self._source.urls:
                if url in self._unreachable:
                    failures.append(f'{url}: the host could not be reached a moment ago')
                    continue
                try:
                    self._fetch(session, url)
                    return self._part, self._digest(url)
                except _NextMirror as failure:
                    failures.append(f'{url}: {failure}')
        raise ModelError(
            'model-unreachable',
            f'{urlsplit(self._source.urls[0]).path.rpartition("/")[2]} could not be downloaded',
            cause='; '.join(failures),
            hint='check network and proxy, or copy the file from a machine that has it: facefusion models import FILE',
        )

    def _fetch(self, session: requests.Session, url: str) -> None:
        wait = self._limits.first_wait_seconds
        tries = 0
        while True:
            before = self._size()
            try:
                self._attempt(session, url)
                return
            except _NoConnection as failure:
                tries += 1
                if failure.is_silent or tries >= min(self._limits.connect_tries, self._limits.tries):
                    self._unreachable.add(url)
                    raise _NextMirror(f'{failure} ({tries} {"try" if tries == 1 else "tries"})') from None
            except _Retry as failure:
                # A try with progress restarts the count; the size of the file limits the number of such tries.
                tries = 1 if self._size() >= before + _PIECE else tries + 1
                if tries >= self._limits.tries:
                    raise _NextMirror(f'{failure} ({tries} tries)') from None
            self._pause(wait * random.uniform(0.75, 1.25))
            wait = min(2 * wait, self._limits.longest_wait_seconds)

    def _attempt(self, session: requests.Session, url: str) -> None:
        start = self._resume_point(url)
        headers = {'Accept-Encoding': 'identity'}
        if start:
            headers |= {'Range': f'bytes={start}-', 'If-Range': self._read_validator(url)}
        timeout = (self._limits.connect_seconds, self._limits.read_seconds)
        try:
            with session.get(url, headers=headers, stream=True, timeout=timeout) as response:
                if url.startswith('https://') and not response.url.startswith('https://'):
                    raise _NextMirror(f'redirected to {response.url}, which is not encrypted')
                self._check_response(response, start)
                self._receive(response, start if response.status_code == 206 else 0, url)
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            if _is_without_connection(error):
                raise _NoConnection(_plain_cause(error), isinstance(error, requests.ConnectTimeout)) from None
            raise _Retry(_plain_cause(error)) from None
        except requests.RequestException as error:
            raise _NextMirror(_plain_cause(error)) from None

    def _check_response(self, response: requests.Response, start: int) -> None:
        status = response.status_code
        if status == 416:
            # The part file is longer than the file on the server, so it cannot be a part of that file.
            self._discard()
            raise _Retry('the file on the server is shorter than the part that was downloaded before')
        if status in _RETRIED:
            raise _Retry(f'HTTP {status} {response.reason}')
        if status not in (200, 206):
            raise _NextMirror(f'HTTP {status} {response.reason}')
        if response.headers.get('Content-Encoding', 'identity') != 'identity':
            raise _NextMirror(f'sent with the encoding {response.headers["Content-Encoding"]}, which was not requested')
        if status == 206:
            content_range = response.headers.get('Content-Range', '')
            match = re.fullmatch(r'bytes (\d+)-\d+/(\d+|\*)', content_range)
            totals = {'*', str(self._source.size)}
            is_right = match and start and int(match[1]) == start and (not self._source.size or match[2] in totals)
            if not is_right:
                self._discard()
                raise _NextMirror(f'requested bytes from {start}, got Content-Range {content_range!r}')

    def _receive(self, response: requests.Response, start: int, url: str) -> None:
        length = response.headers.get('Content-Length', '')
        announced = start + int(length) if length.isdigit() else None
        limit = self._source.size or self._limits.largest_bytes
        if announced is not None and (announced > limit or (self._source.size and announced != self._source.size)):
            raise self._wrong_size(url, announced)
        if not start:
            self._write_validator(response, url)
        done = start
        with self._part.open('ab' if start else 'wb') as stream:
            for piece in response.iter_content(_PIECE):
                self._watcher.stop.check()
                done += len(piece)
                if done > limit:
                    raise self._wrong_size(url, done)
                stream.write(piece)
                self._watcher.progress(done)
        if announced is not None and done < announced:
            raise _Retry(f'the connection was closed after {done} of {announced} bytes')
        if self._source.size is not None and done != self._source.size:
            raise self._wrong_size(url, done)

    def _digest(self, url: str) -> str:
        actual = file_sha256(self._part, self._watcher.stop)
        if self._source.sha256 is not None and actual != self._source.sha256:
            self._discard()
            raise ModelError(
                'model-digest',
                f'the file from {url} is not the published model',
                cause=f'expected sha256 {self._source.sha256}, got {actual}',
                hint='the file was changed in transit or by its publisher: do not use it; try another network',
            )
        return actual

    def _wrong_size(self, url: str, size: int) -> ModelError:
        self._discard()
        cause = f'expected {self._source.size} bytes, got {size}'
        if self._source.size is None:
            cause = f'the limit is {self._limits.largest_bytes} bytes, got {size} or more'
        return ModelError(
            'model-size',
            f'the file from {url} is not the published model',
            cause=cause,
            hint='the publisher changed the file, or a proxy sent a page of its own',
        )

    def _resume_point(self, url: str) -> int:
        if self._size() and self._read_validator(url):
            return self._size()
        self._discard()
        return 0

    def _size(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0

    def _discard(self) -> None:
        self._part.unlink(missing_ok=True)
        self._validator.unlink(missing_ok=True)

    def _read_validator(self, url: str) -> str:
        try:
            record = json.loads(self._validator.read_text(encoding='utf-8'))
        except (OSError, ValueError):
            return ''
        # A validator is valid for one mirror only.
        return str(record['validator']) if isinstance(record, dict) and record.get('url') == url else ''

    def _write_validator(self, response: requests.Response, url: str) -> None:
        tag = response.headers.get('ETag', '')
        # Only a strong tag guarantees equal bytes.
        validator = tag if tag and not tag.startswith('W/') else response.headers.get('Last-Modified', '')
        self._validator.unlink(missing_ok=True)
        if validator:
            self._validator.write_text(json.dumps({'url': url, 'validator': validator}), encoding='utf-8')

    def _pause(self, seconds: float) -> None:
        while seconds > 0:
            self._watcher.stop.check()
            step = min(seconds, 0.5)
            self._sleep(step)
            seconds -= step
        self._watcher.stop.check()


def _is_without_connection(error: Exception) -> bool:
    """Whether no connection to the host or to a proxy was established."""
    if isinstance(error, requests.ConnectTimeout | requests.exceptions.ProxyError | requests.exceptions.SSLError):
        return True
    reason = getattr(error.args[0], 'reason', None) if error.args else None
    return isinstance(reason, NewConnectionError)


def _plain_cause(error: Exception) -> str:
    """Return the innermost reason, without the object addresses that messages of the libraries contain."""
    text = re.sub(r"HTTPS?Connection\(host='[^']*', port=\d+\): ", '', str(error))
    reason = re.search(r"(?:>: |Caused by \w+\(|\(')(.*)", text)
    return re.sub(r"<[^>]*>:?\s*|[()'\"]", '', reason[1] if reason else text).strip() or type(error).__name__
