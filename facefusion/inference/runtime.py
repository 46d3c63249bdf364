"""onnxruntime without telemetry: every other module imports it from here.

Since version 1.29 onnxruntime writes a device id and usage events (model names, path of the interpreter) into the
user's cache folder and sends them to its publisher. It reads ORT_DISABLE_TELEMETRY once, during its import, so the
variable is set before the import. Child processes inherit it.
"""

from __future__ import annotations

import os

os.environ['ORT_DISABLE_TELEMETRY'] = '1'

import onnxruntime

from facefusion.errors import SetupError

if not hasattr(onnxruntime, 'InferenceSession'):
    raise SetupError(
        'onnxruntime-broken',
        'the installed package onnxruntime is empty',
        cause='another build of it was uninstalled, which removed the files of both',
        hint='run `python install.py`, which installs exactly one build',
    )
# The program itself reports why a provider fails; the log of onnxruntime would repeat it on stderr.
onnxruntime.set_default_logger_severity(4)

__all__ = ['onnxruntime']
