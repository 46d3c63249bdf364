from __future__ import annotations

import random
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from clips import make_clip

from facefusion.media.encoder import choose_encoder
from facefusion.media.frame import PixelFrame
from facefusion.media.info import VideoInfo
from facefusion.media.options import OutputOptions
from facefusion.media.probe import probe
from facefusion.media.writer import SegmentWriter


def views(width: int, count: int) -> list[PixelFrame]:
    """Return ``count`` frames that zoom into a rough surface."""
    noise = np.random.default_rng(5).integers(0, 255, (300, 600, 3), np.uint8)
    surface = cv2.GaussianBlur(noise, (0, 0), 2) * 3
    frames = []
    for k in range(count):
        step = 1 - k / 200
        to_surface = np.array([[step, 0, 20 + 1.7 * k], [0, step, 10 + 0.6 * k]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        frames.append(PixelFrame(np.asarray(cv2.warpAffine(surface, to_surface, (width, 180), flags=flags), np.uint8)))
    return frames


@pytest.mark.parametrize('codec', ['libx264', 'libx264rgb', 'libx265', 'libvpx-vp9'])
@pytest.mark.parametrize('width', [320, 384])
def test_the_same_frames_become_the_same_bytes(tmp_path: Path, codec: str, width: int) -> None:
    info = probe(make_clip(tmp_path / 'a.mp4', frames=2, size=(width, 180)))
    assert isinstance(info, VideoInfo)
    encoder = choose_encoder(info, OutputOptions(output_video_encoder=codec), '.mp4')
    frames, rng = views(width, 30), random.Random(7)

    def encoded() -> bytes:
        path = tmp_path / 's.nut'
        with SegmentWriter(path, encoder) as writer:
            for number, frame in enumerate(frames):
                # Fill and free some memory, so that the encoder's next allocations may contain values other than zero.
                used = [np.random.default_rng(1).random(rng.randrange(1000, 1_000_000)) for _ in range(3)]
                del used
                writer.write(frame, number * 512)
        with av.open(str(path)) as container:
            return b''.join(bytes(packet) for packet in container.demux(video=0))

    first = encoded()
    assert all(encoded() == first for _ in range(1 if codec == 'libvpx-vp9' else 3))
