"""Tests of the identities of tracks: ranking of views, merging over chunks, and the decision about another person."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.face_chunks import face_at
from fakes.scripted_analyser import Actor, ScriptedAnalyser, frame_at

from facefusion.faces.best_views import BestViews
from facefusion.faces.face import Face
from facefusion.faces.identity import (
    CLOSER,
    DIFFERENT,
    IDENTITIES,
    IDENTITY_VIEWS,
    Identities,
    Identity,
    IdentityMeter,
    identity_name,
    identity_quality,
    mean_identity,
    recogniser_kind,
)
from facefusion.faces.measurement_table import ALL, measurements_named
from facefusion.faces.measurement_types import FaceView, Measurements, Meters
from facefusion.faces.options import ARCFACE, DLIB
from facefusion.faces.recognisers import KINDS
from facefusion.faces.track import still_chunk
from facefusion.media.frame import PixelFrame

KIND = KINDS[DLIB]


def face(size: float, *, turn: float = 0.0, score: float = 1.0) -> Face:
    """Return a face whose nose is moved aside by ``turn`` eye distances."""
    landmarks = face_at(200, 200, size)
    landmarks[[1, 4], 0] += turn * size
    return Face(landmarks, 0.99, 0.05, score)


def embeddings_at(*distances: float) -> list[np.ndarray]:
    """Return an embedding, and one at each of these distances from it."""
    found = [np.eye(1, KIND.length, 0, np.float32)[0]]
    for k, distance in enumerate(distances):
        cosine = KIND.cosine(distance)
        other = np.eye(1, KIND.length, k + 1, np.float32)[0]
        found.append((cosine * found[0] + np.sqrt(1 - cosine**2) * other).astype(np.float32))
    return found


class SizeRecogniser:
    """Embeds a face as its eye distance in the frame of the view, next to a constant."""

    kind = KIND

    def embed(self, frame, landmarks):
        embedding = np.zeros(KIND.length, np.float32)
        embedding[:2] = np.linalg.norm(landmarks[33] - landmarks[263]), 20
        return embedding / np.linalg.norm(embedding)


def test_every_recogniser_has_a_measurement_with_its_model():
    assert [each.name for each in IDENTITIES] == ['identity_arcface_w600k_r50', 'identity_dlib_face_resnet']
    for each, kind in zip(IDENTITIES, (KINDS[ARCFACE], KINDS[DLIB]), strict=True):
        assert each in ALL.of_tracks and each.name == identity_name(kind.model_id)
        assert (each.shape, each.dtype, each.models) == ((kind.length,), 'float32', (kind.model_id,))


def test_kind_is_that_of_the_measured_recogniser():
    assert recogniser_kind(Measurements()) is None
    assert recogniser_kind(measurements_named(['skin'])) is None
    assert recogniser_kind(measurements_named([identity_name(DLIB), 'mouth_rest'])) == KINDS[DLIB]
    assert recogniser_kind(measurements_named([identity_name(ARCFACE)])) == KINDS[ARCFACE]


def test_larger_frontal_and_surer_views_are_better_up_to_a_size():
    assert identity_quality(face(40)) > identity_quality(face(20))
    assert identity_quality(face(200)) == pytest.approx(identity_quality(face(120)))
    assert identity_quality(face(40)) > identity_quality(face(40, turn=0.2)) > identity_quality(face(40, turn=0.5)) > 0
    assert identity_quality(face(40)) > identity_quality(face(40, score=0.6))


def test_views_of_256_tracks_are_kept_within_the_stated_memory():
    views, frame = BestViews(IDENTITY_VIEWS), PixelFrame(np.zeros((900, 900, 3), np.uint8))
    for track in range(300):
        for _ in range(4):
            views.offer(frame, track, face(200))
    kept = [views.of(track)[0] for track in range(300)]
    assert all(len(each) == 3 for each in kept)
    assert max(view.frame.pixels.nbytes for each in kept for view in each) <= 3 * IDENTITY_VIEWS.side**2
    assert IDENTITY_VIEWS.tracks * 3 * 3 * IDENTITY_VIEWS.side**2 <= 170e6


def test_a_track_is_measured_by_the_mean_of_its_views():
    frame = PixelFrame(np.zeros((400, 400, 3), np.uint8))
    views = [FaceView(frame, face_at(200, 200, size)) for size in (20, 40)]
    found = IdentityMeter(SizeRecogniser()).measure(views)
    single = [SizeRecogniser().embed(frame, view.landmarks) for view in views]
    np.testing.assert_allclose(found, sum(single) / np.linalg.norm(sum(single)), atol=1e-6)
    assert found.dtype == np.float32


def test_the_view_of_an_image_is_the_image_itself():
    """The embedding must equal one that is measured in the whole image, whatever the size of the face."""
    large = Actor(frozenset({0}), size=150.0, place=lambda frame: (160.0, 90.0))
    name = identity_name(DLIB)
    measurements = measurements_named([name])
    chunk = still_chunk(
        frame_at(0), ScriptedAnalyser(large), Meters(measurements, (), (IdentityMeter(SizeRecogniser()),))
    )
    expected = SizeRecogniser().embed(None, large.landmarks(0))
    np.testing.assert_array_equal(chunk.of_tracks[name][0], expected)
    assert chunk.track_weights[name][0] > 0


def test_chunks_are_merged_by_weight_to_length_one():
    one, other = np.eye(2, dtype=np.float32)
    found = mean_identity(np.stack([one, other]), np.array([3, 4], np.float32))
    np.testing.assert_allclose(found, [0.6, 0.8], atol=1e-6)


def known(*distances: float) -> tuple[Identities, Identity]:
    """Return the identities of tracks 0, 1, ... at these distances from the returned identity."""
    own, *others = embeddings_at(*distances)
    identities = Identities(KIND)
    for track, each in enumerate(others):
        identities.add(track, Identity(each, 2.0))
    return identities, Identity(own, 1.0)


@pytest.mark.parametrize(('distance', 'is_other'), [(DIFFERENT - 0.02, False), (DIFFERENT + 0.02, True)])
def test_a_clearly_different_track_is_another_person(distance, is_other):
    identities, own = known(distance)
    assert identities.other_people(own, [0]) == ({0} if is_other else set())


def test_a_track_is_another_person_if_another_track_is_much_more_similar():
    identities, own = known(0.2, 0.2 + CLOSER + 0.02, 0.2 + CLOSER - 0.02)
    assert identities.other_people(own, [0, 1, 2]) == {1}
    assert identities.other_people(own, [1, 2]) == set()


def test_unmeasured_tracks_are_not_other_people():
    identities, own = known(0.6)
    assert identities.other_people(own, [0, 7]) == {0}
    assert identities.other_people(None, [0]) == set()
    identities.forget(0)
    assert identities.other_people(own, [0]) == set()
    assert Identities(None).other_people(own, [0]) == set()
