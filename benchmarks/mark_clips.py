"""The named clips and images that benchmarks of the invisible mark use.

They are generated from the example images of the model store, images of scikit-image, and formulas. All randomness has
a fixed seed. A clip is a function from a frame number to the BGR pixels of that frame.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import skimage.data

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / 'models' / 'weights'
Picture = np.ndarray
# Images that the scikit-image package contains.
SKIMAGE = (
    'astronaut', 'brick', 'camera', 'cat', 'chelsea', 'coffee', 'coins', 'colorwheel', 'grass', 'gravel',
    'hubble_deep_field', 'immunohistochemistry', 'moon', 'page', 'retina', 'rocket', 'text',
)  # fmt: skip


class Clip(NamedTuple):
    """A clip's size and frames."""

    name: str
    width: int
    height: int
    frame: Callable[[int], Picture]


class Camera(NamedTuple):
    """A simulated camera that films an image: drift, zoom and rotation within 100 frames, shake, gain and grain."""

    drift: tuple[float, float] = (0, 0)
    zoom: float = 0
    turn: float = 0
    shake: float = 0
    gain: float = 1
    grain: float = 0


def picture(name: str) -> Picture:
    """Return the BGR pixels of a named image or of an image file."""
    if name in ('portrait', 'group'):
        path = PICTURES / ('example_portrait.png' if name == 'portrait' else 'example_group.jpg')
        return cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    if Path(name).is_file():
        return cv2.imdecode(np.fromfile(name, np.uint8), cv2.IMREAD_COLOR)
    if name == 'motorcycle':
        return cv2.imread(str(Path(skimage.data.__file__).with_name('motorcycle_left.png')))
    pixels = getattr(skimage.data, name)()
    return cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR) if pixels.ndim == 2 else pixels[..., 2::-1].copy()


def filmed(name: str, still: str, width: int, height: int, camera: Camera) -> Clip:
    """Return a clip of an image that fills the frame and is mirrored beyond its edges."""
    source = picture(still)
    high, wide = source.shape[:2]
    fit = max(width / wide, height / high) * 1.02
    if fit < 0.8:
        source = cv2.GaussianBlur(source, (0, 0), 0.4 / fit)

    def frame(number: int) -> Picture:
        share = number / 100
        shake = camera.shake * np.random.default_rng(number).normal(0, 1, 2)
        scale = fit * (1 + camera.zoom * share)
        matrix = cv2.getRotationMatrix2D((wide / 2, high / 2), camera.turn * share, scale)
        matrix[:, 2] += [width / 2 - wide / 2, height / 2 - high / 2]
        matrix[:, 2] += shake
        matrix[:, 2] += [camera.drift[0] * share * width, camera.drift[1] * share * height]
        flags, border = cv2.INTER_CUBIC, cv2.BORDER_REFLECT_101
        return developed(
            cv2.warpAffine(source, matrix, (width, height), flags=flags, borderMode=border), number, camera
        )

    return Clip(name, width, height, frame)


def developed(pixels: Picture, number: int, camera: Camera) -> Picture:
    """Apply the camera's gain and grain (the same in all channels)."""
    if camera.gain == 1 and not camera.grain:
        return pixels
    grain = np.random.default_rng(1000 + number).standard_normal(pixels.shape[:2], np.float32)[..., None]
    return np.clip(pixels * np.float32(camera.gain) + camera.grain * grain + 0.5, 0, 255).astype(np.uint8)


def painted(name: str, width: int, height: int, paint: Callable[[int], Picture], grain: float = 0) -> Clip:
    """Return a clip of a formula: ``paint`` returns the luma of a frame as float32 HxW."""

    def frame(number: int) -> Picture:
        luma = np.broadcast_to(paint(number)[..., None], (height, width, 3))
        return developed(np.clip(luma + 0.5, 0, 255).astype(np.uint8), number, Camera(grain=grain))

    return Clip(name, width, height, frame)


def _sky(width: int, height: int) -> Picture:
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    return (120 + 90 * down + np.zeros((1, width), np.float32)).astype(np.float32)


def _waves(number: int) -> Picture:
    y, x = np.mgrid[:720, :1280].astype(np.float32)
    t = number / 12
    waves = np.sin(x / 23 + t) * np.cos(y / 17 - t) + np.sin((x + 2 * y) / 51 - 0.7 * t) + np.sin((3 * x - y) / 9 + t)
    return (120 + 25 * waves).astype(np.float32)


def _clouds(width: int, height: int, seed: int) -> Picture:
    random = np.random.default_rng(seed)
    total = np.zeros((height, width), np.float32)
    for level in range(2, 8):
        small = random.standard_normal((height >> level, width >> level), np.float32)
        total += 2.0**level * cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return (125 + 0.3 * total).astype(np.float32)


def _cuts() -> Clip:
    shots = [
        filmed('shot', still, 1280, 720, Camera(drift=(0.05, 0), grain=2))
        for still in ('portrait', 'coffee', 'rocket', 'group')
    ]
    return Clip('cuts', 1280, 720, lambda number: shots[number // 25 % 4].frame(number))


def clips() -> list[Clip]:
    """Return all clips; the last three are too flat to carry a mark."""
    clouds = _clouds(1280, 720, 5)
    made = [
        filmed('portrait-still', 'portrait', 1280, 720, Camera(grain=2)),
        filmed('portrait-moving', 'portrait', 1280, 720, Camera((0.06, 0.03), 0.15, 6, grain=2)),
        filmed('portrait-upright', 'portrait', 720, 1280, Camera((0.03, 0.05), 0.1, grain=2)),
        filmed('portrait-dark', 'portrait', 1280, 720, Camera((0.04, 0), gain=0.12, grain=2)),
        filmed('portrait-small', 'portrait', 480, 360, Camera((0.05, 0.02), grain=2)),
        filmed('group-clean-still', 'group', 1280, 720, Camera()),
        filmed('group-pan', 'group', 1920, 1080, Camera((0.2, 0), grain=2)),
        filmed('group-small', 'group', 426, 240, Camera((0.1, 0), grain=2)),
        filmed('astronaut-zoom', 'astronaut', 1280, 720, Camera(zoom=0.3, grain=2)),
        filmed('coffee-pan', 'coffee', 640, 360, Camera((0.15, 0.05), grain=2)),
        filmed('cat-still', 'chelsea', 640, 480, Camera(grain=3)),
        filmed('rocket-dark', 'rocket', 1280, 720, Camera((0, 0.1), grain=1.5)),
        filmed('hubble-dark', 'hubble_deep_field', 1920, 1080, Camera((0.05, 0.05), grain=1)),
        filmed('moon-turning', 'moon', 1280, 720, Camera(turn=10, grain=2)),
        filmed('grass-pan', 'grass', 1280, 720, Camera((0.1, 0.1))),
        filmed('gravel-still', 'gravel', 1920, 1080, Camera()),
        filmed('brick-zoom', 'brick', 1280, 720, Camera(zoom=0.2)),
        filmed('retina-square', 'retina', 720, 720, Camera(turn=8, grain=1.5)),
        filmed('page-scroll', 'page', 1280, 720, Camera((0, -0.3))),
        filmed('motorcycle-shaking', 'motorcycle', 1920, 1080, Camera(shake=3)),
        filmed('cells-pan', 'immunohistochemistry', 960, 540, Camera((0.2, 0.1))),
        filmed('noise-dark', 'camera', 1280, 720, Camera((0.03, 0), gain=0.08, grain=6)),
        painted('sky-grain', 1280, 720, lambda number: _sky(1280, 720), grain=2.5),
        painted('waves', 1280, 720, _waves),
        painted('clouds-drifting', 1280, 720, lambda number: np.roll(clouds, 2 * number, 1), grain=1),
        _cuts(),
    ]
    return made + flat_clips()


def flat_clips() -> list[Clip]:
    """Return clips that are too flat to carry a mark; a reader must find no mark in them."""
    return [
        painted('flat-grey', 1280, 720, lambda number: np.full((720, 1280), 126, np.float32)),
        painted('black', 1280, 720, lambda number: np.zeros((720, 1280), np.float32)),
        painted('sky-clean', 1280, 720, lambda number: _sky(1280, 720)),
    ]
