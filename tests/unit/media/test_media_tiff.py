"""Tests of every TIFF layout, of TIFF output, and of deep and CMYK images of other formats."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes.tiff_files import BLACK_IS_ZERO, CMYK, LAB, WHITE_IS_ZERO, tiff_bytes
from PIL import Image, ImageCms, ImageOps

from facefusion.errors import MediaError
from facefusion.events import Message
from facefusion.media.image import read_image, write_image
from facefusion.media.info import ImageInfo
from facefusion.media.probe import probe


def ramp(channels: int, dtype: str = 'u1', size: tuple[int, int] = (24, 20)) -> np.ndarray:
    """Return samples that differ in every direction, up to the maximum of ``dtype`` (floats: 1)."""
    high, wide = size
    y, x, c = np.meshgrid(np.linspace(0, 1, high), np.linspace(0, 1, wide), np.arange(channels), indexing='ij')
    unit = (0.5 * y + 0.5 * x) * (1 - 0.2 * c) + 0.05
    unit = np.clip(unit, 0, 1)
    kind = np.dtype(dtype)
    return unit.astype(kind) if kind.kind == 'f' else np.rint(unit * np.iinfo(kind).max).astype(kind)


def read(path: Path) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    said: list[str] = []
    frame = read_image(path, lambda event: said.append(event.text) if isinstance(event, Message) else None)
    return frame.pixels, frame.alpha, said


def saved(tmp_path: Path, data: bytes, name: str = 'in.tif') -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def eight(samples: np.ndarray) -> np.ndarray:
    top = 1 if samples.dtype.kind == 'f' else np.iinfo(samples.dtype).max
    return np.rint(samples.astype(np.float64) / top * 255)


LAYOUTS = [
    {},
    {'planar': True},
    {'big_endian': True},
    {'big_endian': True, 'planar': True},
    {'big': True},
]


@pytest.mark.parametrize('layout', LAYOUTS, ids=lambda layout: '+'.join(layout) or 'plain')
@pytest.mark.parametrize('dtype', ['u1', 'u2', 'f4', 'f8'])
def test_colours_are_right_in_every_layout(tmp_path: Path, layout: dict, dtype: str) -> None:
    samples = ramp(3, dtype)
    path = saved(tmp_path, tiff_bytes(samples, **layout))
    pixels, alpha, said = read(path)
    assert np.abs(pixels[..., ::-1] - eight(samples)).max() <= 0 and alpha is None
    assert bool(said) == (dtype != 'u1') and all('rounded to 8 bits' in text for text in said)
    info = probe(path)
    assert isinstance(info, ImageInfo) and (info.width, info.height, info.has_alpha) == (20, 24, False)


@pytest.mark.parametrize('dtype', ['u1', 'u2', 'u4', 'f4'])
def test_grey_with_white_or_black_as_zero(tmp_path: Path, dtype: str) -> None:
    samples = ramp(1, dtype)
    for photometric in (BLACK_IS_ZERO, WHITE_IS_ZERO):
        for big_endian in (False, True):
            pixels, _, said = read(saved(tmp_path, tiff_bytes(samples, photometric, big_endian=big_endian)))
            expected = eight(samples) if photometric == BLACK_IS_ZERO else 255 - eight(samples)
            assert np.abs(pixels.astype(int) - expected).max() <= 1
            assert any('grey' in text for text in said)


@pytest.mark.parametrize('dtype', ['u1', 'u2'])
@pytest.mark.parametrize('alpha', [None, 0, 1, 2])
def test_the_meaning_of_a_fourth_channel(tmp_path: Path, dtype: str, alpha: int | None) -> None:
    samples = ramp(4, dtype)
    top = np.iinfo(samples.dtype).max
    samples[..., 3] = np.maximum(samples[..., 3], top // 2)
    stored = samples.copy()
    if alpha == 1:
        stored[..., :3] = np.rint(samples[..., :3].astype(float) * samples[..., 3:] / top)
    path = saved(tmp_path, tiff_bytes(stored, alpha=alpha))
    pixels, found, said = read(path)
    assert np.abs(pixels[..., ::-1] - eight(samples)[..., :3]).max() <= 2
    assert any('1 channel other than colour and transparency left out' in text for text in said) == (alpha == 0)
    assert (found is None) == (alpha == 0)
    if found is not None:
        assert (found == eight(samples)[..., 3]).all()
    info = probe(path)
    assert isinstance(info, ImageInfo) and info.has_alpha == (alpha != 0)


@pytest.mark.parametrize('dtype', ['u1', 'u2', 'f4'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_the_orientation_is_applied_once(tmp_path: Path, dtype: str, orientation: int) -> None:
    samples = ramp(3, dtype)
    upright = Image.fromarray(eight(samples).astype(np.uint8))
    upright.getexif()[274] = orientation
    expected = np.asarray(ImageOps.exif_transpose(upright))
    path = saved(tmp_path, tiff_bytes(samples, orientation=orientation))
    pixels, _, _ = read(path)
    assert np.array_equal(pixels[..., ::-1], expected)
    info = probe(path)
    assert isinstance(info, ImageInfo) and (info.height, info.width) == expected.shape[:2]
    frame = read_image(path)
    write_image(frame, tmp_path / 'out.tif', 'tiff')
    assert np.array_equal(read(tmp_path / 'out.tif')[0], pixels)


@pytest.mark.parametrize('dtype', ['u1', 'u2'])
def test_cmyk_becomes_rgb(tmp_path: Path, dtype: str) -> None:
    ink = ramp(4, dtype)
    ink[..., 3] = 0
    pixels, _, said = read(saved(tmp_path, tiff_bytes(ink, CMYK)))
    assert np.abs(pixels[..., ::-1] - (255 - eight(ink)[..., :3])).max() <= 2
    assert any('CMYK' in text for text in said)


def test_lab_is_converted(tmp_path: Path) -> None:
    lab = np.zeros((4, 4, 3), np.uint8)
    lab[..., 0] = 128
    lab[:, 2:, 1] = 60
    pixels, _, said = read(saved(tmp_path, tiff_bytes(lab, LAB)))
    assert 'LAB is converted to sRGB' in said[0]
    grey, red = pixels[0, 0].astype(int), pixels[0, 3].astype(int)
    assert np.ptp(grey) <= 2 and abs(grey[0] - 119) <= 3
    assert red[2] - red[1] > 80


def test_one_bit_palette_and_compressions(tmp_path: Path) -> None:
    bits = ramp(1)[..., 0] > 128
    Image.fromarray(bits).save(tmp_path / 'bits.tif', compression='group4')
    assert np.array_equal(read(tmp_path / 'bits.tif')[0][..., 0] > 0, bits)
    colours = Image.fromarray(ramp(3)).quantize(32)
    colours.save(tmp_path / 'palette.tiff')
    pixels, _, said = read(tmp_path / 'palette.tiff')
    assert np.array_equal(pixels[..., ::-1], np.asarray(colours.convert('RGB'))) and 'palette' in said[0]
    for compression in ('tiff_lzw', 'tiff_adobe_deflate', 'packbits', 'zstd'):
        Image.fromarray(ramp(3)).save(tmp_path / 'c.tif', compression=compression)
        assert np.array_equal(read(tmp_path / 'c.tif')[0][..., ::-1], ramp(3))
    for compression in (5, 8):
        cv2.imwrite(str(tmp_path / 'deep.tif'), ramp(3, 'u2'), [cv2.IMWRITE_TIFF_COMPRESSION, compression])
        assert np.array_equal(read(tmp_path / 'deep.tif')[0], eight(ramp(3, 'u2')))


def reference(path: Path) -> MediaError:
    with pytest.raises(MediaError) as caught:
        if isinstance(probe(path), ImageInfo):
            read_image(path)
    assert path.name in caught.value.message and caught.value.hint
    return caught.value


def test_unsupported_files_are_refused_with_the_reason(tmp_path: Path) -> None:
    pages = [Image.fromarray(ramp(3))] * 3
    pages[0].save(tmp_path / 'pages.tif', save_all=True, append_images=pages[1:])
    error = reference(tmp_path / 'pages.tif')
    assert error.reference == 'image-animated' and '3' in error.message
    assert reference(saved(tmp_path, tiff_bytes(ramp(3, 'f4') * 7.3))).reference == 'image-hdr'
    assert reference(saved(tmp_path, tiff_bytes(ramp(3, 'f2')))).reference == 'image-variant'
    assert reference(saved(tmp_path, tiff_bytes(ramp(3, 'u2'), LAB))).reference == 'image-variant'
    assert reference(saved(tmp_path, tiff_bytes(ramp(3), big=True, big_endian=True))).reference == 'image-variant'
    huge = bytearray(tiff_bytes(ramp(3)))
    at = huge.index(b'\x00\x01\x04\x00\x01\x00\x00\x00') + 8
    huge[at : at + 4] = (20000).to_bytes(4, 'little')
    assert reference(saved(tmp_path, bytes(huge))).reference == 'image-too-large'


@pytest.mark.parametrize('dtype', ['u1', 'u2', 'f4'])
def test_truncated_files_are_damaged_wherever_they_end(
    tmp_path: Path, dtype: str, capfd: pytest.CaptureFixture
) -> None:
    plain = tiff_bytes(ramp(3, dtype))
    buffer = io.BytesIO()
    Image.fromarray(ramp(3)).save(buffer, 'TIFF', compression='tiff_lzw')
    for data in (plain, buffer.getvalue()):
        for length in (9, 40, len(data) // 2, len(data) - 60):
            assert reference(saved(tmp_path, data[:length])).reference == 'media-damaged'


def test_a_thumbnail_is_not_a_page(tmp_path: Path) -> None:
    small = Image.fromarray(ramp(3, size=(6, 5)))
    small.encoderinfo = {'tiffinfo': {254: 1}}
    Image.fromarray(ramp(3)).save(tmp_path / 'thumb.tif', save_all=True, append_images=[small])
    assert np.array_equal(read(tmp_path / 'thumb.tif')[0][..., ::-1], ramp(3))


@pytest.mark.parametrize('has_alpha', [False, True])
def test_tiff_is_written_with_metadata(tmp_path: Path, has_alpha: bool) -> None:
    source = Image.fromarray(ramp(4) if has_alpha else ramp(3))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
    exif = Image.Exif()
    exif[315], exif[306] = 'A Maker', '2026:01:01 00:00:00'
    exif.get_ifd(0x8769)[36867] = '2025:01:01 00:00:00'
    source.save(tmp_path / 'in.png', icc_profile=profile, exif=exif)
    for name, following in (('in.png', 'one.tif'), ('one.tif', 'two.tiff'), ('two.tiff', 'three.png')):
        frame = read_image(tmp_path / name)
        write_image(frame, tmp_path / following, following.rpartition('.')[2].replace('tif', 'tiff')[:4])
        with Image.open(tmp_path / following) as image:
            found = image.getexif()
            assert image.info['icc_profile'] == profile
            assert found[315] == 'A Maker' and found.get_ifd(0x8769)[36867] == '2025:01:01 00:00:00'
            assert (np.asarray(image) == np.asarray(source)).all() and image.mode == source.mode


def test_cmyk_jpegs_of_both_kinds(tmp_path: Path) -> None:
    for name, black, expected in (('adobe.jpg', 0, (255, 235, 55)), ('plain.jpg', 255, (0, 20, 200))):
        ink = np.full((32, 32, 4), (200, 20, 0, black), np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(ink, 'CMYK').save(buffer, 'JPEG', quality=95)
        data = buffer.getvalue()
        at = data.index(b'\xff\xee')
        length = int.from_bytes(data[at + 2 : at + 4], 'big')
        # Without Adobe's marker the same bytes are not inverted.
        path = saved(tmp_path, data if name == 'adobe.jpg' else data[:at] + data[at + 2 + length :], name)
        pixels, _, said = read(path)
        assert np.abs(pixels[0, 0].astype(int) - expected).max() <= 4 and 'CMYK' in said[0]
