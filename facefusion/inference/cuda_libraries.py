"""The CUDA, cuDNN and TensorRT libraries that the installed onnxruntime needs: found or missing, file and version."""

from __future__ import annotations

import ctypes
import mmap
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facefusion.inference.libraries import provider_library

# Names in the string table of a provider's library, by the product that has them.
_PRODUCTS = {
    'CUDA': rb'(lib(?:cudart|cublasLt|cublas|cufft|curand|nvrtc))\.so\.(\d+)\0',
    'cuDNN': rb'(libcudnn)\.so\.(\d+)\0',
    'TensorRT': rb'(libnvinfer)\.so\.(\d+)\0',
}
_PROVIDERS = {'CUDA': ('cuda', 'tensorrt'), 'cuDNN': ('cuda', 'tensorrt'), 'TensorRT': ('tensorrt',)}


@dataclass(frozen=True, slots=True)
class NeededLibrary:
    """A library; ``path`` is its file, None if it does not load for the ``reason``; ``version`` may be unknown: ''."""

    name: str
    path: Path | None
    version: str = ''
    reason: str = ''


def needed_libraries(product: str) -> list[NeededLibrary]:
    """Return the libraries of 'CUDA', 'cuDNN' or 'TensorRT' that onnxruntime needs; none where it has no such provider.

    Call it after a session was attempted on the provider, which loads the libraries of Python packages.
    """
    versions: dict[str, int] = {}
    for provider in _PROVIDERS[product]:
        for name, version in _names_in(provider_library(provider), _PRODUCTS[product]):
            # The files also contain names of earlier versions, which they can do without.
            versions[name] = max(versions.get(name, 0), version)
    return [find_library(f'{name}.so.{version}') for name, version in sorted(versions.items())]


def find_library(name: str) -> NeededLibrary:
    """Load a library by its name, and return its file and version."""
    try:
        library = ctypes.CDLL(name)
    except OSError as error:
        return NeededLibrary(name, None, reason=' '.join(str(error).split()))
    return NeededLibrary(name, _loaded_file(name) or Path(name), _version_of(name, library))


def _names_in(path: Path, pattern: bytes) -> list[tuple[str, int]]:
    if not path.is_file() or not path.stat().st_size:
        return []
    with path.open('rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return [(name.decode(), int(version)) for name, version in re.findall(pattern, data)]


def _loaded_file(name: str) -> Path | None:
    """Return the file of a loaded library; None where the system does not list it."""
    if sys.platform != 'linux':
        return None
    stem = name.partition('.so')[0] + '.so'
    for line in Path('/proc/self/maps').read_text(encoding='utf-8', errors='replace').splitlines():
        file = line.partition('/')[2]
        if file.rpartition('/')[2].startswith(stem):
            return Path('/' + file)
    return None


def _version_of(name: str, library: Any) -> str:
    """Ask a library for its version; '' if it has no such function."""
    try:
        if name.startswith('libcudart'):
            number = ctypes.c_int(0)
            library.cudaRuntimeGetVersion(ctypes.byref(number))
            # cuda_runtime_api.h: 1000 major + 10 minor.
            return f'{number.value // 1000}.{number.value % 1000 // 10}'
        if name.startswith('libcudnn'):
            return _dotted(int(library.cudnnGetVersion()))
        if name.startswith('libnvinfer'):
            return _dotted(int(library.getInferLibVersion()))
    except AttributeError:
        return ''
    return ''


def _dotted(number: int) -> str:
    """Return a version such as 9.13.0; cuDNN 9 and TensorRT 10 count 10000 major + 100 minor + patch."""
    return f'{number // 10000}.{number // 100 % 100}.{number % 100}'
