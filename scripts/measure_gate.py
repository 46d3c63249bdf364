"""Measure the false positives of the content gate on harmless images, and its cost.

    .venv/bin/python scripts/measure_gate.py [--output benchmarks/results/content_gate.json] [--downloads FOLDER]

The images come from packages (photos, portraits, groups, textures, drawings, medical images, frames of sample clips);
the script adds variants of them, close-ups of faces, and generated fields and gradients in skin colours. The packages
are downloaded with the configured pip and npm, but not installed; unavailable packages are listed and skipped. Recall
is not measured, because the project contains no harmful images.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatch
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / 'benchmarks')]

from content_gate_cost import costs  # noqa: E402 - needs the path above

from facefusion.errors import ContentRefused  # noqa: E402
from facefusion.events import silent  # noqa: E402
from facefusion.faces.analyser import FaceAnalyser  # noqa: E402
from facefusion.inference.pool import SessionPool  # noqa: E402
from facefusion.media.frame import PixelFrame  # noqa: E402
from facefusion.models.catalog import load_catalog  # noqa: E402
from facefusion.models.store import ModelStore  # noqa: E402
from facefusion.safety.content_gate import ContentGate, Sample, prepare_gate  # noqa: E402
from facefusion.safety.sampling import plan_sampling  # noqa: E402
from facefusion.safety.voters import EMBEDDED  # noqa: E402

# The requirement, the arguments of pip (None: npm), and the patterns of the image files.
WHEEL = (
    *('--only-binary=:all:', '--python-version=3.11', '--platform=manylinux_2_28_x86_64'),
    *('--platform=manylinux2014_x86_64', '--platform=any'),
)
PACKAGES = (
    ('scikit-image==0.26.0', WHEEL, ('skimage/data/*',)),
    ('scikit-learn==1.9.1', WHEEL, ('sklearn/datasets/images/*',)),
    ('matplotlib==3.11.2', WHEEL, ('*/sample_data/*',)),
    ('gradio==6.31.0', WHEEL, ('gradio/media_assets/*', 'gradio/test_data/*')),
    ('insightface==2.1', WHEEL, ('insightface/data/images/*',)),
    ('ultralytics==8.4.190', WHEEL, ('ultralytics/assets/*',)),
    ('face_recognition==1.3.0', ('--no-binary=:all:', '--no-build-isolation'), ('*/test_images/*',)),
    ('@vladmandic/face-api@1.7.15', None, ('*/demo/*',)),
)
PICTURES = ('.jpg', '.jpeg', '.png', '.webp', '.gif')
CLIPS = ('.mp4', '.avi')
SMALLEST_SIDE = 64
# Skin colours in BGR, from light to dark.
SKIN = (
    *((224, 237, 246), (219, 231, 243), (208, 234, 247), (186, 218, 234), (160, 189, 215)),
    *((86, 126, 160), (67, 92, 130), (52, 65, 96), (42, 49, 58), (32, 36, 41)),
)
# The minimum size of a face in pixels; close-ups of smaller faces would be blurred.
SMALLEST_FACE = 40

Picture = np.ndarray
Named = tuple[str, Picture]


def members(requirement: str, how: tuple[str, ...] | None, patterns: tuple[str, ...], folder: Path) -> Iterator[Named]:
    """Yield name and bytes of the matching files of a package."""
    place = folder / ''.join(letter if letter.isalnum() else '-' for letter in requirement)
    if not place.is_dir():
        get = ['npm', 'pack', '--silent', requirement]
        if how is not None:
            get = [sys.executable, '-m', 'pip', 'download', '-q', '--no-deps', *how, requirement]
        with tempfile.TemporaryDirectory(dir=folder) as part:
            subprocess.run(get, cwd=part, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            shutil.copytree(part, place)
    (archive,) = place.iterdir()
    if archive.suffix == '.whl':
        with zipfile.ZipFile(archive) as wheel:
            files = [(name, wheel.read(name)) for name in wheel.namelist()]
    else:
        with tarfile.open(archive) as tar:
            files = [(each.name, tar.extractfile(each).read()) for each in tar.getmembers() if each.isfile()]
    yield from ((name, data) for name, data in files if any(fnmatch(name, pattern) for pattern in patterns))


def shipped(folder: Path) -> tuple[list[Named], list[Named], dict[str, bytes], dict[str, int]]:
    """Return images, tiny grey images, clips, and the number of images of each package.

    An image is named after its package and number, because file names may contain the names of the people shown.
    """
    pictures, tiny, clips, counts = [], [], {}, {}
    seen = set()
    for requirement, how, patterns in PACKAGES:
        try:
            files = list(members(requirement, how, patterns, folder))
        except (OSError, subprocess.CalledProcessError) as error:
            print(f'skipped: {requirement} ({error})', file=sys.stderr)
            continue
        before = len(pictures)
        for name, data in files:
            suffix = Path(name).suffix.lower()
            if data in seen:
                continue
            seen.add(data)
            if suffix in PICTURES:
                picture = decode(data, suffix)
                if picture is not None and min(picture.shape[:2]) >= SMALLEST_SIDE:
                    pictures.append((f'{requirement} {len(pictures) - before}', picture))
            elif suffix in CLIPS:
                clips[name] = data
            elif name.endswith('lfw_subset.npy'):
                grey = np.load(io.BytesIO(data))
                tiny += [(name, np.repeat((each * 255).astype(np.uint8)[..., None], 3, 2)) for each in grey]
        counts[requirement] = len(pictures) - before
    return pictures, tiny, clips, counts


def decode(data: bytes, suffix: str) -> Picture | None:
    """Return the image, or a GIF's first frame; None if OpenCV cannot read it."""
    if suffix == '.gif':
        with av.open(io.BytesIO(data)) as container:
            return next(container.decode(video=0)).to_ndarray(format='bgr24')
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def variants(picture: Picture) -> Iterator[Named]:
    """Yield variants of an image, such as cameras, editors and networks produce."""
    high, wide = picture.shape[:2]
    rng = np.random.default_rng(0)
    for name, (top, left) in {'middle': (0.25, 0.25), 'top left': (0, 0), 'bottom right': (0.5, 0.5)}.items():
        y, x = int(top * high), int(left * wide)
        yield f'crop {name}', picture[y : y + high // 2, x : x + wide // 2]
    yield 'mirrored', picture[:, ::-1]
    yield 'dark', cv2.convertScaleAbs(picture, alpha=0.3)
    yield 'bright', cv2.convertScaleAbs(picture, alpha=1.6, beta=20)
    warm = picture.astype(np.float32) * (0.6, 0.85, 1.15)
    yield 'warm', np.clip(warm, 0, 255).astype(np.uint8)
    skin = picture.mean(2, keepdims=True) / 255 * np.array(SKIN[4])
    yield 'skin tone', np.clip(skin * 1.2, 0, 255).astype(np.uint8)
    yield 'grey', cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    yield 'noise', np.clip(picture + rng.normal(0, 25, picture.shape), 0, 255).astype(np.uint8)
    yield 'blurred', cv2.GaussianBlur(picture, (0, 0), max(high, wide) * 0.02)
    scale = 64 / max(high, wide)
    yield 'enlarged', cv2.resize(cv2.resize(picture, None, fx=scale, fy=scale), (wide, high))
    yield 'JPEG 10', cv2.imdecode(cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, 10])[1], cv2.IMREAD_COLOR)


def close_ups(picture: Picture, analyser: FaceAnalyser) -> Iterator[Named]:
    """Yield four crops of each face of an image: with surroundings, without them, half a cheek, and mouth and chin."""
    for face in analyser.find(PixelFrame(picture)):
        x0, y0, x1, y1 = face.box
        side = float(max(x1 - x0, y1 - y0))
        if side < SMALLEST_FACE:
            continue
        centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
        parts = {'head': (2.0, (0, 0)), 'face': (1.0, (0, 0)), 'cheek': (0.5, (0.2, 0.15)), 'mouth': (0.5, (0, 0.3))}
        for name, (share, offset) in parts.items():
            scale = 512 / (side * share)
            shift = 256 - scale * (centre + side * np.array(offset))
            matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
            yield name, PixelFrame(picture).warp(matrix, 512, 512)


def generated() -> Iterator[Named]:
    """Yield fields, gradients, noise and soft shapes, mostly in the colours of skin."""
    high, wide = 360, 640
    rng = np.random.default_rng(1)
    down, across = np.mgrid[0 : 1 : high * 1j, 0 : 1 : wide * 1j][..., None]
    for value in (0, 64, 128, 192, 255):
        yield 'grey field', np.full((high, wide, 3), value, np.uint8)
    for number in range(10):
        yield 'noise', rng.integers(0, 256, (high >> number % 5, wide >> number % 5, 3), np.uint8)
    for tone in SKIN:
        colour = np.array(tone, np.float64)
        shapes = cv2.GaussianBlur(rng.normal(0, 1, (high, wide)), (0, 0), 40)[..., None]
        fields = {
            'skin field': np.ones((high, wide, 1)),
            'skin gradient': 0.4 + 0.6 * down,
            'skin gradient across': 0.5 + 0.5 * np.sin(3 * across),
            'skin grain': 1 + rng.normal(0, 0.08, (high, wide, 1)),
            'skin shapes': 1 + 0.25 * shapes / np.abs(shapes).max(),
        }
        for name, light in fields.items():
            yield name, np.clip(colour * light, 0, 255).astype(np.uint8)
        # Soft cylinders that resemble limbs, on dark and on white.
        for ground in (20, 240):
            light = np.clip(np.sin(across * 6 * np.pi), 0, 1)
            yield 'skin columns', (colour * light + ground * (1 - light)).astype(np.uint8)


def all_sets(pictures: list[Named], tiny: list[Named], analyser: FaceAnalyser) -> dict[str, list[Named]]:
    """Return the images to score, by the name of their set."""
    groups: dict[str, list[Named]] = {'as shipped': pictures, 'tiny grey pictures': tiny}
    for label, picture in pictures:
        for name, variant in variants(picture):
            groups.setdefault(f'variant: {name}', []).append((label, np.ascontiguousarray(variant)))
        for name, part in close_ups(picture, analyser):
            groups.setdefault(f'close-up: {name}', []).append((label, part))
    for name, picture in generated():
        groups.setdefault(f'generated: {name}', []).append(('generated', picture))
    return groups


def score_sets(gate: ContentGate, groups: dict[str, list[Named]]) -> tuple[dict[str, list[float]], list[dict]]:
    """Return the scores of each set, and the images that would be refused."""
    sets, refused = {}, []
    for name, items in groups.items():
        scores = [gate.classify_still(picture) for _, picture in items]
        sets[name] = [score for (score,) in scores]
        refused += [
            {'set': name, 'picture': label, 'score': round(each[0], 3)}
            for (label, _), each in zip(items, scores, strict=True)
            if gate.is_positive(each)
        ]
    return sets, refused


def judge_clips(gate: ContentGate, clips: dict[str, bytes]) -> tuple[list[float], int]:
    """Return the scores of all sampled frames, and the number of refused clips."""
    scores, refused = [], 0
    for name, data in clips.items():
        with av.open(io.BytesIO(data)) as container:
            frames = [frame.to_ndarray(format='bgr24') for frame in container.decode(video=0)]
            rate = container.streams.video[0].average_rate or Fraction(25)
        sampling = plan_sampling(0, len(frames), rate)
        found = gate.classify([frames[number] for number in sampling.regular])
        samples = [Sample(n, float(n / rate), each) for n, each in zip(sampling.regular, found, strict=True)]
        try:
            gate.refuse_if_unsafe(Path(name), samples, sampling.step)
        except ContentRefused:
            refused += 1
        scores += [score for (score,) in found]
    return scores, refused


def summary(scores: list[float]) -> dict[str, float]:
    """Return statistics of the scores of a set."""
    values = np.array(scores)
    return {
        'pictures': len(values),
        'median': round(float(np.median(values)), 3),
        'p95': round(float(np.percentile(values, 95)), 3),
        'max': round(float(values.max()), 3),
        'at_least_0.5': int((values >= 0.5).sum()),
        'at_least_0.8': int((values >= 0.8).sum()),
    }


def main() -> None:
    """Write the results as JSON and print them as a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--output', type=Path)
    parser.add_argument('--downloads', type=Path, help='folder that caches the packages')
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    store = ModelStore(load_catalog(ROOT / 'models/catalog'), ROOT / 'models/weights', offline=False, emit=silent)
    sessions = SessionPool(store, ('cpu',), 0)
    gate = prepare_gate(sessions, (EMBEDDED,))
    folder = arguments.downloads or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    try:
        pictures, tiny, clips, counts = shipped(folder)
    finally:
        if arguments.downloads is None:
            shutil.rmtree(folder)

    sets, refused = score_sets(gate, all_sets(pictures, tiny, FaceAnalyser(sessions)))
    sets['frames of clips'], refused_clips = judge_clips(gate, clips)
    every = [value for values in sets.values() for value in values]
    photo = cv2.imread(str(store.path('example_group')))
    result = {
        'machine': {'cpu': platform.machine(), 'cores': os.cpu_count(), 'python': platform.python_version()},
        'gate': gate.as_record(),
        'packages': counts,
        'all': summary(every),
        'refused': refused,
        'clips': {'count': len(clips), 'refused': refused_clips},
        'sets': {name: summary(values) for name, values in sets.items()},
        'cpu_ms_a_frame': costs(gate, sessions.session(EMBEDDED), photo),
    }
    print('| set | pictures | median | 95 % | highest | .5 or more | .8 or more |\n|---|---|---|---|---|---|---|')
    for name, row in {**result['sets'], 'all': result['all']}.items():
        print(f'| {name} | ' + ' | '.join(f'{value:g}' for value in row.values()) + ' |')
    print(json.dumps({key: result[key] for key in ('packages', 'refused', 'clips', 'cpu_ms_a_frame')}, indent=2))
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=2) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
