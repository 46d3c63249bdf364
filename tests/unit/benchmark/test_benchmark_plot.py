"""Tests of the plot; drawing is tested with a figure that records its bars, and with matplotlib where it is there."""

from __future__ import annotations

import pytest

from facefusion.benchmark import plot
from facefusion.benchmark.plot import check_plot, draw, write_plot
from facefusion.errors import OutputError, SetupError, UsageError

REPORT = {
    'cases': [
        {
            'processors': ['face_swapper'],
            'models': [model],
            'resolution': f'{height}p',
            'height': height,
            'stages': [
                {'name': 'decode', 'kind': 'stage', 'ms': 2.0, 'parts': {}},
                {
                    'name': 'face_swapper',
                    'kind': 'processor',
                    'ms': 9.0,
                    'parts': {'pre': 1.0, 'network': 6.0, 'post': 2.0},
                },
                {'name': 'encode', 'kind': 'stage', 'ms': height / 100, 'parts': {}},
                {'name': 'measure batches', 'kind': 'stage', 'ms': 0.001, 'parts': {}},
            ],
        }
        for height in (720, 240)
        for model in ('mesh_warp', 'inswapper_128')
    ]
}


class Axes:
    def __init__(self):
        self.bars, self.names, self.groups = {}, [], []

    def bar(self, places, heights, bottom, label, **style):
        self.bars[label] = list(places), list(heights), list(bottom)

    def set_xticks(self, places, names):
        self.names = names

    def set_ylim(self, low, high):
        self.height = high

    def set_ylabel(self, text):
        assert 'milliseconds' in text

    def annotate(self, text, place, **style):
        self.groups.append(text)


class Figure:
    def __init__(self, **style):
        self.axes = Axes()

    def subplots(self):
        return self.axes

    def legend(self, **style):
        pass


def test_a_bar_is_the_stages_of_a_case_in_a_group_for_each_resolution():
    axes = draw(REPORT, Figure).axes
    assert list(axes.bars) == ['decode', 'face_swapper pre', 'face_swapper network', 'face_swapper post', 'encode']
    assert axes.groups == ['240p', '720p']
    assert axes.names == ['mesh_warp', 'inswapper_128'] * 2
    places, heights, bottoms = axes.bars['encode']
    assert heights == [2.4, 2.4, 7.2, 7.2] and bottoms == [11.0] * 4
    # A short stage is left out, and the highest bar ends below the upper edge.
    assert axes.height > 18.2
    # There is a gap between the groups.
    assert places[1] - places[0] < places[2] - places[1]


def test_another_format_and_a_missing_package_are_refused(tmp_path, monkeypatch):
    with pytest.raises(UsageError) as refused:
        check_plot(tmp_path / 'plot.gif')
    assert refused.value.reference == 'plot-format'

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(plot, 'import_module', missing)
    with pytest.raises(SetupError) as refused:
        check_plot(tmp_path / 'plot.png')
    assert refused.value.reference == 'plot-package' and '--extra plot' in refused.value.hint


def test_a_place_that_cannot_be_written_is_refused_before_the_benchmark(tmp_path, monkeypatch):
    monkeypatch.setattr(plot, 'import_module', lambda name: None)
    (tmp_path / 'folder.png').mkdir()
    for name in ('none/plot.png', 'folder.png'):
        with pytest.raises(OutputError) as refused:
            check_plot(tmp_path / name)
        assert refused.value.reference == 'plot-unwritable' and refused.value.hint
    (tmp_path / 'old.png').write_bytes(b'old')
    check_plot(tmp_path / 'old.png')
    check_plot(tmp_path / 'new.png')
    assert (tmp_path / 'old.png').read_bytes() == b'old' and not (tmp_path / 'new.png').exists()


@pytest.mark.parametrize(('name', 'start'), [('plot.png', b'\x89PNG'), ('plot.SVG', b'<?xml')])
def test_a_plot_is_written(tmp_path, name, start):
    pytest.importorskip('matplotlib')
    check_plot(tmp_path / name)
    write_plot(REPORT, tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)
    with pytest.raises(OutputError):
        write_plot(REPORT, tmp_path / 'none' / name)
