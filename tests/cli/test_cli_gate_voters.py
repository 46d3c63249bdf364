"""Tests of the published classifiers of the content gate in all commands, with stand-in networks that see one colour.

The embedded classifier is the real one. It votes against none of these plain images.
"""

from __future__ import annotations

import json
import shutil

import cv2
import pytest
from fakes.gate_networks import BLACK, BLUE, CHANNELS, GREEN, RED, YELLOW, network_bytes, plain, write_catalog
from fakes.media_files import write_views
from fakes.program import ROOT

pytestmark = pytest.mark.network
DRAW = ('--processors', 'face_debugger')
NEEDED = ('centerface', 'face_mesh', 'open_nsfw')
SIZE = (96, 64)


class Machine:
    """A machine with the models of a plain run, and some of the published classifiers."""

    def __init__(self, program, folder, store):
        self.program, self.weights = program, folder
        folder.mkdir()
        for model_id in NEEDED:
            shutil.copy(store.path(model_id), folder)
        shutil.copy(ROOT / 'models' / 'weights' / 'lock.json', folder)

    def has(self, *names):
        for name in CHANNELS:
            path = self.weights / f'{name}.onnx'
            if name in names:
                path.write_bytes(network_bytes(name))
            else:
                path.unlink(missing_ok=True)

    def __call__(self, *words):
        return self.program(*words, '--models-path', self.weights)

    def run(self, target, output, *words):
        return self('headless-run', *DRAW, '-t', target, '-o', output, '--progress', 'json', *words)


@pytest.fixture
def catalog(tmp_path, monkeypatch):
    """The program's catalogue with the digests of the stand-ins."""
    write_catalog(tmp_path / 'program' / 'models' / 'catalog')
    monkeypatch.setattr('facefusion.services.workplace.program_path', lambda: tmp_path / 'program')


@pytest.fixture
def machine(program, tmp_path, store, catalog):
    return Machine(program, tmp_path / 'weights', store)


@pytest.fixture
def other_machine(program, tmp_path, store, catalog):
    return Machine(program, tmp_path / 'other-weights', store)


@pytest.fixture
def images(tmp_path):
    """Square images of one colour by name."""
    colours = {'red': RED, 'green': GREEN, 'blue': BLUE, 'yellow': YELLOW, 'black': BLACK}
    for name, colour in colours.items():
        cv2.imwrite(str(tmp_path / f'{name}.png'), plain(colour, 64, 64))
    return {name: tmp_path / f'{name}.png' for name in colours}


@pytest.fixture
def clip(tmp_path):
    """A yellow clip of twelve frames."""
    view = plain((20, 250, 250), SIZE[1], SIZE[0])
    write_views(tmp_path / 'clip.mp4', lambda number: view, 12, size=SIZE)
    return tmp_path / 'clip.mp4'


def said(result) -> list[str]:
    return [line for line in result.err.splitlines() if 'the content gate uses' in line]


@pytest.mark.parametrize(
    ('present', 'refused'),
    [
        ((), set()),
        (('nsfw_1',), {'red', 'yellow'}),
        (('nsfw_3',), {'blue'}),
        (('nsfw_1', 'nsfw_2'), {'yellow'}),
        (('nsfw_1', 'nsfw_2', 'nsfw_3'), {'yellow'}),
    ],
    ids=['1 voter', '2 voters', '2 other voters', '3 voters', '4 voters'],
)
def test_the_classifiers_of_this_machine_vote_in_check_and_in_a_run(machine, images, tmp_path, present, refused):
    machine.has(*present)
    result = machine('check', *images.values(), '--format', 'json')
    records = dict(zip(images, json.loads(result.out), strict=True))
    assert {name for name, record in records.items() if record['verdict'] == 'refused'} == refused
    assert result.code == (3 if refused else 0)
    for record in records.values():
        assert [model['model_id'] for model in record['models']] == ['open_nsfw', *present]
        assert record['votes'] == {1: 1, 2: 1, 3: 2, 4: 2}[len(present) + 1] and record['frames'] == 1
    for name in ('yellow', 'black'):
        result = machine.run(images[name], tmp_path / f'{name}-out.png')
        assert result.code == (3 if name in refused else 0), result.err
        if result.code == 0:
            assert set(result.report['models']) == {*NEEDED, *present}


def test_the_scores_thresholds_and_votes_are_reported(machine, images, tmp_path):
    machine.has('nsfw_1', 'nsfw_2', 'nsfw_3')
    result = machine('check', images['red'])
    verdict, *numbers = result.out.splitlines()[1].split()[:9]
    assert verdict == 'passed' and result.code == 0
    assert numbers[1:4] == ['1.000', '-1.000', '-16.000'] and numbers[4:] == ['0.8', '0.2', '0.25', '10.5']
    result = machine.run(images['yellow'], tmp_path / 'out.png')
    (facts,) = [event['error']['facts'] for event in result.events if event['event'] == 'run_failed']
    assert facts['votes'] == 2
    assert facts['models'] == [
        {'model_id': 'open_nsfw', 'threshold': 0.8},
        {'model_id': 'nsfw_1', 'threshold': 0.2},
        {'model_id': 'nsfw_2', 'threshold': 0.25},
        {'model_id': 'nsfw_3', 'threshold': 10.5},
    ]
    assert facts['frames'][0]['scores'][1:] == [1.0, 1.0, -16.0]
    assert 'nsfw_2 1.000 (threshold 0.25), nsfw_3 -16.000 (threshold 10.5) (positive with at least 2 of 4' in result.err


def test_the_voters_are_named_once_and_the_missing_ones_too(machine, images, tmp_path):
    machine.has('nsfw_2')
    words = 'the content gate uses open_nsfw, nsfw_2; not on this machine: nsfw_1, nsfw_3'
    results = [
        machine('check', images['black']),
        machine.run(images['black'], tmp_path / 'out.png'),
        machine.run(images['black'], tmp_path / 'other.png', '--dry-run'),
    ]
    for result in results:
        assert result.code == 0 and len(said(result)) == 1 and words in said(result)[0]
    machine.has()
    assert said(machine('check', images['black'])) == said(machine.run(images['red'], tmp_path / 'third.png')) == []


def test_a_dry_run_plans_with_the_classifiers_of_this_machine(machine, images, tmp_path):
    words = ('headless-run', *DRAW, '-t', images['black'], '-o', tmp_path / 'out.png', '--dry-run')
    machine.has('nsfw_1')
    plan = json.loads(machine(*words).out)
    assert set(plan['models']) == {*NEEDED, 'nsfw_1'} and plan['memory_parts']['published models'] > 0
    batch = ('batch-run', *DRAW, '-t', str(tmp_path / 'bl*.png'), '-o', str(tmp_path / '{target_name}-o.png'))
    assert all('nsfw_1' in json.loads(line)['models'] for line in machine(*batch, '--dry-run').out.splitlines())
    machine.has()
    plan = json.loads(machine(*words).out)
    assert set(plan['models']) == {*NEEDED} and 'published models' not in plan['memory_parts']


def test_the_credentials_name_no_classifier_of_the_gate(machine, images, tmp_path):
    machine.has('nsfw_1', 'nsfw_2', 'nsfw_3')
    assert machine.run(images['black'], tmp_path / 'out.png').code == 0
    shown = machine.program('verify', tmp_path / 'out.png', '--format', 'json').out
    assert 'centerface' in shown and not any(name in shown for name in ('nsfw', 'open_nsfw'))


def changed(data: bytes) -> bytes:
    """The same number of bytes, one of them changed."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


DAMAGES = {'changed': changed, 'cut': lambda data: data[:-1], 'empty': lambda data: b''}


@pytest.mark.parametrize('damage', DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_classifier_ends_every_command(machine, images, tmp_path, damage):
    machine.has('nsfw_1', 'nsfw_2')
    path, output = machine.weights / 'nsfw_2.onnx', tmp_path / 'o.png'
    path.write_bytes(damage(path.read_bytes()))
    results = [machine('check', images['black']), machine.run(images['black'], output)]
    for result in results:
        assert result.code == 6 and '[model-damaged]' in result.err and 'models fetch nsfw_2' in result.err
    # A batch exits with 1 when any of its files fails.
    result = machine('batch-run', *DRAW, '-t', images['black'], '-o', output)
    assert result.code == 1 and '[model-damaged]' in result.err
    make_job(machine, images['black'], output)
    result = machine('job-run', 'j')
    assert result.code == 6 and '[model-damaged]' in result.err and not output.exists()


def test_a_batch_is_judged_by_the_classifiers_of_this_machine(machine, images, tmp_path):
    machine.has('nsfw_1')
    batch = ('batch-run', *DRAW, '-t', tmp_path / '*.png', '-o', tmp_path / 'out' / '{target_name}.png')
    result = machine(*batch)
    assert result.code == 1 and '[content-refused]' in result.err
    assert {path.stem for path in (tmp_path / 'out').iterdir()} == {'green', 'blue', 'black'}


def test_scores_of_other_classifiers_are_not_used_when_weights_appear_or_vanish(machine, images):
    def verdicts():
        return [record['verdict'] for record in json.loads(machine('check', *images.values(), '--format', 'json').out)]

    alone = verdicts()
    machine.has('nsfw_1')
    two = verdicts()
    machine.has('nsfw_1', 'nsfw_2')
    three = verdicts()
    machine.has('nsfw_2', 'nsfw_3')
    assert [alone.count('refused'), two.count('refused'), three.count('refused')] == [0, 2, 1]
    assert verdicts() == ['passed'] * 5
    machine.has()
    assert verdicts() == alone


def test_the_analysis_of_a_clip_is_reused_only_with_the_same_classifiers(machine, clip, tmp_path):
    def origins(name, *words):
        result = machine.run(clip, tmp_path / name, '--output-video-quality', '50', *words)
        found = [event['origin'] for event in result.events if event['event'] == 'chunk_analysed']
        return result.code, found

    assert origins('a.mp4') == (0, ['analysed'])
    assert origins('b.mp4') == (0, ['cache'])
    machine.has('nsfw_3')
    assert origins('c.mp4') == (0, ['analysed'])
    machine.has('nsfw_1', 'nsfw_2')
    assert origins('d.mp4') == (3, ['analysed'])
    machine.has()
    assert origins('e.mp4') == (0, ['cache'])


def interrupt(monkeypatch):
    """Make publishing fail, so that a run leaves its work files."""
    from facefusion.errors import ResourceError

    def fail(*arguments):
        raise ResourceError('disk-full', 'no space is left')

    monkeypatch.setattr('facefusion.pipeline.run.publish_file', fail)


def test_work_files_of_other_classifiers_are_not_resumed(machine, clip, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt(patch)
        assert machine.run(clip, tmp_path / 'out.mp4').code == 5
    machine.has('nsfw_1', 'nsfw_2')
    result = machine.run(clip, tmp_path / 'out.mp4')
    assert result.code == 3 and not (tmp_path / 'out.mp4').exists()
    assert 'work files of an earlier run are not used: the models changed' in result.err
    machine.has('nsfw_3')
    result = machine.run(clip, tmp_path / 'out.mp4')
    assert result.code == 0 and 'nsfw_3' in result.report['models']


def job_step(program, state):
    (path,) = (program.folder / 'jobs' / state).glob('*.json')
    return json.loads(path.read_text())['steps'][0]


def make_job(machine, target, output):
    assert machine('job-create', 'j', *DRAW, '-t', target, '-o', output).code == 0
    assert machine.program('job-submit', 'j').code == 0


@pytest.mark.parametrize('there', [(), ('nsfw_1', 'nsfw_3'), ('nsfw_2', 'nsfw_3')], ids=str)
def test_a_job_is_judged_by_the_classifiers_of_the_machine_that_runs_it(
    machine, other_machine, program, images, tmp_path, there
):
    machine.has('nsfw_1')
    make_job(machine, images['red'], tmp_path / 'out.png')
    other_machine.has(*there)
    result = other_machine('job-run', 'j')
    assert result.code == 0, result.err
    assert {*job_step(program, 'completed')['report']['models']} == {*NEEDED, *there}


def test_a_job_that_only_the_classifiers_of_another_machine_refuse(machine, other_machine, program, images, tmp_path):
    make_job(machine, images['red'], tmp_path / 'out.png')
    other_machine.has('nsfw_1')
    assert other_machine('job-run', 'j').code == 3 and not (tmp_path / 'out.png').exists()
    facts = job_step(program, 'failed')['error']['facts']
    assert [each['model_id'] for each in facts['models']] == ['open_nsfw', 'nsfw_1'] and facts['votes'] == 1


@pytest.mark.parametrize('there', [('nsfw_1', 'nsfw_2'), ('nsfw_3',)], ids=str)
def test_a_job_that_started_on_another_machine_is_judged_again(
    machine, other_machine, clip, tmp_path, monkeypatch, there
):
    make_job(machine, clip, tmp_path / 'out.mp4')
    with monkeypatch.context() as patch:
        interrupt(patch)
        assert machine('job-run', 'j').code == 5
    other_machine.has(*there)
    result = other_machine('job-retry', 'j')
    assert 'work files of an earlier run are not used: the models changed' in result.err
    is_refused = 'nsfw_1' in there
    assert result.code == (3 if is_refused else 0) and (tmp_path / 'out.mp4').exists() != is_refused


def test_a_run_does_not_fetch_missing_classifiers(machine, images, tmp_path, monkeypatch):
    """The machine is online here, and no host is asked."""
    import socket

    def refuse(*_, **__):
        raise AssertionError('the network was used')

    monkeypatch.setattr(socket, 'socket', refuse)
    machine.has('nsfw_1')
    words = ('headless-run', *DRAW, '-t', images['black'], '-o', tmp_path / 'out.png', '--models-path', machine.weights)
    assert machine.program(*words, online=True).code == 0
    assert not (machine.weights / 'nsfw_2.onnx').exists()
