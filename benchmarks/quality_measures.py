"""Quality measures of swaps and enhanced faces, computed from arrays; the benchmarks of quality use them.

Colours are ITU-R BT.601 full range: Y 0..255, Cb and Cr around 0, in 8-bit code values. Atlas arrays have the layout of
``faces/atlas.py``. Target and result are both unrolled with the landmarks of the target, so a texel is at the same
image position in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.faces.atlas import AtlasGrid
from facefusion.faces.face import Floats
from facefusion.faces.topology import (
    BROW_IMAGE_LEFT,
    BROW_IMAGE_RIGHT,
    EYE_IMAGE_LEFT,
    EYE_IMAGE_RIGHT,
    INNER_LIPS,
    OUTER_LIPS,
    MeshTopology,
    eye_distance,
    vertex_normals,
)
from facefusion.media.frame import Frame

Flags = npt.NDArray[np.bool_]
Luma = npt.NDArray[np.float32] | npt.NDArray[np.uint8]

ATLAS = 128
BGR_TO_YCC = np.array([[0.114, 0.587, 0.299], [0.5, -0.331, -0.169], [-0.081, -0.419, 0.5]], np.float32)
LIPS = (*INNER_LIPS, *OUTER_LIPS)
LIDS = (*EYE_IMAGE_LEFT, *EYE_IMAGE_RIGHT)
# The distances of the band just inside the blend border from the mesh's outline, in atlas widths.
BAND = (0.06, 0.14)
# The distances of the ring further inside, over cheeks and temples.
INNER_BAND = (0.14, 0.26)
SECTORS = 12
# A sector counts only if at least this many texels of it show the target's own skin.
LEAST_TEXELS = 20
# A face with fewer covered texels counts as uncovered.
LEAST_COVERED = 30
# Added to both sides of a flicker ratio, in code values, so that a clip without any change has ratio 1.
STILLNESS = 0.1
# A face with a smaller mean change, in code values of luma, counts as not swapped.
LEAST_CHANGE = 0.5


@dataclass(frozen=True, slots=True)
class Rim:
    """Skin tone at the rim: result minus target in code values (see ``rim_difference``); NaN if no skin is visible.

    y, cb, cr: mean over the sectors of the absolute difference between the means of a sector. signed_y, signed_cb,
    signed_cr: mean of the signed differences. worst: the largest absolute difference of a sector in any channel.
    sectors: the number of sectors that count.
    """

    y: float
    cb: float
    cr: float
    signed_y: float
    signed_cb: float
    signed_cr: float
    worst: float
    sectors: int

    @property
    def largest(self) -> float:
        """The largest of y, cb and cr; the summary counts the rims where this value is less than 3."""
        return max(self.y, self.cb, self.cr)


class FaceRuler:
    """An immutable tool that unrolls faces and holds masks of the atlas."""

    def __init__(self, topology: MeshTopology) -> None:
        self._topology = topology
        self._grid = AtlasGrid(topology, ATLAS)
        inside = cv2.copyMakeBorder(self._grid.inside.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
        rim = cv2.distanceTransform(inside, cv2.DIST_L2, 5)[1:-1, 1:-1] / ATLAS
        self.inside: Flags = self._grid.inside > 0
        features = self._features()
        self.skin: Flags = self.inside & ~features
        self.band: Flags = self.skin & (rim >= BAND[0]) & (rim < BAND[1])
        self.inner_band: Flags = self.skin & (rim >= INNER_BAND[0]) & (rim < INNER_BAND[1])
        self.centre: Flags = self.skin & (rim > 0.2)
        y, x = np.mgrid[0:ATLAS, 0:ATLAS] - (ATLAS - 1) / 2
        self.sector = ((np.arctan2(y, x) / (2 * np.pi) + 0.5) * SECTORS).astype(int) % SECTORS

    def unroll(self, frame: Frame, landmarks: Floats) -> Floats:
        """Return Y, Cb, Cr float32 [128,128,3] of the face with landmarks [468,3]."""
        map_x, map_y = self._grid.maps(landmarks)
        step = float(np.ptp(landmarks[:, :2], axis=0).max()) / ATLAS
        return np.asarray(cv2.transform(frame.sample(map_x, map_y, step).astype(np.float32), BGR_TO_YCC), np.float32)

    def seen(self, frame: Frame, landmarks: Floats) -> Flags:
        """Return the texels [128,128] in the frame whose surface is more than 17 degrees from edge-on."""
        map_x, map_y = self._grid.maps(landmarks)
        in_frame = (map_x >= 0) & (map_y >= 0) & (map_x <= frame.width - 1) & (map_y <= frame.height - 1)
        facing = self._grid.spread(-vertex_normals(self._topology, landmarks)[:, 2]) > 0.3
        return np.asarray(self.inside & in_frame & facing, np.bool_)

    def unroll_mask(self, mask: npt.NDArray[np.uint8], landmarks: Floats) -> Flags:
        """Return the texels [128,128] where a mask uint8 [h,w] of the frame's size is at least 128."""
        map_x, map_y = self._grid.maps(landmarks)
        texels = cv2.remap(mask, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
        return np.asarray((texels >= 128) & self.inside, np.bool_)

    def _features(self) -> Flags:
        """Return the texels of eyes, brows and lips, with a margin of 4 texels."""
        mask = np.zeros((ATLAS, ATLAS), np.uint8)
        for ring in (EYE_IMAGE_LEFT, EYE_IMAGE_RIGHT, BROW_IMAGE_LEFT, BROW_IMAGE_RIGHT, OUTER_LIPS):
            hull = cv2.convexHull(np.round(self._topology.atlas[list(ring)] * ATLAS).astype(np.int32))
            cv2.fillConvexPoly(mask, hull, 1)
        return np.asarray(cv2.dilate(mask, np.ones((9, 9), np.uint8)) > 0, np.bool_)


def own_skin(target: Floats, candidates: Flags, centre: Flags) -> Flags:
    """Return the texels among ``candidates`` where a target's atlas float32 [h,w,3] (Y, Cb, Cr) contains its own skin.

    The chroma ratios of such texels (Cb and Cr over Y + 12) are within three robust deviations (at least 0.06) of the
    median of the ``centre``, and their luma is between 0.35 and 1.8 times the median luma there. This excludes hair,
    hands of another colour, glasses and background.
    """
    core = candidates & centre
    if not core.any():
        return np.zeros_like(candidates)
    ratio = target[..., 1:] / (target[..., :1] + 12)
    middle = np.median(ratio[core], axis=0)
    reach = np.maximum(3 * 1.48 * np.median(np.abs(ratio[core] - middle), axis=0), 0.06)
    luma = target[..., 0] / max(float(np.median(target[..., 0][core])), 1.0)
    alike = (np.abs(ratio - middle) < reach).all(-1) & (luma > 0.35) & (luma < 1.8)
    return np.asarray(candidates & alike, np.bool_)


def rim_difference(target: Floats, result: Floats, band: Flags, sector: npt.NDArray[np.int_]) -> Rim:
    """Compare the skin tone of the swapped face just inside its blend border with the target's own skin there.

    target, result: float32 [h,w,3] Y, Cb, Cr of the same texels. band: the target's own visible skin between 6 and 14 %
    of the atlas from the mesh's outline, or another ring. The band is split into twelve sectors by the angle around the
    middle. The difference of a sector is the mean of the result minus that of the target, so pores and moles cancel
    out, but a dark cheek and a bright cheek do not. The image outside the border is unchanged, so the difference is
    also the step that the swap adds across the border.
    """
    steps = []
    for number in range(SECTORS):
        part = band & (sector == number)
        if int(part.sum()) >= LEAST_TEXELS:
            steps.append((result[part] - target[part]).mean(0))
    if not steps:
        return Rim(*[float('nan')] * 7, 0)
    table = np.array(steps)
    mean, signed = np.abs(table).mean(0).tolist(), table.mean(0).tolist()
    return Rim(*mean, *signed, float(np.abs(table).max()), len(steps))


def overpainted(target: Floats, result: Floats, covered: Flags) -> float:
    """Return the share 0..1 of the covered texels that the swap changed; NaN if fewer than 30 are covered.

    A texel counts as changed if it differs by more than 8 code values of luma, or 6 of Cb or Cr. The ideal is 0:
    objects in front of a face must not change.
    """
    if int(covered.sum()) < LEAST_COVERED:
        return float('nan')
    steps = np.abs(result - target)[covered]
    return float(((steps[:, 0] > 8) | (steps[:, 1:] > 6).any(1)).mean())


def identity_gain(source: Floats, target: Floats, result: Floats) -> tuple[float, float, float]:
    """Return the cosine of source and target, that of source and result, and the gain; embeddings have length 1."""
    before, after = float(source @ target), float(source @ result)
    return before, after, after - before


@dataclass(frozen=True, slots=True)
class Expression:
    """The distance between the meshes found in result and target, in % of the eye distance.

    ``all``, ``lips`` and ``lids`` are the means over all 468 vertices, the lip rings and the lid rings. ``mouth`` is
    the change of the opening (result minus target) between the inner lips (13-14); ``eyes`` is the mean change of both
    eyes (159-145, 386-374).
    """

    all: float
    lips: float
    lids: float
    mouth: float
    eyes: float


def expression_kept(target: Floats, result: Floats) -> Expression:
    """Compare the landmarks [468,3] of target and result; the mesh must have found both from the same start."""
    size = eye_distance(target) / 100
    moved = np.linalg.norm(result[:, :2] - target[:, :2], axis=1) / size

    def opening(landmarks: Floats, pairs: Sequence[tuple[int, int]]) -> float:
        return float(np.mean([np.linalg.norm(landmarks[a, :2] - landmarks[b, :2]) for a, b in pairs])) / size

    mouth, eyes = ((13, 14),), ((159, 145), (386, 374))
    return Expression(
        all=float(moved.mean()),
        lips=float(moved[list(LIPS)].mean()),
        lids=float(moved[list(LIDS)].mean()),
        mouth=opening(result, mouth) - opening(target, mouth),
        eyes=opening(result, eyes) - opening(target, eyes),
    )


def psnr(before: Luma, after: Luma) -> float:
    """Return the peak signal-to-noise ratio of two lumas [h,w] in dB; 108 if they are equal."""
    error = float(np.mean((before.astype(np.float32) - after) ** 2))
    return 10 * float(np.log10(255**2 / max(error, 1e-6)))


def ssim(before: Luma, after: Luma) -> float:
    """Return the mean structural similarity of two lumas [h,w], at most 1 (Wang et al. 2004).

    The windows are Gaussian with sigma 1.5 and 11x11 pixels; the constants are (0.01 * 255)^2 and (0.03 * 255)^2.
    """

    def local(values: Floats) -> Floats:
        return np.asarray(cv2.GaussianBlur(values, (11, 11), 1.5), np.float32)

    x, y = before.astype(np.float32), after.astype(np.float32)
    mean_x, mean_y = local(x), local(y)
    spread_x, spread_y = local(x * x) - mean_x**2, local(y * y) - mean_y**2
    common = local(x * y) - mean_x * mean_y
    light = (2 * mean_x * mean_y + 6.5025) / (mean_x**2 + mean_y**2 + 6.5025)
    return float((light * (2 * common + 58.5225) / (spread_x + spread_y + 58.5225)).mean())


@dataclass(slots=True)
class Flicker:
    """The change of the texture from frame to frame, in luma code values of the atlas.

    A step is the mean absolute difference of two frames' luma over the texels that are visible in both. Target and
    result are unrolled with the target's linked landmarks, which removes motion from both.
    """

    _last: dict[int, tuple[int, Floats, Floats, Flags]] = field(default_factory=dict)
    _steps: list[tuple[float, float]] = field(default_factory=list)

    def add(self, track: int, number: int, target: Floats, result: Floats, seen: Flags) -> None:
        """Add the lumas float32 [h,w] of a track's face in frame ``number``; steps are between adjacent frames."""
        known = self._last.get(track)
        if known is not None and known[0] == number - 1:
            both = seen & known[3]
            if both.any():
                own = float(np.abs(target - known[1])[both].mean())
                self._steps.append((own, float(np.abs(result - known[2])[both].mean())))
        self._last[track] = (number, target, result, seen)

    @property
    def target(self) -> float:
        """Mean step of the target; NaN without two adjacent frames."""
        return float(np.mean([own for own, _ in self._steps])) if self._steps else float('nan')

    @property
    def result(self) -> float:
        """Mean step of the result; NaN without two adjacent frames."""
        return float(np.mean([new for _, new in self._steps])) if self._steps else float('nan')

    @property
    def ratio(self) -> float:
        """(result + 0.1) / (target + 0.1); a value above 1 means that the swap flickers more than the clip."""
        return (self.result + STILLNESS) / (self.target + STILLNESS)

    @property
    def worst_jump(self) -> float:
        """The largest step of the result minus the step of the target at the same time; large when the face jumps."""
        return max((new - own for own, new in self._steps), default=float('nan'))


def is_swapped(target: Floats, result: Floats, seen: Flags) -> bool:
    """Whether the mean absolute luma difference of the visible texels is at least 0.5 code values."""
    return bool(seen.any()) and float(np.abs(result[..., 0] - target[..., 0])[seen].mean()) >= LEAST_CHANGE


def count_holes(swapped: Sequence[int]) -> int:
    """Count frames without a swap between the first and the last swapped frame of a track."""
    return max(swapped) - min(swapped) + 1 - len(set(swapped)) if swapped else 0
