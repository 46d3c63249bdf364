"""Valid and damaged media files of every supported kind."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

SIZE = (320, 180)


def rewrap(source: Path, target: Path, options: dict[str, str] | None = None, kinds: str = 'video audio') -> Path:
    """Copy the packets of ``source`` into another container."""
    with av.open(str(source)) as clip, av.open(str(target), 'w', options=options or {}) as output:
        streams = {
            stream.index: output.add_stream_from_template(stream) for stream in clip.streams if stream.type in kinds
        }
        for packet in clip.demux():
            if packet.dts is not None and packet.stream.index in streams:
                packet.stream = streams[packet.stream.index]
                output.mux(packet)
    return target


def write_views(
    path: Path,
    views: Callable[[int], np.ndarray],
    frames: int,
    pts: Callable[[int], int] | None = None,
    size: tuple[int, int] = SIZE,
) -> Path:
    """Write an H.264 clip at 25 frames a second, or at ``pts`` milliseconds."""
    base = Fraction(1, 25) if pts is None else Fraction(1, 1000)
    with av.open(str(path), 'w') as output:
        stream = output.add_stream('libx264', rate=25, options={'crf': '14', 'preset': 'veryfast', 'g': '50'})
        stream.width, stream.height = size
        stream.pix_fmt = 'yuv420p'
        stream.codec_context.time_base = stream.time_base = base
        context = stream.codec_context
        context.color_range = context.colorspace = context.color_primaries = context.color_trc = 1
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(views(number), format='bgr24').reformat(
                format='yuv420p', dst_colorspace='ITU709', dst_color_range='MPEG'
            )
            frame.pts, frame.time_base = number if pts is None else pts(number), base
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def photo_view(
    photo: np.ndarray, x: float, y: float, wide: float, size: tuple[int, int] = SIZE, background: int = 90
) -> np.ndarray:
    """Return a camera view of a photo, centred at x, y, that shows ``wide`` pixels of its width."""
    step = wide / size[0]
    to_photo = np.array([[step, 0, x - step * (size[0] - 1) / 2], [0, step, y - step * (size[1] - 1) / 2]])
    flags = cv2.INTER_AREA | cv2.WARP_INVERSE_MAP
    grey = (background, background, background)
    return np.asarray(cv2.warpAffine(photo, to_photo, size, flags=flags, borderValue=grey))


def frame_times(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def frame_pixels(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format='bgr24') for frame in container.decode(video=0)]


def audio_packets(path: Path) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in container.demux(stream) if packet.size]


def plain_png(path: Path, width: int, height: int, *, whole: bool = True) -> Path:
    """Write a black image of any size with little memory; if not ``whole``, the file has no pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))

    deflate = zlib.compressobj(1)
    lines = [deflate.compress(bytes(width * 3 + 1)) for _ in range(height if whole else 1)]
    data = b''.join([*lines, deflate.flush()])
    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    chunks = chunk(b'IHDR', header) + chunk(b'IDAT', data) + chunk(b'IEND', b'')
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + chunks)
    return path
