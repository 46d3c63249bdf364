from __future__ import annotations

import os
from pathlib import Path

import pytest

from facefusion.media.files import publish


def test_flushed_files_were_opened_for_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip('fcntl')
    part, output = tmp_path / 'a.part', tmp_path / 'a'
    part.write_bytes(b'whole')
    modes = []

    def fsync(handle: int) -> None:
        if os.path.samestat(os.fstat(handle), part.stat() if part.exists() else output.stat()):
            modes.append(fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE)

    monkeypatch.setattr(os, 'fsync', fsync)
    publish(part, output)
    assert modes == [os.O_RDWR]
    assert output.read_bytes() == b'whole'
