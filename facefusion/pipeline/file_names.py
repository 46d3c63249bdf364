"""Check that a file system supports the names of an output and of the files next to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from facefusion.errors import OutputError
from facefusion.pipeline.partial_files import partial_path
from facefusion.provenance.media_types import holds_credentials
from facefusion.provenance.sidecar import sidecar_of

# The limits if the system reports none. Names have the limit of common file systems, paths have the limit of Linux.
_USUAL_NAME = 255
_USUAL_PATH = 4096
_SHOWN = 40


def check_names(output: Path) -> None:
    """Raise OutputError output-name when the name of the output, a folder above it or a file next to it is too long.

    The files next to it are the partial files and, if the output cannot embed its credentials, the sidecar.
    """
    for path, description, advice in _written(output.absolute()):
        limit = _limit(path.parent, 'PC_NAME_MAX', _USUAL_NAME)
        for name in reversed(path.parts[1:]):
            if (size := _size(name)) > limit:
                cause = f'{description if name == path.name else "the name of a folder"} has {size} bytes'
                hint = advice if name == path.name else 'shorten the name of the folder {part}'
                hint = hint.format(more=_bytes(size - limit), part=_short(name))
                raise _refused(output, f'{cause}, and the file system supports names of up to {limit}', hint)
        # The limit of a path includes the final zero byte.
        limit = _limit(path.parent, 'PC_PATH_MAX', _USUAL_PATH) - 1
        if (size := _size(str(path))) > limit:
            cause = f'{description} has {size} bytes with all its folders, and the system supports up to {limit}'
            raise _refused(output, cause, f'choose a folder whose path is at least {_bytes(size - limit)} shorter')


def _written(output: Path) -> Iterator[tuple[Path, str, str]]:
    """Yield each file that a run writes, its description in errors, and the advice when its name is too long."""
    if not output.name:
        # A path without a name, such as '/', is refused for another reason.
        return
    other_disk = 'choose a folder on a file system that supports longer names'
    part = partial_path(output)
    yield (output, 'its name', 'shorten the name by {more}; letters that are not ASCII count as 2 to 4 bytes')
    yield (part, f'its temporary name, {part.name},', other_disk)
    if not holds_credentials(output):
        sidecar = sidecar_of(output)
        description = f'the name of the sidecar with its credentials, {_short(sidecar.name)},'
        instead = 'or choose a format that can embed its credentials, such as mp4 or png'
        yield (sidecar, description, f'shorten the name by {{more}}, {instead}')
        yield (sidecar_of(part), 'the temporary name of its sidecar', other_disk)


def _limit(folder: Path, name: str, usual: int) -> int:
    """Return a limit as reported by the file system of ``folder``, or of the nearest existing folder above it."""
    if hasattr(os, 'pathconf'):
        for existing in (folder, *folder.parents):
            with suppress(OSError, ValueError):
                limit = os.pathconf(existing, name)
                return limit if limit > 0 else usual
    return usual


def _size(text: str) -> int:
    """Return the length of a name as the system counts it: in bytes, or on Windows in units of UTF-16."""
    return len(text.encode('utf-16-le', 'surrogatepass')) // 2 if os.name == 'nt' else len(os.fsencode(text))


def _short(name: str) -> str:
    return name if len(name) <= _SHOWN else f'{name[: _SHOWN // 2]}...{name[-_SHOWN // 2 :]}'


def _bytes(count: int) -> str:
    return '1 byte' if count == 1 else f'{count} bytes'


def _refused(output: Path, cause: str, hint: str) -> OutputError:
    return OutputError('output-name', f'no file can be written at {output}', cause=cause, hint=hint)
