"""What a picture carries beside its pixels, from the file that is read to the one that is written."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image, ImageFile, PngImagePlugin

from facefusion.media import tiff
from facefusion.media.png_colours import Chunks, colour_chunks
from facefusion.media.xmp import carried_xmp

_ORIENTATION = 0x0112
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296
_XMP, _IPTC, _LAYERS = 700, 33723, 37724
_RESOLUTION_UNITS = {2: 1.0, 3: 2.54}
_JFIF_UNITS = {1: 1.0, 2: 2.54}
_PHOTOSHOP_IPTC = 0x0404
_EXTENDED_XMP = b'http://ns.adobe.com/xmp/extension/\0'
# What the 16 bits of JFIF hold; every other format holds that, too.
_LARGEST_DPI = 65535
# Bytes that a format holds, where that is not more than any picture has: a segment of JPEG holds 65533, ICC profiles
# may take 255 of them.
_LARGEST = {
    'jpeg': {'colour profile': 255 * 65519, 'EXIF data': 65533, 'XMP': 65504},
    'bmp': {'colour profile': 0, 'EXIF data': 0, 'XMP': 0},
}
_BAD_EXIF = (ArithmeticError, LookupError, OSError, SyntaxError, TypeError, ValueError, struct.error)
Dpi = tuple[float, float]


@dataclass(frozen=True, slots=True)
class PictureExtras:
    """What is carried to the output: colour profile, EXIF data (without orientation and thumbnail), XMP in UTF-8.

    ``dpi`` is the print resolution in pixels an inch, across and down, None where the file tells none. ``lost`` names
    what no output will have. ``png_colours`` give the colours of a PNG their meaning; no other format has such.
    """

    icc: bytes = b''
    exif: bytes = b''
    xmp: bytes = b''
    dpi: Dpi | None = None
    lost: tuple[str, ...] = ()
    png_colours: Chunks = ()


NO_PICTURE_EXTRAS = PictureExtras()


def extras_of(image: ImageFile.ImageFile, icc: bytes, data: bytes) -> PictureExtras:
    """What a picture of any format but TIFF carries, with ``icc`` as its colour profile. It must be loaded already.

    ``data`` is the file.
    """
    info, exif = image.info, image.getexif()
    exif.pop(_ORIENTATION, None)
    if image.format == 'JPEG':
        # Pillow makes 72 up where a file has EXIF data and no resolution.
        factor = _JFIF_UNITS.get(info.get('jfif_unit', 0))
        density = info.get('jfif_density')
        dpi = _as_dpi(density, factor) if factor and density else None
    else:
        dpi = _as_dpi(info['dpi'], 1.0) if 'dpi' in info else None
    packet = exif.pop(_XMP, b'')
    extras = _gathered(exif, (dpi, _dpi_of_tags(exif)), info.get('xmp') or packet, icc, _lost_of(image))
    colours = colour_chunks(data, bool(icc)) if image.format == 'PNG' else ()
    return replace(extras, png_colours=colours)


def extras_of_tiff(data: bytes, icc: bytes) -> PictureExtras:
    """What the first picture of a TIFF carries, with ``icc`` as its colour profile."""
    tags = tiff.first_tags(data)
    names = {_IPTC: 'IPTC data', _LAYERS: 'layers'}
    lost = [name for tag, name in names.items() if tag in tags]
    return _gathered(tiff.carried_exif(data), (_dpi_of_tags(tags),), tags.get(_XMP, b''), icc, lost)


def save_settings(extras: PictureExtras, image_format: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The settings by which Pillow writes it all, and what is lost: the file's own, and what the format does not hold.

    TIFF takes XMP as a tag of the EXIF data.
    """
    parts = {'colour profile': extras.icc, 'EXIF data': extras.exif, 'XMP': extras.xmp}
    lost = list(extras.lost)
    for name, most in _LARGEST.get(image_format, {}).items():
        if len(parts[name]) > most:
            held = f'{image_format} holds up to {most} bytes' if most else f'{image_format} holds none'
            lost.append(f'{name} ({held})')
            parts[name] = b''
    if extras.png_colours and image_format != 'png':
        chunks = ', '.join(name.decode() for name, _ in extras.png_colours)
        lost.append(f'the meaning of its colours ({chunks}: only png holds it)')
    settings: dict[str, Any] = {'icc_profile': parts['colour profile'] or None}
    exif, xmp = parts['EXIF data'], parts['XMP']
    if image_format == 'webp':
        exif = _with_dpi(exif, extras.dpi)
    else:
        # BMP: none, where Pillow would make 96 up.
        settings['dpi'] = extras.dpi or ((0, 0) if image_format == 'bmp' else None)
    if image_format == 'tiff':
        exif = _with_xmp(exif, xmp)
    elif image_format == 'png':
        settings['pnginfo'] = PngImagePlugin.PngInfo()
        for chunk, content in extras.png_colours:
            settings['pnginfo'].add(chunk, content)
        if xmp:
            settings['pnginfo'].add_itxt('XML:com.adobe.xmp', xmp.decode())
    elif xmp:
        settings['xmp'] = xmp
    if exif:
        settings['exif'] = exif
    return {name: value for name, value in settings.items() if value is not None}, tuple(lost)


def _gathered(exif: Image.Exif, told: Sequence[Dpi | None], packet: Any, icc: bytes, lost: list[str]) -> PictureExtras:
    """``told`` are the print resolutions that a file tells: the first one that makes sense is taken."""
    sensible = [dpi for dpi in told if dpi and all(1 <= value <= _LARGEST_DPI for value in dpi)]
    if not sensible:
        lost += [f'a print resolution of {dpi[0]:g} x {dpi[1]:g} dpi' for dpi in told[:1] if dpi and any(dpi)]
        if exif.get(_RESOLUTION_UNIT, 2) in _RESOLUTION_UNITS:
            for tag in (_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT):
                exif.pop(tag, None)
    xmp, missed = carried_xmp(packet) if isinstance(packet, bytes) else (b'', ('XMP, which is damaged',))
    lost += missed
    try:
        data = exif.tobytes() if len(exif) else b''
    except _BAD_EXIF:
        data = b''
        lost.append('EXIF data, which is damaged')
    return PictureExtras(icc, data, xmp, sensible[0] if sensible else None, tuple(lost))


def _lost_of(image: ImageFile.ImageFile) -> list[str]:
    """What a picture has that is not carried."""
    info = image.info
    shape = info.get('aspect', info.get('jfif_density', (1, 1)) if not info.get('jfif_unit') else (1, 1))
    texts = set(getattr(image, 'text', ()))
    found = {
        'a comment': 'comment' in info and image.format == 'JPEG',
        'IPTC data': _PHOTOSHOP_IPTC in info.get('photoshop', ()) or 'Raw profile type iptc' in texts,
        'text entries': any(name != 'XML:com.adobe.xmp' and not name.startswith('Raw profile') for name in texts),
        'the extended part of XMP': any(part.startswith(_EXTENDED_XMP) for _, part in getattr(image, 'applist', ())),
        'further pictures': 'mp' in info,
        'the shape of its pixels': shape[0] != shape[1],
    }
    return [name for name, is_there in found.items() if is_there]


def _dpi_of_tags(tags: Mapping[int, Any] | Image.Exif) -> Dpi | None:
    """What the tags of TIFF and EXIF tell; without a unit they mean inches (TIFF 6.0, page 38)."""
    factor = _RESOLUTION_UNITS.get(tags.get(_RESOLUTION_UNIT, 2))
    if factor is None or _X_RESOLUTION not in tags:
        return None
    across = tags[_X_RESOLUTION]
    return _as_dpi((across, tags.get(_Y_RESOLUTION, across)), factor)


def _as_dpi(density: Sequence[Any], factor: float) -> Dpi | None:
    """Two numbers of a file, which may be fractions of nothing, as pixels an inch; None where they are no numbers."""
    try:
        dpi = float(density[0]) * factor, float(density[1]) * factor
    except (ArithmeticError, IndexError, TypeError, ValueError):
        return None
    return dpi if dpi[0] == dpi[0] and dpi[1] == dpi[1] else None


def _with_dpi(data: bytes, dpi: Dpi | None) -> bytes:
    """EXIF data with a print resolution, where there is one: WebP has no other place for it."""
    if dpi is None:
        return data
    exif = _loaded(data)
    exif[_X_RESOLUTION], exif[_Y_RESOLUTION], exif[_RESOLUTION_UNIT] = *dpi, 2
    return exif.tobytes()


def _with_xmp(data: bytes, xmp: bytes) -> bytes:
    if not xmp:
        return data
    exif = _loaded(data)
    exif[_XMP] = xmp
    return exif.tobytes()


def _loaded(data: bytes) -> Image.Exif:
    exif = Image.Exif()
    exif.load(data)
    return exif
