from __future__ import annotations

import json
from pathlib import Path

import pytest

from facefusion.errors import ModelError
from facefusion.events import Message, StageFinished, StageProgress, silent
from facefusion.jobs.options import StoreOptions
from facefusion.models.options import ModelOptions
from facefusion.services.options import ConsoleOptions
from facefusion.services.workplace import Workplace
from facefusion.settings import Settings

ROOT = Path(__file__).resolve().parents[3]


def workplace(home=ROOT, models=None, **console) -> Workplace:
    settings = Settings([ConsoleOptions(**console), models or ModelOptions()])
    return Workplace(settings, Path(home), {})


def say(emit):
    for level in ('error', 'warn', 'info', 'debug'):
        emit(Message(level, 'run', f'a {level}'))
    emit(StageProgress('processing', 0, 4))
    emit(StageFinished('processing', 4, 0.1))


@pytest.mark.parametrize(('level', 'count'), [('error', 1), ('warn', 2), ('info', 3), ('debug', 4)])
def test_messages_of_the_chosen_level_are_on_stderr(capsys, level, count):
    say(workplace(progress='none', log_level=level).emit())
    out, err = capsys.readouterr()
    assert out == '' and len(err.splitlines()) == count


def test_stdout_contains_only_json_lines(capsys):
    say(workplace(progress='json', log_level='error').emit())
    out, err = capsys.readouterr()
    assert [json.loads(line)['event'] for line in out.splitlines()].count('stage_progress') == 1
    assert err == '[FACEFUSION.RUN] a error\n'


@pytest.mark.parametrize(
    ('is_terminal', 'level', 'has_bar'),
    [(True, 'info', True), (True, 'debug', True), (True, 'warn', False), (False, 'info', False)],
)
def test_bars_are_shown_on_a_terminal(capsys, monkeypatch, is_terminal, level, has_bar):
    monkeypatch.setattr('sys.stderr.isatty', lambda: is_terminal)
    emit = workplace(progress='bar', log_level=level).emit()
    emit(StageProgress('processing', 0, 4))
    emit(StageFinished('processing', 0, 0.1))
    out, err = capsys.readouterr()
    assert out == '' and ('processing' in err) == has_bar


def test_models_are_in_the_home_by_default(tmp_path):
    assert workplace().model_store(silent).weights == ROOT / 'models' / 'weights'
    named = ModelOptions(models_path=str(tmp_path), offline=True)
    store = workplace(models=named).model_store(silent)
    assert store.weights == tmp_path and store.offline
    with pytest.raises(ModelError):
        store.path('centerface')


def test_the_catalogue_is_always_that_of_the_program(tmp_path):
    store = workplace(home=tmp_path / 'new').model_store(silent)
    assert store.weights == tmp_path / 'new' / 'models' / 'weights'
    assert store.catalog.entry('centerface').id == 'centerface'


def test_a_missing_catalogue_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr('facefusion.services.workplace.program_path', lambda: tmp_path)
    with pytest.raises(ModelError) as caught:
        workplace().catalog()
    assert caught.value.reference == 'catalog-missing' and str(tmp_path) in caught.value.message


def test_hints_name_the_store_of_the_command():
    call = Workplace(Settings([StoreOptions(jobs_path='/a b')]), ROOT, {})
    assert call.on_this_store('job-retry x') == "facefusion job-retry x --jobs-path '/a b'"
    call = Workplace(Settings([StoreOptions()]), ROOT, {})
    assert call.on_this_store('job-retry x') == 'facefusion job-retry x'
