"""Whether a picture is fit to be a source, and what to say when it is not.

The thresholds lie between the faces of the example pictures and variants of them that show the flaw; the numbers are
beside each.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facefusion.faces.atlas import shrink
from facefusion.faces.face import Floats
from facefusion.faces.pose import yaw
from facefusion.faces.skin import ATLAS_SIZE, SkinMeter
from facefusion.processors.face_swapper.mesh_warp.obstacles import LARGEST_HIDDEN, Obstacles
from facefusion.processors.face_swapper.mesh_warp.views import SourceView, UnrolledView

# Degrees to the side. The mesh's own limit; beyond it the far half is guessed.
LARGEST_TURN = 35
# Up to this turn both cheeks look alike to the light; beyond, the far one is always in another.
LARGEST_LEVEL_TURN = 25
# Pixels of the face's height. The example faces have 104 to 130 and swap well into video of ordinary size.
SMALL_FACE = 96
# See measure_sharpness: the example faces have 0.49 to 0.63, blurred by 2 % of their height 0.21 to 0.27.
LEAST_SHARPNESS = 0.29
# Height of the gap between the inner lips over its width: smiles with teeth reach 0.21, a call or an "ah" 0.4.
LARGEST_GAP = 0.32
# Natural logarithm of the luma of one cheek over the other's: the example faces reach 0.28, lit
# from one side, with a third of the light on the other, 0.45 and more.
LARGEST_SIDE_LIGHT = 0.38
# Median luma of the skin: 172 to 198 on the example faces; dark skin in good light stays above 60.
DARK_SKIN_LUMA = 42
# Share of the skin at luma 245 and more: 0 on the example faces.
LARGEST_BURNT_SHARE = 0.12
# Share of the forehead that looks like skin: 0.55 under the fringe of the example portrait, 0.98 and more elsewhere.
LEAST_FOREHEAD = 0.7
# Share of the inner face that is covered, see Obstacles.covered: 0.03 on the example faces, 0.065 on one in backlight.
LARGEST_COVERED = 0.08


def find_flaws(
    views: Sequence[SourceView], unrolled: Sequence[UnrolledView], obstacles: Sequence[Obstacles], meter: SkinMeter
) -> tuple[str, ...]:
    """What is wrong with the source, one plain sentence each with advice; only what is wrong in all its pictures."""
    found = [
        _flaws_of(view, picture, covering, meter)
        for view, picture, covering in zip(views, unrolled, obstacles, strict=True)
    ]
    return tuple(text for kind, text in found[0].items() if all(kind in flaws for flaws in found))


def _flaws_of(view: SourceView, picture: UnrolledView, covering: Obstacles, meter: SkinMeter) -> dict[str, str]:
    """The flaws of one picture by their kinds."""
    height = float(np.ptp(view.landmarks[:, 1]))
    turn = abs(yaw(meter.topology, view.landmarks))
    luma, weight = picture.ycc[..., 0], meter.masks.skin * shrink(picture.seen, ATLAS_SIZE)
    skin = luma[weight > 0.3] if (weight > 0.3).any() else luma.ravel()
    tests = {
        'glasses': (
            covering.glasses,
            'the source shows glasses: what lies around the eyes is left to the target; take a picture without',
        ),
        'hair': (
            covering.strands or covering.forehead < LEAST_FOREHEAD,
            'hair lies over the forehead of the source: it is left out; take a picture with a bare forehead',
        ),
        'covered': (
            (covering.covered > LARGEST_COVERED or covering.hidden > LARGEST_HIDDEN) and not covering.glasses,
            'something covers part of the source face: it is left out there; take a picture with nothing before it',
        ),
        'mouth': (
            _mouth_gap(view.landmarks) > LARGEST_GAP,
            "the source's mouth is open: its stretched cheeks and chin stay in the result; "
            'take a picture with the mouth closed',
        ),
        'side-light': (
            turn < LARGEST_LEVEL_TURN and _side_light(luma, weight) > LARGEST_SIDE_LIGHT,
            'the source is lit from one side: half of the face lacks detail; take a picture in even light',
        ),
        'turned': (
            turn > LARGEST_TURN,
            f'the source face is turned by {turn:.0f} degrees: its far side is guessed from the near one; '
            'take or add a picture from the front',
        ),
        'small': (
            height < SMALL_FACE,
            f'the source face is only {height:.0f} pixels high: the result will be soft; take a larger picture',
        ),
        'blurred': (
            picture.sharpness < LEAST_SHARPNESS,
            'the source is blurred: the result will be soft; take a sharp picture',
        ),
        'dark': (
            float(np.median(skin)) < DARK_SKIN_LUMA,
            'the source is too dark: the result will be grainy; take a picture in more light',
        ),
        'burnt': (
            float((skin >= 245).mean()) > LARGEST_BURNT_SHARE,
            'the source is overexposed: parts of the skin are plain white; take a picture in softer light',
        ),
    }
    return {kind: text for kind, (found, text) in tests.items() if found}


def _mouth_gap(landmarks: Floats) -> float:
    """Height of the gap between the inner lips over the distance of their corners."""
    width = float(np.linalg.norm(landmarks[78] - landmarks[308]))
    return float(np.linalg.norm(landmarks[13] - landmarks[14])) / max(width, 1e-3)


def _side_light(luma: Floats, weight: Floats) -> float:
    """Absolute logarithm of the median luma of one half over that of the other, where both are seen."""
    half = luma.shape[1] // 2
    both = (weight > 0.3) & (weight[:, ::-1] > 0.3)
    left, right = luma[:, :half][both[:, :half]], luma[:, ::-1][:, :half][both[:, :half]]
    if len(left) < 200:
        return 0.0
    return abs(float(np.log((np.median(left) + 4) / (np.median(right) + 4))))
