"""Swaps every face of the example pictures onto every other and says what it did to them.

    .venv/bin/python scripts/swap_table.py [--output docs/swap-table.md] [--sheet demo/swap-table.png]

For each pair: the cosine of the dlib embeddings of source and target before and after, and how far lips and lids of
the result lie from the target's (in % of the eye distance). The sheet shows sources down, targets across.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from facefusion.events import silent
from facefusion.faces.analyser import FaceAnalyser
from facefusion.faces.embed import MODEL_ID, FaceEmbedder
from facefusion.faces.face import Face, LinkedFace
from facefusion.faces.skin import SkinMeter, unpack_light
from facefusion.faces.topology import EYE_IMAGE_LEFT, EYE_IMAGE_RIGHT, INNER_LIPS, OUTER_LIPS, eye_distance
from facefusion.inference.pool import SessionPool
from facefusion.media.frame import Frame
from facefusion.media.image import read_image
from facefusion.models.catalog import load_catalog
from facefusion.models.store import ModelStore
from facefusion.processors.face_swapper.mesh_warp.render import MeshWarp
from facefusion.processors.face_swapper.mesh_warp.source import SourceView, build_source

ROOT = Path(__file__).resolve().parent.parent

EXPRESSION = [*EYE_IMAGE_LEFT, *EYE_IMAGE_RIGHT, *INNER_LIPS, *OUTER_LIPS]
TILE = 220


class Gallery:
    """The faces of the example pictures, and the tools to swap and compare them."""

    def __init__(self) -> None:
        store = ModelStore(load_catalog(ROOT / 'models/catalog'), ROOT / 'models/weights', offline=False, emit=silent)
        sessions = SessionPool(store, ('cpu',), 0)
        self.analyser = FaceAnalyser(sessions)
        self.meter = SkinMeter(self.analyser.topology)
        self.embedder = FaceEmbedder(sessions.session(MODEL_ID))
        self.faces: list[tuple[Path, Face]] = []
        for name in ('example_portrait', 'example_group'):
            path = store.path(name)
            found = sorted(self.analyser.find(read_image(path)), key=lambda face: float(face.box[0]))
            self.faces += [(path, face) for face in found]

    def swap(self, source: int, target: int) -> tuple[Frame, Frame]:
        """The target's picture before and after."""
        path, face = self.faces[source]
        warp = MeshWarp(build_source([SourceView(read_image(path), face.landmarks)], self.meter), self.meter)
        path, face = self.faces[target]
        before, after = read_image(path), read_image(path)
        skin = self.meter.measure(before, face.landmarks)
        free = skin.free.astype(np.float32) / 255
        linked = LinkedFace(0, face.landmarks, face.score, False, unpack_light(skin.light), free, skin.traits)
        warp.render(after, linked)
        return before, after

    def expression_error(self, after: Frame, face: Face) -> float:
        """Mean distance of lips and lids, found anew, from the target's, in % of the eye distance."""
        again = self.analyser.follow(after, face.landmarks, face.score)
        if again is None:
            return float('nan')
        moved = np.linalg.norm(again.landmarks[EXPRESSION, :2] - face.landmarks[EXPRESSION, :2], axis=1)
        return 100 * float(moved.mean()) / eye_distance(face.landmarks)


def tile(frame: Frame, face: Face) -> np.ndarray:
    """The face with some surroundings, square."""
    centre, side = (face.box[:2] + face.box[2:]) / 2, 1.7 * float((face.box[2:] - face.box[:2]).max())
    scale = TILE / side
    shift = TILE / 2 - scale * centre
    return frame.warp(np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float64), TILE, TILE)


def main() -> None:
    """Writes the table and the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--output', type=Path)
    parser.add_argument('--sheet', type=Path)
    arguments = parser.parse_args()
    gallery = Gallery()
    names = ['portrait', *(f'group {k}' for k in range(1, len(gallery.faces)))]
    embeddings = [gallery.embedder.embed(read_image(path), face.landmarks) for path, face in gallery.faces]
    lines = ['| source | target | cosine before | after | gain | lips and lids moved, % |', '|---|---|---|---|---|---|']
    heads = [tile(read_image(path), face) for path, face in gallery.faces]
    rows = [np.hstack([np.zeros_like(heads[0]), *heads])]
    gains = []
    for source, name in enumerate(names):
        row = [heads[source]]
        for target, other in enumerate(names):
            face = gallery.faces[target][1]
            if target == source:
                row.append(np.zeros_like(heads[0]))
                continue
            _, after = gallery.swap(source, target)
            row.append(tile(after, face))
            cosine = float(embeddings[source] @ embeddings[target])
            result = float(embeddings[source] @ gallery.embedder.embed(after, face.landmarks))
            gains.append(result - cosine)
            moved = gallery.expression_error(after, face)
            lines.append(f'| {name} | {other} | {cosine:.3f} | {result:.3f} | {result - cosine:+.3f} | {moved:.1f} |')
        rows.append(np.hstack(row))
    summary = f'{sum(gain > 0 for gain in gains)} of {len(gains)} pairs gain; mean gain {np.mean(gains):+.3f}'
    print('\n'.join([*lines, '', summary]))
    if arguments.sheet:
        cv2.imwrite(str(arguments.sheet), np.vstack(rows))
    if arguments.output:
        arguments.output.write_text('\n'.join([*lines, '', summary]) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
