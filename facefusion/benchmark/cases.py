"""The cases of a benchmark: a chain of processors with its models, on a clip of one resolution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from facefusion.benchmark.options import ALL_MODELS, RESOLUTIONS, BenchmarkOptions
from facefusion.errors import FaceFusionError, UsageError
from facefusion.events import Emit
from facefusion.models.choice import ModelChooser
from facefusion.options import OptionInfo, describe
from facefusion.processors.registration import Registration
from facefusion.processors.registry import REGISTRATIONS, ProcessorsOptions, registrations
from facefusion.settings import Settings
from facefusion.steps.arguments import freeze_models


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of processors to measure; ``models`` are the models of its processors, '' for one without a choice.

    ``is_named``: whether the user asked for the models, so that a missing one is an error.
    """

    settings: Settings
    processors: tuple[str, ...]
    models: tuple[str, ...]
    is_named: bool = True

    @property
    def label(self) -> str:
        """Name of the chain for people, such as 'face_swapper mesh_warp + frame_enhancer span_x4'."""
        pairs = zip(self.processors, self.models, strict=True)
        return ' + '.join(' '.join(part for part in pair if part) for pair in pairs)

    @property
    def output_suffix(self) -> str:
        """The extension of the outputs; MP4 has no transparency."""
        has_alpha = any(each.writes_alpha(self.settings) for each in registrations(self.processors))
        return '.mov' if has_alpha else '.mp4'

    @property
    def uses_voice(self) -> bool:
        """Whether a processor needs a source with audio."""
        return any(each.requirements(self.settings).source_audio for each in registrations(self.processors))


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A chain that was not measured at a resolution ('' for all of them), and the reason."""

    chain: Chain
    resolution: str
    error: FaceFusionError

    def as_record(self) -> dict[str, Any]:
        """Return the case and its error as plain JSON."""
        return {
            'processors': list(self.chain.processors),
            'models': list(self.chain.models),
            'resolution': self.resolution or None,
            'error': self.error.as_record(),
        }


def choose_chains(settings: Settings, models: ModelChooser, emit: Emit) -> list[Chain]:
    """Return the chains of the options, with a model instead of each 'auto'.

    Raises UsageError benchmark-model for a model that no processor of ``--processors`` has, and the errors of
    ``freeze_models``.
    """
    names, processors = settings[BenchmarkOptions].benchmark_models, settings[ProcessorsOptions].processors
    if not names:
        return [_chain(freeze_models(settings, models, emit), processors, True)]
    chains = []
    for registration in registrations(tuple(dict.fromkeys(processors))):
        for model in _wanted_models(registration, names):
            alone = settings.replace(ProcessorsOptions((registration.name,)))
            if model:
                alone = alone.replace(replace(alone[registration.options], **{f'{registration.name}_model': model}))
            alone = freeze_models(alone, models, emit)
            chains.append(_chain(alone, (registration.name,), not model or model in names))
    known = {model for chain in chains for model in chain.models}
    for name in names:
        if name != ALL_MODELS and name not in known:
            raise _unknown_model(name, processors)
    return chains


def sorted_resolutions(settings: Settings) -> tuple[str, ...]:
    """Return the resolutions of the options, each once, smallest first."""
    wanted = settings[BenchmarkOptions].benchmark_resolutions
    return tuple(each for each in RESOLUTIONS if each in wanted)


def model_option(registration: Registration) -> OptionInfo | None:
    """Return the option of the processor's own model, None for a processor without a choice of models."""
    key = f'{registration.name}_model'
    return next((info for info in describe(registration.options) if info.key == key), None)


def _wanted_models(registration: Registration, names: Sequence[str]) -> list[str]:
    """Return the models of a processor that are among ``names``; '' for a processor without a choice of models."""
    info, wants_all = model_option(registration), ALL_MODELS in names
    if info is None:
        return [''] if wants_all else []
    return [str(model) for model in info.choices if model != 'auto' and (wants_all or model in names)]


def _chain(settings: Settings, processors: Sequence[str], is_named: bool) -> Chain:
    return Chain(settings, tuple(processors), tuple(_models(settings, processors)), is_named)


def _models(settings: Settings, processors: Sequence[str]) -> Iterator[str]:
    for registration in registrations(tuple(processors)):
        info = model_option(registration)
        yield '' if info is None else str(getattr(settings[registration.options], info.key))


def _unknown_model(name: str, processors: Sequence[str]) -> UsageError:
    owners = [each.name for each in REGISTRATIONS if (info := model_option(each)) and name in info.choices]
    if owners:
        hint = f'add --processors {" or ".join(owners)}'
    else:
        hint = 'choose one of the models of these processors, see docs/options.md, or all'
    return UsageError(
        'benchmark-model',
        f'no processor of the chain has the model {name}',
        cause=f'--processors is {" ".join(processors)}',
        hint=hint,
    )
