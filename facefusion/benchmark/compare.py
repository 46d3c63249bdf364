"""Compare a benchmark with an earlier one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from facefusion.benchmark.report import REPORT_VERSION
from facefusion.errors import UsageError

Record = Mapping[str, Any]
# The values that decide, and whether more is better.
_DECIDING = (('frames_per_second', True), ('cpu_seconds', False), ('peak_memory_bytes', False))


def read_report(path: Path) -> dict[str, Any]:
    """Return the report of an earlier benchmark. Raises UsageError benchmark-file, benchmark-version."""
    hint = 'use the JSON that `facefusion benchmark` printed'
    try:
        found = json.loads(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise UsageError('benchmark-file', f'{path} cannot be read', cause=str(error.strerror), hint=hint) from None
    except ValueError:
        raise UsageError('benchmark-file', f'{path} is not JSON', hint=hint) from None
    version = found.get('version') if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(found.get('cases'), list) or not isinstance(version, int):
        raise UsageError('benchmark-file', f'{path} is not the report of a benchmark', hint=hint)
    if version != REPORT_VERSION:
        raise UsageError(
            'benchmark-version',
            f'{path} is a report of version {version}',
            cause=f'this program compares reports of version {REPORT_VERSION}',
            hint='run the benchmark again with this program, and compare with the new report',
        )
    return found


def compare(old: Record, new: Record, threshold: float) -> dict[str, Any]:
    """Return the changes of every case of ``new``.

    A case is worse if its frames per second fell, or its CPU seconds or peak memory rose, by more than ``threshold``
    percent.
    """
    earlier = {_key(case): case for case in old['cases']}
    pairs = [(case, earlier.pop(_key(case), None)) for case in new['cases']]
    cases = [_case(case, before, threshold) for case, before in pairs if before is not None]
    return {
        'date': old.get('date'),
        'threshold_percent': threshold,
        'is_worse': any(case['worse'] for case in cases),
        'machine': list(_machine_changes(old.get('machine') or {}, new['machine'])),
        'settings': [key for key, value in new['settings'].items() if old.get('settings', {}).get(key) != value],
        'cases': cases,
        'only_new': [_name(case) for case, before in pairs if before is None],
        'only_old': [_name(case) for case in earlier.values()],
    }


def _case(new: Record, old: Record, threshold: float) -> dict[str, Any]:
    changes: dict[str, float | None] = {}
    worse = []
    for name, more_is_better in _DECIDING:
        changes[name] = percent = _percent(old.get(name), new[name])
        if percent is not None and (percent < -threshold if more_is_better else percent > threshold):
            worse.append(name)
    stages = {stage['name']: stage['ms'] for stage in old.get('stages', ())}
    return {
        'processors': new['processors'],
        'models': new['models'],
        'resolution': new['resolution'],
        'worse': worse,
        'change_percent': changes | {'frame_ms_p95': _percent(_p95(old), _p95(new))},
        'stages_ms': {each['name']: [stages.get(each['name']), each['ms']] for each in new['stages']},
    }


def _p95(case: Record) -> float | None:
    found: float | None = (case.get('frame_ms') or {}).get('p95')
    return found


def _percent(old: float | None, new: float | None) -> float | None:
    return None if not old or new is None else round((new - old) / old * 100, 2)


def _key(case: Record) -> tuple[Any, ...]:
    return tuple(case['processors']), tuple(case['models']), case['resolution'], case['frames']


def _name(case: Record) -> str:
    pairs = zip(case['processors'], case['models'], strict=True)
    chain = ' + '.join(' '.join(part for part in pair if part) for pair in pairs)
    return f'{chain} {case["resolution"]}, {case["frames"]} frames'


def _machine_changes(old: Record, new: Record, prefix: str = '') -> Iterator[str]:
    """Yield the facts about the machine that differ, such as 'cpu usable_cores: 2, before 4'."""
    for name in dict.fromkeys((*new, *old)):
        before, now = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(now, dict):
            yield from _machine_changes(before, now, f'{prefix}{name} ')
        elif before != now:
            yield f'{prefix}{name}: {now}, before {before}'
