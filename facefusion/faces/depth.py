"""Order overlapping faces of a frame by depth."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from facefusion.faces.face import LinkedFace, box_overlap
from facefusion.faces.skin import linked_skin
from facefusion.faces.topology import OVAL, MeshTopology

# If the mean visibility of two faces differs by less, the larger face counts as nearer.
TELLING = 0.05


def find_nearer(topology: MeshTopology, faces: Sequence[LinkedFace]) -> list[tuple[LinkedFace, list[LinkedFace]]]:
    """Return the faces from far to near, each with the faces in front of it.

    Of two overlapping faces, the nearer one is less covered (``LinkedSkin.visibility``). Faces of similar
    visibility, such as faces of the same colour, are ordered by size.
    """
    ordered = sorted(faces, key=lambda face: float(np.prod(face.box[2:] - face.box[:2])))
    before: dict[int, list[int]] = {number: [] for number in range(len(ordered))}
    for small in range(len(ordered)):
        for large in range(small + 1, len(ordered)):
            if box_overlap(ordered[small].box, ordered[large].box) > 0:
                swapped = _is_before(topology, ordered[small], ordered[large])
                before[large if swapped else small].append(small if swapped else large)
    return [(ordered[k], [ordered[other] for other in before[k]]) for k in _far_to_near(before)]


def _is_before(topology: MeshTopology, small: LinkedFace, large: LinkedFace) -> bool:
    """Whether the smaller of two overlapping faces is the nearer one."""
    own, other = _shared_visibility(topology, small, large), _shared_visibility(topology, large, small)
    return own is not None and other is not None and own - other > TELLING


def _shared_visibility(topology: MeshTopology, face: LinkedFace, other: LinkedFace) -> float | None:
    """The mean visibility of ``face`` inside the outline of ``other``; None if there is no such part."""
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
    size = len(skin.visibility)
    texels = np.clip((topology.atlas[inside] * size).astype(int), 0, size - 1)
    return float(skin.visibility[texels[:, 1], texels[:, 0]].mean())


def _far_to_near(before: dict[int, list[int]]) -> list[int]:
    """Return an order in which each face precedes those in front of it; cycles are broken at the smallest face."""
    order: list[int] = []
    waiting = sorted(before)
    while waiting:
        ready = [k for k in waiting if not any(k in before[other] for other in waiting if other != k)]
        chosen = ready[0] if ready else waiting[0]
        order.append(chosen)
        waiting.remove(chosen)
    return order
