"""Tests of detecting alpha and second layers that a decoder does not output."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from clips import make_clip

from facefusion.media.hidden_layers import has_second_layer, shows_alpha
from facefusion.media.info import VideoInfo
from facefusion.media.probe import probe


def with_alpha(path: Path, codec: str, tag: str) -> Path:
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[..., 3] = np.linspace(0, 255, 64)
    with av.open(str(path), 'w') as output:
        stream = output.add_stream(codec, rate=25, options={'deadline': 'realtime', 'auto-alt-ref': '0'})
        stream.width, stream.height, stream.pix_fmt = 64, 64, 'yuva420p'
        if tag:
            stream.metadata[tag] = '1'
        for _ in range(2):
            frame = av.VideoFrame.from_ndarray(rgba, format='rgba').reformat(format='yuva420p')
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ('codec', 'name', 'tag'),
    [
        ('libvpx-vp9', 'a.webm', 'alpha_mode'),
        ('libvpx', 'a.webm', 'alpha_mode'),
        ('libvpx-vp9', 'a.mkv', 'ALPHA_MODE'),
        ('libvpx-vp9', 'a.mkv', ''),
    ],
)
def test_the_alpha_of_vp8_and_vp9_is_detected(tmp_path: Path, codec: str, name: str, tag: str) -> None:
    info = probe(with_alpha(tmp_path / name, codec, tag))
    assert isinstance(info, VideoInfo)
    assert info.has_alpha and info.pix_fmt == 'yuv420p'


def test_clips_without_alpha_have_none(tmp_path: Path) -> None:
    for name, codec in (('a.webm', 'libvpx-vp9'), ('a.mkv', 'libx265'), ('a.ts', 'libx265')):
        info = probe(make_clip(tmp_path / name, codec=codec, frames=3, size=(64, 64)))
        assert isinstance(info, VideoInfo)
        assert not info.has_alpha and info.remarks == ()


def layered(header: bytes, data: bytes) -> bool:
    stream: Any = SimpleNamespace(codec_context=SimpleNamespace(name='hevc', extradata=header))
    return has_second_layer(stream, av.Packet(data))


def test_a_second_layer_of_h265_is_detected() -> None:
    # These are units of type 20 (IDR) in layer 0 and layer 1.
    base, second = b'\x28\x01abcd', b'\x28\x09abcd'
    header = b'\1' + bytes(20) + b'\x03' + bytes(1)
    boxed = [len(unit).to_bytes(4, 'big') + unit for unit in (base, second)]
    assert not layered(header, boxed[0])
    assert layered(header, boxed[0] + boxed[1])
    assert not layered(b'', b'\0\0\1' + base)
    assert layered(b'', b'\0\0\0\1' + base + b'\0\0\1' + second)


def test_the_alpha_of_a_palette_is_detected() -> None:
    frame = av.VideoFrame.from_ndarray((np.zeros((16, 16), np.uint8), np.full((256, 4), 255, np.uint8)), format='pal8')
    assert not shows_alpha(frame)
    palette = np.full((256, 4), 255, np.uint8)
    palette[0] = (0, 9, 9, 9)
    assert shows_alpha(av.VideoFrame.from_ndarray((np.zeros((16, 16), np.uint8), palette), format='pal8'))
