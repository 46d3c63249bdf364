"""Create the target video of the demo: a camera pan over one image, with a synthetic voice.

Images are ``uint8 HxWx3 BGR``; audio is ``float32`` mono in -1..1.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy
from numpy.typing import NDArray

WIDTH, HEIGHT, FRAMES_PER_SECOND, SECONDS = 1280, 720, 25, 7.2
SAMPLE_RATE = 48000
# Each entry is the second, the centre and width of the view as shares of the image's width and height, and its angle in
# degrees. In a view of a quarter of the photograph the faces are about 170 pixels high.
CAMERA_PATH = (
    (0.0, 0.21, 0.55, 0.25, 0.0),
    (1.8, 0.29, 0.54, 0.24, 1.0),
    (3.6, 0.40, 0.54, 0.23, -1.0),
    (5.4, 0.52, 0.54, 0.24, 1.0),
    (7.2, 0.61, 0.55, 0.25, 0.0),
)
# The first three resonances of vowels of an adult voice (Peterson and Barney 1952), in Hz; the fourth is the same for
# all vowels.
VOWELS = (
    (730, 1090, 2440),
    (270, 2290, 3010),
    (530, 1840, 2480),
    (570, 840, 2410),
    (300, 870, 2240),
    (640, 1190, 2390),
)
FOURTH_FORMANT = 3500.0
BANDWIDTHS = numpy.array([80.0, 100.0, 140.0, 220.0])
FORMANT_GAINS = numpy.array([1.0, 0.5, 0.22, 0.1])
CONSONANT_LOCUS = numpy.array([350.0, 1700.0, 2600.0, FOURTH_FORMANT])

Samples = NDArray[numpy.float32]
Picture = NDArray[numpy.uint8]


def camera_at(second: float) -> NDArray[numpy.float64]:
    """Return centre x, centre y, width (shares) and angle (degrees) on a Catmull-Rom spline through the path."""
    path = numpy.array(CAMERA_PATH)
    times, values = path[:, 0], path[:, 1:]
    slopes = numpy.gradient(values, times, axis=0)
    slopes[[0, -1]] = 0
    k = int(numpy.clip(numpy.searchsorted(times, second, side='right') - 1, 0, len(times) - 2))
    span = times[k + 1] - times[k]
    u = min(max((second - times[k]) / span, 0.0), 1.0)
    start = (1 + 2 * u) * (1 - u) ** 2 * values[k] + u * (1 - u) ** 2 * span * slopes[k]
    end = u * u * (3 - 2 * u) * values[k + 1] + u * u * (u - 1) * span * slopes[k + 1]
    result: NDArray[numpy.float64] = start + end
    return result


def view(picture: Picture, second: float) -> Picture:
    """Return the camera's view at a time, HEIGHT x WIDTH, shrunk and shifted to stay inside the image."""
    rows, columns = picture.shape[:2]
    x, y, width, degrees = camera_at(second)
    angle = numpy.deg2rad(degrees)
    sine, cosine = numpy.sin(angle), numpy.cos(angle)
    wide = width * columns
    high = wide * HEIGHT / WIDTH
    reach_x = (wide * abs(cosine) + high * abs(sine)) / 2
    reach_y = (wide * abs(sine) + high * abs(cosine)) / 2
    shrink = min(1.0, (columns - 1) / 2 / reach_x, (rows - 1) / 2 / reach_y)
    centre_x = numpy.clip(x * columns, reach_x * shrink, columns - 1 - reach_x * shrink)
    centre_y = numpy.clip(y * rows, reach_y * shrink, rows - 1 - reach_y * shrink)
    step = wide * shrink / WIDTH
    turn = numpy.array([[cosine, -sine], [sine, cosine]]) * step
    offset = numpy.array([centre_x, centre_y]) - turn @ numpy.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
    matrix = numpy.column_stack([turn, offset])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return numpy.asarray(cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), flags=flags), dtype=numpy.uint8)


def rhythm(seconds: float, random: numpy.random.Generator) -> list[tuple[float, float, int, bool]]:
    """Return syllables as (start, length, vowel, starts with a hiss), in phrases of five to eight between pauses."""
    syllables: list[tuple[float, float, int, bool]] = []
    now = 0.25
    while now < seconds - 0.6:
        for _ in range(int(random.integers(5, 9))):
            length = float(random.uniform(0.15, 0.26))
            if now + length > seconds - 0.3:
                return syllables
            syllables.append((now, length, int(random.integers(len(VOWELS))), bool(random.random() < 0.4)))
            now += length + float(random.uniform(0.01, 0.05))
        now += float(random.uniform(0.3, 0.5))
    return syllables


def add_hiss(sound: NDArray[numpy.float64], start: float, random: numpy.random.Generator) -> None:
    """Add 60 ms of consonant noise, brighter than white noise, before ``start``."""
    length = int(0.06 * SAMPLE_RATE)
    noise = numpy.diff(random.standard_normal(length + 1)) * numpy.hanning(length)
    first = max(0, int(start * SAMPLE_RATE) - length)
    sound[first : first + length] += 0.06 * noise


def speech(seconds: float, seed: int = 7) -> Samples:
    """Return voice-like audio without words: a glottal pulse train through moving formant resonators.

    Each pulse adds the impulse response of resonators (damped sines) at its formants. The peak is 0.6.
    """
    random = numpy.random.default_rng(seed)
    sound = numpy.zeros(int(seconds * SAMPLE_RATE) + SAMPLE_RATE)
    ring = numpy.arange(int(0.03 * SAMPLE_RATE))[:, None] / SAMPLE_RATE
    damping = numpy.exp(-numpy.pi * BANDWIDTHS * ring) * FORMANT_GAINS
    for start, length, vowel, hisses in rhythm(seconds, random):
        if hisses:
            add_hiss(sound, start, random)
        target = numpy.array([*VOWELS[vowel], FOURTH_FORMANT])
        pitch = random.uniform(105, 145)
        now = 0.0
        while now < length:
            share = now / length
            opening = min(1.0, now / 0.05)
            formants = CONSONANT_LOCUS + (target - CONSONANT_LOCUS) * opening * (1 - 0.35 * max(0.0, share - 0.7))
            loudness = numpy.sin(numpy.pi * min(1.0, share * 0.9 + 0.05)) ** 0.6
            first = int((start + now) * SAMPLE_RATE)
            pulse = (damping * numpy.sin(2 * numpy.pi * formants * ring)).sum(axis=1)
            sound[first : first + len(ring)] += loudness * pulse
            now += (1 + 0.01 * random.standard_normal()) / (pitch * (1.08 - 0.16 * share))
    sound = sound[: int(seconds * SAMPLE_RATE)]
    return numpy.asarray(0.6 * sound / numpy.abs(sound).max(), dtype=numpy.float32)


def encode_pictures(container: av.container.OutputContainer, stream: av.VideoStream, picture: Picture) -> None:
    """Encode the pan over ``picture`` as BT.709, with BT.709 tags."""
    for index in range(round(SECONDS * FRAMES_PER_SECOND)):
        frame = av.VideoFrame.from_ndarray(view(picture, index / FRAMES_PER_SECOND), format='bgr24')
        frame = frame.reformat(
            format='yuv420p', src_colorspace='ITU709', dst_colorspace='ITU709', dst_color_range='MPEG'
        )
        frame.pts, frame.time_base = index, Fraction(1, FRAMES_PER_SECOND)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def encode_sound(container: av.container.OutputContainer, stream: av.AudioStream, sound: Samples) -> None:
    """Encode mono samples."""
    size = 1024
    for first in range(0, len(sound), size):
        frame = av.AudioFrame.from_ndarray(sound[None, first : first + size], format='fltp', layout='mono')
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, first, Fraction(1, SAMPLE_RATE)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def write_clip(picture: Picture, path: Path) -> None:
    """Write the video (H.264 and AAC in MP4). An interrupted run leaves no file at ``path``."""
    part = path.with_name(path.name + '.part')
    with av.open(str(part), 'w', format='mp4') as container:
        video = container.add_stream('libx264', rate=FRAMES_PER_SECOND, options={'crf': '18', 'preset': 'medium'})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, 'yuv420p'
        video.codec_context.color_primaries = video.codec_context.color_trc = video.codec_context.colorspace = 1
        video.codec_context.color_range = 1
        audio = container.add_stream('aac', rate=SAMPLE_RATE, layout='mono')
        audio.bit_rate = 96000
        encode_pictures(container, video, picture)
        encode_sound(container, audio, speech(SECONDS))
    part.replace(path)
