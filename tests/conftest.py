"""Fixtures for all tests: the real models and images, and a small clip made from an image.

The model store fetches weights and images, so tests that use ``store``, ``sessions``, ``example_portrait``,
``example_group`` or ``face_clip`` are marked ``network``.
"""

from __future__ import annotations

import os
import sys
import threading
from fractions import Fraction
from pathlib import Path

# Many tests start new processes. Without stored bytecode, each of them would compile more than 300 modules.
os.environ['PYTHONDONTWRITEBYTECODE'] = ''
# Some tests import onnxruntime directly, which would collect usage data (facefusion/inference/runtime.py).
os.environ['ORT_DISABLE_TELEMETRY'] = '1'

import hypothesis
import pytest
from fakes.job_schema import every_record

__all__ = ['every_record']

ROOT = Path(__file__).resolve().parent.parent
CLIP_SIZE = (320, 180)
CLIP_FRAMES = 60
CLIP_RATE = 25
# The clip's camera at its first and last frame: centre x, centre y and width of its view in pixels of the group photo.
# Two faces of 65 to 110 pixels stay in view; a third is in view until it leaves on the left after frame 12.
CAMERA = ((330.0, 285.0, 533.0), (470.0, 300.0, 427.0))


def pytest_addoption(parser):
    parser.addoption('--exhaustive', action='store_true', help='run every case of tests that otherwise run a sample')


def pytest_configure(config):
    sys.dont_write_bytecode = False
    # Generated cases are the same in every run, except with --exhaustive. They have no deadline, because their
    # duration depends on the load of the machine.
    is_sampled = not config.getoption('--exhaustive')
    hypothesis.settings.register_profile('suite', deadline=None, derandomize=is_sampled)
    hypothesis.settings.load_profile('suite')


def pytest_xdist_auto_num_workers(config):
    """One worker more than cores, because tests also wait: for processes, browsers and threads."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, 'sched_getaffinity') else None


@pytest.fixture(scope='session', autouse=True)
def certificate_folder(tmp_path_factory):
    """A certificate folder for these tests instead of that of the user; child processes inherit it."""
    folder = tmp_path_factory.mktemp('certificate')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('FACEFUSION_PROVENANCE_PATH', str(folder))
        yield folder


@pytest.fixture
def no_thread_stays():
    """Fail each test that leaves a new thread running."""
    before = set(threading.enumerate())
    yield
    assert [thread.name for thread in threading.enumerate() if thread not in before] == []


@pytest.fixture(scope='session')
def store():
    """The model files of the checkout, including those for swaps and voices, so that runs can be offline."""
    from facefusion.events import silent
    from facefusion.models.catalog import load_catalog
    from facefusion.models.store import ModelStore

    catalog = load_catalog(ROOT / 'models' / 'catalog')
    files = ModelStore(catalog, ROOT / 'models' / 'weights', offline=False, emit=silent)
    files.fetch(('centerface', 'face_mesh', 'open_nsfw', 'dlib_face_resnet', 'silero_vad'))
    return files


@pytest.fixture(scope='session')
def example_portrait(store) -> Path:
    """A portrait of 512x512 with one face."""
    return store.path('example_portrait')


@pytest.fixture(scope='session')
def portrait_source(example_portrait) -> Path:
    """The source image."""
    return example_portrait


@pytest.fixture(scope='session')
def example_group(store) -> Path:
    """A photo of 1280x886 with six faces."""
    return store.path('example_group')


@pytest.fixture(scope='session')
def sessions(store):
    """Sessions of the embedded models on the CPU, loaded once for all tests."""
    from facefusion.inference.pool import SessionPool

    return SessionPool(store, ('cpu',), 0)


@pytest.fixture(scope='session')
def face_clip(example_group, tmp_path_factory) -> Path:
    """A slow pan over the group photo: 320x180, 60 frames at 25 per second, H.264 with an AAC tone."""
    import av

    path = tmp_path_factory.mktemp('face_clip') / 'clip.mp4'
    with av.open(str(path), 'w') as output:
        video = output.add_stream('libx264', rate=CLIP_RATE, options={'crf': '14', 'preset': 'veryfast', 'g': '12'})
        video.width, video.height = CLIP_SIZE
        video.pix_fmt = 'yuv420p'
        video.codec_context.color_range = 1
        video.codec_context.colorspace = video.codec_context.color_primaries = video.codec_context.color_trc = 1
        sound = output.add_stream('aac', rate=48000, layout='mono')
        for packet in (*_pictures(video, example_group), *_tone(sound, CLIP_FRAMES / CLIP_RATE)):
            output.mux(packet)
    return path


def _pictures(stream, photo: Path):
    import av
    import cv2
    import numpy as np

    pixels = cv2.imread(str(photo))
    width, height = CLIP_SIZE
    for number in range(CLIP_FRAMES):
        share = number / (CLIP_FRAMES - 1)
        x, y, wide = (1 - share) * np.array(CAMERA[0]) + share * np.array(CAMERA[1])
        step = wide / width
        to_photo = np.array([[step, 0, x - step * (width - 1) / 2], [0, step, y - step * (height - 1) / 2]])
        view = cv2.warpAffine(pixels, to_photo, CLIP_SIZE, flags=cv2.INTER_AREA | cv2.WARP_INVERSE_MAP)
        frame = av.VideoFrame.from_ndarray(view, format='bgr24').reformat(
            format='yuv420p', dst_colorspace='ITU709', dst_color_range='MPEG'
        )
        frame.pts, frame.time_base = number, Fraction(1, CLIP_RATE)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _tone(stream, seconds: float):
    import av
    import numpy as np

    wave = 0.3 * np.sin(np.arange(int(48000 * seconds)) * 2 * np.pi * 440 / 48000).astype(np.float32)
    for at in range(0, len(wave), 1024):
        frame = av.AudioFrame.from_ndarray(wave[None, at : at + 1024], format='fltp', layout='mono')
        frame.sample_rate, frame.pts, frame.time_base = 48000, at, Fraction(1, 48000)
        yield from stream.encode(frame)
    yield from stream.encode(None)
