"""A lip syncer with a published network: align, paint the mouth, mask, paste back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from facefusion.errors import InternalError
from facefusion.events import Message
from facefusion.faces.face import Floats, LinkedFace
from facefusion.faces.masks.options import FaceMaskOptions
from facefusion.faces.role import NO_SOURCE
from facefusion.media.voice import Voice
from facefusion.processors.face_crops import FaceCrop, face_crops
from facefusion.processors.face_masker import FaceMasker, prepare_masker
from facefusion.processors.lip_syncer.fade import presence, visible
from facefusion.processors.lip_syncer.models import is_edtalk
from facefusion.processors.lip_syncer.network import CROP_SIDE, TEMPLATE, Edtalk, LipNetwork, Wav2Lip
from facefusion.processors.lip_syncer.options import LipSyncerOptions
from facefusion.processors.processor import FrameTask, ProcessorTools
from facefusion.voice.mel import mel_window

NAME = 'lip_syncer'
# The points of the mouth among the 68.
_MOUTH = slice(48, 68)


class _Visible(NamedTuple):
    """A crop whose mouth is visible; ``mask``: float32 [S,S], the opacity of the result."""

    crop: FaceCrop
    mask: Floats


class LipSyncer:
    """A processor with a published network; one call of the network may take the crops of several frames."""

    name = NAME

    def __init__(self, network: LipNetwork, masker: FaceMasker, voices: Sequence[Voice]) -> None:
        self._network = network
        self._masker = masker
        self._voices = voices

    def process(self, batch: Sequence[FrameTask]) -> list[bool]:
        """Change the mouths of faces with a voice, and return for each frame whether any of its pixels changed."""
        changed = [False] * len(batch)
        mels: dict[tuple[int, int], Floats] = {}
        for crops in face_crops(batch, TEMPLATE, lambda five: CROP_SIDE, _has_voice):
            masks = self._masker.masks(crops, [crop.pixels for crop in crops])
            shown = [_shown(crop, mask) for crop, mask in zip(crops, masks, strict=True)]
            shown = [each for each in shown if each.mask.any()]
            # Faces with the same voice share its windows.
            keys = [(each.crop.number, each.crop.face.role.voice) for each in shown]
            for number, voice in keys:
                if (number, voice) not in mels:
                    mels[number, voice] = mel_window(self._voices[voice], batch[number].seconds)
            windows = [mels[key] for key in keys]
            results = self._network.speak([each.crop for each in shown], windows) if shown else []
            for (crop, mask), result in zip(shown, results, strict=True):
                changed[crop.number] |= crop.blend(result, mask)
        return changed


def _has_voice(face: LinkedFace) -> bool:
    return face.role.voice != NO_SOURCE


def _shown(crop: FaceCrop, mask: Floats) -> _Visible:
    opacity = presence(crop.task, crop.face) * visible(mask, crop.points()[_MOUTH])
    return _Visible(crop, mask if opacity == 1 else mask * opacity)


def prepare_published(tools: ProcessorTools, options: LipSyncerOptions, name: str) -> LipSyncer:
    """Return the lip syncer with the published model ``name``. Raises ModelError, ProviderError."""
    if not tools.voices:
        raise InternalError('requirement-missing', 'the lip syncer was prepared without a voice')
    session, side = tools.sessions.batched(name), tools.sessions.contract(name).size[0]
    make = Edtalk if is_edtalk(name) else Wav2Lip
    network = make(session, side, tools.batch_of(name), options.lip_syncer_weight)
    return LipSyncer(network, _masker(tools, name), tools.voices)


def _masker(tools: ProcessorTools, name: str) -> FaceMasker:
    """Return the masks of a published model: always a box or the lower face, and occlusion if selected.

    These are the rules of FaceFusion 3.8 (peer-models.md section 8).
    """
    chosen = tools.settings[FaceMaskOptions]
    ignored = [kind for kind in ('area', 'region') if kind in chosen.face_mask_types]
    own, limit = ('box', 'box') if is_edtalk(name) else ('area', 'the lower face')
    if ignored:
        text = f'{name} ignores the mask types {", ".join(ignored)}: it applies {limit} and occlusion only'
        tools.emit(Message('info', NAME, text))
    types = (own, *(kind for kind in chosen.face_mask_types if kind == 'occlusion'))
    options = replace(chosen, face_mask_types=types, face_mask_areas=('lower-face',))
    return prepare_masker(options, tools, TEMPLATE, NAME)
