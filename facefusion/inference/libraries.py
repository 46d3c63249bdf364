"""Libraries that execution providers need: which one is missing, and how to get it.

onnxruntime falls back to the CPU with a log line when the library of a provider cannot be loaded. Loading that library
again gives the reason of the system, which names the missing file.
"""

from __future__ import annotations

import ctypes
import re
import sys
from pathlib import Path

# File names of missing libraries in the messages of the dynamic linkers of Linux, macOS and Windows.
_LIBRARY = re.compile(
    r'(?P<name>[\w.+-]+\.(?:so(?:\.\d+)*|dylib|dll))(?=["\']?:? (?:cannot open|version|is missing|not found))'
)
_REMEDIES = (
    (('libcuda.', 'nvcuda'), 'install the NVIDIA driver; nvidia-smi must list the device'),
    (('libnvinfer', 'nvinfer', 'libnvonnxparser'), 'install TensorRT 10: .venv/bin/pip install tensorrt'),
    (('libcudnn', 'libcublas', 'libcudart', 'libcufft', 'libcurand', 'libnvrtc', 'libnvJitLink', 'cudnn', 'cublas'),
     'run `python install.py --device cuda`, which installs CUDA and cuDNN'),
    (('libmigraphx', 'libamdhip', 'librocm', 'libMIOpen'), 'install ROCm'),
    (('libopenvino', 'openvino'), 'run `.venv/bin/pip install openvino`'),
)  # fmt: skip


def missing_library(text: str) -> str:
    """Return the file name of the library that a message of the dynamic linker misses; '' if it names none."""
    found = _LIBRARY.search(text)
    return found['name'] if found else ''


def remedy_for(library: str) -> str:
    """Return how to install a missing library; '' for an unknown one."""
    return next((advice for prefixes, advice in _REMEDIES if library.startswith(prefixes)), '')


def provider_library(name: str) -> Path:
    """Return the library of a provider in the installed onnxruntime; some builds contain providers without a file."""
    from facefusion.inference.runtime import onnxruntime

    pattern = 'onnxruntime_providers_{}.dll' if sys.platform == 'win32' else 'libonnxruntime_providers_{}.so'
    return Path(onnxruntime.__file__).parent / 'capi' / pattern.format(name)


def loading_error(name: str) -> str:
    """Return the reason why the library of a provider does not load; '' when it loads or has no file."""
    path = provider_library(name)
    if not path.is_file():
        return ''
    try:
        ctypes.CDLL(str(path))
    except OSError as error:
        return ' '.join(str(error).split())
    return ''
