"""Measure the embedded frame enhancers on pictures: fidelity, seams of tiles, flicker.

    PYTHONPATH=. .venv/bin/python benchmarks/frame_enhancer_quality.py MEDIA_FOLDER [--json FILE] [--slow]

The pictures are the example images and those of MEDIA_FOLDER, cut to a square in the middle. The numbers in results/
were measured with pictures from the packages scikit-image 0.26.0 (chelsea, coffee, page, rocket, motorcycle_left,
hubble_deep_field) and scikit-learn 1.9.1 (china, flower). The program's own code runs, with a blend of 100 percent, and
span also with the default of 80.

- fidelity: PSNR and SSIM (quality_measures.py) of the luma of a picture that was shrunk to 1/2 or 1/4 and enlarged
  again, beside those of a Lanczos filter. Pictures are shrunk with the antialiased cubic filter of the training, for
  which a gain is required, or with an area filter, without compression.
- seams: the difference of a picture enlarged in tiles from the same picture enlarged as a whole, with the same
  reflected borders, in code values. --slow includes realesrgan_x4plus, which takes minutes.
- flicker: the mean difference of neighbouring frames of an enlarged clip, divided by that of the clip enlarged with a
  Lanczos filter, for a still picture with noise in frames of motion JPEG; by --frame-enhancer-stability. (H.264
  removes the noise of a still picture itself.)

- cost: the CPU time to enlarge a frame of 960x540 in tiles and to blend it, beside that of its network calls.

Prints a summary beside the requirements and exits with 1 if a requirement is missed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / 'benchmarks')]

from quality_measures import psnr, ssim  # noqa: E402
from quality_tables import as_json  # noqa: E402

from facefusion.inference.runtime import onnxruntime  # noqa: E402
from facefusion.media.frame import PixelFrame  # noqa: E402
from facefusion.media.planes import Pixels, Plane  # noqa: E402
from facefusion.models.catalog import load_catalog  # noqa: E402
from facefusion.processors.frame_enhancer.network import Upscaler  # noqa: E402
from facefusion.processors.frame_enhancer.process import FrameEnhancer  # noqa: E402
from facefusion.processors.frame_enhancer.registration import REACH  # noqa: E402
from facefusion.processors.frame_enhancer.tiles import Values, enlarged_bands  # noqa: E402
from facefusion.processors.processor import FrameTask  # noqa: E402
from facefusion.stopping import StopFlag  # noqa: E402

SIDE, THREADS = 384, 2
FIDELITY = (('span_x2', 1.0), ('span_x2', 0.8), ('span_x4', 1.0), ('span_x4', 0.8), ('realesr_animevideov3', 1.0))
SEAMS, SLOW = ('span_x2', 'span_x4', 'realesr_animevideov3'), 'realesrgan_x4plus'
SEAM_SIDE, SLOW_SIDE = 330, 170
CLIP_SIDE, CLIP_FRAMES, NOISE = 160, 12, 3.0
MOST_CODES, MOST_MEAN = 1, 0.6
COST_SIZE = (960, 540)


def upscaler(name: str) -> Upscaler:
    """Return an embedded upscaler of models/weights."""
    entry = load_catalog(ROOT / 'models' / 'catalog').entry(name)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    path = str(ROOT / 'models' / 'weights' / entry.file)
    session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])
    assert entry.contract is not None
    return Upscaler(name, session, entry.contract, 1)


def pictures(folder: Path) -> dict[str, Pixels]:
    """Return the middle of each picture by its name."""
    examples = [
        ROOT / 'models' / 'weights' / f'example_{name}' for name in ('portrait.png', 'group.jpg', 'conference.jpg')
    ]
    found = {}
    for path in [*examples, *sorted(folder.iterdir())]:
        image = cv2.imread(str(path))
        if image is not None:
            high, wide = image.shape[:2]
            side = min(SIDE, high // 4 * 4, wide // 4 * 4)
            top, left = (high - side) // 2, (wide - side) // 2
            found[path.stem] = np.asarray(image[top : top + side, left : left + side], np.uint8)
    return found


def shrunk(image: Pixels, scale: int, way: str) -> Pixels:
    """Return a picture at 1/scale of its size, with an antialiased cubic or an area filter."""
    size = image.shape[1] // scale, image.shape[0] // scale
    if way == 'area':
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC), np.uint8)


def lanczos(image: Pixels, scale: int) -> Pixels:
    """Return an enlarged picture."""
    size = image.shape[1] * scale, image.shape[0] * scale
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS), np.uint8)


def luma(image: Pixels) -> Any:
    """Return the luma of a picture, uint8 [h,w]."""
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def measure_fidelity(images: dict[str, Pixels]) -> list[dict[str, Any]]:
    """Return a record for each picture, model and way of shrinking."""
    records = []
    for name, share in FIDELITY:
        network = upscaler(name)
        enhancer = FrameEnhancer(network, share, 0.0, StopFlag())
        for picture, image in images.items():
            for way in ('cubic', 'area') if share == 1 else ('cubic',):
                small = shrunk(image, network.scale, way)
                results = {'lanczos': lanczos(small, network.scale), 'model': enhancer.enlarged(small)}
                record = {'model': name, 'blend': share, 'picture': picture, 'way': way}
                for kind, after in results.items():
                    after = np.asarray(after, np.uint8)
                    record[f'psnr_{kind}'] = psnr(luma(image), luma(after))
                    record[f'ssim_{kind}'] = ssim(luma(image), luma(after))
                records.append(record)
                print({key: round(value, 3) if isinstance(value, float) else value for key, value in record.items()})
    return records


def measure_seams(images: dict[str, Pixels], name: str, side: int) -> dict[str, Any]:
    """Return the difference in code values between a picture enlarged in tiles and as a whole."""
    network = upscaler(name)
    scale, edge = network.scale, network.rule.padding + network.rule.overlap
    image = images['portrait' if 'portrait' in images else 'example_portrait'][:side, :side]
    tiled = np.concatenate([band.values for band in enlarged_bands(image, network.enlarge, network.rule, scale, 1)])
    whole = network.enlarge([np.asarray(cv2.copyMakeBorder(image, *[edge] * 4, cv2.BORDER_REFLECT_101), np.uint8)])[0]
    whole = whole[scale * edge : -scale * edge, scale * edge : -scale * edge]
    codes = np.abs(np.rint(tiled * 255) - np.rint(whole * 255))
    record = {'model': name, 'side': side, 'tile': list(network.rule[:3])}
    record |= {'most': float(codes.max()), 'mean': float(codes.mean())}
    print(record)
    return record


def noisy_clip(image: Pixels) -> list[Pixels]:
    """Return the frames of a still picture with noise, each a JPEG of quality 85, as in motion JPEG."""
    noise, frames = np.random.default_rng(1), list[Pixels]()
    for _ in range(CLIP_FRAMES):
        pixels = np.clip(image[:CLIP_SIDE, :CLIP_SIDE] + noise.normal(0, NOISE, (CLIP_SIDE, CLIP_SIDE, 3)), 0, 255)
        _, data = cv2.imencode('.jpg', pixels.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 85])
        frames.append(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8))
    return frames


def measure_flicker(images: dict[str, Pixels], name: str) -> dict[str, Any]:
    """Return the flicker of an enlarged clip relative to that of a Lanczos filter, by stability."""
    frames, network = (
        noisy_clip(images['chelsea' if 'chelsea' in images else 'example_portrait'][100:, 100:]),
        upscaler(name),
    )

    def flicker(enlarge: Callable[[int], Pixels]) -> float:
        shown = [luma(enlarge(number)).astype(np.float32) for number in range(REACH, len(frames) - REACH)]
        return float(np.mean([np.abs(b - a).mean() for a, b in itertools.pairwise(shown)]))

    plain = flicker(lambda number: lanczos(frames[number], network.scale))
    record: dict[str, Any] = {'model': name}
    for stability in (0.0, 0.5, 1.0):
        enhancer = FrameEnhancer(network, 1.0, stability, StopFlag())

        def enlarged(number: int, enhancer: FrameEnhancer = enhancer) -> Pixels:
            near = tuple(PixelFrame(frame) for frame in frames[number - REACH : number + REACH + 1])
            task = FrameTask(PixelFrame(frames[number]), neighbours=near)
            enhancer.process([task])
            return np.asarray(task.frame.whole(), np.uint8)

        record[f'stability_{100 * stability:.0f}'] = flicker(enlarged) / plain
    print(record)
    return record


def measure_cost(name: str) -> dict[str, Any]:
    """Return the CPU time to enlarge a frame in tiles and blend it, beside that of its network alone, in seconds."""
    network, seconds = upscaler(name), list[float]()
    run = network.enlarge

    def timed(tiles: Sequence[Plane]) -> Values:
        begun = time.process_time()
        enlarged = run(tiles)
        seconds.append(time.process_time() - begun)
        return enlarged

    network.enlarge = timed  # type: ignore[method-assign]
    frame = np.random.default_rng(1).integers(0, 256, (COST_SIZE[1], COST_SIZE[0], 3), np.uint8)
    begun = time.process_time()
    FrameEnhancer(network, 0.8, 0.0, StopFlag()).enlarged(frame)
    total = time.process_time() - begun
    record = {'model': name, 'size': list(COST_SIZE), 'tiles': len(seconds), 'network': sum(seconds), 'all': total}
    print(record)
    return record


def summarise(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the mean results of each model, blend and way of shrinking."""
    rows = []
    for key in dict.fromkeys((each['model'], each['blend'], each['way']) for each in records):
        chosen = [each for each in records if (each['model'], each['blend'], each['way']) == key]
        row: dict[str, Any] = {'model': key[0], 'blend': key[1], 'way': key[2], 'pictures': len(chosen)}
        for measure in ('psnr_lanczos', 'psnr_model', 'ssim_lanczos', 'ssim_model'):
            row[measure] = float(np.mean([each[measure] for each in chosen]))
        row['above_lanczos'] = sum(each['psnr_model'] > each['psnr_lanczos'] for each in chosen)
        rows.append(row)
        print(as_json(row))
    return rows


def main() -> int:
    """Measure, print and save; return 1 if a requirement is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--json', type=Path)
    parser.add_argument('--slow', action='store_true')
    arguments = parser.parse_args()
    images = pictures(arguments.folder)
    seams = [measure_seams(images, name, SEAM_SIDE) for name in SEAMS]
    seams += [measure_seams(images, SLOW, SLOW_SIDE)] if arguments.slow else []
    flicker = [measure_flicker(images, name) for name in SEAMS]
    costs = [measure_cost(name) for name in SEAMS]
    records = measure_fidelity(images)
    rows = summarise(records)
    spans = [row for row in rows if row['model'].startswith('span') and row['way'] == 'cubic']
    passes = {
        'psnr': all(row['psnr_model'] > row['psnr_lanczos'] for row in spans),
        'ssim': all(row['ssim_model'] > row['ssim_lanczos'] for row in spans),
        'seams': all(
            each['mean'] <= MOST_MEAN if each['model'] == SLOW else each['most'] <= MOST_CODES for each in seams
        ),
        'flicker': all(each['stability_100'] < each['stability_0'] for each in flicker),
    }
    print(passes)
    if arguments.json:
        result = {
            'passes': passes,
            'summary': rows,
            'seams': seams,
            'flicker': flicker,
            'costs': costs,
            'cases': records,
        }
        arguments.json.write_text(json.dumps(as_json(result), indent=1) + '\n', encoding='utf-8')
    return 0 if all(passes.values()) else 1


if __name__ == '__main__':
    sys.exit(main())
