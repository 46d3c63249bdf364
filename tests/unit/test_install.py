from __future__ import annotations

import ctypes
import importlib.util
import json
import platform
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted((ROOT / 'locks').glob('*.txt'))
REQUIREMENT = re.compile(r'^([A-Za-z0-9._-]+)==(\S+?)(?: ; (.+?))?(?: \\)?$')


def load_installer() -> ModuleType:
    spec = importlib.util.spec_from_file_location('install_under_test', ROOT / 'install.py')
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def installer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module install.py with a separate checkout that has locks and a project file, but no environment."""
    module = load_installer()
    (tmp_path / 'locks').mkdir()
    for name in ('cpu', 'gpu', 'dev'):
        (tmp_path / 'locks' / f'{name}.txt').write_text(f'# {name}\n')
    (tmp_path / 'pyproject.toml').write_text('[project]\n')
    monkeypatch.setattr(module, 'ROOT', tmp_path)
    monkeypatch.setattr(module, 'VENV', tmp_path / '.venv')
    monkeypatch.setattr(module, 'nvidia_gpu_present', lambda: False)
    return module


def site_packages(module: ModuleType) -> Path:
    version = f'python{sys.version_info[0]}.{sys.version_info[1]}'
    lib = module.VENV / 'Lib' if sys.platform == 'win32' else module.VENV / 'lib' / version
    folder: Path = lib / 'site-packages'
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def add_build(module: ModuleType, name: str) -> None:
    site = site_packages(module)
    (site / f'{name}-1.0.dist-info').mkdir()
    (site / 'onnxruntime').mkdir(exist_ok=True)
    (site / 'onnxruntime' / '__init__.py').touch()


@pytest.mark.parametrize('version', [(3, 11), (3, 12), (3, 13)])
def test_supported_pythons_pass(installer: ModuleType, version: tuple[int, int]) -> None:
    installer.check_python(version, [])


@pytest.mark.parametrize('version', [(2, 7), (3, 10), (3, 14), (4, 0)])
def test_unsupported_python_is_refused_and_a_supported_one_suggested(
    installer: ModuleType, version: tuple[int, int]
) -> None:
    with pytest.raises(installer.Failure, match=rf'3\.11, 3\.12 or 3\.13; this is Python {version[0]}\.') as caught:
        installer.check_python(version, ['python3.12'])
    assert caught.value.code == 1
    assert 'python3.12 install.py' in caught.value.hint


@pytest.mark.parametrize(
    ('asked', 'system', 'gpu', 'device'),
    [
        ('auto', 'Linux', True, 'cuda'),
        ('auto', 'Windows', True, 'cuda'),
        ('auto', 'Linux', False, 'cpu'),
        ('auto', 'Darwin', True, 'cpu'),
        ('cpu', 'Linux', True, 'cpu'),
        ('cuda', 'Linux', True, 'cuda'),
    ],
)
def test_device_choice(installer: ModuleType, asked: str, system: str, gpu: bool, device: str) -> None:
    assert installer.choose_device(asked, system, gpu) == device


@pytest.mark.parametrize(('system', 'gpu'), [('Darwin', True), ('Linux', False)])
def test_impossible_cuda_is_refused_before_any_download(installer: ModuleType, system: str, gpu: bool) -> None:
    with pytest.raises(installer.Failure) as caught:
        installer.choose_device('cuda', system, gpu)
    assert caught.value.code == 7
    assert '--device cpu' in caught.value.hint


def driver(initialised: int, count: int) -> Any:
    def device_count(pointer: Any) -> int:
        pointer._obj.value = count
        return 0

    return SimpleNamespace(cuInit=lambda flags: initialised, cuDeviceGetCount=device_count)


@pytest.mark.parametrize(
    ('listing', 'library', 'present'),
    [
        ('GPU 0: NVIDIA L4 (UUID: GPU-1)\n', None, True),
        ('No devices were found\n', None, False),
        (None, driver(0, 2), True),
        (None, driver(0, 0), False),
        (None, driver(100, 1), False),
        (None, None, False),
    ],
)
def test_gpu_probe(monkeypatch: pytest.MonkeyPatch, listing: str | None, library: Any, present: bool) -> None:
    module = load_installer()

    def run(command: list[str], **_: Any) -> Any:
        if listing is None:
            raise FileNotFoundError(command[0])
        return SimpleNamespace(stdout=listing)

    def load(name: str) -> Any:
        if library is None:
            raise OSError(name)
        return library

    monkeypatch.setattr(subprocess, 'run', run)
    monkeypatch.setattr(ctypes, 'CDLL', load)
    assert module.nvidia_gpu_present() is present


def test_lock_files_follow_device_and_extras(installer: ModuleType) -> None:
    folder = installer.ROOT / 'locks'
    assert installer.lock_files('cpu', (), folder) == [folder / 'cpu.txt']
    assert installer.lock_files('cuda', ('dev',), folder) == [folder / 'gpu.txt', folder / 'dev.txt']


@pytest.mark.parametrize('extra', ['nonsense', 'gpu', 'cpu'])
def test_unknown_extra_and_second_runtime_are_wrong_usage(installer: ModuleType, extra: str) -> None:
    with pytest.raises(installer.Failure, match=extra) as caught:
        installer.lock_files('cpu', (extra,), installer.ROOT / 'locks')
    assert caught.value.code == 2
    assert caught.value.hint == 'Extras: dev'


def test_stamp_changes_with_every_input_of_the_environment(installer: ModuleType) -> None:
    plan = installer.Plan('auto', 'cpu')
    first = installer.stamp_of(plan)
    assert installer.stamp_of(plan) == first
    assert installer.stamp_of(plan._replace(extras=('dev',))) != first
    assert installer.stamp_of(plan._replace(device='cuda')) != first
    (installer.ROOT / 'locks' / 'cpu.txt').write_text('changed\n')
    assert installer.stamp_of(plan)['inputs'] != first['inputs']


@pytest.mark.parametrize('content', ['', '{"asked": ', '[]'])
def test_damaged_stamp_is_ignored(installer: ModuleType, content: str) -> None:
    installer.VENV.mkdir()
    (installer.VENV / installer.STAMP).write_text(content)
    assert installer.read_stamp(installer.VENV) is None


def test_plan_keeps_the_earlier_choice_and_extras(installer: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installer, 'nvidia_gpu_present', lambda: True)
    monkeypatch.setattr(platform, 'system', lambda: 'Linux')
    earlier = {'asked': 'cpu', 'extras': ['dev', 'gone']}
    assert installer.make_plan(None, (), None) == ('auto', 'cuda', ())
    assert installer.make_plan(None, (), earlier) == ('cpu', 'cpu', ('dev',))
    assert installer.make_plan('auto', ('dev',), earlier) == ('auto', 'cuda', ('dev',))
    assert installer.make_plan(None, (), {'asked': 'auto', 'fallback': 'no driver'}) == ('auto', 'cpu', ())
    assert installer.make_plan('cuda', (), {'asked': 'auto', 'fallback': 'no driver'}) == ('cuda', 'cuda', ())


def test_runtime_builds_lists_two_builds_and_damaged_builds(installer: ModuleType) -> None:
    assert installer.runtime_builds(installer.VENV) == []
    add_build(installer, 'onnxruntime')
    assert installer.runtime_builds(installer.VENV) == ['onnxruntime']
    add_build(installer, 'onnxruntime_gpu')
    assert installer.runtime_builds(installer.VENV) == ['onnxruntime', 'onnxruntime-gpu']
    (site_packages(installer) / 'onnxruntime' / '__init__.py').unlink()
    assert 'damaged' in installer.runtime_builds(installer.VENV)


def make_current(installer: ModuleType, monkeypatch: pytest.MonkeyPatch, plan: Any) -> None:
    add_build(installer, 'onnxruntime')
    command = installer.scripts_folder(installer.VENV) / ('facefusion.exe' if sys.platform == 'win32' else 'facefusion')
    command.parent.mkdir(parents=True)
    command.touch()
    stamp = {**installer.stamp_of(plan), 'fallback': ''}
    (installer.VENV / installer.STAMP).write_text(json.dumps(stamp))
    monkeypatch.setattr(installer, 'python_works', lambda venv, *modules: True)


def test_finished_environment_is_current_until_it_changes(
    installer: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = installer.Plan('auto', 'cpu')
    assert not installer.is_current(plan, installer.VENV)
    make_current(installer, monkeypatch, plan)
    assert installer.is_current(plan, installer.VENV)
    assert not installer.is_current(plan._replace(extras=('dev',)), installer.VENV)
    add_build(installer, 'onnxruntime_gpu')
    assert not installer.is_current(plan, installer.VENV)


def test_environment_is_outdated_if_its_interpreter_fails(
    installer: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = installer.Plan('auto', 'cpu')
    works = installer.python_works
    make_current(installer, monkeypatch, plan)
    monkeypatch.setattr(installer, 'python_works', works)
    assert not installer.is_current(plan, installer.VENV)


def fake_steps(installer: ModuleType, monkeypatch: pytest.MonkeyPatch, failing: str) -> list[str]:
    steps: list[str] = []

    def prove(device: str) -> str:
        if device == failing:
            raise installer.Failure('ran on the CPU', 'update the driver', 7)
        return f'proved {device}'

    def make() -> None:
        steps.append('make')
        installer.VENV.mkdir(exist_ok=True)

    monkeypatch.setattr(installer, 'make_venv', make)
    monkeypatch.setattr(installer, 'install_packages', lambda plan: steps.append(plan.device))
    monkeypatch.setattr(installer, 'prove', prove)
    monkeypatch.setattr(installer, 'python_works', lambda venv, *modules: installer.VENV.is_dir())
    return steps


def test_auto_falls_back_to_the_cpu_with_a_warning_and_stores_it(
    installer: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = fake_steps(installer, monkeypatch, failing='cuda')
    assert installer.install(installer.Plan('auto', 'cuda')).device == 'cpu'
    assert steps == ['make', 'cuda', 'cpu']
    assert 'WARNING' in capsys.readouterr().out
    stamp = installer.read_stamp(installer.VENV)
    assert (stamp['asked'], stamp['device'], stamp['fallback']) == ('auto', 'cpu', 'ran on the CPU')
    assert not (installer.VENV / installer.UNFINISHED).exists()


def test_requested_cuda_fails_and_the_next_run_starts_over(
    installer: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = fake_steps(installer, monkeypatch, failing='cuda')
    with pytest.raises(installer.Failure) as caught:
        installer.install(installer.Plan('cuda', 'cuda'))
    assert caught.value.code == 7
    assert installer.read_stamp(installer.VENV) is None
    installer.install(installer.Plan('cpu', 'cpu'))
    assert steps == ['make', 'cuda', 'make', 'cpu']


def test_environment_of_a_moved_checkout_is_recreated(installer: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = fake_steps(installer, monkeypatch, failing='')
    plan = installer.Plan('auto', 'cpu')
    installer.install(plan)
    installer.install(plan)
    stamp = {**installer.read_stamp(installer.VENV), 'root': 'elsewhere'}
    (installer.VENV / installer.STAMP).write_text(json.dumps(stamp))
    installer.install(plan)
    assert steps == ['make', 'cpu', 'cpu', 'make', 'cpu']


def test_proof_runs_a_model_and_requires_cuda_for_cuda(installer: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    if 'CUDAExecutionProvider' in onnxruntime.get_available_providers():
        pytest.skip('this environment has the GPU build')
    monkeypatch.setattr(installer, 'venv_python', lambda venv: Path(sys.executable))
    assert 'ran a test model on CPUExecutionProvider' in installer.prove('cpu')
    with pytest.raises(installer.Failure, match='not on CUDAExecutionProvider') as caught:
        installer.prove('cuda')
    assert caught.value.code == 7
    assert '--device cpu' in caught.value.hint


def test_no_library_collects_usage_data(installer: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('ORT_DISABLE_TELEMETRY', '0')
    assert installer.environment()['ORT_DISABLE_TELEMETRY'] == '1'


@pytest.mark.parametrize(
    ('output', 'hint'),
    [
        ('NewConnectionError: Failed to establish a new connection', 'PIP_INDEX_URL'),
        ('OSError: [Errno 28] No space left on device', 'disk is full'),
        ('ERROR: No matching distribution found for av==19', 'no build'),
        ('THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE', 'differs from the locked one'),
        ('something else', 'remove the folder .venv'),
    ],
)
def test_hint_matches_the_output_of_pip(installer: ModuleType, output: str, hint: str) -> None:
    assert hint in installer.failure_hint(output)


def test_the_program_is_compiled_after_its_packages(installer: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without stored bytecode, every start of the program takes about a second longer."""
    ran: list[list[str]] = []
    monkeypatch.setattr(installer, 'runtime_builds', lambda venv: [])
    monkeypatch.setattr(installer, 'run', lambda arguments, action: ran.append(arguments))
    installer.install_packages(installer.make_plan('cpu', (), None))
    assert [command[1] for command in ran] == ['pip', 'pip', 'compileall']
    assert ran[-1][-1] == str(installer.ROOT / 'facefusion')


def test_failing_command_shows_its_last_lines(installer: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installer, 'venv_python', lambda venv: Path(sys.executable))
    code = 'print("Ignoring x"); print("getaddrinfo failed"); raise SystemExit(3)'
    with pytest.raises(installer.Failure, match=r'Trying failed \(exit 3\):\n  getaddrinfo failed$') as caught:
        installer.run(['-c', code], 'Trying')
    assert 'PIP_INDEX_URL' in caught.value.hint


def test_arguments_after_test_are_passed_to_pytest(installer: ModuleType) -> None:
    options, rest = installer.parse(['--device', 'cpu', 'test', '-k', 'demo', '--device', 'x'])
    assert (options.command, options.device, rest) == ('test', 'cpu', ['-k', 'demo', '--device', 'x'])
    options, rest = installer.parse(['demo', '--device', 'cpu'])
    assert (options.command, options.device, rest) == ('demo', 'cpu', [])


@pytest.mark.parametrize('arguments', [['--device', 'tpu'], ['--nonsense'], ['fly']])
def test_wrong_usage_exits_2(installer: ModuleType, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        installer.parse(arguments)
    assert caught.value.code == 2


def test_main_prints_failure_and_hint(
    installer: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, 'argv', ['install.py', '--device', 'cuda'])
    assert installer.main() == 7
    error = capsys.readouterr().err
    assert 'no NVIDIA GPU' in error
    assert '--device cpu' in error
    assert not installer.VENV.exists()


def requirements_of(path: Path) -> dict[tuple[str, str], str]:
    """Return the version of each requirement by (package, marker)."""
    matches = [REQUIREMENT.match(line) for line in path.read_text(encoding='utf-8').splitlines()]
    return {(m[1], m[3] or ''): m[2] for m in matches if m}


@pytest.mark.parametrize('path', LOCKS, ids=lambda path: path.stem)
def test_lock_pins_and_hashes_every_requirement_without_hosts(path: Path) -> None:
    text = path.read_text(encoding='utf-8')
    assert '://' not in text
    assert not re.search(r'^\s*(--index|--extra-index|--find-links|-i|-f|-e|-r)\b', text, re.MULTILINE)
    blocks = re.split(r'\n(?! )', text.strip())
    assert len(blocks) == len(requirements_of(path)) > 10
    for block in blocks:
        first, *rest = block.splitlines()
        assert REQUIREMENT.match(first), first
        assert rest, f'{first} has no hash'
        assert all(re.match(r'^    --hash=sha256:[0-9a-f]{64}( \\)?$', line) for line in rest), first


def test_locks_agree_with_the_project_and_each_other() -> None:
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text(encoding='utf-8'))['project']
    locked = {path.stem: requirements_of(path) for path in LOCKS}
    assert set(locked) == set(project['optional-dependencies'])
    wanted = {'cpu': project['dependencies'], 'gpu': project['dependencies'], 'dev': []}
    for name, versions in locked.items():
        names = {package for package, _ in versions}
        for line in [*wanted.get(name, []), *project['optional-dependencies'][name]]:
            assert re.split(r'[\[<>=]', line)[0] in names, f'{line} is not in locks/{name}.txt: run scripts/lock.py'
        assert all(version == locked['cpu'].get(key, version) for key, version in versions.items()), name
    runtimes = {name: {p for p, _ in versions if p.startswith('onnxruntime')} for name, versions in locked.items()}
    assert runtimes['cpu'] == {'onnxruntime'}
    assert runtimes['gpu'] == {'onnxruntime-gpu'}
