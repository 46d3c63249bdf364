"""Generate facefusion/faces/mesh_tables.json and mean_look.json.

They contain topology, mirror pairs, mean shape and atlas layout of the 468-point mesh, and the mean look of faces in
the atlas.

    python scripts/make_face_tables.py

The triangles are those of the MediaPipe face mesh (Apache-2.0), whose wheel lists their edges in order. Mean shape,
atlas and look are computed by this project: the symmetrised mean of the seven faces in the two example images, unrolled
about a vertical axis behind the head. The files are committed; regenerate them only when the mesh model changes.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from facefusion.media.frame import Frame

ROOT = Path(__file__).resolve().parent.parent

# The rings of both eyelids in matching order: outer corner, lower lid, inner corner, upper lid.
EYE_IMAGE_LEFT = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
EYE_IMAGE_RIGHT = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def read_triangles() -> Ints:
    """Return the triangles [852,3]; three consecutive directed edges in the wheel's tesselation list form one."""
    with tempfile.TemporaryDirectory() as folder:
        pinned = ['mediapipe==0.10.21', '--python-version', '3.11', '--platform', 'manylinux_2_28_x86_64']
        command = [sys.executable, '-m', 'pip', 'download', '--no-deps', '--only-binary=:all:', '-d', folder, *pinned]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with zipfile.ZipFile(next(Path(folder).glob('*.whl'))) as wheel:
            text = wheel.read('mediapipe/python/solutions/face_mesh_connections.py').decode()
    start = text.index('FACEMESH_TESSELATION')
    listed = text[start : text.index('])', start)]
    edges = [(int(a), int(b)) for a, b in re.findall(r'\((\d+),\s*(\d+)\)', listed)]
    return np.array([(edges[k][0], edges[k][1], edges[k + 1][1]) for k in range(0, len(edges), 3)])


def find_mirror_pairs(triangles: Ints) -> Ints:
    """Return the mirror vertex of each vertex [468], found breadth first from the midline edge 10-151 on both sides.

    Next to the eyes and nostrils seven triangles of one side have no mirror image, because their quadrilaterals are
    divided along the other diagonal. So the lid rings are predefined, and the breadth-first search reaches every other
    vertex through symmetric triangles first.
    """
    opposite: dict[frozenset[int], dict[int, int]] = {}
    for number, (a, b, c) in enumerate(triangles.tolist()):
        for edge, other in (((a, b), c), ((b, c), a), ((c, a), b)):
            opposite.setdefault(frozenset(edge), {})[number] = other
    (left, left_tip), (right, right_tip) = opposite[frozenset((10, 151))].items()
    pairs = {10: 10, 151: 151, left_tip: right_tip, right_tip: left_tip}
    for a, b in zip(EYE_IMAGE_LEFT, EYE_IMAGE_RIGHT, strict=True):
        pairs[a], pairs[b] = b, a
    todo, seen = deque([(left, right)]), {left}
    while todo:
        here, there = todo.popleft()
        corners = triangles[here].tolist()
        for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
            nexts = [n for n in opposite[frozenset((a, b))] if n != here]
            partners = [n for n in opposite.get(frozenset((pairs[a], pairs[b])), {}) if n != there]
            if len(nexts) == len(partners) == 1 and nexts[0] not in seen:
                tip, partner = (
                    opposite[frozenset((a, b))][nexts[0]],
                    opposite[frozenset((pairs[a], pairs[b]))][partners[0]],
                )
                if pairs.get(tip, partner) == partner and pairs.get(partner, tip) == tip:
                    pairs[tip], pairs[partner] = partner, tip
                    seen.add(nexts[0])
                    todo.append((nexts[0], partners[0]))
    mirror = np.array([pairs[vertex] for vertex in range(468)])
    assert (mirror[mirror] == np.arange(468)).all()
    return mirror


def fit_similarity(points: Floats, goal: Floats) -> Floats:
    """Return ``points`` [n,3], moved onto ``goal`` by rotation, scale and shift (Umeyama 1991)."""
    a, b = points - points.mean(0), goal - goal.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    flip = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    return (s * flip).sum() / (a**2).sum() * a @ (u @ np.diag(flip) @ vt).T + goal.mean(0)


def mean_shape(faces: list[Floats], mirror: Ints) -> Floats:
    """Return the symmetric mean [468,3] of the faces by generalised Procrustes analysis.

    The eye distance is 1; x points to the image's right, y down, z away from the camera.
    """

    def normalise(shape: Floats) -> Floats:
        eyes = (shape[33] + shape[133] - shape[263] - shape[362]) / 2
        return (shape - shape.mean(0)) / np.linalg.norm(eyes)

    flip = np.array([-1.0, 1, 1])
    mean = normalise(faces[0])
    for _ in range(20):
        mean = normalise(np.mean([fit_similarity(face, mean) for face in faces], axis=0))
        mean = (mean + fit_similarity(mean[mirror] * flip, mean)) / 2
        across = mean[mirror] - mean
        across = (across * np.sign(across @ (mean[263] - mean[33]))[:, None]).sum(0)
        across /= np.linalg.norm(across)
        down = mean[152] - mean[10]
        down -= across * (across @ down)
        down /= np.linalg.norm(down)
        mean = normalise(mean @ np.stack([across, down, np.cross(across, down)]).T)
        mean = (mean + mean[mirror] * flip) / 2
    return mean


def unroll(shape: Floats) -> Floats:
    """Return the atlas layout [468,2] in 0.02..0.98.

    The coordinates are the angle about a vertical axis 1 eye distance behind the ears, and the height.
    """
    angle = np.arctan2(shape[:, 0], shape[:, 2].max() + 1.0 - shape[:, 2])
    layout = np.stack([angle, shape[:, 1]], 1)
    low, high = layout.min(0), layout.max(0)
    return 0.02 + 0.96 * (layout - low) / (high - low)


def mean_look(faces: list[tuple[Frame, Floats]]) -> Floats:
    """Return the symmetric mean of the bands of the unrolled faces [64,64], weighted by visibility."""
    from facefusion.faces.atlas import AtlasGrid, shrink, smooth_step
    from facefusion.faces.features import look
    from facefusion.faces.skin import ATLAS_SIZE, TRAIT_SIZE, to_ycc
    from facefusion.faces.topology import load_topology, vertex_normals

    topology = load_topology()
    fine, coarse = AtlasGrid(topology, ATLAS_SIZE), AtlasGrid(topology, TRAIT_SIZE)
    total, weight = np.zeros((TRAIT_SIZE, TRAIT_SIZE)), np.full((TRAIT_SIZE, TRAIT_SIZE), 1e-3)
    for frame, landmarks in faces:
        points = landmarks.astype(np.float32)
        step = float(np.ptp(points[:, :2], axis=0).max()) / ATLAS_SIZE
        luma = shrink(to_ycc(frame.sample(*fine.maps(points), step))[..., 0], TRAIT_SIZE)
        seen = coarse.spread(smooth_step((-vertex_normals(topology, points)[:, 2] - 0.05) / 0.25))
        for flip in (slice(None), slice(None, None, -1)):
            total += (look(luma) * coarse.inside * seen)[:, flip]
            weight += seen[:, flip]
    return total / weight


def write_look(faces: list[tuple[Frame, Floats]]) -> None:
    """Write the mean look in thousandths; the tables must exist."""
    rows = np.round(1000 * mean_look(faces)).astype(int).tolist()
    path = ROOT / 'facefusion/faces/mean_look.json'
    path.write_text(json.dumps(rows, separators=(',', ':')) + '\n', encoding='utf-8')


def main() -> None:
    """Fetch the images and the wheel, measure the faces, and write the tables."""
    from facefusion.events import silent
    from facefusion.faces.analyser import FaceAnalyser
    from facefusion.inference.pool import SessionPool
    from facefusion.media.image import read_image
    from facefusion.models.catalog import load_catalog
    from facefusion.models.store import ModelStore

    store = ModelStore(load_catalog(ROOT / 'models/catalog'), ROOT / 'models/weights', offline=False, emit=silent)
    analyser = FaceAnalyser(SessionPool(store, ('cpu',), 0))
    seen = []
    for name in ('example_portrait', 'example_group'):
        picture = read_image(store.path(name))
        seen += [(picture, face.landmarks.astype(np.float64)) for face in analyser.find(picture)]
    faces = [landmarks for _, landmarks in seen]
    triangles = read_triangles()
    mirror = find_mirror_pairs(triangles)
    shape = mean_shape(faces, mirror)
    tables = {
        'triangles': triangles.tolist(),
        'mirror': mirror.tolist(),
        'mean_shape': np.round(shape, 4).tolist(),
        'atlas': np.round(unroll(shape), 5).tolist(),
    }
    path = ROOT / 'facefusion/faces/mesh_tables.json'
    path.write_text(json.dumps(tables, separators=(',', ':')) + '\n', encoding='utf-8')
    write_look(seen)


if __name__ == '__main__':
    main()
