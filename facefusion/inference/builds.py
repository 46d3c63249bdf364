"""The packages of onnxruntime that are installed. All write into one folder, so only one may be installed."""

from __future__ import annotations

from facefusion.packages import installed_versions

BUILDS = (
    'onnxruntime',
    'onnxruntime-gpu',
    'onnxruntime-directml',
    'onnxruntime-openvino',
    'onnxruntime-rocm',
    'onnxruntime-migraphx',
    'onnxruntime-qnn',
)
REMEDY = 'run `.venv/bin/pip uninstall -y {}`, then `python install.py`, which installs exactly one'


def installed_builds() -> dict[str, str]:
    """Return the versions of the installed packages by name."""
    return installed_versions(BUILDS)


def conflict_remedy(builds: dict[str, str]) -> str:
    """Return how to leave one of several builds; '' for a single one."""
    return REMEDY.format(' '.join(builds)) if len(builds) > 1 else ''
