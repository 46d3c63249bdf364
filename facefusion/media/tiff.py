"""Read TIFF: Pillow decodes 8-bit samples; OpenCV decodes 16 to 64-bit samples, which Pillow truncates or refuses.

Tag numbers and values: TIFF 6.0 (1992). BigTIFF is supported where Pillow supports it.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from facefusion.errors import MediaError
from facefusion.media.kinds import ADVICE

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _CMYK = 0, 1, 2, 5
_UNSIGNED, _FLOAT = 1, 3
_PREMULTIPLIED, _ALPHA = 1, 2
_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC = 256, 257, 258, 262
_CHANNELS, _PLANAR, _EXTRA, _SAMPLE_FORMAT = 277, 284, 338, 339
_STRIPS, _TILES = (273, 279), (324, 325)
_SUBFILE_TYPE, _ORIENTATION, _XMP, _ICC = 254, 274, 700, 34675
_IS_REDUCED = 1
# Width, height, compression, fill order, orientation, rows per strip, predictor, tile width and height.
_SHARED_BY_PLANES = (256, 257, 259, 266, 274, 278, 317, 322, 323)
# Description, maker, model, resolution and its unit, software, date, artist, copyright.
_CARRIED = (270, 271, 272, 282, 283, 296, 305, 306, 315, 33432)
_EXIF_DIRECTORIES = (0x8769, 0x8825)
# Raw images are TIFF files with the photometric values of a sensor, or with a thumbnail as the first image.
_SENSOR_PHOTOMETRICS = (32803, 34892)
_DNG_VERSION, _SUB_DIRECTORIES = 50706, 330
_MAXIMUM_PAGES = 64
# The largest value that resampling an edge may produce from values up to 1.
_OVERSHOOT = 1.05


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress Pillow's warnings: about unknown tags, and about damage, for which it also raises an error."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield


class TiffLayout(NamedTuple):
    """The sample layout of the first image; width and height as stored."""

    width: int
    height: int
    bits: int
    sample_format: int
    photometric: int
    channels: int
    extra: tuple[int, ...]
    orientation: int
    icc: bytes
    is_planar: bool

    @property
    def has_alpha(self) -> bool:
        """Whether one of the channels is alpha. As in other readers, an undeclared fourth channel is alpha."""
        is_undeclared = not self.extra and self.photometric == _RGB and self.channels == 4
        return is_undeclared or bool(set(self.extra) & {_PREMULTIPLIED, _ALPHA})

    @property
    def left_out(self) -> int:
        """The number of channels that are neither colour nor alpha."""
        return len([meaning for meaning in self.extra if meaning not in (_PREMULTIPLIED, _ALPHA)])

    @property
    def displayed_size(self) -> tuple[int, int]:
        """Width and height as displayed."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)

    @property
    def is_for_opencv(self) -> bool:
        """Whether OpenCV reads the samples unchanged, while Pillow truncates or refuses them."""
        photometrics = (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB)
        depths = {_UNSIGNED: (16, 32), _FLOAT: (32, 64)}.get(self.sample_format, ())
        return self.bits in depths and self.photometric in photometrics and self.channels in (1, 3, 4)

    @property
    def is_for_pillow(self) -> bool:
        """Whether Pillow reads the image, with 8 bits a sample."""
        return self.bits <= 8 or (self.bits, self.sample_format, self.photometric) == (16, _UNSIGNED, _CMYK)


@_quiet()
def read_layout(data: bytes) -> TiffLayout:
    """Return the layout of the first image of a file.

    Raises MediaError image-variant, media-kind-unsupported for a raw image; on damage the errors of Pillow.
    """
    if data[:4] == b'MM\0+':
        # Pillow reads the version number after the letters as little-endian.
        raise _unsupported('it is a big-endian BigTIFF')
    tags = first_tags(data)
    is_thumbnail = bool(int(tags.get(_SUBFILE_TYPE, 0)) & _IS_REDUCED) and _SUB_DIRECTORIES in tags
    if _DNG_VERSION in tags or is_thumbnail or tags.get(_PHOTOMETRIC) in _SENSOR_PHOTOMETRICS:
        raise MediaError(
            'media-kind-unsupported',
            'its content is raw',
            cause='this version reads no raw images: their first image is a thumbnail or sensor data',
            hint=ADVICE['raw'],
        )
    bits, formats = tags.get(_BITS, 1), tags.get(_SAMPLE_FORMAT, _UNSIGNED)
    orientation = int(tags.get(_ORIENTATION, 1))
    return TiffLayout(
        width=int(tags[_WIDTH]),
        height=int(tags[_HEIGHT]),
        bits=max(bits) if isinstance(bits, tuple) else int(bits),
        sample_format=max(formats) if isinstance(formats, tuple) else int(formats),
        photometric=int(tags.get(_PHOTOMETRIC, _BLACK_IS_ZERO)),
        channels=int(tags.get(_CHANNELS, 1)),
        extra=tuple(tags.get(_EXTRA, ())),
        orientation=orientation if 1 <= orientation <= 8 else 1,
        icc=bytes(tags.get(_ICC, b'')),
        is_planar=int(tags.get(_PLANAR, 1)) == 2,
    )


@_quiet()
def first_tags(data: bytes) -> Mapping[int, Any]:
    """Return the tags of the first image of a file. Raises the errors of Pillow on damage."""
    return next(_directories(data))


@_quiet()
def count_pages(data: bytes) -> int:
    """Return the number of images in a file, not counting reduced copies, up to ``_MAXIMUM_PAGES``."""
    return sum(not int(tags.get(_SUBFILE_TYPE, 0)) & _IS_REDUCED for tags in _directories(data))


def _directories(data: bytes) -> Iterator[TiffImagePlugin.ImageFileDirectory_v2]:
    """Yield the directories of a file, each loaded into the same object."""
    file = io.BytesIO(data)
    directory: Any = TiffImagePlugin.ImageFileDirectory_v2(data[:16] if data[2:3] == b'+' else data[:8])
    seen = {0}
    while len(seen) <= _MAXIMUM_PAGES:
        seen.add(directory.next)
        file.seek(directory.next)
        directory.load(file)
        yield directory
        if directory.next in seen:
            return


@_quiet()
def decode(data: bytes, layout: TiffLayout) -> tuple[Image.Image, str]:
    """Return the first image, upright, with 8 bits a sample, and how its samples were converted ('' if unchanged).

    Raises MediaError image-variant, image-hdr; on damage the errors of Pillow and NumPy.
    """
    if layout.is_for_opencv:
        return _decode_deep(data, layout)
    if not layout.is_for_pillow:
        raise _unsupported(f'it has samples of {layout.bits} bits in an unsupported format')
    image = TiffImagePlugin.TiffImageFile(io.BytesIO(data))
    # Pillow applies the orientation itself.
    image.load()
    return image, f'{layout.bits}-bit samples are rounded to 8 bits' if layout.bits > 8 else ''


@_quiet()
def carried_exif(data: bytes) -> Image.Exif:
    """Return the tags of a file that describe the image rather than its storage."""
    carried = Image.Exif()
    try:
        tags = TiffImagePlugin.TiffImageFile(io.BytesIO(data)).getexif()
    except SyntaxError:
        # Pillow does not open a file whose samples it cannot decode.
        return carried
    for number in _CARRIED:
        if number in tags:
            carried[number] = tags[number]
    for number in _EXIF_DIRECTORIES:
        if number in tags:
            carried.get_ifd(number).update(tags.get_ifd(number))
    return carried


def with_exif(data: bytes, exif: Image.Exif) -> bytes:
    """Return a file with the directories of EXIF data added, which Pillow does not write into compressed files."""
    added = {number: exif.get_ifd(number) for number in _EXIF_DIRECTORIES if exif.get_ifd(number)}
    if not added:
        return data
    directory: Any = first_tags(data)
    for tag in directory:
        # Pillow writes only the tags that were read before.
        directory[tag] = directory[tag]
    for number, values in added.items():
        directory[number] = {tag: value for tag, value in values.items() if not isinstance(value, dict)}
    return _prepended(directory, data)


def _prepended(directory: Any, data: bytes) -> bytes:
    """Return a file of one directory followed by ``data``. Pillow adds the length before ``data`` to strip offsets."""
    file = io.BytesIO()
    directory.save(file)
    return file.getvalue() + data


def without_directories(exif: Image.Exif) -> Image.Exif:
    """Return the tags of EXIF data that belong in a file's own directory."""
    tags = Image.Exif()
    for number in (*_CARRIED, _XMP):
        if number in exif:
            tags[number] = exif[number]
    return tags


def _decode_deep(data: bytes, layout: TiffLayout) -> tuple[Image.Image, str]:
    samples, remark = _unit(_samples(data, layout), layout)
    if layout.photometric == _WHITE_IS_ZERO:
        samples = 1 - samples
    if samples.ndim == 3 and samples.shape[2] == 4:
        samples = _with_alpha(samples, layout)
    pixels = np.rint(np.clip(samples, 0, 1) * 255).astype(np.uint8)
    if pixels.ndim == 3:
        code = cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB
        pixels = cast('NDArray[np.uint8]', cv2.cvtColor(pixels, code))
    return Image.fromarray(pixels), remark


def _samples(data: bytes, layout: TiffLayout) -> NDArray[Any]:
    """Return the samples upright, [height, width] or [height, width, B G R and an optional fourth channel].

    OpenCV reads planes as if they were interleaved, so they are decoded separately.
    """
    if not layout.is_planar or layout.channels == 1:
        return _decoded(data, layout)
    tags = first_tags(data)
    planes = [_decoded(_plane(data, tags, layout, k), layout) for k in range(layout.channels)]
    order = [2, 1, 0, *range(3, layout.channels)]
    return np.dstack([planes[k] for k in order])


def _plane(data: bytes, tags: Mapping[int, Any], layout: TiffLayout, number: int) -> bytes:
    """Return a file with one plane as its only image, in grey. libtiff also accepts tile offsets in the strip tags."""
    plane: Any = TiffImagePlugin.ImageFileDirectory_v2(prefix=data[:2])
    for tag in _SHARED_BY_PLANES:
        if tag in tags:
            plane[tag] = tags[tag]
    plane[_BITS], plane[_SAMPLE_FORMAT] = layout.bits, layout.sample_format
    plane[_PHOTOMETRIC], plane[_CHANNELS] = _BLACK_IS_ZERO, 1
    for target, source in zip(_STRIPS, _TILES if _TILES[0] in tags else _STRIPS, strict=True):
        if source in tags:
            count = len(tags[source]) // layout.channels
            plane[target] = tags[source][number * count : (number + 1) * count]
    return _prepended(plane, data)


def _decoded(data: bytes, layout: TiffLayout) -> NDArray[Any]:
    samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    width, height = layout.displayed_size
    if samples is None or samples.dtype.itemsize * 8 != layout.bits or samples.shape[:2] != (height, width):
        raise ValueError(f'its {layout.bits}-bit samples cannot be read')
    return samples


def _unit(stored: NDArray[Any], layout: TiffLayout) -> tuple[NDArray[np.float32], str]:
    """Return the samples as 0 to 1. Float samples are either 0 to 1 already or whole numbers of 8 or 16 bits.

    Raises MediaError image-hdr.
    """
    if layout.sample_format != _FLOAT:
        scaled = np.divide(stored, float(2**layout.bits - 1), dtype=np.float64)
        return scaled.astype(np.float32), f'{layout.bits}-bit samples are rounded to 8 bits'
    with np.errstate(over='ignore'):
        samples = np.nan_to_num(stored.astype(np.float32), nan=0.0, posinf=np.inf, neginf=0.0)
    largest = float(samples.max(initial=0))
    top = next((top for top in (255, 65535) if largest <= top), 0)
    if largest <= _OVERSHOOT:
        top = 1
    elif not top or not bool((samples == np.rint(samples)).all()):
        raise MediaError(
            'image-hdr',
            'its samples go beyond white, which is not supported',
            cause=f'the largest is {largest:g}, while white is 1',
            hint='convert it to 8 or 16 bits a sample with a tone mapping of your choice first',
        )
    return samples / np.float32(top), f'float samples of 0 to {top} are rounded to 8 bits'


def _with_alpha(samples: NDArray[np.float32], layout: TiffLayout) -> NDArray[np.float32]:
    """Divide premultiplied colours by alpha; drop a fourth channel that is not alpha."""
    if not layout.has_alpha:
        return samples[..., :3]
    if _PREMULTIPLIED in layout.extra:
        alpha = samples[..., 3:]
        samples = samples.copy()
        samples[..., :3] = np.divide(samples[..., :3], alpha, out=np.zeros_like(samples[..., :3]), where=alpha > 0)
    return samples


def _unsupported(cause: str) -> MediaError:
    return MediaError(
        'image-variant',
        'this kind of TIFF is not supported',
        cause=cause,
        hint='save it as TIFF with 8 or 16 bits a sample in RGB or grey, or as PNG',
    )
