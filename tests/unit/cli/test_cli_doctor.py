from __future__ import annotations

import json
import os
import shutil
from types import SimpleNamespace

import pytest

from facefusion.cli import doctor
from facefusion.cli.main import main
from facefusion.errors import ProviderError
from facefusion.models.catalog import load_catalog
from facefusion.settings import program_path


@pytest.fixture
def diagnose(tmp_path, capsys):
    """Return a function that runs doctor in an empty home and returns its exit code and its findings by check."""

    def call(*arguments: str, **environ: str):
        home = {'FACEFUSION_HOME': str(tmp_path / 'home')}
        code = main(['doctor', '--execution-providers', 'cpu', '--format', 'json', *arguments], home | environ)
        report = json.loads(capsys.readouterr().out)
        assert report['version'] == 1
        for finding in report['findings']:
            assert set(finding) == {'check', 'state', 'fact', 'advice'} and finding['fact']
            assert finding['state'] == 'ok' or finding['advice'], finding
        found = {}
        for finding in report['findings']:
            found.setdefault(finding['check'], []).append(finding)
        return code, found

    return call


def states(findings) -> list[str]:
    return [finding['state'] for finding in findings]


def test_a_machine_without_problems(diagnose, tmp_path):
    code, found = diagnose()
    assert code == 0
    assert list(found)[:4] == ['facefusion', 'python', 'libraries', 'onnxruntime']
    for check in ('provider cpu', 'video encoders', 'models', 'jobs folder'):
        assert set(states(found[check])) == {'ok'}
    assert 'libx264' in found['video encoders'][0]['fact']
    assert str(tmp_path / 'home' / 'jobs') in found['jobs folder'][0]['fact']
    assert not (tmp_path / 'home').exists()


def test_the_text_output(diagnose, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(doctor, 'examine', lambda invocation: iter(FINDINGS))
    assert main(['doctor'], {'FACEFUSION_HOME': str(tmp_path)}) == 1
    assert capsys.readouterr().out.splitlines() == [
        'ok    a       fine',
        'warn  longer  slow',
        '              -> wait',
        'fail  b       broken',
        '              -> mend it',
    ]


FINDINGS = (
    doctor.Finding('a', 'ok', 'fine'),
    doctor.Finding('longer', 'warn', 'slow', 'wait'),
    doctor.Finding('b', 'fail', 'broken', 'mend it'),
)


@pytest.mark.parametrize(('count', 'code'), [(1, 0), (2, 0), (3, 1)])
def test_only_failures_change_the_exit_code(monkeypatch, tmp_path, capsys, count, code):
    monkeypatch.setattr(doctor, 'examine', lambda invocation: iter(FINDINGS[:count]))
    for form in ('text', 'json'):
        assert main(['doctor', '--format', form], {'FACEFUSION_HOME': str(tmp_path)}) == code


def test_a_failing_provider_does_not_stop_the_other_checks(diagnose, monkeypatch):
    asked = []

    def probe(name, device_id):
        asked.append((name, device_id))
        if name == 'cuda':
            raise ProviderError('provider-unavailable', 'cuda does not work', cause='no driver', hint='use cpu')

    monkeypatch.setattr('facefusion.inference.providers.probe_provider', probe)
    code, found = diagnose('--execution-providers', 'cuda', 'cpu', '--execution-device-ids', '1')
    assert code == 1 and asked == [('cuda', 1), ('cpu', 1)]
    assert found['provider cuda'] == [
        {'check': 'provider cuda', 'state': 'fail', 'fact': 'cuda does not work: no driver', 'advice': 'use cpu'}
    ]
    assert states(found['provider cpu']) == ['ok'] and 'jobs folder' in found


def test_a_damaged_model_is_a_failure(diagnose, tmp_path):
    entry = load_catalog(program_path() / 'models' / 'catalog').entry('face_mesh')
    (tmp_path / 'weights').mkdir()
    (tmp_path / 'weights' / entry.file).write_bytes(b'half a model')
    code, found = diagnose('--models-path', str(tmp_path / 'weights'))
    assert code == 1
    (damaged,) = [finding for finding in found['models'] if finding['state'] == 'fail']
    assert damaged['fact'] == 'damaged: face_mesh' and 'models fetch' in damaged['advice']
    assert '0 present in' in found['models'][0]['fact']


def test_the_classifiers_of_the_content_gate_are_named(diagnose, tmp_path):
    (finding,) = diagnose()[1]['content gate']
    assert finding['fact'] == 'the content gate uses open_nsfw; not on this machine: nsfw_1, nsfw_2, nsfw_3'
    assert finding['state'] == 'ok' and finding['advice'] == ''
    (tmp_path / 'weights').mkdir()
    (tmp_path / 'weights' / 'nsfw_2.onnx').write_bytes(b'half a model')
    code, found = diagnose('--models-path', str(tmp_path / 'weights'))
    (finding,) = found['content gate']
    assert finding['fact'] == 'the content gate uses open_nsfw, nsfw_2; not on this machine: nsfw_1, nsfw_3'
    assert finding['advice'] == 'run `facefusion models fetch nsfw_1 nsfw_3`'
    assert code == 1
    (damaged,) = [each for each in found['models'] if each['state'] == 'fail']
    assert (damaged['fact'], damaged['advice']) == ('damaged: nsfw_2', 'run `facefusion models fetch nsfw_2`')


def test_missing_models_are_a_warning_only_offline(diagnose):
    code, found = diagnose()
    assert code == 0 and states(found['models']) == ['ok', 'ok'] and 'face_mesh' in found['models'][1]['fact']
    code, found = diagnose('--offline')
    assert code == 0 and states(found['models']) == ['ok', 'warn'] and 'force-download' in found['models'][1]['advice']


@pytest.mark.parametrize(('option', 'check'), [('jobs-path', 'jobs folder'), ('temp-path', 'temp folder')])
def test_an_unwritable_folder_fails_with_the_option_to_use(diagnose, monkeypatch, tmp_path, option, check):
    closed = tmp_path / 'closed'
    closed.mkdir()
    # Removing permissions would not be enough, because the tests may run as root.
    real = os.access
    monkeypatch.setattr(os, 'access', lambda path, mode: str(path) != str(closed) and real(path, mode))
    code, found = diagnose(f'--{option}', str(closed / 'new'))
    assert code == 1 and states(found[check]) == ['fail']
    assert str(closed / 'new') in found[check][0]['fact'] and f'--{option}' in found[check][0]['advice']


def test_a_nearly_full_disk_is_a_warning(diagnose, monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: SimpleNamespace(free=doctor.SMALLEST_FREE_BYTES - 1))
    code, found = diagnose('--temp-path', str(tmp_path))
    assert code == 0 and states(found['temp folder']) == states(found['jobs folder']) == ['warn']
    assert '2.0 GB free' in found['temp folder'][0]['fact']


@pytest.mark.parametrize(('builds', 'state'), [((), 'fail'), (('onnxruntime',), 'ok'), (doctor.RUNTIMES[:2], 'fail')])
def test_exactly_one_build_of_the_runtime_is_required(diagnose, monkeypatch, builds, state):
    real = doctor.metadata.version

    def version(name):
        if name in doctor.RUNTIMES and name not in builds:
            raise doctor.metadata.PackageNotFoundError(name)
        return '1.2.3' if name in builds else real(name)

    monkeypatch.setattr(doctor.metadata, 'version', version)
    code, found = diagnose()
    assert (code, states(found['onnxruntime'])) == (int(state == 'fail'), [state])
    assert all(name in found['onnxruntime'][0]['fact'] for name in builds)


def test_a_missing_library_is_a_failure(diagnose, monkeypatch):
    monkeypatch.setattr(doctor, 'LIBRARIES', ('av', 'no-such-library'))
    code, found = diagnose()
    assert code == 1 and found['libraries'][0]['fact'] == 'missing: no-such-library'
    assert 'install.py' in found['libraries'][0]['advice']


@pytest.mark.parametrize(('version', 'code'), [((3, 10), 1), ((3, 11), 0), ((3, 13), 0), ((3, 14), 1)])
def test_unsupported_versions_of_python_fail(diagnose, monkeypatch, version, code):
    monkeypatch.setattr(doctor, 'sys', SimpleNamespace(version_info=(*version, 0)))
    found_code, found = diagnose()
    assert found_code == code and states(found['python']) == ['fail' if code else 'ok']


def test_auto_checks_cuda_only_if_its_runtime_is_installed(diagnose, monkeypatch):
    installed = {*doctor.LIBRARIES, 'onnxruntime-gpu'}

    def version(name):
        if name in installed:
            return '1'
        raise doctor.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.metadata, 'version', version)
    monkeypatch.setattr('facefusion.inference.providers.probe_provider', lambda name, device_id: None)
    assert {'provider cuda', 'provider cpu'} <= set(diagnose('--execution-providers', 'auto')[1])
    installed = {*doctor.LIBRARIES, 'onnxruntime'}
    found = diagnose('--execution-providers', 'auto')[1]
    assert 'provider cpu' in found and 'provider cuda' not in found


def test_the_workers_and_their_engine_are_shown(diagnose):
    def fact(*words):
        return diagnose('--execution-thread-count', *words)[1]['workers'][0]['fact']

    assert fact('4').startswith('4 threads of one process for a video; with more than 750 frames in up to 4 processes')
    assert fact('4', '--execution-engine', 'threads') == '4 threads of one process for a video'
    assert fact('4', '--execution-engine', 'processes') == '4 processes for a video'
    assert fact('1') == '1 threads of one process for a video'
