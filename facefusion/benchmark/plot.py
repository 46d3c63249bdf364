"""Plot a report: bars of the milliseconds a frame by stage, a group for each resolution. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from facefusion.errors import OutputError, SetupError, UsageError
from facefusion.media.files import try_writing

FORMATS = ('.png', '.svg')
_WIDTH_PER_BAR, _WIDTH_PER_LETTER, _HEIGHT = 0.9, 0.085, 5.0
# A stage with less time in every case is left out.
_LEAST_MS = 0.005
_GAP = 0.6
# The number of colours of matplotlib, which repeat.
_COLOURS = 10


def check_plot(path: Path) -> None:
    """Raise UsageError plot-format for another extension than .png and .svg, SetupError plot-package.

    Raises OutputError plot-unwritable if the plot cannot be written to ``path``, whose content is kept.
    """
    if path.suffix.lower() not in FORMATS:
        raise UsageError(
            'plot-format', f'{path} is neither a png nor an svg', hint='name a file that ends with .png or .svg'
        )
    try:
        import_module('matplotlib.figure')
    except ImportError as error:
        raise SetupError(
            'plot-package',
            '--plot needs the package matplotlib, which is not installed',
            cause=str(error),
            hint='run `python install.py --extra plot`',
        ) from None
    try:
        try_writing(path)
    except OSError as error:
        raise _unwritable(path, error) from None


def write_plot(report: Mapping[str, Any], path: Path) -> None:
    """Write the plot. Raises OutputError plot-unwritable."""
    figure = draw(report, import_module('matplotlib.figure').Figure)
    try:
        figure.savefig(path, format=path.suffix.lower()[1:], dpi=120)
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        'plot-unwritable',
        f'the plot cannot be written to {path}',
        cause=error.strerror or str(error),
        hint='name another file with --plot, in an existing folder with free space',
    )


def draw(report: Mapping[str, Any], make_figure: Any) -> Any:
    """Return the figure of a report; ``make_figure`` is the class of figures of matplotlib."""
    places, names, groups, place = [], [], dict[str, list[float]](), 0.0
    cases = sorted(report['cases'], key=lambda case: int(case['height']))
    for case in cases:
        if groups and case['resolution'] not in groups:
            place += _GAP
        places.append(place)
        groups.setdefault(case['resolution'], []).append(place)
        names.append('\n'.join(model or name for name, model in zip(case['processors'], case['models'], strict=True)))
        place += 1
    longest = max((len(line) for name in names for line in name.splitlines()), default=0)
    width = max(_WIDTH_PER_BAR, _WIDTH_PER_LETTER * longest)
    figure = make_figure(figsize=(4 + width * len(cases), _HEIGHT), layout='constrained')
    axes = figure.subplots()
    bottoms = [0.0] * len(cases)
    shown = dict.fromkeys(name for case in cases for name, ms in _bars(case) if ms >= _LEAST_MS)
    for number, stage in enumerate(shown):
        heights = [dict(_bars(case)).get(stage, 0.0) for case in cases]
        axes.bar(places, heights, bottom=bottoms, width=0.8, label=stage, hatch='//' * (number // _COLOURS))
        bottoms = [bottom + height for bottom, height in zip(bottoms, heights, strict=True)]
    axes.set_xticks(places, names)
    axes.set_ylim(0, max(bottoms, default=0.0) * 1.05 or 1.0)
    axes.set_ylabel('milliseconds a frame, all threads together')
    for resolution, found in groups.items():
        axes.annotate(resolution, (sum(found) / len(found), 1.01), xycoords=('data', 'axes fraction'), ha='center')
    figure.legend(loc='outside right upper')
    return figure


def _bars(case: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Return the bars of a case; a processor has one for each of its parts."""
    bars: list[tuple[str, float]] = []
    for stage in case['stages']:
        if stage['kind'] == 'processor':
            bars += [(f'{stage["name"]} {part}', ms) for part, ms in stage['parts'].items()]
        else:
            bars.append((stage['name'], stage['ms']))
    return bars
