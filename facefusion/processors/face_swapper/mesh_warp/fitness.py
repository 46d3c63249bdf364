"""Find the flaws of a source image, as sentences with advice.

Each threshold separates the values of the example images from those of variants with the flaw. The comments state some
of these values.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facefusion.faces.atlas import shrink
from facefusion.faces.face import Floats
from facefusion.faces.pose import yaw
from facefusion.faces.skin import ATLAS_SIZE, SkinMeter
from facefusion.processors.face_swapper.mesh_warp.obstacles import MAX_HIDDEN, Obstacles
from facefusion.processors.face_swapper.mesh_warp.views import SourceView, UnrolledView

# Maximum turn to the side in degrees. Beyond this limit, the mesh only guesses the far half of the face.
MAX_TURN = 35
# Up to this turn, the same light reaches both cheeks.
MAX_LEVEL_TURN = 25
# Minimum height of a face in pixels. The example faces are 104 to 130 pixels high and swap well into video of ordinary
# size.
SMALL_FACE = 96
# Minimum of measure_sharpness: 0.49 to 0.63 for the example faces, and 0.21 to 0.27 after a blur by 2 % of their
# height.
MIN_SHARPNESS = 0.29
# Maximum ratio of the height of the gap between the inner lips to its width: smiles with teeth reach 0.21, shouting or
# saying "ah" reaches 0.4.
MAX_GAP = 0.32
# Maximum natural logarithm of the ratio between the lumas of the cheeks: the example faces reach 0.28, or at least 0.45
# if one side gets only a third of the light.
MAX_SIDE_LIGHT = 0.38
# Minimum median luma of the skin: 172 to 198 on the example faces; dark skin in good light stays above 60.
DARK_SKIN_LUMA = 42
# Maximum share of the skin with a luma of at least 245: 0 on the example faces.
MAX_BURNT_SHARE = 0.12
# Share of the forehead that looks like skin: 0.55 under the fringe of the example portrait, at least 0.98 elsewhere.
MIN_FOREHEAD = 0.7
# Maximum share of the inner face that is covered (Obstacles.covered): 0.03 on the example faces, 0.065 on one in
# backlight.
MAX_COVERED = 0.08


_ADVICE = {
    'glasses': 'the source shows glasses: the area around the eyes is not transferred; use an image without glasses',
    'hair': 'hair covers the forehead of the source: the hair is not transferred; use an image with a bare forehead',
    'covered': 'an object covers part of the source face: that part is not transferred; use an uncovered face',
    'mouth': "the source's mouth is open: the result has stretched cheeks and chin; use an image with a closed mouth",
    'side-light': 'the source is lit from one side: half of the face lacks detail; use an image in even light',
    'turned': 'the source face is turned by {turn:.0f} degrees: its far side is guessed; use or add a frontal image',
    'small': 'the source face is only {height:.0f} pixels high: the result will be soft; use a larger image',
    'blurred': 'the source is blurred: the result will be soft; use a sharp image',
    'dark': 'the source is too dark: the result will be grainy; use an image in more light',
    'burnt': 'the source is overexposed: parts of the skin are plain white; use an image in softer light',
}


def find_flaws(
    views: Sequence[SourceView], unrolled: Sequence[UnrolledView], obstacles: Sequence[Obstacles], meter: SkinMeter
) -> tuple[str, ...]:
    """Return the flaws that all images of the source share, each as a sentence with advice."""
    flaws = [_flaws_of(*each, meter) for each in zip(views, unrolled, obstacles, strict=True)]
    return tuple(text for kind, text in flaws[0].items() if all(kind in each for each in flaws))


def _flaws_of(view: SourceView, picture: UnrolledView, covering: Obstacles, meter: SkinMeter) -> dict[str, str]:
    """Return the flaws of one image by kind."""
    height = float(np.ptp(view.landmarks[:, 1]))
    turn = abs(yaw(meter.topology, view.landmarks))
    luma, weight = picture.ycc[..., 0], meter.masks.skin * shrink(picture.seen, ATLAS_SIZE)
    skin = luma[weight > 0.3] if (weight > 0.3).any() else luma.ravel()
    is_covered = covering.covered > MAX_COVERED or covering.hidden > MAX_HIDDEN
    tests = {
        'glasses': covering.glasses,
        'hair': covering.strands or covering.forehead < MIN_FOREHEAD,
        'covered': is_covered and not covering.glasses,
        'mouth': _mouth_gap(view.landmarks) > MAX_GAP,
        'side-light': turn < MAX_LEVEL_TURN and _side_light(luma, weight) > MAX_SIDE_LIGHT,
        'turned': turn > MAX_TURN,
        'small': height < SMALL_FACE,
        'blurred': picture.sharpness < MIN_SHARPNESS,
        'dark': float(np.median(skin)) < DARK_SKIN_LUMA,
        'burnt': float((skin >= 245).mean()) > MAX_BURNT_SHARE,
    }
    return {kind: _ADVICE[kind].format(turn=turn, height=height) for kind, is_flaw in tests.items() if is_flaw}


def _mouth_gap(landmarks: Floats) -> float:
    """Return the height of the gap between the inner lips over the distance of their corners."""
    width = float(np.linalg.norm(landmarks[78] - landmarks[308]))
    return float(np.linalg.norm(landmarks[13] - landmarks[14])) / max(width, 1e-3)


def _side_light(luma: Floats, weight: Floats) -> float:
    """Return the absolute logarithm of the ratio of the median lumas of both halves, where both halves are visible."""
    half = luma.shape[1] // 2
    both = (weight > 0.3) & (weight[:, ::-1] > 0.3)
    left, right = luma[:, :half][both[:, :half]], luma[:, ::-1][:, :half][both[:, :half]]
    if len(left) < 200:
        return 0.0
    return abs(float(np.log((np.median(left) + 4) / (np.median(right) + 4))))
