"""Which of the faces of a frame stands before which."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from facefusion.faces.face import Floats, LinkedFace, box_overlap
from facefusion.faces.skin import linked_skin
from facefusion.faces.topology import OVAL, MeshTopology

# Free shares of two faces that differ by less tell nothing: then the larger one counts as nearer.
TELLING = 0.05


def find_nearer(topology: MeshTopology, faces: Sequence[LinkedFace]) -> list[tuple[LinkedFace, list[LinkedFace]]]:
    """The faces from far to near, each with those that stand before it.

    Where two overlap, the one behind is covered: its skin is not found there (``LinkedFace.free``). Faces of one
    colour are told by their size.
    """
    ordered = sorted(faces, key=_area)
    before: dict[int, list[int]] = {number: [] for number in range(len(ordered))}
    for far in range(len(ordered)):
        for near in range(far + 1, len(ordered)):
            if box_overlap(ordered[far].box, ordered[near].box) > 0:
                swapped = _is_before(topology, ordered[far], ordered[near])
                before[near if swapped else far].append(far if swapped else near)
    return [(ordered[k], [ordered[other] for other in before[k]]) for k in _far_to_near(before)]


def _area(face: LinkedFace) -> float:
    return float(np.prod(face.box[2:] - face.box[:2]))


def _is_before(topology: MeshTopology, small: LinkedFace, large: LinkedFace) -> bool:
    """Whether the smaller of two overlapping faces is the nearer one."""
    shares = [_free_share(topology, face, other) for face, other in ((small, large), (large, small))]
    if shares[0] is None or shares[1] is None:
        return False
    return shares[0] - shares[1] > TELLING


def _free_share(topology: MeshTopology, face: LinkedFace, other: LinkedFace) -> float | None:
    """How free the part of ``face`` is that lies within the outline of ``other``; None without such a part."""
    skin = linked_skin(face.values)
    if skin is None:
        return None
    outline = np.ascontiguousarray(other.landmarks[list(OVAL), :2], np.float32)
    low, high = other.box[:2], other.box[2:]
    points = face.landmarks[:, :2]
    near = np.flatnonzero(((points >= low) & (points <= high)).all(1))
    inside = [v for v in near.tolist() if cv2.pointPolygonTest(outline, points[v].tolist(), False) > 0]
    if len(inside) < 5:
        return None
    return float(_at(skin.visibility, topology.atlas[inside]).mean())


def _at(visibility: Floats, places: Floats) -> Floats:
    texels = np.clip((places * len(visibility)).astype(int), 0, len(visibility) - 1)
    return np.asarray(visibility[texels[:, 1], texels[:, 0]], np.float32)


def _far_to_near(before: dict[int, list[int]]) -> list[int]:
    """An order in which everyone comes ahead of those before him; circles are cut at the smallest."""
    order: list[int] = []
    waiting = sorted(before)
    while waiting:
        ready = [k for k in waiting if not any(k in before[other] for other in waiting if other != k)]
        chosen = ready[0] if ready else waiting[0]
        order.append(chosen)
        waiting.remove(chosen)
    return order
