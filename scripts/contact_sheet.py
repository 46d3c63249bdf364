"""Swap every source image onto every target and write the results as contact sheets.

    .venv/bin/python scripts/contact_sheet.py --sources A.. --targets B.. --output sheet.png
        [--size 256] [--every SECONDS] [--rows 6] [--grid] [--together]

A row contains the source's face, the target, the result, and the enlarged faces of target and result. A clip has one
row per interval of SECONDS. With --grid, each row is a source and each column a target, and a cell contains only the
result's face. --together uses all sources as views of one person. The size of a sheet is limited; several sheets are
named sheet-01.png, sheet-02.png and so on. Images without a face are listed on stderr. The result is the same as that
of a run with default settings (see quality_studio.py).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / 'benchmarks')]

from quality_studio import Shot, Studio, Target  # noqa: E402

from facefusion.errors import FaceFusionError  # noqa: E402
from facefusion.faces.face import Floats  # noqa: E402
from facefusion.media.frame import Frame  # noqa: E402
from facefusion.pipeline.processor_chain import Chain  # noqa: E402

Picture = npt.NDArray[np.uint8]

LABEL_HEIGHT = 18
GAP = 4
# The size of an enlarged view, as a multiple of the face's size.
FACE_VIEW, SOURCE_VIEW = 1.35, 1.7
GRID_COLUMNS, GRID_ROWS = 10, 9


def label(text: str, width: int) -> Picture:
    """Return a strip of ``width`` pixels with ``text``, shortened at its start if it is too long."""
    strip = np.full((LABEL_HEIGHT, width, 3), 32, np.uint8)
    fitting = text[-max(width // 7, 1) :]
    cv2.putText(strip, fitting, (3, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (235, 235, 235), 1, cv2.LINE_AA)
    return strip


def whole(frame: Frame, size: int) -> Picture:
    """Return the entire image, fitted into a square of side ``size``."""
    scale = min(size / frame.width, size / frame.height)
    width, height = max(round(frame.width * scale), 1), max(round(frame.height * scale), 1)
    tile = np.full((size, size, 3), 16, np.uint8)
    x, y = (size - width) // 2, (size - height) // 2
    tile[y : y + height, x : x + width] = frame.resized(width, height)
    return tile


def close_up(frame: Frame, landmarks: Floats, size: int, view: float) -> Picture:
    """Return the face with these landmarks [468,3] and its surroundings, in a square of side ``size``."""
    low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
    scale = size / (view * float((high - low).max()))
    shift = size / 2 - scale * (low + high) / 2
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float64)
    return np.asarray(frame.warp(matrix, size, size), np.uint8)


def labelled(tile: Picture, text: str) -> Picture:
    """Return the tile with its label below and a gap on the right."""
    stacked = np.vstack([tile, label(text, tile.shape[1])])
    return np.asarray(cv2.copyMakeBorder(stacked, 0, GAP, 0, GAP, cv2.BORDER_CONSTANT, value=(0, 0, 0)), np.uint8)


def main_face(shot: Shot) -> Floats | None:
    """Return the landmarks of the largest face of a shot, or None."""
    if not shot.faces:
        return None
    return max(shot.faces, key=lambda face: float(np.ptp(face.landmarks[:, 1]))).landmarks


def row(head: Picture, source: str, target: Target, shot: Shot, size: int) -> Picture:
    """Return one row of a sheet."""
    name = target.path.stem if target.info is None else f'{target.path.stem} {shot.number / target.rate:.2f} s'
    blank = np.full((size, size, 3), 16, np.uint8)
    face = main_face(shot)
    views = [
        close_up(frame, face, size, FACE_VIEW) if face is not None else blank for frame in (shot.before, shot.after)
    ]
    cells = [(head, source), (whole(shot.before, size), name), (whole(shot.after, size), 'result')]
    cells += [(views[0], 'target face' if face is not None else 'no face found'), (views[1], 'result face')]
    return np.hstack([labelled(tile, text) for tile, text in cells])


def write_pages(rows: Iterable[Picture], output: Path, most: int) -> list[Path]:
    """Write sheets of at most ``most`` rows: to ``output`` if one is enough, else to <stem>-01 and so on."""
    pages: list[list[Picture]] = [[]]
    for picture in rows:
        if len(pages[-1]) == most:
            pages.append([])
        pages[-1].append(picture)
    paths = []
    output.parent.mkdir(parents=True, exist_ok=True)
    for number, page in enumerate(pages, 1):
        if not page:
            continue
        path = output if len(pages) == 1 else output.with_name(f'{output.stem}-{number:02d}{output.suffix}')
        width = max(picture.shape[1] for picture in page)
        padded = [cv2.copyMakeBorder(p, 0, 0, 0, width - p.shape[1], cv2.BORDER_CONSTANT) for p in page]
        path.write_bytes(cv2.imencode(path.suffix, np.vstack(padded))[1].tobytes())
        paths.append(path)
    return paths


def source_heads(studio: Studio, sources: Sequence[tuple[Path, ...]], size: int) -> Iterator[tuple[Picture, str]]:
    """Yield the face of each source and its name."""
    for group in sources:
        frame, face = studio.largest_face(group[0])
        more = f' +{len(group) - 1}' if len(group) > 1 else ''
        yield close_up(frame, face.landmarks, size, SOURCE_VIEW), group[0].stem + more


def row_sheets(
    studio: Studio, sources: Sequence[tuple[Path, ...]], targets: Sequence[Target], size: int, every: float
) -> Iterator[Picture]:
    """Yield the rows of all pairs, source by source."""
    for group, (head, name) in zip(sources, source_heads(studio, sources, size), strict=True):
        chain = studio.prepare(group)
        for target in targets:
            if target.info is None and target.path in group:
                continue
            for shot in studio.shots(target, chain, max(round(every * target.rate), 1)):
                yield row(head, name, target, shot, size)


def grid_sheets(
    studio: Studio, sources: Sequence[tuple[Path, ...]], targets: Sequence[Target], size: int
) -> Iterator[tuple[str, list[Picture]]]:
    """Yield name and rows of each block of at most GRID_COLUMNS targets; the first row contains the targets."""
    heads = list(source_heads(studio, sources, size))
    blank = np.full((size, size, 3), 16, np.uint8)
    for start in range(0, len(targets), GRID_COLUMNS):
        block = targets[start : start + GRID_COLUMNS]
        rows = []
        top = [labelled(blank, '')]
        for k, (group, (head, name)) in enumerate(zip(sources, heads, strict=True)):
            chain = studio.prepare(group)
            cells = [labelled(head, name)]
            for target in block:
                # A clip is represented by its middle frame.
                shot = _middle(studio, target, chain)
                face = main_face(shot)
                seen = shot.after if target.path not in group else shot.before
                cells.append(labelled(close_up(seen, face, size, FACE_VIEW) if face is not None else blank, ''))
                if k == 0:
                    tile = (
                        close_up(shot.before, face, size, FACE_VIEW) if face is not None else whole(shot.before, size)
                    )
                    top.append(labelled(tile, target.path.stem))
            rows.append(np.hstack(cells))
        yield f'{start // GRID_COLUMNS + 1:02d}', [np.hstack(top), *rows]


def _middle(studio: Studio, target: Target, chain: Chain) -> Shot:
    half = max(target.frame_count // 2, 1)
    shots = list(studio.shots(target, chain, half))
    return shots[min(1, len(shots) - 1)]


def make_sheets(
    studio: Studio,
    sources: Sequence[tuple[Path, ...]],
    targets: Sequence[Target],
    output: Path,
    size: int = 256,
    every: float = 1.0,
    rows: int = 6,
    is_grid: bool = False,
) -> list[Path]:
    """Swap all pairs, write the sheets and return their paths; ``sources`` are groups of views of one person."""
    if not is_grid:
        return write_pages(row_sheets(studio, sources, targets, size, every), output, rows)
    paths = []
    for number, block in grid_sheets(studio, sources, targets, size):
        single = len(targets) <= GRID_COLUMNS
        path = output if single else output.with_name(f'{output.stem}-{number}{output.suffix}')
        paths += write_pages(block, path, GRID_ROWS)
    return paths


def usable_sources(studio: Studio, paths: Sequence[Path]) -> list[Path]:
    """Return the sources that show a face; list the others on stderr."""
    usable = []
    for path in paths:
        try:
            studio.prepare((path,))
            usable.append(path)
        except FaceFusionError as error:
            print(f'{path.name}: {error}', file=sys.stderr)
    return usable


def main() -> None:
    """Write the sheets and print their paths."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--sources', type=Path, nargs='+', required=True)
    parser.add_argument('--targets', type=Path, nargs='+', required=True)
    parser.add_argument('--output', type=Path, required=True)
    parser.add_argument('--size', type=int, default=256)
    parser.add_argument('--every', type=float, default=1.0)
    parser.add_argument('--rows', type=int, default=6)
    parser.add_argument('--grid', action='store_true')
    parser.add_argument('--together', action='store_true')
    given = parser.parse_args()
    studio = Studio()
    sources = usable_sources(studio, given.sources)
    if not sources:
        sys.exit('no source shows a face')
    groups = [tuple(sources)] if given.together else [(path,) for path in sources]
    targets = [studio.link(path) for path in given.targets]
    for path in make_sheets(studio, groups, targets, given.output, given.size, given.every, given.rows, given.grid):
        print(path)


if __name__ == '__main__':
    main()
