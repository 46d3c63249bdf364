"""Generate images and clips for judging swaps from the example images of the model store.

    .venv/bin/python scripts/picture_variants.py FOLDER [--faces portrait group1 ...] [--no-clips]

Every face is cropped with its surroundings. Each variant changes the crop in one way: it is turned, lit, coloured,
damaged, covered or moved. Files are named <face>-<variant>.png and <face>-<variant>.mp4; covers/ contains masks of the
objects painted over a face. The files are the same in every run, because all randomness has a fixed seed. "portrait" is
the face of the scikit-image portrait; "group1" to "group6" are the faces of the insightface sample photo from left to
right.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from picture_clips import write_clips
from picture_paint import Painted, fringe, glasses, hand, strands
from picture_warp import close_eyes, open_mouth

from facefusion.events import silent
from facefusion.faces.analyser import FaceAnalyser
from facefusion.faces.topology import MeshTopology, vertex_normals
from facefusion.inference.pool import SessionPool
from facefusion.media.image import read_image
from facefusion.models.catalog import load_catalog
from facefusion.models.store import ModelStore

ROOT = Path(__file__).resolve().parent.parent
Picture = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

# The side of a crop in face heights.
SURROUNDINGS = 2.4
# The folder for masks of the objects painted over faces; benchmarks/quality.py reads them.
COVERS = 'covers'


@dataclass(frozen=True, slots=True, eq=False)
class Portrait:
    """A face in an image ``uint8 HxWx3 BGR``, with landmarks ``float32 [468,3]`` in image pixels."""

    name: str
    picture: Picture
    landmarks: Floats

    def cut(self, degrees: float = 0.0, height: float = 0.0, aside: float = 0.0) -> Portrait:
        """Return a square crop of the face and its surroundings.

        The face is turned by ``degrees``, scaled to ``height`` pixels (0: unchanged), and moved to the right by
        ``aside`` times its height.
        """
        face = float(np.ptp(self.landmarks[:, 1]))
        scale = height / face if height else 1.0
        side = 2 * round(SURROUNDINGS * face * scale / 2)
        low, high = self.landmarks[:, :2].min(0), self.landmarks[:, :2].max(0)
        centre = (low + high) / 2 - [0, 0.12 * face]
        matrix = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), degrees, scale)
        matrix[:, 2] += side / 2 - centre + [aside * face * scale, 0]
        source, before = self.picture, matrix
        if scale < 1:
            # Shrink with area interpolation first, to avoid aliasing.
            size = (max(round(source.shape[1] * scale), 1), max(round(source.shape[0] * scale), 1))
            source = np.asarray(cv2.resize(source, size, interpolation=cv2.INTER_AREA), np.uint8)
            before = matrix @ np.array(
                [[1 / scale, 0, 0.5 / scale - 0.5], [0, 1 / scale, 0.5 / scale - 0.5], [0, 0, 1]]
            )
        cubic = cv2.INTER_CUBIC if scale != 1 or degrees else cv2.INTER_LINEAR
        cut = cv2.warpAffine(source, before, (side, side), flags=cubic, borderMode=cv2.BORDER_REFLECT_101)
        landmarks = self.landmarks * scale
        landmarks[:, :2] = self.landmarks[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        return Portrait(self.name, np.asarray(cut, np.uint8), landmarks.astype(np.float32))

    def skin(self) -> Floats:
        """Return the median colour of nose and cheeks, BGR."""
        x, y = np.round(self.landmarks[[50, 280, 205, 425, 4, 101, 330], :2]).astype(int).T
        high, wide = self.picture.shape[:2]
        return np.asarray(np.median(self.picture[y.clip(0, high - 1), x.clip(0, wide - 1)], axis=0), np.float32)

    def hair(self) -> Floats:
        """Return the colour of the dark part above the forehead, BGR."""
        face = float(np.ptp(self.landmarks[:, 1]))
        x, y = self.landmarks[10, :2]
        top, left = max(round(y - 0.30 * face), 0), max(round(x - 0.25 * face), 0)
        above = self.picture[top : max(round(y - 0.06 * face), top + 1), left : round(x + 0.25 * face)].reshape(-1, 3)
        luma = above.astype(np.float32).mean(1)
        return np.asarray(np.median(above[luma <= np.quantile(luma, 0.4)], axis=0), np.float32) + 8


def load_portraits() -> tuple[list[Portrait], FaceAnalyser]:
    """Return the seven faces, from left to right in each image. Fetches missing images."""
    store = ModelStore(load_catalog(ROOT / 'models/catalog'), ROOT / 'models/weights', offline=False, emit=silent)
    analyser = FaceAnalyser(SessionPool(store, ('cpu',), 0))
    portraits = []
    for model, name in (('example_portrait', 'portrait'), ('example_group', 'group')):
        frame = read_image(store.path(model))
        faces = sorted(analyser.find(frame), key=lambda face: float(face.box[0]))
        for number, face in enumerate(faces, 1):
            portraits.append(Portrait(f'group{number}' if name == 'group' else name, frame.pixels, face.landmarks))
    return portraits, analyser


def gained(picture: Picture, gains: tuple[float, float, float]) -> Picture:
    """Multiply the colour channels by ``gains`` (B, G, R) in linear light (gamma 2.2)."""
    linear = (np.arange(256) / 255) ** 2.2
    tables = [np.clip(255 * (linear * gain) ** (1 / 2.2) + 0.5, 0, 255) for gain in gains]
    return np.dstack([tables[k][picture[..., k]] for k in range(3)]).astype(np.uint8)


def noisy(picture: Picture, sigma: float) -> Picture:
    """Add the grain of a high sensor gain: ``sigma`` code values, partly in blotches."""
    random = np.random.default_rng(1)
    fine = random.normal(0, sigma, picture.shape)
    coarse = cv2.resize(
        random.normal(0, sigma, (picture.shape[0] // 2, picture.shape[1] // 2, 3)), picture.shape[1::-1]
    )
    return np.clip(picture + 0.8 * fine + 0.6 * coarse, 0, 255).astype(np.uint8)


def blocky(picture: Picture, quality: int) -> Picture:
    """Compress as a JPEG of low quality."""
    _, data = cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def side_lit(face: Portrait, topology: MeshTopology) -> Picture:
    """Light the face strongly from the image's left, by the mesh's normals; the other half is in shadow."""
    normals = vertex_normals(topology, face.landmarks)
    light = np.array([-0.85, -0.25, -0.45], np.float32)
    lit = np.clip(normals @ (light / np.linalg.norm(light)), 0, 1)
    high, wide = face.picture.shape[:2]
    size = float(np.ptp(face.landmarks[:, 1]))
    middle = float(face.landmarks[4, 0])
    ramp = 0.15 + 0.70 / (1 + np.exp((np.arange(wide, dtype=np.float32) - middle) / (0.18 * size)))
    shade = np.repeat(ramp[None], high, 0)
    order = np.argsort(-face.landmarks[topology.triangles, 2].mean(1))
    for triangle in topology.triangles[order]:
        corners = np.round(face.landmarks[triangle, :2] * 16).astype(np.int32)
        cv2.fillConvexPoly(shade, corners, float(lit[triangle].mean()), lineType=8, shift=4)
    shade = cv2.GaussianBlur(shade, (0, 0), 0.06 * size)[..., None]
    linear = (face.picture.astype(np.float32) / 255) ** 2.2 * (0.06 + 0.98 * shade)
    return np.clip(255 * linear ** (1 / 2.2) + 0.5, 0, 255).astype(np.uint8)


def variants(face: Portrait, topology: MeshTopology) -> Mapping[str, Callable[[], Picture | Painted]]:
    """Return a function for every variant of a face, by its name."""
    plain = face.cut()
    picture, landmarks = plain.picture, plain.landmarks
    return {
        'plain': lambda: picture,
        'turned15': lambda: face.cut(degrees=15).picture,
        'turned40': lambda: face.cut(degrees=-40).picture,
        'dark': lambda: noisy(gained(picture, (0.10, 0.10, 0.10)), 2.5),
        'bright': lambda: gained(picture, (2.2, 2.2, 2.2)),
        'warm': lambda: gained(picture, (0.38, 0.80, 1.30)),
        'cold': lambda: gained(picture, (1.70, 1.00, 0.55)),
        'green': lambda: gained(picture, (0.60, 1.35, 0.60)),
        'grey': lambda: np.asarray(cv2.merge([cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)] * 3), np.uint8),
        'noisy': lambda: noisy(picture, 20),
        'blocky': lambda: blocky(picture, 9),
        'small64': lambda: face.cut(height=64).picture,
        'small40': lambda: face.cut(height=40).picture,
        'mirrored': lambda: np.ascontiguousarray(picture[:, ::-1]),
        'sidelight': lambda: side_lit(plain, topology),
        'glasses': lambda: glasses(picture, landmarks, is_thin=False),
        'thinglasses': lambda: glasses(picture, landmarks, is_thin=True),
        'hand': lambda: hand(picture, landmarks, plain.skin().tolist()),
        'fringe': lambda: fringe(picture, landmarks, plain.hair().tolist()),
        'strands': lambda: strands(picture, landmarks, plain.hair().tolist()),
        'squint': lambda: close_eyes(picture, landmarks, topology, 0.65),
        'closed': lambda: close_eyes(picture, landmarks, topology, 1.0),
        'openmouth': lambda: open_mouth(picture, landmarks, topology),
        'half': lambda: _half(face),
        'upsidedown': lambda: np.ascontiguousarray(picture[::-1, ::-1]),
    }


def _half(face: Portrait) -> Picture:
    """Cut the image off in the middle of the face."""
    plain = face.cut()
    return np.ascontiguousarray(plain.picture[:, round(float(plain.landmarks[4, 0])) :])


def write_png(path: Path, picture: Picture) -> None:
    """Write an image [h,w,3] or [h,w]."""
    path.write_bytes(cv2.imencode('.png', picture)[1].tobytes())


def make(folder: Path, names: list[str], with_clips: bool) -> Iterator[Path]:
    """Write the files, and yield the path of each written file."""
    (folder / COVERS).mkdir(parents=True, exist_ok=True)
    portraits, analyser = load_portraits()
    for face in portraits:
        if names and face.name not in names:
            continue
        for variant, paint in variants(face, analyser.topology).items():
            path = folder / f'{face.name}-{variant}.png'
            painted = paint()
            if isinstance(painted, Painted):
                write_png(folder / COVERS / path.name, painted.cover)
                painted = painted.picture
            write_png(path, painted)
            yield path
    if with_clips:
        yield from write_clips(folder, {face.name: face for face in portraits})


def main() -> None:
    """Generate the files and print their number."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--faces', nargs='+', default=[])
    parser.add_argument('--no-clips', action='store_true')
    arguments = parser.parse_args()
    made = list(make(arguments.folder, arguments.faces, not arguments.no_clips))
    print(f'{len(made)} files in {arguments.folder}')


if __name__ == '__main__':
    main()
