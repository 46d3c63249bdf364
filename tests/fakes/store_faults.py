"""Simulated crashes and errors at any call with which the job store changes files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

_CALLS = ('open', 'write', 'fsync', 'replace', 'link', 'unlink', 'utime', 'mkdir', 'rmdir')

# More changes than any scenario needs.
NEVER = 10**9


class Crash(BaseException):
    """The simulated end of the process."""


class StoreFaults:
    """A context in which the ``at``-th change of a file below ``root`` fails, counted from 1.

    ``how`` is 'before' or 'after' the call, or 'half': half of the bytes are written, and only writes are counted. With
    ``error``, an errno, the call fails and the process continues; otherwise the process ends: this change and every
    later one raise Crash. With ``stays`` every later change fails, too. ``count`` is the number of changes, and
    ``results`` the bytes that were flushed to files of results. Files are never really flushed to the disk.
    """

    def __init__(self, root: Path, at: int, how: str = 'before', error: int = 0, stays: bool = False) -> None:
        self.root = str(root) + os.sep
        self.at, self.how, self.error, self.stays = at, how, error, stays
        self.count = 0
        self.results = b''
        self._unflushed: dict[int, bytes] = {}
        self._is_dead = False
        self._patches = [mock.patch.object(os, name, self._watched(name, getattr(os, name))) for name in _CALLS]

    @property
    def has_struck(self) -> bool:
        return self.count >= self.at

    def __enter__(self) -> StoreFaults:
        for patch in self._patches:
            patch.start()
        return self

    def __exit__(self, *error: object) -> None:
        for patch in self._patches:
            patch.stop()

    def _watched(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kw: Any) -> Any:
            if not self._is_change(name, args):
                return call(*args, **kw)
            if self._is_dead:
                raise Crash
            self.count += self.how != 'half' or name == 'write'
            strikes = self.count == self.at or (self.stays and self.count > self.at)
            if strikes and self.how == 'before':
                self._strike()
            if strikes and self.how == 'half':
                if name == 'write':
                    call(args[0], bytes(args[1])[: len(args[1]) // 2])
                if name == 'write' or self.count > self.at:
                    self._strike()
                strikes = False
            try:
                done = None if name == 'fsync' else call(*args, **kw)
            except OSError:
                if strikes:
                    self._strike()
                raise
            self._note(name, args, done)
            if strikes:
                if name == 'open':
                    os.close(done)
                self._strike()
            return done

        return watched

    def _is_change(self, name: str, args: tuple[Any, ...]) -> bool:
        if name in ('write', 'fsync'):
            return name == 'fsync' or args[0] in self._unflushed
        if name == 'open' and not args[1] & (os.O_WRONLY | os.O_RDWR):
            return False
        return any(str(path).startswith(self.root) for path in args[:2])

    def _note(self, name: str, args: tuple[Any, ...], done: Any) -> None:
        if name == 'open':
            self._unflushed[done] = b'' if str(args[0]).endswith('.results') else b'-'
        elif name == 'write' and self._unflushed[args[0]] != b'-':
            self._unflushed[args[0]] += bytes(args[1])
        elif name == 'fsync' and self._unflushed.get(args[0], b'-') != b'-':
            self.results += self._unflushed.pop(args[0])

    def _strike(self) -> None:
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        self._is_dead = True
        raise Crash
