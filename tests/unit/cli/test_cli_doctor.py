from __future__ import annotations

import json
import os
import shutil
from types import SimpleNamespace

import pytest
from fakes.accelerator import MISSING_LIBRARY, Accelerator

from facefusion.cli import doctor
from facefusion.cli.main import main
from facefusion.doctor import findings, resources, software
from facefusion.doctor.finding import Finding
from facefusion.errors import ProviderError
from facefusion.inference import builds, cuda_libraries
from facefusion.inference.provider_trial import ProviderTrial
from facefusion.models.catalog import load_catalog
from facefusion.services.workplace import Workplace
from facefusion.settings import program_path, resolve


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
    monkeypatch.setattr(doctor, 'findings', lambda invocation: list(FINDINGS))
    assert main(['doctor'], {'FACEFUSION_HOME': str(tmp_path)}) == 1
    assert capsys.readouterr().out.splitlines() == [
        'ok    a       fine',
        'warn  longer  slow',
        '              -> wait',
        'fail  b       broken',
        '              -> mend it',
    ]


FINDINGS = (
    Finding('a', 'ok', 'fine'),
    Finding('longer', 'warn', 'slow', 'wait'),
    Finding('b', 'fail', 'broken', 'mend it'),
)


@pytest.mark.parametrize(('count', 'code'), [(1, 0), (2, 0), (3, 1)])
def test_only_failures_change_the_exit_code(monkeypatch, tmp_path, capsys, count, code):
    monkeypatch.setattr(doctor, 'findings', lambda invocation: list(FINDINGS[:count]))
    for form in ('text', 'json'):
        assert main(['doctor', '--format', form], {'FACEFUSION_HOME': str(tmp_path)}) == code


def test_a_failing_provider_does_not_stop_the_other_checks(diagnose, monkeypatch):
    asked = []

    def attempt(name, device_id):
        asked.append((name, device_id))
        if name == 'cuda':
            raise ProviderError('provider-unavailable', 'cuda does not work', cause='no driver', hint='use cpu')
        return ProviderTrial('the CPU', 0.1, 0.2, False)

    monkeypatch.setattr('facefusion.inference.provider_trial.try_provider', attempt)
    code, found = diagnose('--execution-providers', 'cuda', 'cpu', '--execution-device-ids', '1')
    assert code == 1 and asked == [('cuda', 1), ('cpu', 1)]
    assert found['provider cuda'] == [
        {'check': 'provider cuda', 'state': 'fail', 'fact': 'cuda does not work: no driver', 'advice': 'use cpu'}
    ]
    assert states(found['provider cpu']) == ['ok'] and 'jobs folder' in found
    assert found['provider cpu'][0]['fact'] == 'both networks ran on the CPU: one node 0.10 ms, a convolution 0.20 ms'


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
    assert finding['advice'] == f'run `facefusion models fetch nsfw_1 nsfw_3 --models-path {tmp_path / "weights"}`'
    assert code == 1
    (damaged,) = [each for each in found['models'] if each['state'] == 'fail']
    command = f'facefusion models fetch nsfw_2 --models-path {tmp_path / "weights"}'
    assert (damaged['fact'], damaged['advice']) == ('damaged: nsfw_2', f'run `{command}`')


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
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: SimpleNamespace(free=resources.SMALLEST_FREE_BYTES - 1))
    code, found = diagnose('--temp-path', str(tmp_path))
    assert code == 0 and states(found['temp folder']) == states(found['jobs folder']) == ['warn']
    assert '2.0 GB free' in found['temp folder'][0]['fact']


@pytest.mark.parametrize(('installed', 'state'), [((), 'fail'), (('onnxruntime',), 'ok'), (builds.BUILDS[:2], 'fail')])
def test_exactly_one_build_of_the_runtime_is_required(diagnose, monkeypatch, installed, state):
    real = software.metadata.version

    def version(name):
        if name in builds.BUILDS and name not in installed:
            raise software.metadata.PackageNotFoundError(name)
        return '1.2.3' if name in installed else real(name)

    monkeypatch.setattr(software.metadata, 'version', version)
    code, found = diagnose()
    assert (code, states(found['onnxruntime'])) == (int(state == 'fail'), [state])
    assert all(name in found['onnxruntime'][0]['fact'] for name in installed)
    if len(installed) == 2:
        assert 'uninstall -y onnxruntime onnxruntime-gpu' in found['onnxruntime'][0]['advice']


def test_a_missing_library_is_a_failure(diagnose, monkeypatch):
    monkeypatch.setattr(software, 'LIBRARIES', ('av', 'no-such-library'))
    code, found = diagnose()
    assert code == 1 and found['libraries'][0]['fact'] == 'missing: no-such-library'
    assert 'install.py' in found['libraries'][0]['advice']


@pytest.mark.parametrize(('version', 'code'), [((3, 10), 1), ((3, 11), 0), ((3, 13), 0), ((3, 14), 1)])
def test_unsupported_versions_of_python_fail(diagnose, monkeypatch, version, code):
    monkeypatch.setattr(software, 'sys', SimpleNamespace(version_info=(*version, 0)))
    found_code, found = diagnose()
    assert found_code == code and states(found['python']) == ['fail' if code else 'ok']


def test_every_provider_of_the_build_is_tried(diagnose, monkeypatch):
    Accelerator('tensorrt', devices=2).install(monkeypatch)
    code, found = diagnose('--execution-device-ids', '1')
    assert code == 0
    for name in ('cuda', 'tensorrt'):
        (finding,) = found[f'provider {name}']
        assert finding['state'] == 'ok' and 'ran on device 1 (Test Card 1): one node' in finding['fact']
    assert 'devices: 0 (Test Card 0), 1 (Test Card 1)' in found['NVIDIA driver'][0]['fact']


def test_only_requested_providers_are_failures(diagnose, monkeypatch):
    Accelerator(mismatch=True, library_error=MISSING_LIBRARY).install(monkeypatch)
    code, found = diagnose()
    assert code == 0 and states(found['provider cuda']) == ['warn']
    code, found = diagnose('--execution-providers', 'auto')
    (finding,) = found['provider cuda']
    assert code == 1 and finding['state'] == 'fail'
    assert 'libcudnn.so.9' in finding['fact'] and 'install.py --device cuda' in finding['advice']


def test_with_permission_for_the_cpu_accelerators_and_their_devices_are_warnings(diagnose, monkeypatch):
    Accelerator(devices=1, mismatch=True).install(monkeypatch)
    words = ('--execution-providers', 'cuda', '--execution-device-ids', '3')
    code, found = diagnose(*words)
    assert code == 1 and states(found['provider cuda']) == states(found['devices']) == ['fail']
    code, found = diagnose(*words, '--allow-cpu-fallback')
    assert code == 0 and states(found['provider cuda']) == states(found['devices']) == ['warn']


def test_a_provider_that_leaves_the_convolution_to_the_cpu_is_a_warning(diagnose, monkeypatch):
    accelerator = Accelerator(left_to_cpu=1).install(monkeypatch)
    assert states(diagnose('--execution-providers', 'cuda')[1]['provider cuda']) == ['ok']
    accelerator.on_device = 0
    (finding,) = diagnose('--execution-providers', 'cuda')[1]['provider cuda']
    assert finding['state'] == 'warn' and 'leaves the convolution to the CPU' in finding['fact']


def test_a_provider_that_computes_something_else_is_a_failure(diagnose, monkeypatch):
    Accelerator(factor=1.1).install(monkeypatch)
    code, found = diagnose('--execution-providers', 'cuda')
    assert code == 1 and 'computes a wrong convolution' in found['provider cuda'][0]['fact']


def test_the_devices_of_the_options_are_shown_and_checked(diagnose, monkeypatch):
    assert diagnose()[1]['devices'][0]['fact'] == '--execution-device-ids 0: not used by the CPU'
    Accelerator(devices=2).install(monkeypatch)
    words = ('--execution-providers', 'cuda', '--execution-device-ids')
    (finding,) = diagnose(*words, '0', '1')[1]['devices']
    assert finding['state'] == 'ok' and 'device 0 (Test Card 0), device 1 (Test Card 1)' in finding['fact']
    code, found = diagnose(*words, '0', '2')
    (finding,) = found['devices']
    assert code == 1 and 'there is no device 2' in finding['fact'] and finding['advice'].endswith('device-ids 0 1')


def test_hidden_devices_are_explained(diagnose, monkeypatch):
    Accelerator(devices=0).install(monkeypatch)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    code, found = diagnose('--execution-providers', 'cuda')
    assert code == 1 and states(found['devices']) == ['fail'] and states(found['NVIDIA driver']) == ['warn']
    for check in ('devices', 'NVIDIA driver', 'provider cuda'):
        assert 'CUDA_VISIBLE_DEVICES is empty' in found[check][0]['fact']
    assert 'unset CUDA_VISIBLE_DEVICES' in found['NVIDIA driver'][0]['advice']


def test_needed_libraries_are_found_or_missing_by_name(diagnose, monkeypatch, tmp_path):
    library = tmp_path / 'provider.so'
    library.write_bytes(b'\0libcudart.so.12\0libcudart.so.99\0libcudnn.so.99\0')
    monkeypatch.setattr(cuda_libraries, 'provider_library', lambda name: library)
    Accelerator(mismatch=True).install(monkeypatch)
    code, found = diagnose('--execution-providers', 'cuda')
    assert found['CUDA'][0]['fact'] == 'missing: libcudart.so.99' and found['cuDNN'][0]['state'] == 'fail'
    assert 'install.py --device cuda' in found['CUDA'][0]['advice']
    assert found['TensorRT'][0]['fact'] == 'not needed by the installed onnxruntime'
    code, found = diagnose()
    assert code == 0 and states(found['CUDA']) == ['warn']


def test_a_found_library_has_its_file():
    found = cuda_libraries.find_library('libc.so.6')
    assert found.path is not None and found.path.name == 'libc.so.6' and found.path.is_file()


def test_telemetry_is_off(diagnose, monkeypatch):
    assert diagnose()[1]['telemetry'][0]['fact'].startswith('off in onnxruntime')
    monkeypatch.setenv('ORT_DISABLE_TELEMETRY', '0')
    code, found = diagnose()
    assert code == 1 and states(found['telemetry']) == ['fail']


def test_the_page_can_ask_for_the_findings(tmp_path, capsys):
    settings = resolve(findings.GROUPS, {'execution_providers': ('cpu',)}, None, {})
    found = findings.findings(Workplace(settings, tmp_path, {}))
    assert {finding.check for finding in found} >= {'provider cpu', 'models', 'memory', 'telemetry'}
    assert capsys.readouterr() == ('', '')


def test_the_workers_and_their_engine_are_shown(diagnose):
    def fact(*words):
        return diagnose('--execution-thread-count', *words)[1]['workers'][0]['fact']

    assert fact('4').startswith('4 threads of one process for a video; with more than 750 frames in up to 4 processes')
    assert fact('4', '--execution-engine', 'threads') == '4 threads of one process for a video'
    assert fact('4', '--execution-engine', 'processes') == '4 processes for a video'
    assert fact('1') == '1 thread of one process for a video'


def test_measured_batch_sizes_are_shown_by_model(diagnose, tmp_path):
    folder = tmp_path / 'home/models/weights/batches'
    folder.mkdir(parents=True)
    size = {'key': ['ab' * 32, '1.32.0-v1', 'cuda', 'Test Card'], 'crops': 8, 'speeds': {'8': 100.0}}
    (folder / 'sizes.json').write_text(json.dumps({'sizes': [size]}))
    _, found = diagnose()
    assert [each['fact'] for each in found['batch sizes']] == ['cuda on Test Card: abababab 8 crops per call']
