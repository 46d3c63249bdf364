"""The embedded classifier of the content gate: Yahoo's open_nsfw (2016)."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin

from facefusion.media.planes import Pixels
from facefusion.safety.classifier import Images, Scores, unusable_scores
from facefusion.safety.voters import EMBEDDED

# None of 208 harmless images reached this score; the highest was 0.646 (embedded-models.md section 5).
THRESHOLD = 0.8
_RESIZED = 256
_CROP = 224
_MEAN_BGR = np.array((104, 117, 123), np.float32)
# The network needs 600 kB per image, and larger batches save no time.
_BATCH = 4


class OpenNsfw:
    """A classifier whose session maps ``[n,224,224,3]`` float32 to ``[n,2]``; the second value is the score."""

    model_id = EMBEDDED
    threshold = THRESHOLD

    def __init__(self, session: Any) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name

    def scores(self, images: Images) -> Scores:
        """Return float32 [n], 0 to 1, for images uint8 HxWx3 BGR of any sizes. Raises ModelError gate-scores."""
        found = [np.empty(0, np.float32)]
        for at in range(0, len(images), _BATCH):
            batch = np.stack([network_input(image) for image in images[at : at + _BATCH]])
            (outputs,) = self._session.run(None, {self._input: batch})
            found.append(np.asarray(outputs[:, 1], np.float32))
        scores = np.concatenate(found)
        if not ((scores >= 0) & (scores <= 1)).all():
            raise unusable_scores(self.model_id, f'expected numbers from 0 to 1, got {scores[:4].tolist()}')
        return scores


def network_input(image: Pixels) -> NDArray[np.float32]:
    """Return float32 [224,224,3] BGR minus the mean, from an image uint8 HxWx3 BGR.

    The steps are the same as in the training of the network and in the measurement of the threshold: resize any shape
    to 256x256 with Pillow's bilinear filter, cut out the central 224x224, and encode and decode it as JPEG once.
    Another filter changes the score by up to 0.45 (embedded-models.md section 5).
    """
    # The filter processes each channel separately, so the channels can be reversed later, in the smaller image.
    small = Image.fromarray(image).resize((_RESIZED, _RESIZED), Image.Resampling.BILINEAR)
    edge = (_RESIZED - _CROP) // 2
    middle = np.asarray(small)[edge : edge + _CROP, edge : edge + _CROP, ::-1]
    with io.BytesIO() as file:
        Image.fromarray(np.ascontiguousarray(middle)).save(file, 'JPEG')
        file.seek(0)
        # The plugin is called directly, because Image.open would load the plugins of all formats.
        rgb = np.asarray(JpegImagePlugin.JpegImageFile(file), np.float32)
    return np.asarray(rgb[:, :, ::-1] - _MEAN_BGR, np.float32)
