from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from facefusion.cli.headless_run import GROUPS
from facefusion.errors import ResourceError
from facefusion.events import silent
from facefusion.inference import pool as pool_module
from facefusion.inference.options import ExecutionOptions
from facefusion.jobs.steps import new_step
from facefusion.models.choice import EmbeddedModels
from facefusion.pipeline.options import PathOptions
from facefusion.profiling import NO_PROFILE
from facefusion.provenance.options import ProvenanceOptions
from facefusion.settings import resolve
from facefusion.steps import step_work
from facefusion.steps.arguments import freeze
from facefusion.steps.kept import Kept
from facefusion.steps.step_run import RunFolders, StepEnvironment
from facefusion.steps.step_work import LocalStepWork
from facefusion.stopping import StopFlag

DEFAULTS = resolve(GROUPS, {'output_image_quality': 100}, None, {})


def test_sessions_are_kept_while_the_options_stay_the_same():
    kept, options = Kept(), ExecutionOptions(execution_providers=('cpu',))
    first = kept.sessions(None, options, NO_PROFILE, silent)
    assert kept.sessions(None, replace(options), NO_PROFILE, silent) is first
    assert kept.sessions(None, replace(options, video_memory_strategy='tolerant'), NO_PROFILE, silent) is not first


def test_the_signer_is_prepared_again_when_a_certificate_changes(tmp_path):
    kept, options, made = Kept(), ProvenanceOptions(provenance_path=str(tmp_path)), []

    def signing():
        return kept.signing(options, {}, tmp_path, lambda emit: made.append(1) or SimpleNamespace(), silent)

    (tmp_path / 'signer.pem').write_bytes(b'one')
    first = signing()
    assert signing() is first
    (tmp_path / 'signer.pem').write_bytes(b'another')
    assert signing() is not first and len(made) == 2
    (tmp_path / 'root.pem').write_bytes(b'new')
    signing()
    assert len(made) == 3


def test_the_memory_that_earlier_steps_left_is_freed_when_a_step_needs_it(tmp_path, monkeypatch):
    work, tries = LocalStepWork(DEFAULTS, StepEnvironment(None, RunFolders(tmp_path, None), {})), []

    def run_step(settings, environment, name, emit, flag):
        tries.append(environment.kept.sources.clear())
        if len(tries) in (2, 4):
            environment.kept.sources.get('key', lambda emit: 1, silent)
            raise ResourceError('memory-short' if len(tries) == 2 else 'disk-full', 'there is too little')
        environment.kept.sources.get('key', lambda emit: 1, silent)
        return {}

    monkeypatch.setattr(step_work, 'run_step', run_step)
    step = new_step({})
    run = lambda: work.run('job', step, None, None, silent, StopFlag())  # noqa: E731
    run()
    run()
    # The second call planned the step twice, and the results of the first step were freed between the two.
    assert tries == [0, 1, 0]
    with pytest.raises(ResourceError):
        run()
    assert len(tries) == 4


@pytest.fixture
def batch(store, portrait_source, tmp_path, monkeypatch):
    """A function that runs steps on pictures in one process, and the list of the loaded models."""
    loaded, create = [], pool_module.create_session
    monkeypatch.setattr(
        pool_module, 'create_session', lambda path, *more: loaded.append(path.stem) or create(path, *more)
    )
    portrait = cv2.imread(str(portrait_source))
    paths = [tmp_path / f'{number}.png' for number in range(3)]
    for number, path in enumerate(paths):
        cv2.imwrite(str(path), np.roll(portrait, 5 * number, axis=1))
    settings = DEFAULTS.replace(ProvenanceOptions(provenance_path=str(tmp_path / 'own'), invisible_mark=False))

    def run(work: LocalStepWork, number: int, source: Path = portrait_source) -> np.ndarray:
        output = tmp_path / f'out-{number}.png'
        given = settings.replace(PathOptions((str(source),), str(paths[number]), str(output)))
        args = freeze(given, EmbeddedModels(), silent).args
        messages = []
        work.run('job', new_step(args), str(paths[number]), str(output), messages.append, StopFlag())
        run.messages = [getattr(each, 'text', '') for each in messages]
        return cv2.imread(str(output))

    def new_work() -> LocalStepWork:
        return LocalStepWork(settings, StepEnvironment(store, RunFolders(tmp_path / 'jobs', None), {}))

    return run, new_work, loaded


@pytest.mark.network
def test_the_steps_of_a_process_load_once_and_change_the_same_pixels(batch):
    run, new_work, loaded = batch
    work = new_work()
    together = [run(work, number) for number in range(3)]
    assert sorted(loaded) == ['centerface', 'face_mesh', 'open_nsfw']
    alone = [run(new_work(), number) for number in range(3)]
    assert len(loaded) == 12
    assert all(np.array_equal(one, other) for one, other in zip(together, alone, strict=True))


@pytest.mark.network
def test_another_source_or_setting_is_prepared_again(batch, example_group, tmp_path):
    run, new_work, _ = batch
    work, source = new_work(), tmp_path / 'source.jpg'
    first = run(work, 0)
    source.write_bytes(example_group.read_bytes())
    other = run(work, 0, source)
    assert any('shows 6 faces' in text for text in run.messages)
    assert not np.array_equal(first, other)
    assert np.array_equal(other, run(work, 0, source)) and any('shows 6 faces' in text for text in run.messages)
    assert np.array_equal(other, run(new_work(), 0, source))
    # The file has the same name but shows another face.
    portrait = cv2.imread(str(example_group))[:, ::-1]
    cv2.imwrite(str(source), portrait)
    mirrored = run(work, 0, source)
    assert not np.array_equal(mirrored, other) and np.array_equal(mirrored, run(new_work(), 0, source))


def test_steps_that_share_nothing_leave_nothing(tmp_path, monkeypatch):
    environment, found = StepEnvironment(None, RunFolders(tmp_path, None), {}), []

    def run_step(settings, environment, name, emit, flag):
        environment.kept.sources.get('key', lambda emit: found.append(1), silent)
        return {}

    monkeypatch.setattr(step_work, 'run_step', run_step)
    for shares, made in ((True, 1), (False, 3)):
        work = LocalStepWork(DEFAULTS, environment, shares=shares)
        for _ in range(2):
            work.run('job', new_step({}), None, None, silent, StopFlag())
        assert len(found) == made
