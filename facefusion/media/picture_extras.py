"""Carry the metadata of an image from the input file to the output file."""

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
# The largest resolution that fits the 16 bits in JFIF; all other formats support it, too.
_MAXIMUM_DPI = 65535
# Limits in bytes that an image may exceed: a JPEG segment holds 65533 bytes, and an ICC profile has up to 255 segments.
_LIMITS = {
    'jpeg': {'colour profile': 255 * 65519, 'EXIF data': 65533, 'XMP': 65504},
    'bmp': {'colour profile': 0, 'EXIF data': 0, 'XMP': 0},
}
_BAD_EXIF = (ArithmeticError, LookupError, OSError, SyntaxError, TypeError, ValueError, struct.error)
Dpi = tuple[float, float]


@dataclass(frozen=True, slots=True)
class PictureExtras:
    """Metadata for the output: colour profile, EXIF data (without orientation and thumbnail), XMP in UTF-8.

    ``dpi`` is the print resolution in pixels an inch, across and down, None if unknown. ``lost`` names metadata that no
    output can have. ``png_colours`` are chunks that define the colours of a PNG; no other format has them.
    """

    icc: bytes = b''
    exif: bytes = b''
    xmp: bytes = b''
    dpi: Dpi | None = None
    lost: tuple[str, ...] = ()
    png_colours: Chunks = ()


NO_PICTURE_EXTRAS = PictureExtras()


def extras_of(image: ImageFile.ImageFile, icc: bytes, data: bytes) -> PictureExtras:
    """Return the metadata of a loaded image other than TIFF; ``icc`` is its colour profile, ``data`` its file."""
    info, exif = image.info, image.getexif()
    exif.pop(_ORIENTATION, None)
    if image.format == 'JPEG':
        # The values of JFIF are read, because Pillow assumes 72 for a file with EXIF data but without a resolution.
        factor = _JFIF_UNITS.get(info.get('jfif_unit', 0))
        density = info.get('jfif_density')
        dpi = _as_dpi(density, factor) if factor and density else None
    else:
        dpi = _as_dpi(info['dpi'], 1.0) if 'dpi' in info else None
    packet = exif.pop(_XMP, b'')
    extras = _collect(exif, (dpi, _dpi_of_tags(exif)), info.get('xmp') or packet, icc, _lost_of(image))
    colours = colour_chunks(data, bool(icc)) if image.format == 'PNG' else ()
    return replace(extras, png_colours=colours)


def extras_of_tiff(data: bytes, icc: bytes) -> PictureExtras:
    """Return the metadata of the first image of a TIFF; ``icc`` is its colour profile."""
    tags = tiff.first_tags(data)
    names = {_IPTC: 'IPTC data', _LAYERS: 'layers'}
    lost = [name for tag, name in names.items() if tag in tags]
    return _collect(tiff.carried_exif(data), (_dpi_of_tags(tags),), tags.get(_XMP, b''), icc, lost)


def save_settings(extras: PictureExtras, image_format: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return Pillow's settings that write the metadata, and the names of the lost metadata.

    TIFF stores XMP as a tag of the EXIF data.
    """
    parts = {'colour profile': extras.icc, 'EXIF data': extras.exif, 'XMP': extras.xmp}
    lost = list(extras.lost)
    for name, limit in _LIMITS.get(image_format, {}).items():
        if len(parts[name]) > limit:
            reason = f'{image_format} supports up to {limit} bytes' if limit else f'{image_format} supports none'
            lost.append(f'{name} ({reason})')
            parts[name] = b''
    if extras.png_colours and image_format != 'png':
        chunks = ', '.join(name.decode() for name, _ in extras.png_colours)
        lost.append(f'the colour definition ({chunks}: only png supports it)')
    settings: dict[str, Any] = {'icc_profile': parts['colour profile'] or None}
    exif, xmp = parts['EXIF data'], parts['XMP']
    if image_format == 'webp':
        # WebP stores a print resolution only in the EXIF data.
        dpi = {_X_RESOLUTION: extras.dpi[0], _Y_RESOLUTION: extras.dpi[1], _RESOLUTION_UNIT: 2} if extras.dpi else {}
        exif = _with_tags(exif, dpi)
    else:
        # BMP gets 0, because Pillow would write 96 otherwise.
        settings['dpi'] = extras.dpi or ((0, 0) if image_format == 'bmp' else None)
    if image_format == 'tiff':
        exif = _with_tags(exif, {_XMP: xmp} if xmp else {})
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


def _collect(exif: Image.Exif, dpis: Sequence[Dpi | None], packet: Any, icc: bytes, lost: list[str]) -> PictureExtras:
    """Return the metadata with the first plausible print resolution of ``dpis``, the resolutions in a file."""
    plausible = [dpi for dpi in dpis if dpi and all(1 <= value <= _MAXIMUM_DPI for value in dpi)]
    if not plausible:
        lost += [f'a print resolution of {dpi[0]:g} x {dpi[1]:g} dpi' for dpi in dpis[:1] if dpi and any(dpi)]
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
    return PictureExtras(icc, data, xmp, plausible[0] if plausible else None, tuple(lost))


def _lost_of(image: ImageFile.ImageFile) -> list[str]:
    """Return the names of an image's metadata that is never copied."""
    info = image.info
    shape = info.get('aspect', info.get('jfif_density', (1, 1)) if not info.get('jfif_unit') else (1, 1))
    texts = set(getattr(image, 'text', ()))
    found = {
        'a comment': 'comment' in info and image.format == 'JPEG',
        'IPTC data': _PHOTOSHOP_IPTC in info.get('photoshop', ()) or 'Raw profile type iptc' in texts,
        'text entries': any(name != 'XML:com.adobe.xmp' and not name.startswith('Raw profile') for name in texts),
        'the extended part of XMP': any(part.startswith(_EXTENDED_XMP) for _, part in getattr(image, 'applist', ())),
        'further images': 'mp' in info,
        'the shape of its pixels': shape[0] != shape[1],
    }
    return [name for name, is_there in found.items() if is_there]


def _dpi_of_tags(tags: Mapping[int, Any] | Image.Exif) -> Dpi | None:
    """Return the resolution in tags of TIFF or EXIF; the default unit is inches (TIFF 6.0, page 38)."""
    factor = _RESOLUTION_UNITS.get(tags.get(_RESOLUTION_UNIT, 2))
    if factor is None or _X_RESOLUTION not in tags:
        return None
    across = tags[_X_RESOLUTION]
    return _as_dpi((across, tags.get(_Y_RESOLUTION, across)), factor)


def _as_dpi(density: Sequence[Any], factor: float) -> Dpi | None:
    """Return two numbers, possibly fractions with denominator 0, as pixels an inch; None if they are not numbers."""
    try:
        dpi = float(density[0]) * factor, float(density[1]) * factor
    except (ArithmeticError, IndexError, TypeError, ValueError):
        return None
    return dpi if dpi[0] == dpi[0] and dpi[1] == dpi[1] else None


def _with_tags(data: bytes, tags: Mapping[int, Any]) -> bytes:
    """Return EXIF data with tags added."""
    if not tags:
        return data
    exif = Image.Exif()
    exif.load(data)
    exif.update(tags)
    return exif.tobytes()
