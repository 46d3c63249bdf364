"""Compiled engines of a model, stored beside its file in the folder ``engines``.

TensorRT and MIGraphX compile a model for minutes. A compiled engine works only with the same model, device and
libraries, so the name of its folder has digests of these. The cache is never required: a damaged one is built again,
and without a writable folder the engine is compiled in each run.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from facefusion.events import Emit, Message
from facefusion.inference.cuda_libraries import needed_libraries
from facefusion.inference.devices import device_name
from facefusion.models.digests import file_sha256

FOLDER = 'engines'
# The words of the TensorRT provider of onnxruntime.
_DAMAGED = 'could not deserialize engine'
# Providers that compile a model, and can keep the result in a folder.
COMPILING = ('tensorrt', 'migraphx', 'coreml')


def engine_folder(model: Path, name: str, device_id: int, variant: str, emit: Emit) -> Path | None:
    """Return the folder for the engines of a model on a device, created if it is missing.

    ``variant`` has the options that change an engine, such as its precision. Folders of other library versions for the
    same model and device are removed. Returns None, with a warning, if the folder cannot be written.
    """
    folder = model.parent / FOLDER / folder_name(model, name, device_id, variant)
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True)
            for other in folder.parent.glob(f'{folder.name.rpartition("-")[0]}-*'):
                if other != folder:
                    shutil.rmtree(other, ignore_errors=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        reason = f'the engines of {name} cannot be stored in {folder} ({error.strerror or error})'
        emit(Message('warn', 'run', f'{reason}; each run compiles {model.name} again'))
        return None


def remove_engines(folder: Path, model: Path, cause: str, emit: Emit) -> bool:
    """Remove the engines of a model that could not be used, with a warning; return whether the folder is now empty."""
    emit(Message('warn', 'run', f'the stored engine of {model.name} is unusable ({cause}); it is compiled again'))
    try:
        shutil.rmtree(folder)
        folder.mkdir()
    except OSError:
        return False
    return True


class EngineBuiltAgain(Exception):
    """A damaged engine was replaced; buffers that were bound to the session before are void."""


class EngineSession:
    """A session whose stored engine is read at its first call, because the shapes of its inputs are only then known.

    If that engine is damaged, the session is created again by ``create``, which gets no stored engine, and the call is
    repeated. Everything else is that of the session itself.
    """

    def __init__(self, session: Any, create: Callable[[str], Any]) -> None:
        self._session = session
        self._create = create
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, *arguments: Any, **named: Any) -> Any:
        """Return the outputs of the session, as onnxruntime does."""
        session = self._session
        try:
            return session.run(*arguments, **named)
        except Exception as error:  # onnxruntime raises unrelated types of its own
            if _DAMAGED not in str(error):
                raise
            self._build_again(session, str(error))
        return self._session.run(*arguments, **named)

    def run_with_iobinding(self, binding: Any, *arguments: Any) -> None:
        """Run the session with bound buffers; raises EngineBuiltAgain if it was created again."""
        session = self._session
        try:
            session.run_with_iobinding(binding, *arguments)
        except Exception as error:  # see ``run``
            if _DAMAGED not in str(error):
                raise
            self._build_again(session, str(error))
            raise EngineBuiltAgain from error

    def _build_again(self, session: Any, cause: str) -> None:
        """Replace ``session``, whose engine is damaged."""
        with self._lock:
            # Another thread may have created it already.
            if self._session is session:
                self._session = self._create(cause.splitlines()[0])


def folder_name(model: Path, name: str, device_id: int, variant: str) -> str:
    """Return the name of the folder: digests of the model, of the device, and of the libraries with ``variant``."""
    from facefusion.inference.runtime import onnxruntime

    versions = (onnxruntime.__version__, tensorrt_version() if name == 'tensorrt' else '', variant)
    return f'{file_sha256(model)[:16]}-{name}-{_digest((device_name(device_id),))}-{_digest(versions)}'


def tensorrt_version() -> str:
    """Return the version of the TensorRT library, such as 10.13.0; '' when it is not known."""
    return next((library.version for library in needed_libraries('TensorRT') if library.version), '')


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256('\0'.join(parts).encode()).hexdigest()[:8]
