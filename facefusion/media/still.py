"""An image as the only source frame of a clip."""

from __future__ import annotations

import io
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from PIL import Image, ImageCms

from facefusion.events import Emit, Message, silent
from facefusion.media.frame import PixelFrame
from facefusion.media.image import on_white, read_image
from facefusion.media.planes import Pixels


def read_still(path: Path, emit: Emit = silent) -> PixelFrame:
    """Read an image as ``read_image`` does, but without features that a video lacks; messages report the changes.

    Colours are converted to sRGB, and transparent parts become white. Raises the errors of ``read_image``.
    """
    frame = read_image(path, emit)
    pixels = frame.pixels
    if frame.extras.icc:
        pixels, remark = _to_srgb(pixels, frame.extras.icc)
        if remark:
            emit(Message('info', 'media', f'{path.name}: {remark}'))
    if frame.alpha is not None:
        emit(Message('warn', 'media', f'{path.name}: a video has no transparency: the image is flattened onto white'))
        pixels = on_white(pixels, frame.alpha)
    return PixelFrame(pixels)


def _to_srgb(pixels: Pixels, icc: bytes) -> tuple[Pixels, str]:
    """Return the pixels in sRGB, and a remark on the conversion ('' for none)."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        if 'srgb' in ImageCms.getProfileDescription(profile).lower():
            return pixels, ''
        image = Image.fromarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
        converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile('sRGB'), outputMode='RGB')
    except (ImageCms.PyCMSError, OSError, ValueError):
        converted = None
    if converted is None:
        return pixels, 'its colour profile is unusable and is left out'
    bgr = cv2.cvtColor(np.asarray(converted), cv2.COLOR_RGB2BGR)
    return cast(Pixels, bgr), 'its colours are converted to sRGB, since a video has no colour profile'
