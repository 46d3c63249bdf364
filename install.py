"""Set up FaceFusion on this machine: create .venv next to this file, select the ONNX Runtime build and test it.

    python3 install.py                       set up; a second run changes nothing
    python3 install.py --device cuda         the NVIDIA build, or exit 7 with the reason
    python3 install.py demo                  set up, then create and swap example media in demo/
    python3 install.py test [pytest args]    set up with the development tools, then run the tests
    python3 install.py check                 set up with the development tools, then check lint, format and types

This file uses only the standard library and imports nothing from the package. The next run repairs an interrupted one,
because .venv contains a marker until it has been tested, and after that a stamp with a digest of its inputs.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import ctypes
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent
VENV = ROOT / '.venv'
LOWEST, HIGHEST = (3, 11), (3, 13)
STAMP, UNFINISHED = 'facefusion-install.json', 'facefusion-install.unfinished'
RUNTIME_LOCKS = {'cpu': 'cpu', 'cuda': 'gpu'}
RUNTIMES = {'cpu': 'onnxruntime', 'cuda': 'onnxruntime-gpu'}
PROVIDERS = {'cpu': 'CPUExecutionProvider', 'cuda': 'CUDAExecutionProvider'}
RUNTIME_PACKAGES = ('onnxruntime', 'onnxruntime-gpu', 'onnxruntime-directml', 'onnxruntime-openvino', 'onnxruntime-qnn')
LIBRARY_CUDA = ('libcuda.so.1', '/usr/lib/wsl/lib/libcuda.so.1')
EXIT_PROVIDER = 7
UNREACHABLE = """The package index could not be reached. Behind a proxy set HTTPS_PROXY; with a mirror set PIP_INDEX_URL
(and PIP_CERT for its certificate). Then run the same command again: pip keeps what it has downloaded."""

# This script runs in the environment. It checks the provider of a session, because the GPU build lists CUDA on every
# machine, but may still run on the CPU without an error.
PROOF = """
import importlib.metadata, json, re, sys
import numpy, onnx, onnxruntime
from onnx import TensorProto, helper
provider = sys.argv[1]
names = {re.sub('[-_.]+', '-', d.name).lower() for d in importlib.metadata.distributions() if d.name}
builds = sorted(n for n in names if n in sys.argv[2].split(','))
if provider == 'CUDAExecutionProvider':
    onnxruntime.preload_dlls()
ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2]) for n in 'xy']
graph = helper.make_graph([helper.make_node('Add', ['x', 'x'], ['y'])], 'proof', ends[:1], ends[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=[provider])
result = session.run(None, {'x': numpy.array([1, 2], dtype=numpy.float32)})[0].tolist()
print(json.dumps({'builds': builds, 'version': onnxruntime.__version__, 'providers': session.get_providers(),
                  'result': result}))
"""


class Failure(Exception):
    """A failed set-up: ``str()`` is the failure and its reason, ``hint`` the remedy, ``code`` the exit code."""

    def __init__(self, message: str, hint: str = '', code: int = 1) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code


class Plan(NamedTuple):
    """The environment to create: requested device ('auto', 'cpu', 'cuda'), selected device and extras."""

    asked: str
    device: str
    extras: tuple[str, ...] = ()


def check_python(version: tuple[int, int], alternatives: list[str]) -> None:
    """Raise Failure unless Python is 3.11 to 3.13; ``alternatives`` are the commands of suitable versions."""
    if LOWEST <= version <= HIGHEST:
        return
    hint = f'Run it with another one: {alternatives[0]} install.py' if alternatives else 'Install one of them first.'
    raise Failure(f'FaceFusion needs Python 3.11, 3.12 or 3.13; this is Python {version[0]}.{version[1]}.', hint)


def nvidia_gpu_present() -> bool:
    """Whether the NVIDIA driver reports a GPU through nvidia-smi or the CUDA driver library."""
    tool = shutil.which('nvidia-smi') or 'nvidia-smi'
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        if 'GPU 0:' in subprocess.run([tool, '-L'], capture_output=True, text=True, timeout=20, check=False).stdout:
            return True
    count = ctypes.c_int(0)
    for name in ('nvcuda.dll',) if os.name == 'nt' else LIBRARY_CUDA:
        with contextlib.suppress(OSError, AttributeError):
            library = ctypes.CDLL(name)
            if library.cuInit(0) == 0 and library.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0:
                return True
    return False


def choose_device(asked: str, system: str, gpu_present: bool) -> str:
    """Return the device to install for, 'cpu' or 'cuda'. Raises Failure (exit 7) when cuda is requested but missing."""
    if asked == 'cuda' and system == 'Darwin':
        raise Failure('There is no CUDA build for macOS.', 'Use: install.py --device cpu', EXIT_PROVIDER)
    if asked == 'cuda' and not gpu_present:
        hint = 'Install the NVIDIA driver (nvidia-smi must list the GPU), or use: install.py --device cpu'
        raise Failure('--device cuda: no NVIDIA GPU or driver was found on this machine.', hint, EXIT_PROVIDER)
    if asked == 'auto':
        return 'cuda' if gpu_present and system != 'Darwin' else 'cpu'
    return asked


def lock_files(device: str, extras: tuple[str, ...], folder: Path) -> list[Path]:
    """Return the lock files of a device and its extras. Raises Failure (exit 2) for an extra without a lock."""
    paths = [folder / f'{name}.txt' for name in (RUNTIME_LOCKS[device], *extras)]
    for path in paths:
        if not path.is_file() or path.stem in set(RUNTIME_LOCKS.values()) & set(extras):
            known = sorted(p.stem for p in folder.glob('*.txt') if p.stem not in RUNTIME_LOCKS.values())
            raise Failure(f'There is no extra named {path.stem!r}.', f'Extras: {", ".join(known)}', 2)
    return paths


def stamp_of(plan: Plan) -> dict[str, Any]:
    """Return the stamp of an environment for ``plan``, with a digest of its inputs."""
    digest = hashlib.sha256()
    for path in (*lock_files(plan.device, plan.extras, ROOT / 'locks'), ROOT / 'pyproject.toml', Path(__file__)):
        digest.update(path.read_bytes() + b'\0')
    return {
        'asked': plan.asked,
        'device': plan.device,
        'extras': list(plan.extras),
        'inputs': digest.hexdigest(),
        'python': platform.python_version(),
        'root': str(ROOT),
    }


def read_stamp(venv: Path) -> dict[str, Any] | None:
    """Return the stamp of an environment; None when it is missing or damaged."""
    try:
        stamp = json.loads((venv / STAMP).read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None
    return stamp if isinstance(stamp, dict) else None


def make_plan(asked: str | None, extras: tuple[str, ...], stamp: dict[str, Any] | None) -> Plan:
    """Return the plan. Without ``asked`` it has the device of ``stamp``, or else 'auto'; installed extras remain.

    Raises Failure for an unavailable device (exit 7) and for an unknown extra (exit 2).
    """
    earlier = stamp or {}
    asked = asked or str(earlier.get('asked', 'auto'))
    device = choose_device(asked, platform.system(), asked != 'cpu' and nvidia_gpu_present())
    if asked == 'auto' and device == 'cuda' and earlier.get('fallback'):
        device = 'cpu'
    kept = [name for name in earlier.get('extras', ()) if (ROOT / 'locks' / f'{name}.txt').is_file()]
    lock_files(device, extras, ROOT / 'locks')
    return Plan(asked, device, tuple(sorted({*extras, *kept})))


def scripts_folder(venv: Path) -> Path:
    """Return the folder of the commands of an environment on this system."""
    return venv / ('Scripts' if os.name == 'nt' else 'bin')


def venv_python(venv: Path) -> Path:
    """Return the interpreter of an environment."""
    return scripts_folder(venv) / ('python.exe' if os.name == 'nt' else 'python')


def environment() -> dict[str, str]:
    """Return the environment variables for commands in .venv, without those that redirect Python or pip."""
    dropped = {'PYTHONPATH', 'PYTHONHOME', 'PIP_TARGET', 'PIP_PREFIX', 'PIP_ROOT', '__PYVENV_LAUNCHER__'}
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    # onnxruntime collects usage data unless ORT_DISABLE_TELEMETRY is set before it is imported.
    quiet = {'PIP_DISABLE_PIP_VERSION_CHECK': '1', 'PIP_NO_INPUT': '1', 'ORT_DISABLE_TELEMETRY': '1'}
    return {**kept, 'PIP_USER': '0', **quiet}


def python_works(venv: Path, *modules: str) -> bool:
    """Whether the environment's interpreter starts, has the same version as this one, and finds ``modules``."""
    code = (
        'import importlib.util as u, platform as p, sys; print(p.python_version(), all(map(u.find_spec, sys.argv[1:])))'
    )
    try:
        command = [str(venv_python(venv)), '-I', '-c', code, *modules]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment())
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout.split() == [platform.python_version(), 'True']


def is_current(plan: Plan, venv: Path) -> bool:
    """Whether the environment is complete: its stamp matches the plan, and its main packages are present."""
    stamp = read_stamp(venv)
    if stamp is None or {**stamp_of(plan), 'fallback': stamp.get('fallback', '')} != stamp:
        return False
    command = scripts_folder(venv) / ('facefusion.exe' if os.name == 'nt' else 'facefusion')
    if not command.is_file() or runtime_builds(venv) != [RUNTIMES[plan.device]]:
        return False
    return python_works(venv, 'facefusion', 'onnxruntime', 'numpy', 'cv2', 'av')


def run(arguments: list[str], action: str) -> None:
    """Run the environment's Python and show the names of packages. Raises Failure with the last lines of output."""
    last: collections.deque[str] = collections.deque(maxlen=12)
    command = [str(venv_python(VENV)), *arguments]
    pipes: dict[str, Any] = {'stdout': subprocess.PIPE, 'stderr': subprocess.STDOUT, 'text': True, 'errors': 'replace'}
    on_screen = sys.stdout.isatty()
    with subprocess.Popen(command, cwd=ROOT, env=environment(), **pipes) as process:
        for line in process.stdout or ():
            if not line.startswith('Ignoring '):
                last.append(line.rstrip())
            if on_screen and line.startswith(('Collecting ', 'Installing ')):
                print(f'\r  {line.split("==")[0].rstrip()[:70]:<72}', end='', flush=True)
    if on_screen:
        print('\r' + ' ' * 76 + '\r', end='', flush=True)
    if process.returncode != 0:
        tail = '\n  '.join(last)
        raise Failure(f'{action} failed (exit {process.returncode}):\n  {tail}', failure_hint(tail))


def failure_hint(output: str) -> str:
    """Return a hint for the last lines of the output of a failed pip."""
    text = output.lower()
    if any(
        sign in text
        for sign in ('connection', 'timed out', 'name resolution', 'getaddrinfo', 'network is', 'proxy', 'ssl')
    ):
        return UNREACHABLE
    if 'no space left' in text or 'errno 28' in text:
        return 'The disk is full. --device cpu needs about 1 GB, --device cuda several GB. Free some disk space.'
    if 'no matching distribution' in text:
        return 'The index has no build of a package for this system, processor or Python. A mirror may also lag behind.'
    if 'do not match the hashes' in text:
        return 'A downloaded file differs from the locked one. If a mirror alters packages, use another index.'
    return 'Run the same command again; if it fails again, remove the folder .venv first.'


def make_venv() -> None:
    """Create a new .venv, marked as unfinished from the start."""
    if Path(sys.prefix).resolve() == VENV.resolve():
        raise Failure(
            '.venv must be replaced, but its Python is running install.py.', 'Run install.py with another Python.'
        )
    try:
        if VENV.is_dir():
            print('Removing the broken or outdated .venv')
            shutil.rmtree(VENV)
        VENV.mkdir()
        (VENV / UNFINISHED).touch()
    except OSError as error:
        raise Failure(f'.venv cannot be replaced: {error}', 'Close programs that use it, or remove it.') from error
    print(f'Creating .venv with Python {platform.python_version()}')
    command = [sys.executable, '-m', 'venv', str(VENV)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).strip().splitlines()[-6:]
        hint = 'On Debian and Ubuntu install python3-venv; a full disk or a read-only folder is another possible cause.'
        raise Failure('Python could not create a virtual environment:\n  ' + '\n  '.join(lines), hint)


def runtime_builds(venv: Path) -> list[str]:
    """Return the ONNX Runtime builds recorded in ``venv``, and 'damaged' if their files are missing."""
    lib = venv / ('Lib' if os.name == 'nt' else 'lib/python{}.{}'.format(*sys.version_info)) / 'site-packages'
    names = {path.name.split('-')[0].lower().replace('_', '-') for path in lib.glob('onnxruntime*.dist-info')}
    builds = sorted(names & set(RUNTIME_PACKAGES))
    return builds if not builds or (lib / 'onnxruntime' / '__init__.py').is_file() else [*builds, 'damaged']


def install_packages(plan: Plan) -> None:
    """Install the locked packages of ``plan`` and the program itself into .venv."""
    found = runtime_builds(VENV)
    if found and found != [RUNTIMES[plan.device]]:
        # The two builds share a folder, so removing only one of them would delete files of the other.
        print(f'Removing ONNX Runtime: {", ".join(found)}')
        run(['-m', 'pip', 'uninstall', '--yes', *RUNTIME_PACKAGES], 'Removing the other ONNX Runtime build')
    locks = lock_files(plan.device, plan.extras, ROOT / 'locks')
    print(f'Installing {", ".join(f"{p.parent.name}/{p.name}" for p in locks)} (the first time this takes minutes)')
    pip = ['-m', 'pip', 'install', '--progress-bar', 'off']
    files = [part for path in locks for part in ('-r', str(path))]
    run([*pip, '--require-hashes', *files], 'Installing the packages')
    run([*pip, '--no-deps', '--no-build-isolation', '-e', str(ROOT)], 'Installing FaceFusion itself')
    # pip compiles no linked files; a start without bytecode takes twice the time where Python may not write it.
    run(['-m', 'compileall', '-q', str(ROOT / 'facefusion')], 'Compiling FaceFusion')


def prove(device: str) -> str:
    """Run a one-node model in .venv on the device's provider and return a summary line. Raises Failure (exit 7)."""
    command = [str(venv_python(VENV)), '-c', PROOF, PROVIDERS[device], ','.join(RUNTIME_PACKAGES)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment())
    except subprocess.TimeoutExpired as error:
        raise Failure('The test model did not finish within 300 s.', device_hint(device), EXIT_PROVIDER) from error
    lines = [*done.stdout.splitlines()[:-1], *(done.stderr.strip() or f'exit {done.returncode}').splitlines()]
    tail = '\n  '.join(lines[-6:])
    try:
        proof = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        raise Failure(f'ONNX Runtime does not work:\n  {tail}', device_hint(device), EXIT_PROVIDER) from None
    if PROVIDERS[device] not in proof['providers'] or proof['result'] != [2.0, 4.0]:
        reason = f'The test model ran on {", ".join(proof["providers"])}, not on {PROVIDERS[device]}:\n  {tail}'
        raise Failure(reason, device_hint(device), EXIT_PROVIDER)
    if len(proof['builds']) != 1:
        reason = f'.venv contains {len(proof["builds"])} ONNX Runtime builds: {", ".join(proof["builds"])}.'
        raise Failure(reason, 'Remove the folder .venv and run install.py again.', EXIT_PROVIDER)
    return f'{proof["builds"][0]} {proof["version"]} ran a test model on {PROVIDERS[device]}'


def device_hint(device: str) -> str:
    """Return a hint for a failed test of a device."""
    if device == 'cuda':
        return 'CUDA 13 needs an NVIDIA driver of version 580 or newer. Update it, or use: install.py --device cpu'
    return 'On Windows install the Microsoft Visual C++ runtime; otherwise remove .venv and run install.py again.'


def install(plan: Plan) -> Plan:
    """Install ``plan`` into .venv, test it and write the stamp; return the final plan (auto may fall back)."""
    earlier = read_stamp(VENV)
    same = earlier is None or (earlier.get('root'), earlier.get('python')) == (str(ROOT), platform.python_version())
    if (VENV / UNFINISHED).exists() or not same or not python_works(VENV, 'pip'):
        make_venv()
    (VENV / UNFINISHED).touch()
    (VENV / STAMP).unlink(missing_ok=True)
    fallback = ''
    install_packages(plan)
    try:
        print(prove(plan.device))
    except Failure as failure:
        if plan.asked != 'auto' or plan.device != 'cuda':
            raise
        fallback = str(failure)
        print(f'\nWARNING: a GPU was found but cannot be used. Falling back to the CPU.\n{failure}\n{failure.hint}\n')
        plan = plan._replace(device='cpu')
        install_packages(plan)
        print(prove(plan.device))
    stamp = json.dumps({**stamp_of(plan), 'fallback': fallback}, indent=2)
    (VENV / STAMP).write_text(stamp + '\n', encoding='utf-8')
    (VENV / UNFINISHED).unlink()
    return plan


def set_up(asked: str | None, extras: tuple[str, ...]) -> None:
    """Check the Python version, create or complete .venv unless it is current, and print a summary."""
    names = ('python3.13', 'python3.12', 'python3.11')
    check_python((sys.version_info[0], sys.version_info[1]), [name for name in names if shutil.which(name)])
    started = time.monotonic()
    plan = make_plan(asked, extras, read_stamp(VENV))
    if is_current(plan, VENV):
        print(f'.venv is ready ({plan.device}, Python {platform.python_version()}): nothing to do.')
        if (read_stamp(VENV) or {}).get('fallback'):
            print('A GPU was found earlier but did not work; to try again: install.py --device cuda')
        return
    print(f'Python {platform.python_version()} on {platform.system()} {platform.machine()}; device: {plan.device}')
    plan = install(plan)
    command = scripts_folder(VENV).relative_to(ROOT) / 'facefusion'
    print(f'Ready for {plan.device} after {time.monotonic() - started:.0f} s. Start with: {command} --help')


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the options, and the words after ``test``, which are passed to pytest unchanged."""
    cut = arguments.index('test') + 1 if 'test' in arguments else len(arguments)
    about = 'Set up FaceFusion in .venv next to this file.'
    parser = argparse.ArgumentParser(prog='install.py', description=about, allow_abbrev=False)
    parser.add_argument('command', nargs='?', choices=('demo', 'test', 'check'), help='command to run after the set-up')
    parser.add_argument('--device', choices=('auto', 'cpu', 'cuda'), help='default: the previous choice, or else auto')
    parser.add_argument('--extra', action='append', default=[], metavar='NAME', help='install a locked extra, e.g. dev')
    return parser.parse_args(arguments[:cut]), arguments[cut:]


def run_command(command: str, pytest_arguments: list[str]) -> int:
    """Run the demo, the tests or the checks in .venv; return the exit code, or 1 if a signal ended the process."""
    commands = {
        'demo': [str(ROOT / 'scripts' / 'demo.py')],
        'test': ['-m', 'pytest', *pytest_arguments],
        'check': [str(ROOT / 'scripts' / 'check.py')],
    }
    arguments = [str(venv_python(VENV)), *commands[command]]
    code = subprocess.run(arguments, cwd=ROOT, env=environment(), check=False).returncode
    return code if 0 <= code <= 255 else 1


def main() -> int:
    """Read the command line, set up, run the command and return the exit code."""
    options, pytest_arguments = parse(sys.argv[1:])
    development = ('dev',) if options.command in ('test', 'check') else ()
    try:
        set_up(options.device, (*options.extra, *development))
        sys.stdout.flush()
        return run_command(options.command, pytest_arguments) if options.command else 0
    except Failure as failure:
        print(f'\ninstall.py: {failure}\n{failure.hint}'.rstrip(), file=sys.stderr)
        return failure.code
    except KeyboardInterrupt:
        print('\ninstall.py: interrupted. If set-up was not finished, the next run repairs it.', file=sys.stderr)
        return 1


if __name__ == '__main__':
    sys.exit(main())
