"""The stored plan of a step: a later run resumes with it, or reports why it cannot."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from facefusion.errors import InternalError
from facefusion.media.files import write_failure, write_synced
from facefusion.ownership import new_owner
from facefusion.pipeline.fingerprints import RunDigests
from facefusion.pipeline.plan import Plan
from facefusion.pipeline.plan_record import PLAN_VERSION, plan_as_record, plan_from_record

FILE_NAME = 'plan.json'
_MAXIMUM_BYTES = 64 << 20
OTHER_VERSION = 'another version of the program created them'


def save_plan(folder: Path, plan: Plan, digests: RunDigests) -> None:
    """Write the plan into the work folder. Raises ResourceError disk-full, OutputError."""
    record = {'digest': digests.plan, 'parts': dict(digests.parts), 'plan': plan_as_record(plan)}
    path = folder / FILE_NAME
    part = path.with_name(f'plan@{new_owner().tag}#.json')
    try:
        write_synced(part, json.dumps(record).encode('ascii'))
        part.replace(path)
    except OSError as error:
        raise write_failure(error, path) from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def load_plan(folder: Path, plan: Plan, digests: RunDigests) -> Plan:
    """Return the stored plan, with the files and tuning of ``plan``, if the digests are equal; otherwise ``plan``."""
    record = _read(folder)
    if record is None or record.get('digest') != digests.plan:
        return plan
    with suppress(InternalError, OSError, AttributeError, KeyError):
        stored = plan_from_record(record['plan'])
        # Files may have moved, and their paths are not part of the digest.
        files = {name: getattr(plan, name) for name in ('target', 'sources', 'output', 'settings', 'sounds', 'cast')}
        tuned = ('workers', 'processes', 'memory', 'memory_parts')
        return replace(stored, **files, **{name: getattr(plan, name) for name in tuned})
    return plan


def describe_changes(folder: Path, digests: RunDigests) -> str:
    """Return a text that states how the plan of an earlier run in ``folder`` differs; empty for the same plan."""
    record = _read(folder)
    if record is None:
        # Another process may be removing the folder.
        with suppress(OSError):
            return OTHER_VERSION if any(folder.glob('chunk-*')) else ''
        return ''
    if record.get('digest') == digests.plan:
        return ''
    plan, parts = record.get('plan'), record.get('parts')
    if not isinstance(plan, dict) or not isinstance(parts, dict) or plan.get('version') != PLAN_VERSION:
        return OTHER_VERSION
    # Convert the parts as JSON does, where tuples become lists.
    current: dict[str, Any] = json.loads(json.dumps(dict(digests.parts)))
    changed = [name for name, value in current.items() if parts.get(name) != value]
    return f'{" and ".join(changed)} changed' if changed else ''


def _read(folder: Path) -> dict[str, Any] | None:
    path = folder / FILE_NAME
    try:
        if not path.is_file() or path.stat().st_size > _MAXIMUM_BYTES:
            return None
        record = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None
