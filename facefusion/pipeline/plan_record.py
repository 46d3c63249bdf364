"""Convert a plan to plain JSON and back, for the work folder and for other processes.

The record does not contain the stamp of the target (size, times, inode), which is read again when the plan is loaded.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import numpy as np

from facefusion.errors import InternalError
from facefusion.media.file_stamp import FileStamp
from facefusion.media.info import ImageInfo, VideoInfo
from facefusion.pipeline.plan import Plan

# Increment this when a field of a plan changes its meaning; plans of other versions are not read.
PLAN_VERSION = 1


def plan_as_record(plan: Plan) -> dict[str, Any]:
    """Return a complete plan as plain JSON."""
    record: dict[str, Any] = msgspec.to_builtins(plan, enc_hook=_as_plain)
    kind = 'image' if isinstance(plan.target, ImageInfo) else 'video'
    return {'version': PLAN_VERSION, 'kind': kind, **record}


def plan_from_record(record: Mapping[str, Any]) -> Plan:
    """Return the plan that ``plan_as_record`` wrote.

    Raises InternalError plan-unreadable, and OSError when its target cannot be accessed.
    """
    if record.get('version') != PLAN_VERSION:
        raise _unreadable(f'it has version {record.get("version")}, and this program reads version {PLAN_VERSION}')
    hints = get_type_hints(Plan) | {'target': ImageInfo if record.get('kind') == 'image' else VideoInfo}
    try:
        values = {
            field.name: msgspec.convert(record[field.name], hints[field.name], dec_hook=_from_plain)
            for field in fields(Plan)
        }
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise _unreadable(str(error)) from error
    values['target'] = _stamped(values['target'])
    values['sounds'] = tuple(map(_stamped, values['sounds']))
    return Plan(**values)


def _stamped(file: Any) -> Any:
    return replace(file, stamp=FileStamp(file.path.stat()))


def _as_plain(value: Any) -> Any:
    if isinstance(value, array | np.ndarray):
        return value.tolist()
    if isinstance(value, Path | Fraction):
        return str(value)
    if isinstance(value, FileStamp):
        return None
    raise TypeError(f'a {type(value).__name__} is not plain data')


def _from_plain(kind: Any, value: Any) -> Any:
    if kind is array:
        return array('q', value)
    if kind is np.ndarray or getattr(kind, '__origin__', None) is np.ndarray:
        return np.array(value, np.int64)
    if kind is FileStamp:
        # A placeholder of the right type: the caller replaces it.
        return FileStamp.__new__(FileStamp)
    return kind(value)


def _unreadable(cause: str) -> InternalError:
    return InternalError('plan-unreadable', 'a stored plan cannot be read', cause=cause)
