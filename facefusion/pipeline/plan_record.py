"""A plan as plain JSON and back: work files keep it, and other processes are given it.

The stamp of the target (size, times, inode) is no part of it: a file is looked at anew where the plan is read.
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

# Raised whenever a field of a plan changes its meaning: plans of other versions are not read.
PLAN_VERSION = 1


def plan_as_record(plan: Plan) -> dict[str, Any]:
    """All of a plan as plain JSON."""
    record: dict[str, Any] = msgspec.to_builtins(plan, enc_hook=_as_plain)
    kind = 'image' if isinstance(plan.target, ImageInfo) else 'video'
    return {'version': PLAN_VERSION, 'kind': kind, **record}


def plan_from_record(record: Mapping[str, Any]) -> Plan:
    """The plan that ``plan_as_record`` has written.

    Raises InternalError plan-unreadable, FileNotFoundError or another OSError when its target cannot be looked at.
    """
    if record.get('version') != PLAN_VERSION:
        raise _unreadable(f'it is of version {record.get("version")}, and this program reads {PLAN_VERSION}')
    hints = get_type_hints(Plan) | {'target': ImageInfo if record.get('kind') == 'image' else VideoInfo}
    try:
        values = {
            field.name: msgspec.convert(record[field.name], hints[field.name], dec_hook=_from_plain)
            for field in fields(Plan)
        }
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise _unreadable(str(error)) from error
    for name in ('target', 'sound'):
        if values[name] is not None:
            values[name] = replace(values[name], stamp=FileStamp(values[name].path.stat()))
    return Plan(**values)


def _as_plain(value: Any) -> Any:
    if isinstance(value, array | np.ndarray):
        return value.tolist()
    if isinstance(value, Path | Fraction):
        return str(value)
    if isinstance(value, FileStamp):
        return None
    raise TypeError(f'a {type(value).__name__} is no plain data')


def _from_plain(kind: Any, value: Any) -> Any:
    if kind is array:
        return array('q', value)
    if kind is np.ndarray or getattr(kind, '__origin__', None) is np.ndarray:
        return np.array(value, np.int64)
    if kind is FileStamp:
        # It is replaced when the path is known; the type alone is checked until then.
        return FileStamp.__new__(FileStamp)
    return kind(value)


def _unreadable(cause: str) -> InternalError:
    return InternalError('plan-unreadable', 'a plan that was kept cannot be read', cause=cause)
