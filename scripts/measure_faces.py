"""Measure face detection: the share of faces found in harder variants of images, and the false positives.

Usage: PYTHONPATH=. python scripts/measure_faces.py FACES [OTHERS]

FACES is a folder of images of people; the script searches variants of each image for the faces found in the original.
OTHERS is a folder of images without faces (animals, drawings, patterns), in which every detection is a false positive.
For each variant, the table lists the number of faces, the number that the detector reports, and the numbers that the
first and the second check accept.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from facefusion.events import silent
from facefusion.faces.analyser import FaceAnalyser
from facefusion.faces.face import Face, Floats, box_overlap
from facefusion.faces.landmarks.subsets import five_points
from facefusion.faces.topology import eye_distance
from facefusion.inference.pool import SessionPool
from facefusion.media.frame import PixelFrame
from facefusion.media.image import read_image
from facefusion.media.planes import Pixels
from facefusion.models.catalog import load_catalog
from facefusion.models.store import ModelStore

ROOT = Path(__file__).resolve().parent.parent
LONGEST_SIDE = 1000
ENDINGS = ('.jpg', '.jpeg', '.png', '.webp')


def shrunk(pixels: Pixels) -> Pixels:
    """Shrink an image to the size at which the documented numbers were measured."""
    scale = min(1.0, LONGEST_SIDE / max(pixels.shape[:2]))
    return np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def coloured(pixels: Pixels, *factors: float) -> Pixels:
    """Multiply blue, green and red by a factor each."""
    return np.asarray(np.clip(pixels * np.array(factors), 0, 255), np.uint8)


def glasses(pixels: Pixels, faces: list[Face], thickness: int) -> Pixels:
    """Paint rings around the eyes, or black glasses if ``thickness`` is -1."""
    painted = pixels.copy()
    for face in faces:
        radius = max(2, int(0.38 * eye_distance(face.landmarks)))
        for x, y in five_points(face.landmarks)[:2]:
            cv2.circle(painted, (int(x), int(y)), radius, (20, 20, 30), thickness, cv2.LINE_AA)
    return painted


def variants(pixels: Pixels, faces: list[Face]) -> Iterator[tuple[str, Pixels, Floats]]:
    """Yield the name and image of each variant, and the float32 [2,3] matrix from the original image to it."""
    same = np.eye(2, 3, dtype=np.float32)
    height, width = pixels.shape[:2]
    random = np.random.default_rng(1)
    yield 'plain', pixels, same
    yield 'mirrored', np.ascontiguousarray(pixels[:, ::-1]), np.array([[-1, 0, width - 1], [0, 1, 0]], np.float32)
    for share in (0.5, 0.25, 0.12):
        yield 'dark', coloured(pixels, share, share, share), same
    for deviation in (12, 25):
        yield 'noise', np.clip(pixels + random.normal(0, deviation, pixels.shape), 0, 255).astype(np.uint8), same
    yield 'warm', coloured(pixels, 0.55, 0.9, 1.3), same
    yield 'cold', coloured(pixels, 1.3, 1.0, 0.6), same
    for thickness in (3, -1):
        yield 'glasses', glasses(pixels, faces, thickness), same
    for degrees in (-60, -40, -30, -15, 15, 30, 40, 60):
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
        turned = cv2.warpAffine(pixels, turn, (width, height), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
        yield 'turned', np.asarray(turned, np.uint8), np.asarray(turn, np.float32)
    largest = max((float((face.box[2:] - face.box[:2]).max()) for face in faces), default=200.0)
    for size in (80, 40, 24):
        if size < largest:
            small = cv2.resize(pixels, None, fx=size / largest, fy=size / largest, interpolation=cv2.INTER_AREA)
            scale = np.diag([small.shape[1] / width, small.shape[0] / height])
            yield 'small', np.asarray(small, np.uint8), np.hstack([scale, np.zeros((2, 1))]).astype(np.float32)


def count(analyser: FaceAnalyser, frame: PixelFrame, boxes: list[Floats] | None) -> list[int]:
    """Count detections, and those that pass the first and the second check; with ``boxes``, at most one per box."""
    reported = first = second = 0
    left = list(boxes or ())
    for detection in analyser.detect(frame):
        if boxes is not None:
            at = [k for k, box in enumerate(left) if box_overlap(box, detection.box) > 0.2]
            if not at:
                continue
            del left[max(at, key=lambda k: box_overlap(left[k], detection.box))]
        face = analyser.from_detection(frame, detection)
        reported += 1
        first += face is not None
        second += face is not None and analyser.is_sure(frame, face)
    return [reported, first, second]


def measure(analyser: FaceAnalyser, folder: Path, has_faces: bool) -> None:
    """Print the table of the results for a folder."""
    table: dict[str, Floats] = {}
    for path in sorted(path for path in folder.rglob('*') if path.suffix.lower() in ENDINGS):
        picture_frame = read_image(path)
        pixels = shrunk(picture_frame.read(picture_frame.window))
        faces = analyser.find(PixelFrame(pixels)) if has_faces else []
        for name, picture, matrix in variants(pixels, faces):
            places = [face.landmarks[:, :2] @ matrix[:, :2].T + matrix[:, 2] for face in faces]
            boxes = [np.concatenate([place.min(0), place.max(0)]).astype(np.float32) for place in places]
            boxes = [box for box in boxes if _is_inside(box, picture)]
            found = count(analyser, PixelFrame(picture), boxes if has_faces else None)
            row = table.setdefault(name, np.zeros(4, np.float32))
            row += np.array([len(boxes) if has_faces else 1, *found], np.float32)
    print(f'{"variant":10} {"faces" if has_faces else "pictures":>9} reported first second')
    for name, row in [*table.items(), ('all', np.sum(list(table.values()), 0))]:
        print(f'{name:10} {row[0]:9.0f} {row[1]:8.0f} {row[2]:5.0f} {row[3]:6.0f}')


def _is_inside(box: Floats, picture: Pixels) -> bool:
    x, y = (box[:2] + box[2:]) / 2
    return bool(0 <= x < picture.shape[1] and 0 <= y < picture.shape[0])


def main() -> None:
    """Measure the folders named on the command line."""
    store = ModelStore(
        load_catalog(ROOT / 'models' / 'catalog'), ROOT / 'models' / 'weights', offline=True, emit=silent
    )
    analyser = FaceAnalyser(SessionPool(store, ('cpu',), 0))
    measure(analyser, Path(sys.argv[1]), has_faces=True)
    for name in sys.argv[2:]:
        measure(analyser, Path(name), has_faces=False)


if __name__ == '__main__':
    main()
