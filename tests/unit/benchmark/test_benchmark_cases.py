"""Tests of the choice of chains and models."""

from __future__ import annotations

import pytest

from facefusion.benchmark.cases import choose_chains, sorted_resolutions
from facefusion.benchmark.options import BenchmarkOptions
from facefusion.cli.benchmark import GROUPS
from facefusion.errors import UsageError
from facefusion.events import silent
from facefusion.media.options import TrimOptions
from facefusion.models.choice import EmbeddedModels
from facefusion.pipeline.options import PathOptions
from facefusion.settings import resolve


def chosen(**flags):
    settings = resolve(GROUPS, flags, None, {}).replace(PathOptions()).replace(TrimOptions())
    return choose_chains(settings, EmbeddedModels(), silent)


def test_by_default_the_chain_with_its_options_is_measured():
    (chain,) = chosen(processors=('face_swapper', 'frame_enhancer'), frame_enhancer_model='span_x2')
    assert chain.processors == ('face_swapper', 'frame_enhancer') and chain.models == ('mesh_warp', 'span_x2')
    assert chain.label == 'face_swapper mesh_warp + frame_enhancer span_x2' and chain.is_named


def test_named_models_are_measured_alone_with_their_processors():
    chains = chosen(processors=('face_swapper', 'frame_enhancer'), benchmark_models=('span_x4', 'inswapper_128'))
    assert [(chain.processors, chain.models) for chain in chains] == [
        (('face_swapper',), ('inswapper_128',)),
        (('frame_enhancer',), ('span_x4',)),
    ]
    assert all(chain.is_named for chain in chains)


def test_all_models_of_the_processors_are_measured_but_only_named_ones_are_required():
    chains = chosen(processors=('face_swapper',), benchmark_models=('all', 'mesh_warp'))
    models = [chain.models[0] for chain in chains]
    assert 'inswapper_128' in models and 'auto' not in models and len(models) == len(set(models))
    assert [chain.models[0] for chain in chains if chain.is_named] == ['mesh_warp']


def test_a_model_of_two_processors_is_measured_with_both():
    chains = chosen(processors=('face_enhancer', 'frame_enhancer'), benchmark_models=('realesr_animevideov3',))
    assert [chain.processors for chain in chains] == [('face_enhancer',), ('frame_enhancer',)]


@pytest.mark.parametrize(('model', 'hint'), [('span_x4', '--processors frame_enhancer'), ('nope', 'docs/options.md')])
def test_an_unknown_model_is_refused_with_advice(model, hint):
    with pytest.raises(UsageError) as refused:
        chosen(benchmark_models=(model,))
    assert refused.value.reference == 'benchmark-model' and hint in refused.value.hint


def test_resolutions_are_measured_once_and_smallest_first():
    settings = resolve((BenchmarkOptions,), {'benchmark_resolutions': ('1080p', '240p', '1080p')}, None, {})
    assert sorted_resolutions(settings) == ('240p', '1080p')


def test_a_lip_syncer_gets_a_voice():
    assert chosen(processors=('lip_syncer',))[0].uses_voice
    assert not chosen()[0].uses_voice
