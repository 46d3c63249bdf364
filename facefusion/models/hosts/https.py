"""Downloads from web servers: resumed, bounded, and held to a digest.

The part file and the validator of the server (ETag or Last-Modified) stay in the workspace, so that a later run goes
on where this one was cut. Resuming follows RFC 9110 section 13.1.5: ``If-Range`` makes the server send the whole file
(200) instead of the rest (206) when it has changed.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import requests

from facefusion.errors import ModelError
from facefusion.models.catalog import HttpsSource
from facefusion.models.hosts.transfer import Watcher

_PIECE = 256 << 10
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
PART_NAME = 'body.part'
_VALIDATOR_NAME = 'validator.json'


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one download: seconds for a connection and between two pieces, tries without progress, bytes."""

    connect_seconds: float = 10.0
    read_seconds: float = 30.0
    tries: int = 5
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 30.0
    # No model of the field is larger; without a size in the catalogue this is what stops an endless answer.
    largest_bytes: int = 16 << 30


class _Retry(Exception):
    """The try failed in a way that another may mend."""


class _NextMirror(Exception):
    """This address will not give the file."""


class HttpsDownload:
    """One download into ``folder``; ``sleep`` waits between tries (tests inject their own)."""

    def __init__(
        self,
        source: HttpsSource,
        folder: Path,
        watcher: Watcher,
        *,
        limits: Limits | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._source = source
        self._watcher = watcher
        self._limits = limits or Limits()
        self._sleep = sleep
        self._part = folder / PART_NAME
        self._validator = folder / _VALIDATOR_NAME

    def run(self) -> tuple[Path, str]:
        """Fetches the file from the first mirror that has it: its path in the workspace, and its SHA-256.

        Raises ModelError 'model-unreachable' when no mirror gives it, 'model-digest' or 'model-size' when what a
        mirror gives is not what the catalogue says (the part file is deleted then), OSError when it cannot be written.
        """
        failures = []
        with requests.Session() as session:
            for url in self._source.urls:
                try:
                    self._fetch(session, url)
                    return self._part, self._digest(url)
                except _NextMirror as failure:
                    failures.append(f'{url}: {failure}')
        raise ModelError(
            'model-unreachable',
            'the model could not be downloaded',
            cause='; '.join(failures),
            hint='check network and proxy, or copy the file from a machine that has it',
        )

    def _fetch(self, session: requests.Session, url: str) -> None:
        wait = self._limits.first_wait_seconds
        tries = 0
        while True:
            before = self._size()
            try:
                self._attempt(session, url)
                return
            except _Retry as failure:
                # A try that brought something does not count: the file's size bounds how often that can happen.
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
                self._judge(response, start)
                self._receive(response, start if response.status_code == 206 else 0, url)
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            raise _Retry(_plain_cause(error)) from None
        except requests.RequestException as error:
            raise _NextMirror(_plain_cause(error)) from None

    def _judge(self, response: requests.Response, start: int) -> None:
        status = response.status_code
        if status == 416:
            # Our part is longer than the file: it is not a part of it.
            self._discard()
            raise _Retry('the server has no more bytes than were downloaded before')
        if status in _RETRIED:
            raise _Retry(f'HTTP {status} {response.reason}')
        if status not in (200, 206):
            raise _NextMirror(f'HTTP {status} {response.reason}')
        if response.headers.get('Content-Encoding', 'identity') != 'identity':
            raise _NextMirror(f'sent as {response.headers["Content-Encoding"]}, which was not asked for')
        if status == 206:
            found = re.fullmatch(r'bytes (\d+)-(\d+)/(\d+|\*)', response.headers.get('Content-Range', ''))
            total = self._source.size
            wrong = found is None or int(found[1]) != start or not start
            if wrong or (found and total is not None and found[3] not in ('*', str(total))):
                self._discard()
                given = response.headers.get('Content-Range', '')
                raise _NextMirror(f'asked for bytes from {start}, got Content-Range {given!r}')

    def _receive(self, response: requests.Response, start: int, url: str) -> None:
        length = response.headers.get('Content-Length', '')
        announced = start + int(length) if length.isdigit() else None
        bound = self._source.size or self._limits.largest_bytes
        if announced is not None and (announced > bound or (self._source.size and announced != self._source.size)):
            raise self._wrong_size(url, announced)
        if not start:
            self._write_validator(response, url)
        done = start
        with self._part.open('ab' if start else 'wb') as stream:
            for piece in response.iter_content(_PIECE):
                self._watcher.check()
                done += len(piece)
                if done > bound:
                    raise self._wrong_size(url, done)
                stream.write(piece)
                self._watcher.progress(done)
        if announced is not None and done < announced:
            raise _Retry(f'the connection ended after {done} of {announced} bytes')
        if self._source.size is not None and done != self._source.size:
            raise self._wrong_size(url, done)

    def _digest(self, url: str) -> str:
        digest = hashlib.sha256()
        with self._part.open('rb') as stream:
            while piece := stream.read(1 << 20):
                self._watcher.check()
                digest.update(piece)
        actual = digest.hexdigest()
        if self._source.sha256 is not None and actual != self._source.sha256:
            self._discard()
            raise ModelError(
                'model-digest',
                f'what {url} sent is not the model',
                cause=f'expected sha256 {self._source.sha256}, got {actual}',
                hint='the file was changed on its way or at its publisher: do not use it, try another network',
            )
        return actual

    def _wrong_size(self, url: str, size: int) -> ModelError:
        self._discard()
        expected = self._source.size
        bound = f'expected {expected} bytes' if expected else f'at most {self._limits.largest_bytes} bytes are taken'
        return ModelError(
            'model-size',
            f'what {url} sent is not the model',
            cause=f'{bound}, got {size} or more' if expected is None else f'{bound}, got {size}',
            hint='the file was changed at its publisher, or a proxy answers with a page of its own',
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
        # The validator of one mirror says nothing to another.
        return str(record['validator']) if isinstance(record, dict) and record.get('url') == url else ''

    def _write_validator(self, response: requests.Response, url: str) -> None:
        tag = response.headers.get('ETag', '')
        # Only a strong tag promises equal bytes.
        validator = tag if tag and not tag.startswith('W/') else response.headers.get('Last-Modified', '')
        self._validator.unlink(missing_ok=True)
        if validator:
            self._validator.write_text(json.dumps({'url': url, 'validator': validator}), encoding='utf-8')

    def _pause(self, seconds: float) -> None:
        while seconds > 0:
            self._watcher.check()
            step = min(seconds, 0.5)
            self._sleep(step)
            seconds -= step
        self._watcher.check()


def _plain_cause(error: Exception) -> str:
    """The innermost reason, without the addresses of objects that the libraries put into their messages."""
    text = str(error)
    reason = re.search(r"(?:>: |Caused by \w+\(|\(')(.*)", text)
    return re.sub(r"<[^>]*>:?\s*|[()'\"]", '', reason[1] if reason else text).strip() or type(error).__name__
