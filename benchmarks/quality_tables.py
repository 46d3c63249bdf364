"""Tables and summaries of the rows of ``benchmarks/quality.py``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from quality_measures import Expression, Rim

from facefusion.faces.embed import SAME_PERSON


@dataclass(frozen=True, slots=True)
class Row:
    """The measurements of a source on one face of a target; NaN (None in JSON) where a value does not apply."""

    source: str
    target: str
    face: int
    height: float
    before: float
    after: float
    gain: float
    expression: Expression
    rim: Rim
    inner: Rim
    overpainted: float
    flicker_target: float
    flicker_result: float
    flicker_ratio: float
    worst_jump: float
    unswapped: int
    holes: int
    frames: int


def mean(values: Sequence[float]) -> float:
    """Return the mean of the values that are not NaN; NaN if there is none."""
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else float('nan')


def summarise(rows: Sequence[Row], missed: dict[str, dict[str, int]]) -> dict[str, Any]:
    """Return means and worst values over all rows; identity counts only rows whose target is another person."""
    others = [row for row in rows if row.before < SAME_PERSON]
    columns = {
        'identity_gain': ([row.gain for row in others], min),
        'identity_after': ([row.after for row in others], min),
        'expression': ([row.expression.all for row in rows], max),
        'expression_lips': ([row.expression.lips for row in rows], max),
        'expression_lids': ([row.expression.lids for row in rows], max),
        'rim_y': ([row.rim.y for row in rows], max),
        'rim_cb': ([row.rim.cb for row in rows], max),
        'rim_cr': ([row.rim.cr for row in rows], max),
        'inner_y': ([row.inner.y for row in rows], max),
        'inner_cb': ([row.inner.cb for row in rows], max),
        'inner_cr': ([row.inner.cr for row in rows], max),
        'overpainted': ([row.overpainted for row in rows], max),
        'flicker_ratio': ([row.flicker_ratio for row in rows], max),
        'worst_jump': ([row.worst_jump for row in rows], max),
    }
    summary: dict[str, Any] = {'rows': len(rows), 'other_people': len(others)}
    summary['identity_gain_positive'] = sum(row.gain > 0 for row in others)
    for name, (values, worst) in columns.items():
        known = [value for value in values if not math.isnan(value)]
        summary[name] = {'mean': mean(known), 'worst': worst(known)} if known else None
    counted = [row.rim for row in rows if row.rim.sectors]
    summary['rim_counted'] = len(counted)
    summary['rim_under_3'] = sum(rim.largest < 3 for rim in counted)
    summary['unswapped_faces'] = sum(row.unswapped for row in rows)
    summary['hole_frames'] = sum(row.holes for row in rows)
    summary['not_linked'] = sum(entry['not_linked'] for entry in missed.values())
    faceless = [name for name, entry in missed.items() if entry['frames_without_face'] == entry['frames_looked_at']]
    summary['targets_without_face'] = faceless
    return summary


HEAD = (
    '| source | target | px | before | after | gain | mesh % | lips % | lids % | rim Y | Cb | Cr | worst '
    '| inner Y | Cb | Cr | over | flicker | jump | unswapped |\n' + '|---' * 20 + '|'
)


def as_line(row: Row) -> str:
    """Return a line of the Markdown table."""
    name = row.target if row.face == 1 else f'{row.target} #{row.face}'
    rim, inner, moved = row.rim, row.inner, row.expression
    numbers = [f'{row.height:.0f}', f'{row.before:.3f}', f'{row.after:.3f}', f'{row.gain:+.3f}']
    numbers += [f'{value:.1f}' for value in (moved.all, moved.lips, moved.lids)]
    numbers += [f'{value:.1f}' for value in (rim.y, rim.cb, rim.cr, rim.worst, inner.y, inner.cb, inner.cr)]
    numbers += [
        f'{row.overpainted:.2f}',
        f'{row.flicker_ratio:.2f}',
        f'{row.worst_jump:.1f}',
        str(row.unswapped + row.holes),
    ]
    return f'| {row.source} | {name} | ' + ' | '.join(number.replace('nan', '') for number in numbers) + ' |'


BRIEF_HEAD = '| source | target | before | after | gain | lips % | lids % | rim Y | Cb | Cr |\n' + '|---' * 10 + '|'


def as_brief_line(row: Row) -> str:
    """Return a line with the columns of BRIEF_HEAD."""
    cells = [Path(row.source).stem, Path(row.target).stem, f'{row.before:.3f}', f'{row.after:.3f}', f'{row.gain:+.3f}']
    moved, rim = row.expression, row.rim
    cells += [f'{value:.1f}' for value in (moved.lips, moved.lids, rim.y, rim.cb, rim.cr)]
    return '| ' + ' | '.join(cells) + ' |'


def worst_rows(rows: Sequence[Row], most: int) -> dict[str, list[Row]]:
    """Return the worst rows by gain, rim, expression, covered area, flicker and jump."""
    keys = {
        'smallest identity gain': lambda row: row.gain if row.before < SAME_PERSON else float('nan'),
        'largest rim difference': lambda row: -row.rim.largest,
        'lips and lids moved most': lambda row: -(row.expression.lips + row.expression.lids),
        'painted over': lambda row: -row.overpainted,
        'most flicker': lambda row: -row.flicker_ratio,
        'largest jump': lambda row: -row.worst_jump,
    }
    return {
        name: sorted((row for row in rows if not math.isnan(key(row))), key=key)[:most] for name, key in keys.items()
    }


def by_group(rows: Sequence[Row]) -> str:
    """Return a table of means for each kind of target (the part of its name after the first hyphen)."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        kind = Path(row.target).stem.partition('-')[2] or row.target
        groups.setdefault(kind + (' #2..' if row.face > 1 else ''), []).append(row)
    head = '| targets | rows | gain mean | least | lips % | lids % | rim Y | Cb | Cr | inner Y | Cb | Cr | over '
    lines = [head + '| flicker |']
    lines.append('|' + '---|' * 14)
    for kind, part in sorted(groups.items()):
        gains = [row.gain for row in part]
        means = [[row.expression.lips for row in part], [row.expression.lids for row in part]]
        means += [[row.rim.y for row in part], [row.rim.cb for row in part], [row.rim.cr for row in part]]
        means += [[row.inner.y for row in part], [row.inner.cb for row in part], [row.inner.cr for row in part]]
        cells = [f'{mean(gains):+.3f}', f'{min(gains):+.3f}', *(f'{mean(values):.1f}' for values in means)]
        cells.append(f'{mean([row.overpainted for row in part]):.2f}')
        cells.append(f'{mean([row.flicker_ratio for row in part]):.2f}')
        lines.append(f'| {kind} | {len(part)} | ' + ' | '.join(cell.replace('nan', '') for cell in cells) + ' |')
    return '\n'.join(lines)


def as_json(value: Any) -> Any:
    """Convert to plain JSON: NaN becomes None, floats are rounded to four decimals."""
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 4)
    if isinstance(value, dict):
        return {key: as_json(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(part) for part in value]
    return value
