"""Whether a file system takes the names of an output and of the files that come to lie beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from facefusion.errors import OutputError
from facefusion.pipeline.partial_files import part_beside
from facefusion.provenance.media_types import holds_credentials
from facefusion.provenance.sidecar import sidecar_of

# Where the system does not tell its limits: those of the common file systems, and of Linux without the closing zero.
_USUAL_NAME = 255
_USUAL_PATH = 4096
_SHOWN = 40


class _Written(NamedTuple):
    """A file that a run writes: its path, how an error calls it, and the advice when its name is too long."""

    path: Path
    called: str
    advice: str


def check_names(output: Path) -> None:
    """Raises OutputError output-name when the output, a folder above it, or a file beside it has too long a name.

    Beside it lie its credentials, where it does not hold them itself, and all of it until it is whole.
    """
    for path, called, advice in _written(output.absolute()):
        most = _limit(path.parent, 'PC_NAME_MAX', _USUAL_NAME)
        for name in reversed(path.parts[1:]):
            if (size := _size(name)) > most:
                cause = f'{called if name == path.name else "the name of a folder"} has {size} bytes'
                hint = advice if name == path.name else 'shorten the name of the folder {part}'
                hint = hint.format(more=_bytes(size - most), part=_short(name))
                raise _refused(output, f'{cause}, and the file system takes names of up to {most}', hint)
        # The closing zero counts, too.
        most = _limit(path.parent, 'PC_PATH_MAX', _USUAL_PATH) - 1
        if (size := _size(str(path))) > most:
            cause = f'with all its folders {called} has {size} bytes, and the system takes up to {most}'
            raise _refused(output, cause, f'choose a folder whose path is shorter, by {_bytes(size - most)}')


def _written(output: Path) -> Iterator[_Written]:
    if not output.name:
        # A folder such as '/', which is refused as such.
        return
    other_disk = 'choose a folder on a file system that takes longer names'
    part = part_beside(output)
    yield _Written(output, 'its name', 'shorten the name by {more}; letters that are not ASCII count as 2 to 4 bytes')
    yield _Written(part, f'{part.name}, its name until it is whole,', other_disk)
    if not holds_credentials(output):
        beside = sidecar_of(output)
        called = f'{_short(beside.name)}, the file of its credentials beside it,'
        instead = 'or write a kind of file that holds its credentials itself, such as mp4 or png'
        yield _Written(beside, called, f'shorten the name by {{more}}, {instead}')
        yield _Written(sidecar_of(part), 'the file of its credentials until that is whole', other_disk)


def _limit(folder: Path, name: str, usual: int) -> int:
    """A limit as the file system of ``folder``, or of the nearest one above it that exists, tells it."""
    if hasattr(os, 'pathconf'):
        for place in (folder, *folder.parents):
            with suppress(OSError, ValueError):
                told = os.pathconf(place, name)
                return told if told > 0 else usual
    return usual


def _size(text: str) -> int:
    """The length of a name as the system counts it: in bytes, in Windows in units of UTF-16."""
    return len(text.encode('utf-16-le', 'surrogatepass')) // 2 if os.name == 'nt' else len(os.fsencode(text))


def _short(name: str) -> str:
    return name if len(name) <= _SHOWN else f'{name[: _SHOWN // 2]}...{name[-_SHOWN // 2 :]}'


def _bytes(count: int) -> str:
    return '1 byte' if count == 1 else f'{count} bytes'


def _refused(output: Path, cause: str, hint: str) -> OutputError:
    return OutputError('output-name', f'no file can be written at {output}', cause=cause, hint=hint)
