from __future__ import annotations

import numpy as np
import pytest
from fakes.scripted_analyser import Actor, ScriptedAnalyser, frame_at

from facefusion.faces import measurement_table as table
from facefusion.faces.measurement_table import ALL, measurements_named
from facefusion.faces.measurement_types import (
    FaceMeasurement,
    FaceValue,
    Measurements,
    Meters,
    MeterTools,
    TrackMeasurement,
    interpolated,
    weighted_mean,
)
from facefusion.faces.skin import SKIN, SkinMeter
from facefusion.faces.topology import load_topology
from facefusion.faces.track import still_chunk


def value(name: str, filled='linear') -> FaceValue:
    return FaceValue(name, (2,), 'float32', 'float32', 0, lambda values: values, filled)


def of_face(name: str, *values: str, models=(), prepare=lambda tools: None) -> FaceMeasurement:
    return FaceMeasurement(name, tuple(value(each) for each in values), prepare, models=models)


def of_track(name: str, models=(), prepare=lambda tools: None) -> TrackMeasurement:
    return TrackMeasurement(name, (), 'float32', prepare, weighted_mean, models=models)


def test_measurements_list_values_names_and_models_in_order():
    measured = Measurements(
        (of_face('a', 'x', 'y', models=('m', 'n')), of_face('b', 'z')), (of_track('c', models=('n', 'o')),)
    )
    assert measured.names == ('a', 'b', 'c') and [each.name for each in measured.values] == ['x', 'y', 'z']
    # A network that several measurements use is listed once.
    assert measured.models == ('m', 'n', 'o') and [each.name for each in measured.all] == ['a', 'b', 'c']
    nothing = Measurements()
    assert nothing.names == nothing.values == nothing.models == nothing.all == ()


def test_table_has_unique_names():
    """The names must be unique, because chunks store the arrays by name."""
    arrays = [each.name for each in ALL.values] + [each.name for each in ALL.of_tracks]
    assert len(set(arrays)) == len(arrays) and len(set(ALL.names)) == len(ALL.names) and 'skin' in ALL.names


def test_measurements_are_found_by_name_in_the_order_of_the_table(monkeypatch):
    faces, tracks = (of_face('a', 'x'), of_face('b', 'y')), (of_track('c'), of_track('d'))
    monkeypatch.setattr(table, 'ALL', Measurements(faces, tracks))
    assert measurements_named(['d', 'b', 'a']) == Measurements(faces, tracks[1:])
    assert measurements_named(()) == Measurements()
    with pytest.raises(KeyError, match='skin, z'):
        measurements_named({'a', 'z', 'skin'})


def test_meters_are_created_in_order_with_the_tools():
    made = []

    class Meter:
        def __init__(self, name):
            self.name = name

        def measure(self, frame, landmarks):
            return {self.name: frame + landmarks}

    def prepare(name):
        return lambda tools: (made.append((name, tools)), Meter(name))[1]

    tools = MeterTools(load_topology(), None)
    measured = Measurements(
        (of_face('a', 'a', prepare=prepare('a')), of_face('b', 'b', prepare=prepare('b'))),
        (of_track('c', prepare=prepare('c')),),
    )
    meters = measured.prepare(tools)
    assert made == [('a', tools), ('b', tools), ('c', tools)] and meters.measurements is measured
    assert [meter.name for meter in meters.of_faces] == ['a', 'b'] and meters.of_tracks[0].name == 'c'
    assert meters.measure(3, 4) == {'a': 7, 'b': 7} and Meters().measure(3, 4) == {}


def test_skin_measurement_uses_the_skin_meter():
    meters = Measurements((SKIN,)).prepare(MeterTools(load_topology(), None))
    (meter,) = meters.of_faces
    assert isinstance(meter, SkinMeter) and meters.of_tracks == () and SKIN.needs_mesh


@pytest.mark.parametrize(('share', 'linear', 'nearest'), [(0.25, 2, 1), (0.49, 3, 1), (0.5, 3, 5), (0.75, 4, 5)])
def test_gap_is_filled_by_the_mode_of_the_value(share, linear, nearest):
    before, after = np.array([1, 1], np.uint8), np.array([5, 5], np.uint8)
    for filled, expected in (('linear', linear), ('nearest', nearest)):
        found = value('x', filled).between(before, after, share)
        assert found.tolist() == [expected] * 2 and found.dtype == np.uint8


@pytest.mark.parametrize('kind', ['uint8', 'int16', 'float16', 'float32', 'float64'])
def test_interpolated_array_has_the_dtype_of_both(kind):
    before, after = np.array([200, 10], kind), np.array([10, 11], kind)
    found = interpolated(before, after, 0.75)
    whole = np.dtype(kind).kind in 'iu'
    assert found.dtype == kind and found.tolist() == ([58, 11] if whole else [57.5, 10.75])


def test_weighted_mean_preserves_shape_and_dtype_and_rounds_integers():
    values, weights = np.array([[[1, 9]], [[4, 9]]], np.float32), np.array([1, 3], np.float32)
    found = weighted_mean(values, weights)
    assert found.dtype == np.float32 and found.tolist() == [[3.25, 9.0]]
    found = weighted_mean(np.array([30, 31, 31], np.uint8), np.ones(3, np.float32))
    assert found.dtype == np.uint8 and found.shape == () and found == 31


def test_faces_of_an_image_are_measured_as_tracks_of_one_frame():
    class Count:
        def measure(self, views):
            return np.array([len(views), np.ptp(views[0].landmarks[:, 1])], np.float32)

    measured = Measurements((), (TrackMeasurement('count', (2,), 'float64', lambda tools: Count(), weighted_mean),))
    meters = measured.prepare(MeterTools(load_topology(), None))
    places = ((70.0, 90.0), (250.0, 90.0))
    actors = [
        Actor(frozenset({0}), place=lambda frame, at=at: at, size=size)
        for at, size in zip(places, (20, 25), strict=True)
    ]
    chunk = still_chunk(frame_at(0), ScriptedAnalyser(*actors), meters)
    heights = [float(np.ptp(actor.landmarks(0)[:, 1])) for actor in actors]
    np.testing.assert_allclose(chunk.of_tracks['count'], [[1, heights[0]], [1, heights[1]]], rtol=1e-5)
    np.testing.assert_allclose(chunk.track_weights['count'], 0.9 * np.array(heights), rtol=1e-5)
    assert chunk.of_tracks['count'].dtype == np.float64 and chunk.track_weights['count'].dtype == np.float32
    nothing = still_chunk(frame_at(0), ScriptedAnalyser(), meters)
    assert nothing.of_tracks['count'].shape == (0, 2) and nothing.track_weights['count'].shape == (0,)
