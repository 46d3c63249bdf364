"""Tables on stdout."""

from __future__ import annotations

from collections.abc import Sequence


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows with left-aligned columns; the first row contains the titles."""
    # File names that are not UTF-8 contain surrogates, which a terminal cannot print.
    cells = [[cell.encode('utf-8', 'backslashreplace').decode('utf-8') for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    for row in cells:
        print('  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
