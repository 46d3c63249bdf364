"""Tests of lip synchronisation with several voices: each person speaks with its own, and the others stay unchanged."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from fakes.stand_ins import LipSession
from test_processors_lip_syncer import (
    RED,
    SIDES,
    Sessions,
    Speech,
    grey_frame,
    linked,
    open_stand_in,
    settings_of,
    smooth_frame,
)
from test_processors_mesh_lips import RENDERER, closed_mesh, curves, drawn
from test_processors_mesh_lips import linked as linked_mesh

from facefusion.events import silent
from facefusion.faces.analyser import FaceFinder
from facefusion.faces.role import NO_SOURCE, FaceRole
from facefusion.media.frame import PixelFrame
from facefusion.processors.lip_syncer.mesh_lips.prepare import MeshLips
from facefusion.processors.lip_syncer.options import LipSyncerOptions
from facefusion.processors.lip_syncer.process import prepare
from facefusion.processors.lip_syncer.registration import LIP_SYNCER
from facefusion.processors.processor import FrameTask, ProcessorTools
from facefusion.voice.mel import mel_window


class Delayed(Speech):
    """The same noise, half a second later."""

    def window(self, start, seconds):
        return super().window(start - Fraction(1, 2), seconds)


def with_voices(faces, *voices: int):
    return tuple(replace(face, role=FaceRole(voice=voice)) for face, voice in zip(faces, voices, strict=True))


def prepared(model: str, session, *voices, batch: int = 1):
    return prepare(
        ProcessorTools(
            settings_of(model), Sessions(session), FaceFinder(), None, silent, batch, voices=voices or (Speech(),)
        )
    )


FACES = (linked(70, 150, 30), linked(200, 150, 30, 1), linked(330, 150, 30, 2))
SECONDS = Fraction(7, 10)


def test_the_network_gets_the_window_of_each_voice():
    session = LipSession()
    task = FrameTask(smooth_frame(), with_voices(FACES, 1, NO_SOURCE, 0), SECONDS)
    assert prepared('wav2lip_96', session, Speech(), Delayed()).process([task]) == [True]
    windows = [feeds['source'][0, 0] for feeds in session.fed]
    assert len(windows) == 2
    np.testing.assert_allclose(windows[0], mel_window(Delayed(), SECONDS))
    np.testing.assert_allclose(windows[1], mel_window(Speech(), SECONDS))
    assert np.abs(windows[0] - windows[1]).max() > 1


@pytest.mark.parametrize('model', SIDES)
def test_a_batch_of_mixed_voices_equals_single_frames_bit_by_bit(model):
    voices, groups = (Speech(), Delayed()), [(0, 1, NO_SOURCE), (1, NO_SOURCE, 0), (NO_SOURCE,) * 3]
    together, single = (
        [FrameTask(smooth_frame(k), with_voices(FACES, *each), SECONDS) for k, each in enumerate(groups)]
        for _ in range(2)
    )
    assert prepared(model, open_stand_in(model), *voices, batch=4).process(together) == [True, True, False]
    for one, other in zip(together, single, strict=True):
        prepared(model, open_stand_in(model), *voices).process([other])
        np.testing.assert_array_equal(one.frame.pixels, other.frame.pixels)
    np.testing.assert_array_equal(together[2].frame.pixels, smooth_frame(2).pixels)


@pytest.mark.parametrize('model', SIDES)
def test_only_faces_with_a_voice_change(model):
    frame = grey_frame()
    task = FrameTask(frame, with_voices(FACES, NO_SOURCE, NO_SOURCE, 0))
    assert prepared(model, LipSession(RED[model])).process([task]) == [True]
    changed = (frame.pixels != 128).any((0, 2))
    assert not changed[:200].any() and changed[300:360].any()


def test_two_meshes_speak_with_two_voices_exactly_as_with_one_voice_each():
    places = (closed_mesh(130, 150, 45), closed_mesh(300, 150, 45))
    halves = [drawn(place).pixels for place in places]
    pixels = np.ascontiguousarray(np.where(np.arange(400)[None, :, None] < 215, *halves))
    faces = tuple(linked_mesh(PixelFrame(pixels.copy()), place) for place in places)
    faces = tuple(replace(face, track=track) for track, face in enumerate(faces))
    wide, narrow = curves(1.0), curves(0.4)

    def speak(voices, *roles) -> tuple[bool, np.ndarray]:
        task = FrameTask(PixelFrame(pixels.copy()), with_voices(faces, *roles), Fraction(1, 4))
        (changed,) = MeshLips(RENDERER, voices, LipSyncerOptions()).process([task])
        return changed, task.frame.pixels

    changed, both = speak([wide, narrow], 0, 1)
    assert changed
    _, all_wide = speak([wide], 0, 0)
    _, all_narrow = speak([narrow], 0, 0)
    np.testing.assert_array_equal(both[:, :215], all_wide[:, :215])
    np.testing.assert_array_equal(both[:, 215:], all_narrow[:, 215:])
    assert (all_wide[:, 215:] != all_narrow[:, 215:]).any()
    _, left_alone = speak([wide, narrow], NO_SOURCE, 1)
    np.testing.assert_array_equal(left_alone[:, :215], pixels[:, :215])
    np.testing.assert_array_equal(left_alone[:, 215:], both[:, 215:])
    assert not speak([wide], NO_SOURCE, NO_SOURCE)[0]


def test_a_frame_changes_only_if_a_large_face_has_a_voice():
    small = linked(size=5)
    assert LIP_SYNCER.changes(settings_of('wav2lip_96'), with_voices((small, linked()), NO_SOURCE, 1))
    assert not LIP_SYNCER.changes(settings_of('wav2lip_96'), with_voices((small, linked()), 0, NO_SOURCE))
