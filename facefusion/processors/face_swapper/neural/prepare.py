"""Prepare a published swapper: its network, its source identities and its masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from facefusion.events import Emit, Message
from facefusion.faces.face import Floats
from facefusion.faces.landmarks.subsets import five_points
from facefusion.faces.masks.options import FaceMaskOptions, idle_options
from facefusion.faces.recognise import SAME_PERSON, ArcFace, unit
from facefusion.inference.initializers import last_initializer
from facefusion.processors.face_masker import prepare_masker
from facefusion.processors.face_swapper.models import PUBLISHED, RECOGNISER, crop_size
from facefusion.processors.face_swapper.neural.identity import (
    SourceIdentity,
    converter,
    embedding_identity,
    image_identity,
)
from facefusion.processors.face_swapper.neural.network import SwapNetwork
from facefusion.processors.face_swapper.neural.swapper import NeuralSwapper
from facefusion.processors.face_swapper.options import FaceSwapperOptions
from facefusion.processors.face_swapper.sources import SourceFace, find_source_faces
from facefusion.processors.processor import ProcessorTools

# The minimum height of a source face in pixels. Enlarging a smaller face to the recogniser's crop blurs it too much.
SMALLEST_SOURCE_FACE = 24

_MakeIdentity = Callable[[Sequence[SourceFace], Emit], SourceIdentity]


def prepare_neural(tools: ProcessorTools) -> NeuralSwapper:
    """Return the swapper. Raises MediaError, NoFaceError, ModelError, UsageError pixel-boost."""
    options, masks = tools.settings[FaceSwapperOptions], tools.settings[FaceMaskOptions]
    name = options.face_swapper_model
    size = crop_size(name, options.face_swapper_pixel_boost)
    contract = tools.sessions.contract(name)
    network = SwapNetwork(tools.sessions.batched(name), contract, tools.batch_of(name))
    identities = _identities(tools, network, options)
    for text in idle_options(masks):
        tools.emit(Message('warn', 'face_swapper', text))
    masker = prepare_masker(masks, tools, contract.template, 'face_swapper')
    return NeuralSwapper(network, contract.template, size, identities, masker, options.face_swapper_color == 'match')


def _selected(faces: Sequence[SourceFace], mode: str) -> Sequence[SourceFace]:
    return faces if mode == 'mean' else [max(faces, key=lambda found: found.face.size)]


def _identities(tools: ProcessorTools, network: SwapNetwork, options: FaceSwapperOptions) -> list[SourceIdentity]:
    """Return the identity of each group of images; the networks are loaded once."""
    make = _from_embeddings(tools, network, options) if network.kind.takes_embedding else _from_images(tools, network)

    def identity(group: int) -> SourceIdentity:
        def find(emit: Emit) -> SourceIdentity:
            faces = find_source_faces(replace(tools, emit=emit), group, SMALLEST_SOURCE_FACE)
            return make(_selected(faces, options.face_swapper_source_mode), emit)

        others = tools.cast.users_of_images(group), options
        return tools.kept.get('identity', tools.cast.images[group], others, find, tools.emit)

    return [identity(group) for group in range(len(tools.cast.images))]


def _from_images(tools: ProcessorTools, network: SwapNetwork) -> _MakeIdentity:
    name = tools.settings[FaceSwapperOptions].face_swapper_model

    def make(faces: Sequence[SourceFace], emit: Emit) -> SourceIdentity:
        if len(faces) > 1:
            text = f'{name} uses the first source image only: {faces[0].name}'
            emit(Message('info', 'face_swapper', text))
        return image_identity(network.kind, faces[0].frame, five_points(faces[0].face.landmarks))

    return make


def _from_embeddings(tools: ProcessorTools, network: SwapNetwork, options: FaceSwapperOptions) -> _MakeIdentity:
    kind, name = network.kind, options.face_swapper_model
    embedder = ArcFace(tools.sessions.session(RECOGNISER))
    matrix = last_initializer(tools.sessions.path(name)) if kind.source == 'matrix' else None
    converter_id = PUBLISHED[name].converter
    session = tools.sessions.session(converter_id) if converter_id else None
    convert = converter(kind, session, matrix)

    def make(faces: Sequence[SourceFace], emit: Emit) -> SourceIdentity:
        embeddings = [embedder.embed(each.frame, five_points(each.face.landmarks)) for each in faces]
        _warn_of_others(faces, [unit(each) for each in embeddings], emit)
        return embedding_identity(embeddings, embedder, convert, kind, options.face_swapper_weight)

    return make


def _warn_of_others(faces: Sequence[SourceFace], embeddings: Sequence[Floats], emit: Emit) -> None:
    """Warn about images that seem to show another person than the first one; a mean of two people resembles neither."""
    for source, embedding in zip(faces[1:], embeddings[1:], strict=True):
        if float(embedding @ embeddings[0]) < SAME_PERSON:
            text = f'{source.path} and {faces[0].name} seem to show different people: their faces are averaged'
            emit(Message('warn', 'face_swapper', text))
