from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from facefusion.errors import MediaError
from facefusion.events import Event, Message
from facefusion.media.frame import PixelFrame, Window
from facefusion.media.image import probe_image, read_image, write_image
from facefusion.media.planes import scaled_size


def picture() -> np.ndarray:
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[..., 0], pixels[..., 1], pixels[..., 2] = 200, np.arange(30) * 8, np.arange(20)[:, None] * 12
    return pixels  # RGB


@pytest.mark.parametrize('name', ['a.png', 'a.bmp', 'a.webp', 'a.jpg', 'a.jpeg'])
def test_an_image_survives_writing(tmp_path: Path, name: str) -> None:
    Image.fromarray(picture()).save(tmp_path / name, **({'lossless': True} if name == 'a.webp' else {'quality': 100}))
    frame = read_image(tmp_path / name)
    assert np.abs(frame.pixels[..., ::-1].astype(int) - picture()).mean() < (3 if 'j' in name else 0.01)
    kind = {'jpg': 'jpeg', 'jpeg': 'jpeg'}.get(name[2:], name[2:])
    write_image(frame, tmp_path / 'out.part', kind, 100)
    (tmp_path / 'out.part').rename(tmp_path / f'out{name[1:]}')
    again = read_image(tmp_path / f'out{name[1:]}')
    assert np.abs(again.pixels.astype(int) - frame.pixels).mean() < (3 if 'j' in name else 0.01)


@pytest.mark.parametrize('kind', ['png', 'webp', 'bmp'])
def test_alpha_is_kept(tmp_path: Path, kind: str) -> None:
    alpha = (np.arange(600).reshape(20, 30) % 256).astype(np.uint8)
    frame = PixelFrame(picture(), alpha)
    path = tmp_path / f'a.{kind}'
    write_image(frame, path, kind, 100)
    after = read_image(path)
    assert after.alpha is not None
    assert np.array_equal(after.alpha, alpha)
    assert np.array_equal(after.pixels, frame.pixels)


def test_jpeg_reports_its_lost_alpha(tmp_path: Path) -> None:
    heard: list[Event] = []
    frame = PixelFrame(picture(), np.zeros((20, 30), np.uint8))
    write_image(frame, tmp_path / 'a.jpg', 'jpeg', 95, emit=heard.append)
    assert read_image(tmp_path / 'a.jpg').pixels.min() >= 253
    assert any(isinstance(event, Message) and 'transparency' in event.text for event in heard)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_exif_orientation_is_applied_once(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = 'a caption'
    Image.fromarray(picture()).save(tmp_path / 'a.png', exif=exif)
    from PIL import ImageOps

    with Image.open(tmp_path / 'a.png') as plain:
        expected = np.asarray(ImageOps.exif_transpose(plain))
    frame = read_image(tmp_path / 'a.png')
    assert np.array_equal(frame.pixels[..., ::-1], expected)
    info = probe_image(tmp_path / 'a.png')
    assert (info.width, info.height) == (frame.width, frame.height)
    write_image(frame, tmp_path / 'out.png', 'png')
    with Image.open(tmp_path / 'out.png') as after:
        assert np.array_equal(np.asarray(after), expected)
        assert after.getexif().get(0x0112, 1) == 1
        assert after.getexif()[0x010E] == 'a caption'


def test_the_color_profile_is_copied(tmp_path: Path) -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
    Image.fromarray(picture()).save(tmp_path / 'a.jpg', icc_profile=icc, quality=95)
    write_image(read_image(tmp_path / 'a.jpg'), tmp_path / 'out.webp', 'webp', 90)
    with Image.open(tmp_path / 'out.webp') as after:
        assert after.info['icc_profile'] == icc


@pytest.mark.parametrize('mode', ['L', 'LA', 'P', '1', 'I;16', 'CMYK'])
def test_conversions_of_other_modes_are_reported(tmp_path: Path, mode: str) -> None:
    grey = np.full((20, 30), 128, np.uint8)
    if mode == 'I;16':
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    elif mode == '1':
        image = Image.fromarray(np.full((20, 30), 255, np.uint8)).convert('1')
    else:
        image = Image.fromarray(grey).convert(mode)
    path = tmp_path / ('a.jpg' if mode == 'CMYK' else 'a.png')
    image.save(path)
    heard: list[Event] = []
    frame = read_image(path, heard.append)
    assert frame.pixels.shape == (20, 30, 3)
    assert np.abs(frame.pixels.astype(int) - (255 if mode == '1' else 128)).max() <= 2
    assert len(heard) == 1
    assert (frame.alpha is not None) == (mode == 'LA')


def test_rounding_of_16_bit_color_is_reported(tmp_path: Path) -> None:
    rows = b''.join(b'\0' + struct.pack('>3H', 65535, 32896, 0) * 4 for _ in range(4))
    head = struct.pack('>IIBBBBB', 4, 4, 16, 2, 0, 0, 0)
    chunks = [(b'IHDR', head), (b'IDAT', zlib.compress(rows)), (b'IEND', b'')]
    data = b'\x89PNG\r\n\x1a\n' + b''.join(
        struct.pack('>I', len(body)) + name + body + struct.pack('>I', zlib.crc32(name + body)) for name, body in chunks
    )
    (tmp_path / 'a.png').write_bytes(data)
    heard: list[Event] = []
    assert read_image(tmp_path / 'a.png', heard.append).pixels[0, 0].tolist() == [0, 128, 255]
    assert '16-bit' in heard[0].text  # type: ignore[union-attr]


def refused(path: Path) -> MediaError:
    with pytest.raises(MediaError) as caught:
        read_image(path)
    return caught.value


def test_animations_huge_and_truncated_files_are_refused(tmp_path: Path) -> None:
    first, second = Image.new('RGB', (8, 8)), Image.new('RGB', (8, 8), (255, 0, 0))
    for name in ('a.png', 'a.webp'):
        first.save(tmp_path / name, save_all=True, append_images=[second])
        assert refused(tmp_path / name).reference == 'image-animated'
    Image.new('1', (20000, 10)).save(tmp_path / 'big.png')
    error = refused(tmp_path / 'big.png')
    assert error.reference == 'image-too-large'
    assert '20000x10' in error.message
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    for name in ('t.png', 't.jpg', 't.webp', 't.bmp'):
        Image.fromarray(noise).save(tmp_path / name)
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
        assert refused(tmp_path / name).reference == 'media-damaged', name


def test_scaling_makes_sides_even(tmp_path: Path) -> None:
    frame = PixelFrame(np.zeros((21, 31, 3), np.uint8))
    write_image(frame, tmp_path / 'a.png', 'png')
    write_image(frame.sized(*scaled_size(frame.width, frame.height, 2.0)), tmp_path / 'b.png', 'png')
    assert (read_image(tmp_path / 'a.png').width, read_image(tmp_path / 'b.png').width) == (31, 62)


def test_a_failed_write_leaves_no_file(tmp_path: Path) -> None:
    frame = PixelFrame(np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(Exception, match='not an image format'):
        write_image(frame, tmp_path / 'a.part', 'gif')
    assert not list(tmp_path.iterdir())
    frame.write(Window(0, 0, 1, 1), np.ones((1, 1, 3), np.uint8))
    assert frame.is_touched


@pytest.mark.parametrize('channels', [1, 3, 4])
def test_samples_of_16_bits_are_rounded_in_every_mode(tmp_path: Path, channels: int) -> None:
    stored = np.array([[0, 0x007F, 0x0081, 0x00FF, 0x0180, 0x0182, 0xFF7F, 0xFFFF]], np.uint16)
    stored = np.repeat(stored[..., None], channels, 2) if channels > 1 else stored
    assert cv2.imwrite(str(tmp_path / 'a.png'), stored)
    heard: list[Event] = []
    frame = read_image(tmp_path / 'a.png', heard.append)
    wanted = [0, 0, 1, 1, 1, 2, 255, 255]
    assert [frame.pixels[0, :, k].tolist() for k in range(3)] == [wanted] * 3
    if channels == 4:
        assert frame.alpha is not None
        assert frame.alpha[0].tolist() == wanted
    assert any(isinstance(event, Message) and 'rounded' in event.text for event in heard)


def test_16_bit_colour_keeps_order_profile_and_orientation(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
    stored = np.zeros((2, 3, 3), np.uint16)
    stored[0, 0] = (0x0101 * 30, 0x0101 * 20, 0x0101 * 10)  # BGR
    assert cv2.imwrite(str(tmp_path / 'plain.png'), stored)
    data = (tmp_path / 'plain.png').read_bytes()
    exif = Image.Exif()
    exif[0x0112] = 6  # turned clockwise: the first pixel is at the top right
    body = b'tag\0\0' + zlib.compress(profile)
    extra = chunk(b'iCCP', body) + chunk(b'eXIf', exif.tobytes()[6:])
    (tmp_path / 'a.png').write_bytes(data[:33] + extra + data[33:])
    frame = read_image(tmp_path / 'a.png')
    assert (frame.width, frame.height) == (2, 3)
    assert frame.pixels[0, 1].tolist() == [30, 20, 10]
    assert frame.extras.icc == profile


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack('>I', len(body)) + name + body + struct.pack('>I', zlib.crc32(name + body))


def test_a_bmp_of_16_bit_pixels_is_not_deep(tmp_path: Path) -> None:
    header = struct.pack('<2sIHHI', b'BM', 58, 0, 0, 54) + struct.pack(
        '<IiiHHIIiiII', 40, 2, 1, 1, 16, 0, 4, 0, 0, 0, 0
    )
    (tmp_path / 'a.bmp').write_bytes(header + struct.pack('<HH', 0x7FFF, 0))
    heard: list[Event] = []
    assert read_image(tmp_path / 'a.bmp', heard.append).pixels[0, 0].tolist() == [255, 255, 255]
    assert not heard
