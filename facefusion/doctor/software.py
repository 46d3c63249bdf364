"""Checks of Python, the packages, the build of onnxruntime and its telemetry."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from importlib import metadata

from facefusion.doctor.finding import Finding
from facefusion.inference.builds import conflict_remedy, installed_builds

LIBRARIES = ('av', 'msgspec', 'numpy', 'onnx', 'opencv-python-headless', 'pillow', 'requests', 'tflite', 'tqdm')
_TELEMETRY = 'ORT_DISABLE_TELEMETRY'


def check_python() -> Finding:
    """Check the version of Python."""
    shown = f'{platform.python_version()} on {platform.platform()}'
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Finding('python', 'fail', shown, 'use Python 3.11, 3.12 or 3.13')
    return Finding('python', 'ok', shown)


def check_packages() -> Iterator[Finding]:
    """Check that all packages are installed, and only one package of OpenCV."""
    versions = {name: _version(name) for name in LIBRARIES}
    missing = [name for name, version in versions.items() if not version]
    if missing:
        yield Finding('libraries', 'fail', f'missing: {", ".join(missing)}', 'run `python install.py`')
    yield Finding('libraries', 'ok', ', '.join(f'{name} {version}' for name, version in versions.items() if version))
    if _version('opencv-python') or _version('opencv-contrib-python'):
        advice = 'uninstall all opencv packages and run `python install.py`'
        yield Finding('opencv', 'warn', 'more than one OpenCV package is installed; they overwrite each other', advice)


def check_runtime() -> Finding:
    """Check that exactly one build of onnxruntime is installed."""
    builds = installed_builds()
    shown = ', '.join(f'{name} {version}' for name, version in builds.items())
    if len(builds) == 1:
        return Finding('onnxruntime', 'ok', shown)
    if not builds:
        return Finding('onnxruntime', 'fail', '0 builds are installed', 'run `python install.py`, which installs one')
    fact = f'{len(builds)} builds are installed and overwrite each other: {shown}'
    return Finding('onnxruntime', 'fail', fact, conflict_remedy(builds))


def check_telemetry() -> Finding:
    """Check that the telemetry of onnxruntime is off in this process."""
    # The module sets the variable before onnxruntime reads it.
    from facefusion.inference import runtime

    if os.environ.get(_TELEMETRY) == '1':
        return Finding('telemetry', 'ok', f'off in onnxruntime {runtime.onnxruntime.__version__} ({_TELEMETRY}=1)')
    return Finding('telemetry', 'fail', f'{_TELEMETRY} was changed', f'set {_TELEMETRY}=1 in the environment')


def _version(name: str) -> str:
    """Return the version of an installed package, or '' if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ''
