"""Read and write images: upright, 8 bits, with alpha and metadata."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import cv2
import numpy as np
from PIL import (
    BmpImagePlugin,
    Image,
    ImageChops,
    ImageCms,
    ImageFile,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)

from facefusion.errors import InternalError, MediaError
from facefusion.events import Emit, Message, silent
from facefusion.media import tiff
from facefusion.media.convert import to_8_bits
from facefusion.media.file_stamp import FileStamp
from facefusion.media.files import write_failure
from facefusion.media.frame import PixelFrame
from facefusion.media.info import ImageInfo
from facefusion.media.kinds import find_kind
from facefusion.media.picture_extras import extras_of, extras_of_tiff, save_settings
from facefusion.media.planes import Pixels
from facefusion.shortage import raise_shortage
from facefusion.stopping import StopFlag

# The plugins are used directly, because Image.open has its own size limits, above which it warns or raises an error.
_PLUGINS: dict[str, type[ImageFile.ImageFile]] = {
    'jpeg': JpegImagePlugin.JpegImageFile,
    'png': PngImagePlugin.PngImageFile,
    'webp': WebPImagePlugin.WebPImageFile,
    'bmp': BmpImagePlugin.BmpImageFile,
}
_MAXIMUM_SIDE = 16384
_MAXIMUM_PIXELS = 268_435_456
_ORIENTATION = 0x0112
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, IndexError, KeyError)
_SIDEWAYS = (5, 6, 7, 8)


def probe_image(path: Path) -> ImageInfo:
    """Measure an image. Raises the MediaErrors of ``read_image``, but detects damaged pixels only in PNG files."""
    status = path.stat()
    file = _bytes_of(path)
    if find_kind(path).content == 'tiff':
        layout = _tiff_layout(path, file.getvalue())
        (width, height), name = layout.displayed_size, 'tiff'
        mode, has_alpha = f'{layout.channels}x{layout.bits}', layout.has_alpha
    else:
        image, name = _open(path, file)
        width, height = image.size
        with _damage_of(path):
            # A PNG may store its orientation after its pixels, so Pillow decodes the pixels to find it.
            if image.getexif().get(_ORIENTATION) in _SIDEWAYS:
                width, height = height, width
        mode, has_alpha = image.mode, image.has_transparency_data
    return ImageInfo(
        path=path,
        size=status.st_size,
        stamp=FileStamp(status),
        width=width,
        height=height,
        format=name,
        mode=mode,
        has_alpha=has_alpha,
    )


def read_image(path: Path, emit: Emit = silent) -> PixelFrame:
    """Read an image upright as 8-bit BGR with separate alpha; a message lists the conversions.

    The frame carries the image's metadata. Raises MediaError: those of ``find_kind``, image-too-large, image-animated,
    image-variant, image-hdr, media-damaged.
    """
    if find_kind(path).content == 'tiff':
        return _read_tiff(path, emit)
    with _bytes_of(path) as file:
        image, _ = _open(path, file)
        depth = _depth(image)
        icc = cast(bytes, image.info.get('icc_profile') or b'')
        with _damage_of(path):
            image.load()
            upright = _rounded(image, file.getvalue()) if depth > 8 and image.mode in ('RGB', 'RGBA') else image
            if image.mode == 'CMYK' and 'adobe' not in image.info:
                # Pillow treats every CMYK file as one written by Adobe software, which inverts the ink values.
                upright = ImageChops.invert(image)
            pixels, alpha, keeps_profile, remark = _to_bgr(ImageOps.exif_transpose(upright), icc)
            extras = extras_of(image, icc if keeps_profile else b'', file.getvalue())
    if depth > 8:
        remark = f'{depth}-bit samples are rounded to 8 bits'
    if remark:
        emit(Message('info', 'media', f'{path.name}: {remark}'))
    return PixelFrame(pixels, alpha, extras)


def _tiff_layout(path: Path, data: bytes) -> tiff.TiffLayout:
    with _damage_of(path):
        layout = tiff.read_layout(data)
        pages = tiff.count_pages(data)
    _check_size(path, layout.width, layout.height)
    if pages > 1:
        raise MediaError(
            'image-animated',
            f'{path.name} has several pages ({pages})',
            cause='an image must be a file of its own',
            hint='save each page as an image of its own, and process them with batch-run',
        )
    return layout


def _read_tiff(path: Path, emit: Emit) -> PixelFrame:
    data = _bytes_of(path).getvalue()
    layout = _tiff_layout(path, data)
    try:
        with _damage_of(path):
            image, rounding = tiff.decode(data, layout)
            pixels, alpha, keeps_profile, conversion = _to_bgr(image, layout.icc)
            extras = extras_of_tiff(data, layout.icc if keeps_profile else b'')
    except Image.DecompressionBombError as error:
        # Pillow has a limit of its own, which is below ours.
        raise _too_large(path, layout.width, layout.height, str(error)) from None
    count = layout.left_out
    lost = f'{count} channel{"s" * (count > 1)} other than colour and transparency left out' if count else ''
    for remark in filter(None, (rounding, conversion, lost)):
        emit(Message('info', 'media', f'{path.name}: {remark}'))
    return PixelFrame(pixels, alpha, extras)


@contextmanager
def _damage_of(path: Path) -> Iterator[None]:
    """Raise the decoders' errors as MediaError media-damaged, and name the file in other media errors."""
    try:
        yield
    except _DAMAGE as error:
        raise MediaError(
            'media-damaged',
            f'{path.name} is damaged or incomplete',
            cause=str(error) or type(error).__name__,
            hint='check that it opens in a viewer; copy or download it again',
        ) from None
    except MediaError as error:
        message = f'{path.name}: {error.message}'
        raise MediaError(error.reference, message, cause=error.cause, hint=error.hint) from None


class _StoppableFile:
    """A file that raises Interrupted after a stop request. It has no ``fileno``, so Pillow writes in blocks."""

    def __init__(self, file: BinaryIO, stop: StopFlag) -> None:
        self._file = file
        self._stop = stop

    def write(self, data: bytes) -> int:
        self._stop.check()
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


def write_image(
    frame: PixelFrame,
    path_part: Path,
    image_format: str,
    quality: int = 80,
    emit: Emit = silent,
    stop: StopFlag | None = None,
) -> None:
    """Write an image as 'jpeg', 'png', 'webp', 'bmp' or 'tiff' to ``path_part``, which is deleted on failure.

    ``quality`` 0..100 applies to JPEG and WebP (100: WebP lossless). JPEG has no alpha: the image is flattened onto
    white, with a message. Raises ResourceError disk-full, OutputError output-unwritable, Interrupted when ``stop`` is
    set (for WebP and TIFF after the single encoder call).
    """
    stop = stop or StopFlag()
    pixels, alpha = to_8_bits(frame.pixels), None if frame.alpha is None else to_8_bits(frame.alpha)
    if alpha is not None and image_format == 'jpeg':
        emit(Message('warn', 'media', 'jpeg has no transparency: the image is flattened onto white'))
        pixels, alpha = on_white(pixels, alpha), None
    colours = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    image = Image.fromarray(colours if alpha is None else np.dstack([colours, alpha]))
    settings, lost = save_settings(frame.extras, image_format)
    settings |= _encoding(image_format, quality)
    if lost:
        emit(Message('warn', 'media', f'the output lacks metadata of the target: {"; ".join(lost)}'))
    try:
        stop.check()
        with path_part.open('wb') as file:
            if image_format == 'bmp' and alpha is not None:
                file.write(_bmp_with_alpha(np.dstack([pixels, alpha]), settings['dpi']))
            elif image_format == 'tiff':
                file.write(_tiff_bytes(image, settings, stop))
            else:
                image.save(cast(BinaryIO, _StoppableFile(file, stop)), format=image_format.upper(), **settings)
        stop.check()
    except OSError as error:
        path_part.unlink(missing_ok=True)
        raise write_failure(error, path_part) from None
    except BaseException:
        path_part.unlink(missing_ok=True)
        raise


def _bmp_with_alpha(pixels: Pixels, dpi: tuple[float, float]) -> bytes:
    """Return BGRA as BMP, written by OpenCV because Pillow omits the header that declares the alpha."""
    data = bytearray(cv2.imencode('.bmp', pixels)[1].tobytes())
    data[38:46] = struct.pack('<2i', *(round(value / 0.0254) for value in dpi))
    return bytes(data)


def _tiff_bytes(image: Image.Image, settings: dict[str, Any], stop: StopFlag) -> bytes:
    """Return an image as TIFF. It is written in memory, because the EXIF directories are added afterwards."""
    written = io.BytesIO()
    exif = Image.Exif()
    exif.load(settings.pop('exif', b''))
    image.save(written, format='TIFF', exif=tiff.without_directories(exif), **settings)
    stop.check()
    return tiff.with_exif(written.getvalue(), exif)


def _bytes_of(path: Path) -> io.BytesIO:
    find_kind(path)
    try:
        return io.BytesIO(path.read_bytes())
    except OSError as error:
        raise MediaError('media-unreadable', f'{path.name} cannot be read', cause=str(error)) from None


def _open(path: Path, file: io.BytesIO) -> tuple[ImageFile.ImageFile, str]:
    content = find_kind(path).content
    with _damage_of(path):
        image = _PLUGINS[content](file)
        frames = int(getattr(image, 'n_frames', 1))
    _check_size(path, *image.size)
    if frames > 1:
        raise MediaError(
            'image-animated',
            f'{path.name} is an animation of {frames} images',
            hint='save one image of it, or convert it to mp4',
        )
    return image, content


def _check_size(path: Path, width: int, height: int) -> None:
    if max(width, height) > _MAXIMUM_SIDE or width * height > _MAXIMUM_PIXELS:
        raise _too_large(path, width, height, f'the limit is {_MAXIMUM_SIDE} pixels a side')


def _too_large(path: Path, width: int, height: int, cause: str) -> MediaError:
    return MediaError(
        'image-too-large', f'{path.name} is too large: {width}x{height} pixels', cause=cause, hint='scale it down first'
    )


def _depth(image: ImageFile.ImageFile) -> int:
    """Return the number of bits stored for a sample; Pillow drops the lower half of 16-bit colour samples."""
    # Only PNG is checked, because the 16 bits of a BMP are those of a pixel, not of a sample.
    raw = str(image.tile[0].args) if image.tile and image.format == 'PNG' else ''
    return 16 if ';16' in raw or image.mode.startswith(('I', 'F')) else 8


def _rounded(image: ImageFile.ImageFile, data: bytes) -> Image.Image:
    """Return a 16-bit colour PNG rounded to 8 bits, with the metadata of ``image``."""
    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    high = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if high is None or high.dtype != np.uint16 or high.ndim != 3 or high.shape[:2] != (image.height, image.width):
        raise ValueError('its 16-bit samples cannot be read')
    samples = np.rint(high.astype(np.float32) / 257).astype(np.uint8)
    code = cv2.COLOR_BGRA2RGBA if high.shape[2] == 4 else cv2.COLOR_BGR2RGB
    rounded = Image.fromarray(cv2.cvtColor(samples, code))
    rounded.info = dict(image.info)
    if high.shape[2] == 4:
        # OpenCV has converted a transparent colour to alpha.
        rounded.info.pop('transparency', None)
    return rounded


def _to_bgr(image: Image.Image, icc: bytes) -> tuple[Pixels, Pixels | None, bool, str]:
    """Return BGR, alpha, whether the colour profile still applies, and the conversion in words ('' for none)."""
    mode = image.mode
    if mode == 'RGB' and 'transparency' not in image.info:
        return _bgr(image), None, True, ''
    if mode in ('RGBA', 'RGB'):
        return _split(image.convert('RGBA'), True, '')
    if mode in ('CMYK', 'LAB'):
        return _from_profile(image, icc)
    if mode.startswith(('I', 'F')):
        high = np.asarray(image, np.float64)
        grey = np.clip(np.rint(high / 257), 0, 255).astype(np.uint8)
        return cv2.merge([grey, grey, grey]), None, False, ''  # type: ignore[return-value]
    remark = 'its palette is expanded to colours' if mode in ('P', 'PA') else 'grey is expanded to colours'
    if mode == 'YCbCr':
        remark = 'it is converted to RGB'
    keeps = mode in ('P', 'PA')
    if icc and not keeps:
        remark += ', and its colour profile, which no longer applies, is left out'
    if image.has_transparency_data:
        return _split(image.convert('RGBA'), keeps, remark)
    return _bgr(image.convert('RGB')), None, keeps, remark


def _from_profile(image: Image.Image, icc: bytes) -> tuple[Pixels, Pixels | None, bool, str]:
    # LAB values need no profile.
    if icc or image.mode == 'LAB':
        source = io.BytesIO(icc) if image.mode != 'LAB' else ImageCms.createProfile('LAB')
        try:
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile('sRGB'), outputMode='RGB')
        except (ImageCms.PyCMSError, OSError, ValueError) as error:
            raise_shortage(error)
            converted = None
        if converted is not None:
            through = '' if image.mode == 'LAB' else ' through its colour profile'
            return _bgr(converted), None, False, f'{image.mode} is converted to sRGB{through}'
    return _bgr(image.convert('RGB')), None, False, f'{image.mode} is converted to RGB without a colour profile'


def _split(image: Image.Image, keeps: bool, remark: str) -> tuple[Pixels, Pixels | None, bool, str]:
    pixels = np.asarray(image)
    return cast(Pixels, cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGR)), pixels[..., 3].copy(), keeps, remark


def _bgr(image: Image.Image) -> Pixels:
    return cast(Pixels, cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2BGR))


def on_white(pixels: Pixels, alpha: Pixels) -> Pixels:
    """Return BGR pixels on a white background, blended by ``alpha``."""
    weight = alpha[..., None].astype(np.float32) / np.float32(255)
    return cast(Pixels, np.rint(pixels * weight + 255 * (1 - weight)).astype(np.uint8))


def _encoding(image_format: str, quality: int) -> dict[str, Any]:
    if image_format == 'jpeg':
        return {'quality': min(max(quality, 1), 100), 'subsampling': 0 if quality >= 90 else 2}
    if image_format == 'webp':
        return {'quality': min(max(quality, 0), 100), 'lossless': quality >= 100, 'exact': True}
    if image_format == 'tiff':
        return {'compression': 'tiff_lzw'}
    if image_format in ('png', 'bmp'):
        return {}
    raise InternalError('image-format', f'{image_format} is not an image format that is written')
