"""The report of a benchmark as tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Record = Mapping[str, Any]
Row = tuple[str, ...]
PEER_COLUMNS = ('target_path', 'cycle_count', 'average_run', 'fastest_run', 'slowest_run', 'relative_fps')


def tables_of(report: Record) -> Iterator[tuple[str, list[Row]]]:
    """Yield the tables of a report, each with its title; the first row of a table has the titles of its columns."""
    if report['cases']:
        yield 'runs', [_CASE_TITLES, *(_case_row(case) for case in report['cases'])]
        yield 'milliseconds a frame, all threads together', [_STAGE_TITLES, *_stage_rows(report)]
        rows = ((_chain(case), *(str(case['peer'][column]) for column in PEER_COLUMNS)) for case in report['cases'])
        yield 'columns of FaceFusion 3.8', [('chain', *PEER_COLUMNS), *rows]
    if report['left_out']:
        rows = ((_chain(left), left['resolution'] or 'all', left['error']['message']) for left in report['left_out'])
        yield 'left out', [('chain', 'resolution', 'reason'), *rows]
    if report['comparison'] is not None:
        titles = ('chain', 'resolution', 'frames/s', 'CPU', 'memory', 'p95', 'worse')
        rows = (_change_row(case) for case in report['comparison']['cases'])
        yield f'changes in percent since {report["comparison"]["date"]}', [titles, *rows]
    if report['estimate'] is not None:
        estimates = report['estimate']
        yield f'estimate for {estimates["target"]}', [_ESTIMATE_TITLES, *map(_estimate_row, estimates['chains'])]


_CASE_TITLES = ('chain', 'resolution', 'frames/s', 'p50 ms', 'p95 ms', 'seconds', 'CPU s', 'memory', 'GPU memory', 'J')
_STAGE_TITLES = ('chain', 'resolution', 'stage', 'ms', 'CPU ms', 'pre', 'network', 'post')
_ESTIMATE_TITLES = ('chain', 'seconds', 'fixed s', 'ms/frame', 'faces', 'memory', 'largest error', 'measured size')


def _case_row(case: Record) -> Row:
    joules = [value for value in case['energy_joules'].values() if value is not None]
    return (
        _chain(case),
        case['resolution'],
        f'{case["frames_per_second"]:.2f}',
        _number(case['frame_ms']['p50']),
        _number(case['frame_ms']['p95']),
        f'{case["seconds"]["mean"]:.2f}',
        f'{case["cpu_seconds"]:.2f}',
        _megabytes(case['peak_memory_bytes']),
        _megabytes(case['device_memory_bytes']),
        _number(sum(joules) if joules else None),
    )


def _stage_rows(report: Record) -> Iterator[Row]:
    for case in report['cases']:
        for stage in case['stages']:
            is_processor = stage['kind'] == 'processor'
            parts = [f'{stage["parts"][part]:.2f}' if is_processor else '' for part in ('pre', 'network', 'post')]
            yield (
                _chain(case),
                case['resolution'],
                stage['name'],
                f'{stage["ms"]:.2f}',
                f'{stage["cpu_ms"]:.2f}',
                *parts,
            )


def _change_row(case: Record) -> Row:
    names = ('frames_per_second', 'cpu_seconds', 'peak_memory_bytes', 'frame_ms_p95')
    changes = [
        '-' if case['change_percent'][name] is None else f'{case["change_percent"][name]:+.1f}' for name in names
    ]
    return _chain(case), case['resolution'], *changes, ', '.join(case['worse'])


def _estimate_row(chain: Record) -> Row:
    largest = chain['error']['largest_percent']
    error = 'unknown' if largest is None else f'{largest:.1f} %'
    return (
        _chain(chain),
        f'{chain["seconds"]:.1f}',
        f'{chain["fixed_seconds"]:.2f}',
        f'{chain["ms_per_frame"]:.2f}',
        f'{chain["faces_per_frame"]:g}',
        _megabytes(chain['memory_bytes']),
        error,
        'yes' if chain['within_measured_sizes'] else 'no',
    )


def _chain(record: Record) -> str:
    pairs = zip(record['processors'], record['models'], strict=True)
    return ' + '.join(' '.join(part for part in pair if part) for pair in pairs)


def _number(value: float | None) -> str:
    return '-' if value is None else f'{value:.2f}'


def _megabytes(size: int | None) -> str:
    return '-' if size is None else f'{size / 1e6:.0f} MB'
