"""Tests of resuming an interrupted run: reused files, processed units, and files that must not be mixed."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from fakes.runs import FRAMES
from fakes.screenings import BrightIsBad, LeftIsYoung, make_screening
from fakes.tiny_clip import decoded_luma

from facefusion.errors import ContentRefused, ResourceError
from facefusion.pipeline import run as stages
from facefusion.pipeline.manifest import manifest_bytes, read_manifest
from facefusion.pipeline.work_folder import manifest_path

pytestmark = pytest.mark.usefixtures('no_thread_stays')


def test_only_missing_units_are_processed(runs, wanted):
    runs.interrupted_at(25)
    assert (runs.chunks('analysed'), runs.segments('rendered')) == ([0, 20, 40], [0, 10])
    runs.execute()
    assert (runs.chunks('work'), runs.chunks('analysed')) == ([0, 20, 40], [])
    assert (runs.segments('work'), runs.segments('rendered')) == ([0, 10], [20, 30, 40, 50])
    assert runs.output.read_bytes() == wanted


def no_space(*args):
    raise ResourceError('disk-full', 'no space is left')


def fails_at(runs, monkeypatch, stage):
    """Execute a run in which this function fails because the disk is full."""
    with monkeypatch.context() as patch, pytest.raises(ResourceError):
        patch.setattr(stages, stage, no_space)
        runs.execute()
    assert not runs.output.exists()


def test_any_of_the_units_may_be_missing_or_damaged(runs, wanted, monkeypatch):
    fails_at(runs, monkeypatch, 'join_clip')
    work = runs.work
    (work / 'chunk-000000020.npz').unlink()
    (work / 'segment-00002.json').unlink()
    segment = work / 'segment-00004.nut'
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 255
    segment.write_bytes(data)
    runs.execute()
    assert (runs.chunks('analysed'), runs.segments('rendered')) == ([20], [20, 40])
    assert runs.output.read_bytes() == wanted


@pytest.mark.parametrize(
    ('digests', 'chunks'), [(('target', 'analysis', 'other'), []), (('other', 'other', 'other'), [0, 20, 40])]
)
def test_files_of_another_plan_or_target_are_not_used(runs, wanted, digests, chunks):
    runs.interrupted_at(25)
    runs.execute(digests=digests)
    assert (runs.chunks('analysed'), runs.segments('work')) == (chunks, [])
    assert runs.output.read_bytes() == wanted


def test_the_cache_serves_a_run_with_another_work_folder(runs, wanted):
    runs.cache_limit = 1 << 30
    runs.execute()
    shutil.rmtree(runs.work)
    runs.execute(digests=('target', 'analysis', 'other'))
    assert runs.chunks('cache') == [0, 20, 40] and runs.segments('work') == []
    shutil.rmtree(runs.work)
    # A run can also use an analysis that is more complete than it needs.
    runs.execute(digests=('target', 'less', 'plan', ('nothing', 'analysis')))
    assert runs.chunks('cache') == [0, 20, 40] and runs.output.read_bytes() == wanted


def test_a_resumed_run_is_refused_like_an_uninterrupted_one(runs):
    runs.interrupted_at(25)
    (runs.work / 'segment-00000.nut').stat()
    # The cached scores of the content gate are removed, so the scores stored in the chunks decide.
    shutil.rmtree(runs.folder / 'kept')
    strict = make_screening(runs.folder / 'kept', BrightIsBad(threshold=0.4))
    with pytest.raises(ContentRefused):
        runs.execute(screening=strict)
    assert runs.chunks('work') == [0, 20, 40] and strict.gate is not None
    assert runs.segments('work') == runs.segments('rendered') == [] and not runs.output.exists()


def test_frames_of_a_stored_chunk_are_not_scored_again(runs, wanted):
    runs.interrupted_at(25)
    shutil.rmtree(runs.folder / 'kept')
    classifier = BrightIsBad(threshold=2.0)
    runs.execute(screening=make_screening(runs.folder / 'kept', classifier))
    assert classifier.seen == 0 and runs.output.read_bytes() == wanted


def test_ages_of_stored_chunks_count(runs):
    screening = make_screening(runs.folder / 'kept', estimator=LeftIsYoung())
    with pytest.raises(ContentRefused) as first:
        runs.execute(screening=screening)
    assert runs.chunks('analysed') == [0, 20, 40]
    with pytest.raises(ContentRefused) as second:
        runs.execute(screening=screening)
    assert runs.chunks('work') == [0, 20, 40] and first.value.facts == second.value.facts


@pytest.mark.parametrize('least', [0, 1], ids=['all', 'the first'])
def test_a_chunk_with_incomplete_findings_is_analysed_again(runs, wanted, least):
    runs.interrupted_at(25)
    beside = manifest_path(runs.work / 'chunk-000000020.npz')
    manifest = read_manifest(beside)
    assert len(manifest.facts['samples']) > 1
    samples = manifest.facts['samples'][1:] if least else []
    beside.write_bytes(manifest_bytes(replace(manifest, facts={**manifest.facts, 'samples': samples})))
    shutil.rmtree(runs.folder / 'kept')
    runs.execute()
    assert runs.chunks('analysed') == [20] and runs.chunks('work') == [0, 40]
    assert runs.output.read_bytes() == wanted


def test_an_unpublished_clip_is_not_joined_again_and_needs_no_segments(runs, wanted, monkeypatch):
    fails_at(runs, monkeypatch, 'publish_file')
    assert runs.names('chunk-', 'linked-', 'selected-') == ['clip.json', 'clip.mp4']
    monkeypatch.setattr(stages, 'join_clip', no_space)
    runs.execute()
    assert runs.segments('work') == [0, 10, 20, 30, 40, 50] and runs.segments('rendered') == []
    assert runs.output.read_bytes() == wanted


def test_a_damaged_joined_clip_is_created_again(runs, wanted, monkeypatch):
    fails_at(runs, monkeypatch, 'publish_file')
    clip = runs.work / 'clip.mp4'
    data = bytearray(clip.read_bytes())
    data[len(data) // 2] ^= 1
    clip.write_bytes(data)
    runs.execute()
    assert runs.segments('rendered') == [0, 10, 20, 30, 40, 50] and runs.output.read_bytes() == wanted


def test_the_output_has_all_frames(runs, wanted):
    runs.output.write_bytes(wanted)
    assert len(decoded_luma(runs.output)) == FRAMES
