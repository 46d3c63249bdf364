"""Tests that parallel runs, in one process or two, have the same output as separate runs."""

from __future__ import annotations

import os
import threading

import cv2
import pytest
from fakes.media_files import photo_view, write_views
from fakes.program import ROOT, UNMARKED, snapshot
from fakes.resume_chaos import content_of

from facefusion.events import RunFinished
from facefusion.models.catalog import load_catalog
from facefusion.models.store import ModelStore
from facefusion.settings import resolve
from facefusion.steps.step_run import RunFolders, StepEnvironment, StepName, run_step
from facefusion.stopping import StopFlag

pytestmark = pytest.mark.network


@pytest.fixture(scope='module')
def clips(example_group, tmp_path_factory):
    """Two clips with the same name in different folders."""
    photo = cv2.imread(str(example_group))
    paths = []
    for x in (330, 760):
        folder = tmp_path_factory.mktemp('clips')
        paths.append(write_views(folder / 'clip.mp4', lambda k, x=x: photo_view(photo, x + k, 290, 480), 40))
    return paths


def swap(clip, source, out, jobs, order):
    """Execute one run with its own folders, and return its report."""
    from facefusion.cli.headless_run import GROUPS

    events = []
    store = ModelStore(
        load_catalog(ROOT / 'models' / 'catalog'), ROOT / 'models' / 'weights', offline=True, emit=events.append
    )
    flags = {
        'source_paths': (str(source),),
        'target_path': str(clip),
        'output_path': str(out),
        'face_selector_order': order,
        'face_selector_mode': 'one',
    }
    run_step(
        resolve(GROUPS, flags, None, {}),
        StepEnvironment(store, RunFolders(jobs, None), os.environ),
        StepName('job', 'step'),
        events.append,
        StopFlag(),
    )
    (report,) = [event.report for event in events if isinstance(event, RunFinished)]
    # Every signature is different, so only the content is compared.
    return {key: value for key, value in report.items() if key not in ('seconds', 'credentials', 'size')}


def test_two_runs_at_once_in_one_process(clips, portrait_source, tmp_path):
    orders = ('left-right', 'right-left')
    alone = [
        swap(clip, portrait_source, tmp_path / f'alone-{k}.mp4', tmp_path / 'jobs', order)
        for k, (clip, order) in enumerate(zip(clips, orders, strict=True))
    ]
    reports, errors = {}, []

    def work(k):
        try:
            reports[k] = swap(clips[k], portrait_source, tmp_path / f'both-{k}.mp4', tmp_path / 'jobs', orders[k])
        except BaseException as error:  # noqa: BLE001 - the test reports it
            errors.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not errors
    assert [reports[k] for k in range(2)] == alone
    for k in range(2):
        assert content_of(tmp_path / f'both-{k}.mp4') == content_of(tmp_path / f'alone-{k}.mp4')
    assert content_of(tmp_path / 'both-0.mp4') != content_of(tmp_path / 'both-1.mp4')
    assert set(snapshot(tmp_path)) == {f'{kind}-{k}.mp4' for kind in ('alone', 'both') for k in range(2)}


def test_two_processes_with_targets_of_one_name(program, clips, portrait_source, tmp_path):
    def words(k, name):
        return (
            'headless-run',
            '-s',
            portrait_source,
            '-t',
            clips[k],
            '-o',
            tmp_path / name / str(k) / 'out.mp4',
            *UNMARKED,
        )

    for k in range(2):
        assert program(*words(k, 'alone')).code == 0
    processes = [program.start(*words(k, 'both'), '--temp-path', tmp_path) for k in range(2)]
    for process in processes:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    for k in range(2):
        found = content_of(tmp_path / 'both' / str(k) / 'out.mp4')
        assert found == content_of(tmp_path / 'alone' / str(k) / 'out.mp4')
    assert {path.name for path in tmp_path.iterdir()} == {'alone', 'both', 'jobs'}


def test_stopping_one_of_two_runs_does_not_stop_the_other(clips, portrait_source, tmp_path):
    from facefusion.cli.headless_run import GROUPS
    from facefusion.errors import Interrupted

    flag = StopFlag()
    flag.set('the test wants this')
    flags = {
        'source_paths': (str(portrait_source),),
        'target_path': str(clips[0]),
        'output_path': str(tmp_path / 'a.mp4'),
    }
    store = ModelStore(
        load_catalog(ROOT / 'models' / 'catalog'), ROOT / 'models' / 'weights', offline=True, emit=lambda _: None
    )
    with pytest.raises(Interrupted):
        run_step(
            resolve(GROUPS, flags, None, {}),
            StepEnvironment(store, RunFolders(tmp_path / 'jobs', None), os.environ),
            StepName('job', 'step'),
            lambda _: None,
            flag,
        )
    assert not (tmp_path / 'a.mp4').exists()
    assert swap(clips[1], portrait_source, tmp_path / 'b.mp4', tmp_path / 'jobs', 'left-right')['faces'] > 10
