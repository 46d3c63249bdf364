"""Measure the invisible mark: robustness, cost and false positives.

    .venv/bin/python benchmarks/invisible_mark.py [--parts clips changes stills unmarked cost] [--clips NAME ...]
        [--aside FILE ...] [--workers 2] [--output benchmarks/results/invisible_mark.json]

Needs scikit-image (for its images) and the example images of the model store. Each part replaces its own entry of the
output file. "clips" reads one compressed segment of 100 frames from each clip of mark_clips.py. "changes" applies cuts,
crops, resizing, other frame rates and attacks to 250 frames of some clips. "stills" reads images after JPEG
compression. "unmarked" reads frames without a mark. "cost" measures the CPU time of marking and reading. --aside makes
a clip from each given image and reads one segment of the clip; use images that were not used for tuning.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from mark_clips import SKIMAGE, Camera, Clip, clips, filmed, flat_clips, picture
from quality_measures import psnr

from facefusion.media.color import ColorSpec
from facefusion.media.frame import PixelFrame, PlaneFrame
from facefusion.provenance.mark.detect import CHANCE, MarkReader
from facefusion.provenance.mark.embed import Marker
from facefusion.provenance.mark.payload import mark_payload

RESULTS = Path(__file__).resolve().parent / 'results' / 'invisible_mark.json'
PAYLOAD = mark_payload('benchmark')
SEGMENT, LONG = 100, 250
CHANGED = ('portrait-moving', 'portrait-still', 'group-pan', 'coffee-pan', 'rocket-dark', 'sky-grain', 'cuts')
PICTURES = ('portrait', 'group', 'motorcycle', *SKIMAGE)
SIDES = (513, 640, 1024, 1600)
Luma = np.ndarray


def video(pixels: np.ndarray) -> av.VideoFrame:
    """Convert BGR pixels to a yuv420p frame."""
    frame = av.VideoFrame.from_ndarray(pixels, format='bgr24')
    return frame.reformat(format='yuv420p', src_colorspace='ITU709', dst_colorspace='ITU709')


def luma_of(frame: av.VideoFrame) -> Luma:
    """Return the luma plane of a frame."""
    plane = frame.planes[0]
    return np.frombuffer(plane, np.uint8).reshape(frame.height, plane.line_size)[:, : frame.width].copy()


def encoded(frames: list[av.VideoFrame], crf: int, preset: str = 'medium', scale: float = 1.0) -> bytes:
    """Encode the frames as H.264 in MP4."""
    buffer = io.BytesIO()
    width, height = (round(side * scale / 2) * 2 for side in (frames[0].width, frames[0].height))
    with av.open(buffer, 'w', format='mp4') as container:
        stream = container.add_stream('libx264', rate=25, options={'crf': str(crf), 'preset': preset})
        stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p'
        for number, frame in enumerate(frames):
            sized = frame if scale == 1 else frame.reformat(width=width, height=height, interpolation='AREA')
            sized.pts, sized.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(sized))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def decoded(data: bytes) -> Iterator[Luma]:
    """Yield the luma of each frame."""
    with av.open(io.BytesIO(data)) as container:
        for frame in container.decode(video=0):
            yield luma_of(frame)


def verdict(lumas: Iterator[Luma]) -> dict:
    """Return the finding of a mark reader that has read these frames."""
    reader = MarkReader()
    for luma in lumas:
        reader.add(luma)
    found = reader.result()
    if found is None:
        return {'word': 'nothing', 'confidence': 0.0}
    word = 'exact' if found.payload == PAYLOAD else 'detected' if found.payload is None else 'WRONG'
    return {'word': word, 'confidence': round(found.confidence, 1)}


def marked(clip: Clip, count: int) -> tuple[list[av.VideoFrame], list[av.VideoFrame], dict]:
    """Return the clip's frames before and after marking, and the distortion."""
    marker = Marker(PAYLOAD, clip.width, clip.height)
    before, after, ratios, shares = [], [], [], []
    for number in range(count):
        given = video(clip.frame(number))
        frame = PlaneFrame(given, number, number, ColorSpec.from_frame(given))
        shares.append(marker.mark(frame))
        before.append(given)
        after.append(frame.video)
        ratios.append(psnr(luma_of(given), frame.planes[0]))
    facts = {'psnr': round(statistics.mean(ratios), 2), 'psnr_least': round(min(ratios), 2)}
    return before, after, facts | {'share': round(statistics.mean(shares), 3)}


def clip_row(name: str) -> dict:
    """Measure one clip after compression."""
    clip = next(one for one in clips() if one.name == name)
    return segment_row(clip) | {'is_flat': name in {one.name for one in flat_clips()}}


def aside_row(path: str) -> dict:
    """Measure a clip in which an image that was not used for tuning drifts through the frame."""
    return segment_row(filmed(Path(path).name, path, 1280, 720, Camera(drift=(0.08, 0.05))))


def segment_row(clip: Clip) -> dict:
    """Measure one segment of a clip after compression."""
    before, after, facts = marked(clip, SEGMENT)
    row = {'clip': clip.name, 'size': f'{clip.width}x{clip.height}'} | facts
    row['growth'] = round(len(encoded(after, 18, 'veryfast')) / len(encoded(before, 18, 'veryfast')) - 1, 3)
    for label, crf, scale in (('crf23', 23, 1.0), ('crf28', 28, 1.0), ('half_crf23', 23, 0.5)):
        row[label] = verdict(decoded(encoded(after, crf, scale=scale)))
    return row


def changes(after: list[av.VideoFrame]) -> dict[str, Callable[[], Iterator[Luma]]]:
    """Return functions by name, each of which changes 250 marked frames; most also compress them with crf 23."""
    high, wide = after[0].height, after[0].width

    def cropped() -> Iterator[Luma]:
        for luma in decoded(encoded(after[:SEGMENT], 23)):
            yield luma[high // 20 : high - high // 20, wide // 20 : wide - wide // 20]

    def averaged() -> Iterator[Luma]:
        lumas = list(decoded(encoded(after, 23)))
        mean = np.mean(lumas, axis=0, dtype=np.float32)
        estimate = mean - cv2.GaussianBlur(mean, (0, 0), wide / 160)
        # Subtract only differences as small as a mark, because an attacker wants to preserve the image.
        estimate[np.abs(estimate) > 4] = 0
        return (np.clip(luma - estimate + 0.5, 0, 255).astype(np.uint8) for luma in lumas)

    def as_jpeg() -> Iterator[Luma]:
        for luma in (luma_of(frame) for frame in after[:10]):
            yield cv2.imdecode(cv2.imencode('.jpg', luma, [cv2.IMWRITE_JPEG_QUALITY, 75])[1], cv2.IMREAD_GRAYSCALE)

    return {
        'crop10': cropped,
        'resize1.1': lambda: decoded(encoded(after[:SEGMENT], 23, scale=1.1)),
        'trim_50_150': lambda: decoded(encoded(after[50:150], 23)),
        'trim_130_190': lambda: decoded(encoded(after[130:190], 23)),
        'rate_24_to_30': lambda: decoded(encoded([after[k * 4 // 5] for k in range(LONG)], 23)),
        'average_250': averaged,
        'jpeg75_10_frames': as_jpeg,
        'one_frame_crf28': lambda: iter(list(decoded(encoded(after[:SEGMENT], 28)))[60:61]),
        'crf35': lambda: decoded(encoded(after[:SEGMENT], 35)),
        'third_crf23': lambda: decoded(encoded(after[:SEGMENT], 23, scale=1 / 3)),
    }


def change_row(name: str) -> dict:
    """Measure one clip after each change."""
    clip = next(one for one in clips() if one.name == name)
    _, after, _ = marked(clip, LONG)
    return {'clip': name} | {label: verdict(change()) for label, change in changes(after).items()}


def still_row(name: str) -> list[dict]:
    """Measure an image at several sizes after JPEG."""
    rows = []
    source = picture(name)
    for side in SIDES:
        scale = side / max(source.shape[:2])
        filter_ = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        frame = PixelFrame(cv2.resize(source, None, fx=scale, fy=scale, interpolation=filter_))
        before = frame.luma()
        share = Marker(PAYLOAD, frame.width, frame.height).mark(frame)
        data = cv2.imencode('.jpg', frame.pixels, [cv2.IMWRITE_JPEG_QUALITY, 75])[1]
        row = {'picture': f'{name}-{side}', 'share': round(share, 3), 'psnr': round(psnr(before, frame.luma()), 2)}
        rows.append(row | {'jpeg75': verdict(iter([cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)]))})
    return rows


def unmarked_row(name: str) -> dict:
    """Read the unmarked frames of a clip one by one, some of them with the crop search."""
    clip = next(one for one in clips() if one.name == name)
    count, searched, found, strongest = 190, 0, 0, 0.0
    data = encoded([video(clip.frame(number)) for number in range(count)], 23, 'veryfast')
    for number, luma in enumerate(decoded(data)):
        reader = MarkReader()
        reader.add(luma)
        strongest = max(strongest, -reader.strongest())
        # Search only every tenth frame for crops, because the search takes most of the time.
        if number % 10 == 0:
            searched += 1
            found += reader.result() is not None
        else:
            found += reader.strongest() <= CHANCE
    clip_found = verdict(decoded(data))['word'] != 'nothing'
    return {
        'clip': name, 'frames': count, 'searched': searched, 'found': found, 'whole_clip_found': clip_found,
        'strongest': round(strongest, 2),
    }  # fmt: skip


def cost() -> dict:
    """Return the median CPU milliseconds per frame of one thread."""
    cv2.setNumThreads(1)
    result = {}
    for width, height in ((640, 360), (1280, 720), (1920, 1080), (3840, 2160)):
        source = cv2.resize(picture('portrait'), (width, height))
        given = video(source)
        marker, reader = Marker(PAYLOAD, width, height), MarkReader()
        marking, reading = [], []
        for number in range(60):
            frame = PlaneFrame(given, number, 0, ColorSpec.from_frame(given))
            began = time.process_time_ns()
            marker.mark(frame)
            marking.append((time.process_time_ns() - began) / 1e6)
            luma = frame.luma()
            began = time.process_time_ns()
            reader.add(luma)
            reading.append((time.process_time_ns() - began) / 1e6)
        began = time.process_time_ns()
        reader.result()
        weighing = (time.process_time_ns() - began) / 1e6
        empty = MarkReader()
        for _ in range(SEGMENT):
            empty.add(luma_of(given))
        began = time.process_time_ns()
        empty.result()
        result[f'{width}x{height}'] = {
            'mark_ms': round(statistics.median(marking), 2),
            'read_ms': round(statistics.median(reading), 2),
            'result_ms': round(weighing, 1),
            'result_with_search_ms': round((time.process_time_ns() - began) / 1e6, 1),
        }
    return result


def main() -> None:
    """Measure and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--parts', nargs='+', default=['clips', 'changes', 'stills', 'unmarked', 'cost'])
    parser.add_argument('--clips', nargs='+', default=[clip.name for clip in clips()])
    parser.add_argument('--aside', nargs='+', default=[])
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--output', type=Path, default=RESULTS)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    result = json.loads(arguments.output.read_text()) if arguments.output.is_file() else {}
    with ProcessPoolExecutor(arguments.workers) as pool:
        if 'clips' in arguments.parts:
            result['clips'] = list(_shown(pool.map(clip_row, arguments.clips)))
        if arguments.aside:
            result['aside'] = list(_shown(pool.map(aside_row, arguments.aside)))
        if 'changes' in arguments.parts:
            result['changes'] = list(_shown(pool.map(change_row, [n for n in CHANGED if n in arguments.clips])))
        if 'stills' in arguments.parts:
            result['stills'] = [row for rows in _shown(pool.map(still_row, PICTURES)) for row in rows]
        if 'unmarked' in arguments.parts:
            result['unmarked'] = list(_shown(pool.map(unmarked_row, arguments.clips)))
    if 'cost' in arguments.parts:
        result['cost'] = cost()
    arguments.output.write_text(json.dumps(result, indent=1) + '\n')


def _shown(rows: Iterator) -> Iterator:
    for row in rows:
        print(json.dumps(row), flush=True)
        yield row


if __name__ == '__main__':
    main()
