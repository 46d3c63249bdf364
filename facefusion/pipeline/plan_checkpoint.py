"""The plan in the work folder of a step: a later run goes on with it, or says why it plans anew."""

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
_LARGEST = 64 << 20
OTHER_VERSION = 'they are of another version of the program'


def save_plan(folder: Path, plan: Plan, digests: RunDigests) -> None:
    """Writes the plan into the work folder. Raises ResourceError disk-full, OutputError."""
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
    """The plan that an earlier run has kept under the same digest, with files and tuning of ``plan``; else that.

    Its files are those that were looked at now.
    """
    record = _read(folder)
    if record is None or record.get('digest') != digests.plan:
        return plan
    with suppress(InternalError, OSError, AttributeError, KeyError):
        kept = plan_from_record(record['plan'])
        # Files may lie elsewhere: where they are is no part of the digest.
        places = {name: getattr(plan, name) for name in ('target', 'sources', 'output', 'settings', 'sound')}
        return replace(kept, **places, workers=plan.workers, memory=plan.memory, memory_parts=plan.memory_parts)
    return plan


def why_anew(folder: Path, digests: RunDigests) -> str:
    """What differs from the plan of an earlier run in ``folder``, in words; empty where nothing differs."""
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
    # As JSON has them: tuples are lists there.
    now: dict[str, Any] = json.loads(json.dumps(dict(digests.parts)))
    changed = [name for name, value in now.items() if parts.get(name) != value]
    return f'{" and ".join(changed)} changed' if changed else ''


def _read(folder: Path) -> dict[str, Any] | None:
    path = folder / FILE_NAME
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return None
        record = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None
