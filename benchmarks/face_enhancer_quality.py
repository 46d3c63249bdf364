"""Measure the embedded face enhancers on faces that were not used to design them.

    PYTHONPATH=. .venv/bin/python benchmarks/face_enhancer_quality.py MEDIA_FOLDER [--json FILE] [--quick]

The faces are those of the example images (the portrait; faces 3 to 5 of the group and every third face of the
conference from 10 on, counted from 0 at the left) and all faces in the images of MEDIA_FOLDER. The images of the folder
have the letters A, B and so on, in the order of their SHA-256 digests; the results contain the first digits of the
digests. The numbers in results/ were measured with five images from the source packages face_recognition 1.3.0 and
facexlib 0.3.0 and from other packages, of which none was used in the design.

The program's own code runs with default settings. Measured for each model:

- fidelity: PSNR and SSIM (quality_measures.py) of the luma of the face box (the box of the mesh, 6 % wider on each
  side) against the clean picture, before and after enhancement. Degradations: "shrunk" (to half its size
  and enlarged with bicubic interpolation), JPEG of quality 75 and 40, H.264 with CRF 28 (the second frame of three),
  and shrunk and JPEG 75. The clean picture itself is enhanced too.
- likeness: the cosine of the dlib embeddings of a swap by the embedded face swapper before and after it is enhanced.
- flicker: the frame-to-frame change of the unrolled face after enhancement divided by that before (``Flicker``), for
  encoded clips of moving, growing faces, and for swaps in these clips.

Prints a summary beside the requirements and exits with 1 if a requirement is missed. --quick measures a part of the
cases.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / 'benchmarks'), str(ROOT / 'scripts')]

from picture_clips import HEIGHT, WIDTH, encode, view_of  # noqa: E402
from picture_paint import Painted  # noqa: E402
from picture_variants import Portrait, blocky, variants, write_png  # noqa: E402
from quality_measures import BGR_TO_YCC, FaceRuler, Flicker, is_swapped, psnr, ssim  # noqa: E402
from quality_studio import Shot, Studio, is_picture  # noqa: E402
from quality_tables import as_json, mean  # noqa: E402

from facefusion.faces.face import Floats, LinkedFace, box_overlap, landmark_box  # noqa: E402
from facefusion.media.frame import Frame, PixelFrame  # noqa: E402
from facefusion.media.image import read_image  # noqa: E402
from facefusion.media.planes import Pixels  # noqa: E402
from facefusion.pipeline.processor_chain import Chain  # noqa: E402
from facefusion.processors.processor import FrameTask  # noqa: E402

DEFAULT, SLOW = 'realesr_animevideov3', 'realesrgan_x4plus'
# The heights of a face in pixels; a picture is enlarged by at most this factor.
HEIGHTS = (60, 100, 170, 280, 400)
MOST_ENLARGED = 1.25
SWAP_HEIGHTS = (120, 250)
# The height of the face in the first and in the last frame of a clip, and the number of frames.
GROWTH, CLIP_FRAMES = (90, 200), 16
CLIP_FACES: tuple[str, ...] = ('portrait', 'group-5', 'A')
# The second model needs seconds for a crop, so it gets one of this many cases and pairs, and the start of one clip.
SLOW_STEP, SLOW_PAIR_STEP, SLOW_FRAMES = 11, 5, 5
LEAST_COSINE, MOST_FLICKER = 0.97, 1.1


@dataclass(frozen=True, slots=True)
class Fidelity:
    """PSNR in dB and SSIM of the degraded picture (108 and 1 for a clean one) and of the enhanced one."""

    face: str
    height: int
    degradation: str
    psnr_before: float
    psnr_after: float
    ssim_before: float
    ssim_after: float


@dataclass(frozen=True, slots=True)
class Likeness:
    """The cosine of a swap and the enhanced swap; ``is_swapped``: whether the swap is visible."""

    source: str
    face: str
    height: int
    cosine: float
    is_swapped: bool


@dataclass(frozen=True, slots=True)
class Steadiness:
    """The flicker ratio and the worst jump (code values) of an enhanced clip; ``kind`` is plain or swapped."""

    face: str
    kind: str
    frames: int
    ratio: float
    worst_jump: float


def shrunk(picture: Pixels) -> Pixels:
    """Return a picture that was shrunk to half its size and enlarged with bicubic interpolation."""
    high, wide = picture.shape[:2]
    small = cv2.resize(picture, (wide // 2, high // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (wide, high), interpolation=cv2.INTER_CUBIC), np.uint8)


def encoded(picture: Pixels, crf: int = 28) -> Pixels:
    """Return the second of three equal frames after H.264; width and height must be even."""
    buffer = io.BytesIO()
    with av.open(buffer, 'w', format='matroska') as container:
        options = {'crf': str(crf), 'preset': 'veryfast', 'threads': '1'}
        stream: Any = container.add_stream('libx264', rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = picture.shape[1], picture.shape[0], 'yuv420p'
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format='bgr24')))
        container.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer, 'r') as written:
        frames = [frame.to_ndarray(format='bgr24') for frame in written.decode(video=0)]
    return np.asarray(frames[1], np.uint8)


DEGRADATIONS: dict[str, Callable[[Pixels], Pixels]] = {
    'clean': lambda picture: picture,
    'shrunk': shrunk,
    'jpeg75': lambda picture: blocky(picture, 75),
    'jpeg40': lambda picture: blocky(picture, 40),
    'h264': encoded,
    'shrunk-jpeg75': lambda picture: blocky(shrunk(picture), 75),
}


def faces_of(studio: Studio, path: Path, name: str, kept: Sequence[int] | None = None) -> list[Portrait]:
    """Return the faces of an image from left to right, or those with the numbers ``kept``."""
    frame = read_image(path)
    found = sorted(studio.analyser.find(frame), key=lambda face: float(face.box[0]))
    numbers = range(len(found)) if kept is None else kept
    names = [name if len(numbers) == 1 else f'{name}-{number}' for number in numbers]
    pixels = frame.read(frame.window)
    return [Portrait(each, pixels, found[number].landmarks) for each, number in zip(names, numbers, strict=True)]


def held_out(studio: Studio, folder: Path) -> tuple[list[Portrait], dict[str, str]]:
    """Return the faces, and the first digits of the digests of the folder's images by their letters."""
    portraits = faces_of(studio, studio.example('example_portrait'), 'portrait')
    portraits += faces_of(studio, studio.example('example_group'), 'group', (3, 4, 5))
    paths = sorted(folder.iterdir(), key=digest)
    letters = {chr(ord('A') + number): path for number, path in enumerate(path for path in paths if is_picture(path))}
    for letter, path in letters.items():
        portraits += faces_of(studio, path, letter)
    portraits += faces_of(studio, studio.example('example_conference'), 'conference', range(10, 29, 3))
    return portraits, {letter: digest(path)[:12] for letter, path in letters.items()}


def digest(path: Path) -> str:
    """Return the SHA-256 digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def has_pixels(face: Portrait, height: float) -> bool:
    """Whether the face need not be enlarged much to be ``height`` pixels high."""
    return bool(height <= MOST_ENLARGED * np.ptp(face.landmarks[:, 1]))


def painted(face: Portrait, studio: Studio) -> Iterator[Portrait]:
    """Yield the face in the dark and with thin glasses, at its own size."""
    plain, paint = face.cut(), variants(face, studio.analyser.topology)
    for name in ('dark', 'thinglasses'):
        made = paint[name]()
        picture = made.picture if isinstance(made, Painted) else made
        yield Portrait(f'{face.name}-{name}', picture, plain.landmarks)


def still_cases(studio: Studio, portraits: Sequence[Portrait]) -> list[tuple[Portrait, int, str]]:
    """Return faces at a size with the name of a degradation; a face has every other size."""
    more = [each for face in portraits[:4:3] for each in painted(face, studio)]
    cases = []
    for number, face in enumerate([*portraits, *more]):
        sizes = [height for height in HEIGHTS if has_pixels(face, height)]
        for height in sizes[number % 2 if len(sizes) > 1 else 0 :: 2]:
            cut = face.cut(height=height)
            cases += [(cut, height, name) for name in DEGRADATIONS]
    return cases


def enhance(chain: Chain, frame: Frame, face: LinkedFace) -> None:
    """Enhance one face of a frame in place."""
    chain.apply([FrameTask(frame, (face,))])


def measure_fidelity(chain: Chain, case: tuple[Portrait, int, str]) -> Fidelity:
    """Degrade a face, enhance it, and compare both with the clean picture."""
    face, height, name = case
    degraded = DEGRADATIONS[name](face.picture)
    frame = PixelFrame(degraded.copy())
    enhance(chain, frame, LinkedFace(0, face.landmarks, 1.0))
    clean, before, after = (face_luma(each, face.landmarks) for each in (face.picture, degraded, frame.pixels))
    values = (compare(clean, each) for compare in (psnr, ssim) for each in (before, after))
    return Fidelity(face.name, height, name, *values)


def face_luma(picture: Any, landmarks: Floats) -> Floats:
    """Return the luma of the face box, float32 [h,w]."""
    low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
    margin = 0.06 * (high - low)
    x0, y0 = np.maximum(np.floor(low - margin), 0).astype(int)
    x1, y1 = np.ceil(high + margin).astype(int)
    return np.asarray(picture[y0:y1, x0:x1].astype(np.float32) @ BGR_TO_YCC[0], np.float32)


def main_face(shot: Shot, box: Floats | None = None) -> LinkedFace | None:
    """Return the face of a shot that overlaps ``box`` most, or else the largest one; None without a face."""
    if box is not None:
        return max(shot.faces, key=lambda face: box_overlap(face.box, box), default=None)
    return max(shot.faces, key=lambda face: float(np.ptp(face.landmarks[:, 1])), default=None)


class Swaps:
    """Swaps of held-out faces onto held-out faces, as files in a folder."""

    def __init__(self, studio: Studio, portraits: Sequence[Portrait], folder: Path) -> None:
        self._studio, self._folder = studio, folder
        self._ruler = FaceRuler(studio.analyser.topology)
        self._faces = {face.name: face for face in portraits}
        # Small faces are no usual sources.
        self._sources = [face for face in portraits if has_pixels(face, SWAP_HEIGHTS[0])]
        self._clips: dict[str, Path] = {}

    def pairs(self) -> list[tuple[Portrait, Portrait, int]]:
        """Return a source, a target and the height of the target's face for every target and possible height."""
        turned = [*self._sources[1:], self._sources[0]]
        chosen = zip(turned, self._sources, strict=True)
        return [(source, face, size) for source, face in chosen for size in SWAP_HEIGHTS if has_pixels(face, size)]

    def chain(self, source: Portrait) -> Chain:
        """Return the swapper for a source."""
        path = self._folder / f'source-{source.name}.png'
        if not path.exists():
            write_png(path, source.cut().picture)
        return self._studio.prepare((path,))

    def likeness(self, chain: Chain, source: Portrait, face: Portrait, height: int) -> Likeness:
        """Swap, enhance and compare the embeddings before and after enhancement."""
        cut = face.cut(height=height)
        path = self._folder / 'target.png'
        write_png(path, blocky(cut.picture, 75))
        (shot,) = self._studio.shots(self._studio.link(path), self.chain(source))
        linked = main_face(shot, landmark_box(cut.landmarks))
        assert linked is not None, f'{face.name} is not linked'
        seen = self._ruler.seen(shot.before, linked.landmarks)
        target, result = (self._ruler.unroll(frame, linked.landmarks) for frame in (shot.before, shot.after))
        before = self._studio.embedder.embed(shot.after, linked.landmarks)
        enhance(chain, shot.after, linked)
        after = self._studio.embedder.embed(shot.after, linked.landmarks)
        return Likeness(source.name, face.name, height, float(before @ after), is_swapped(target, result, seen))

    def steadiness(self, chain: Chain, name: str, kind: str, frames: int) -> Steadiness:
        """Measure the flicker of a clip of one face, or of a swap in it, before and after enhancement."""
        target = self._studio.link(self._clip(name))
        source = next(face for face in self._sources if face.name != name)
        swapped = kind == 'swapped'
        shots = self._studio.shots(target, self.chain(source)) if swapped else self._studio.originals(target)
        flicker, shown = Flicker(), 0
        for shot in itertools.islice(shots, frames):
            linked = main_face(shot)
            if linked is None:
                continue
            seen = self._ruler.seen(shot.after, linked.landmarks)
            before = self._ruler.unroll(shot.after, linked.landmarks)[..., 0]
            enhance(chain, shot.after, linked)
            after = self._ruler.unroll(shot.after, linked.landmarks)[..., 0]
            flicker.add(linked.track, shot.number, before, after, seen)
            shown += 1
        return Steadiness(name, kind, shown, flicker.ratio, flicker.worst_jump)

    def _clip(self, name: str) -> Path:
        path = self._folder / f'clip-{name}.mp4'
        if path.exists():
            return path
        face = self._faces[name]

        def frame_at(number: int) -> Pixels:
            share = number / (CLIP_FRAMES - 1)
            height = GROWTH[0] * (GROWTH[1] / GROWTH[0]) ** share
            at = (0.5 + 20 / WIDTH * np.sin(4 * share), 0.5 + 10 / HEIGHT * np.cos(5 * share))
            return view_of(face, height, 4 * np.sin(9 * share), at)[0]

        encode(path, frame_at, CLIP_FRAMES, 23)
        return path


def measure(studio: Studio, model: str, cases: Sequence[tuple[Portrait, int, str]], swaps: Swaps) -> dict[str, Any]:
    """Return the rows of a model."""
    started = time.monotonic()
    chain, pairs, clips, frames = studio.enhancer(model), swaps.pairs(), CLIP_FACES, CLIP_FRAMES
    if model == SLOW:
        cases, pairs = cases[1::SLOW_STEP], pairs[1::SLOW_PAIR_STEP]
        clips, frames = CLIP_FACES[:1], SLOW_FRAMES
    fidelity = [measure_fidelity(chain, case) for case in cases]
    likeness = [swaps.likeness(chain, *pair) for pair in pairs]
    steadiness = [swaps.steadiness(chain, name, kind, frames) for name in clips for kind in ('plain', 'swapped')]
    seconds = time.monotonic() - started
    return {'fidelity': fidelity, 'likeness': likeness, 'steadiness': steadiness, 'seconds': seconds}


def summarise(rows: dict[str, Any]) -> dict[str, Any]:
    """Return means and worst values of a model's rows; ``passes`` compares them with the requirements.

    The mean gain must not be below 0 for any degradation; the number of single cases below 0 is reported.
    """
    fidelity = [row for row in rows['fidelity'] if row.degradation != 'clean']
    clean = [row for row in rows['fidelity'] if row.degradation == 'clean']
    parts = {name: [row for row in fidelity if row.degradation == name] for name in DEGRADATIONS}
    heights = {f'{height} px': [row for row in fidelity if row.height == height] for height in HEIGHTS}
    gains = {name: _gains(part) for name, part in ({'all': fidelity} | parts | heights).items() if part}
    cosines = [row.cosine for row in rows['likeness'] if row.is_swapped]
    ratios = {kind: [row.ratio for row in rows['steadiness'] if row.kind == kind] for kind in ('plain', 'swapped')}
    flicker = {kind: {'mean': mean(values), 'worst': max(values)} for kind, values in ratios.items()}
    passes = {
        'psnr': all(gains[name]['psnr']['mean'] >= 0 for name, part in parts.items() if part),
        'ssim': all(gains[name]['ssim']['mean'] >= 0 for name, part in parts.items() if part),
        'cosine': min(cosines) >= LEAST_COSINE,
        'flicker': max(part['worst'] for part in flicker.values()) <= MOST_FLICKER,
    }
    return {
        'passes': passes,
        'gains': gains,
        'clean_after': {'psnr_least': least(clean, 'psnr_after'), 'ssim_least': least(clean, 'ssim_after')},
        'cosine': {'cases': len(cosines), 'mean': mean(cosines), 'worst': min(cosines)},
        'flicker': flicker,
        'seconds': rows['seconds'],
    }


def least(rows: Sequence[Fidelity], column: str) -> float:
    """Return the smallest value of a column; NaN without rows."""
    return min((float(getattr(row, column)) for row in rows), default=float('nan'))


def _gains(rows: Sequence[Fidelity]) -> dict[str, Any]:
    """Return the mean and the worst gain, and the PSNR of the degraded picture in the worst case."""
    worst = min(rows, key=lambda row: row.psnr_after - row.psnr_before)
    levels = [row.psnr_after - row.psnr_before for row in rows]
    shapes = [row.ssim_after - row.ssim_before for row in rows]
    return {
        'cases': len(rows),
        'below_0': sum(min(both) < 0 for both in zip(levels, shapes, strict=True)),
        'psnr': {'mean': mean(levels), 'worst': min(levels), 'before_of_worst': worst.psnr_before},
        'ssim': {'mean': mean(shapes), 'worst': min(shapes)},
    }


def main() -> None:
    """Measure, print the summary, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--json', type=Path)
    parser.add_argument('--quick', action='store_true')
    given = parser.parse_args()
    cv2.setNumThreads(1)
    studio = Studio()
    portraits, digests = held_out(studio, given.folder)
    cases = still_cases(studio, portraits)[:: 7 if given.quick else 1]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        swaps = Swaps(studio, portraits, Path(folder))
        for model in (DEFAULT,) if given.quick else (DEFAULT, SLOW):
            found[model] = measure(studio, model, cases, swaps)
    summary = {model: summarise(rows) for model, rows in found.items()}
    required = {'psnr_gain': 0, 'ssim_gain': 0, 'cosine': LEAST_COSINE, 'flicker': MOST_FLICKER}
    kinds = ('fidelity', 'likeness', 'steadiness')
    listed = {model: {kind: [asdict(row) for row in rows[kind]] for kind in kinds} for model, rows in found.items()}
    record = {'required': required, 'images': digests, 'summary': summary, 'rows': listed}
    print(json.dumps(as_json({'required': required, 'summary': summary}), indent=2))
    if given.json:
        given.json.write_text(json.dumps(as_json(record), indent=1) + '\n', encoding='utf-8')
    sys.exit(not all(passed for each in summary.values() for passed in each['passes'].values()))


if __name__ == '__main__':
    main()
