"""The source identity of a published swapper, built once per run and mixed with each target face on request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from facefusion.faces.face import Floats
from facefusion.faces.recognise import ArcFace, unit
from facefusion.faces.templates import crop_frame, template_matrix
from facefusion.media.frame import Frame
from facefusion.processors.face_swapper.neural.kinds import SwapKind

# The option's weight is 0..1: 0 mixes in 35 % of the target, 1 moves the source 35 % away from the target, 0.5
# has no effect.
_WEIGHT_RANGE = 0.35

Convert = Callable[[Floats], Floats]


class SourceIdentity:
    """The ``source`` tensor of the network for each face of the target.

    ``share`` is the weight of the tensor that ``mix`` returns for a target face; with weight 0, ``mix`` is not called.
    """

    def __init__(
        self, tensor: Floats, share: float = 0.0, mix: Callable[[Frame, Floats], Floats] | None = None
    ) -> None:
        self._tensor = tensor
        self._share = share
        self._mix = mix

    def source_for(self, frame: Frame, five: Floats) -> Floats:
        """Return the ``source`` tensor, without the batch; five: points of the target face in frame pixels."""
        if self._mix is None or self._share == 0:
            return self._tensor
        return np.asarray(self._tensor * (1 - self._share) + self._mix(frame, five) * self._share, np.float32)


def image_identity(kind: SwapKind, frame: Frame, five: Floats) -> SourceIdentity:
    """Return the identity of a swapper whose source is an aligned crop of a face, float32 [3,S,S] RGB 0..1."""
    size = kind.source_size
    crop = crop_frame(frame, template_matrix(five, kind.source_template, size), (size, size))
    return SourceIdentity(np.ascontiguousarray(crop[:, :, ::-1].transpose(2, 0, 1), np.float32) / np.float32(255))


def embedding_identity(
    embeddings: Sequence[Floats], embedder: ArcFace, convert: Convert, kind: SwapKind, weight: float
) -> SourceIdentity:
    """Return the identity from the mean of several embeddings float32 [512].

    ``convert`` returns the source of the network for an embedding. Embeddings are normalised to length 1 before
    averaging only for networks that take embeddings of length 1, as in FaceFusion 3.8. The embedding of a target is
    converted in the same way before it is mixed in; FaceFusion 3.8 mixes it in unconverted.
    """
    by_length = kind.source == 'unit embedding'
    mean = np.mean([unit(each) for each in embeddings] if by_length else embeddings, axis=0, dtype=np.float32)
    share = round(_WEIGHT_RANGE - 2 * _WEIGHT_RANGE * weight, 6)
    # FaceFusion 3.8 does not normalise the mean to length 1 either.
    source = np.asarray(mean, np.float32) if by_length else convert(np.asarray(mean, np.float32))

    def mix(frame: Frame, five: Floats) -> Floats:
        return convert(embedder.embed(frame, five))

    return SourceIdentity(source, share, mix)


def converter(kind: SwapKind, session: Any | None, matrix: npt.NDArray[np.float32] | None) -> Convert:
    """Return the function from an ArcFace embedding float32 [512] to the ``source`` tensor of a kind of swapper.

    session: the embedding converter's, for kinds that need one. matrix: float32 [512,512], for the source 'matrix'.
    """
    if kind.source == 'matrix':
        assert matrix is not None
        # InsightFace normalises after the multiplication; FaceFusion 3.8 divides by the embedding's length before it.
        return lambda embedding: unit(np.asarray(embedding @ matrix, np.float32))
    if kind.source == 'unit embedding':
        return unit
    assert session is not None
    name = session.get_inputs()[0].name

    def convert(embedding: Floats) -> Floats:
        converted = np.asarray(session.run(None, {name: embedding[None]})[0], np.float32).ravel()
        return unit(converted) if kind.source == 'converted unit' else converted

    return convert
