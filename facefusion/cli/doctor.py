"""``doctor``: check this machine and suggest fixes."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Literal

from facefusion.cli.invocation import Invocation
from facefusion.cli.models import packaged_models
from facefusion.errors import FaceFusionError, InternalError
from facefusion.events import silent
from facefusion.inference.options import ExecutionOptions
from facefusion.jobs.options import StoreOptions
from facefusion.models.options import ModelOptions
from facefusion.pipeline.options import WorkOptions
from facefusion.services.options import ConsoleOptions
from facefusion.shortage import as_shortage
from facefusion.version import VERSION

GROUPS: tuple[type, ...] = (ExecutionOptions, ModelOptions, WorkOptions, StoreOptions, ConsoleOptions)
UNREAD = frozenset({'cache_size', 'execution_batch_size', 'progress', 'system_memory_limit'})

RUNTIMES = ('onnxruntime', 'onnxruntime-gpu', 'onnxruntime-directml', 'onnxruntime-openvino', 'onnxruntime-rocm')
LIBRARIES = ('av', 'msgspec', 'numpy', 'onnx', 'opencv-python-headless', 'pillow', 'requests', 'tflite', 'tqdm')
SMALLEST_FREE_BYTES = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: ``state`` is 'ok', 'warn' (works with limits) or 'fail'; ``advice`` may be empty."""

    check: str
    state: Literal['ok', 'warn', 'fail']
    fact: str
    advice: str = ''


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the output format."""
    parser.add_argument(
        '--format', dest='doctor_format', choices=('text', 'json'), default='text', help='output format'
    )


def run(invocation: Invocation) -> int:
    """Print every finding. Return 0 if no check failed, otherwise 1."""
    from facefusion.pipeline.resources import check_start

    check_start()
    findings = list(examine(invocation))
    if invocation.arguments.doctor_format == 'json':
        print(json.dumps({'version': 1, 'findings': [asdict(finding) for finding in findings]}, indent=2))
    else:
        width = max(len(finding.check) for finding in findings)
        for finding in findings:
            print(f'{finding.state:<4}  {finding.check:<{width}}  {finding.fact}')
            if finding.advice:
                print(f'{"":<4}  {"":<{width}}  -> {finding.advice}')
    return 1 if any(finding.state == 'fail' for finding in findings) else 0


def examine(invocation: Invocation) -> Iterator[Finding]:
    """Yield the findings of all checks; a FaceFusionError becomes a finding."""
    yield Finding('facefusion', 'ok', f'{VERSION} in {invocation.home}')
    yield _check_python()
    yield from _check_libraries()
    yield _check_runtime()
    for name in _wanted_providers(invocation):
        yield _attempt(f'provider {name}', partial(_check_provider, name, invocation))
    yield _attempt('video encoders', _check_encoders)
    yield from _check_models(invocation)
    yield _check_gate(invocation)
    yield from _check_folders(invocation)
    yield _check_workers(invocation)


def _attempt(check: str, function: Callable[[], Finding]) -> Finding:
    try:
        return function()
    except (FaceFusionError, ImportError) as error:
        failure = as_shortage(error) or error
        if isinstance(failure, ImportError):
            return Finding(check, 'fail', str(failure), 'run `python install.py`')
        cause = f': {failure.cause}' if failure.cause else ''
        return Finding(check, 'fail', f'{failure.message}{cause}', failure.hint)


def _check_python() -> Finding:
    shown = f'{platform.python_version()} on {platform.platform()}'
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Finding('python', 'fail', shown, 'use Python 3.11, 3.12 or 3.13')
    return Finding('python', 'ok', shown)


def _check_libraries() -> Iterator[Finding]:
    versions = {name: _version(name) for name in LIBRARIES}
    missing = [name for name, version in versions.items() if not version]
    if missing:
        yield Finding('libraries', 'fail', f'missing: {", ".join(missing)}', 'run `python install.py`')
    yield Finding('libraries', 'ok', ', '.join(f'{name} {version}' for name, version in versions.items() if version))
    if _version('opencv-python') or _version('opencv-contrib-python'):
        advice = 'uninstall all opencv packages and run `python install.py`'
        yield Finding('opencv', 'warn', 'more than one OpenCV package is installed; they overwrite each other', advice)


def _check_runtime() -> Finding:
    installed = [f'{name} {version}' for name in RUNTIMES if (version := _version(name))]
    if len(installed) == 1:
        return Finding('onnxruntime', 'ok', installed[0])
    fact = f'{len(installed)} builds are installed' + (f': {", ".join(installed)}' if installed else '')
    return Finding('onnxruntime', 'fail', fact, 'run `python install.py`, which installs exactly one')


def _version(name: str) -> str:
    """Return the version of an installed package, or '' if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ''


def _wanted_providers(invocation: Invocation) -> tuple[str, ...]:
    named = invocation.settings[ExecutionOptions].execution_providers
    wanted = [name for name in named if name != 'auto']
    if 'auto' in named:
        wanted += [name for name in ('cuda', 'cpu') if name == 'cpu' or _version('onnxruntime-gpu')]
    return tuple(dict.fromkeys(wanted))


def _check_provider(name: str, invocation: Invocation) -> Finding:
    from facefusion.inference.providers import probe_provider

    probe_provider(name, invocation.settings[ExecutionOptions].execution_device_ids[0])
    return Finding(f'provider {name}', 'ok', 'a one-node model ran on it')


def _check_encoders() -> Finding:
    from facefusion.media.encoder import usable_encoders

    usable = usable_encoders()
    if 'libx264' not in usable:
        raise InternalError('encoder-missing', 'libx264 does not open', hint='reinstall the package av')
    return Finding('video encoders', 'ok', ', '.join(usable))


def _check_models(invocation: Invocation) -> Iterator[Finding]:
    store = invocation.model_store(silent)
    states: dict[str, list[str]] = {}
    embedded = packaged_models(store.catalog)
    for entry in store.catalog:
        state = store.state(entry.id)
        # Models from other sources are fetched only on request.
        if entry.id in embedded or (state != 'missing' and not entry.is_example):
            states.setdefault(state, []).append(entry.id)
    yield Finding('models', 'ok', f'{len(states.get("present", []))} present in {store.weights}')
    if 'missing' in states:
        offline = invocation.settings[ModelOptions].offline
        advice = 'run `facefusion force-download` before going offline' if offline else ''
        fact = f'fetched when needed: {", ".join(states["missing"])}'
        yield Finding('models', 'warn' if offline else 'ok', fact, advice)
    if 'damaged' in states:
        advice = f'run `facefusion models fetch {" ".join(states["damaged"])}`'
        yield Finding('models', 'fail', f'damaged: {", ".join(states["damaged"])}', advice)


def _check_gate(invocation: Invocation) -> Finding:
    from facefusion.safety.voters import find_voters

    voters = find_voters(invocation.model_store(silent))
    advice = f'run `facefusion models fetch {" ".join(voters.missing)}`' if voters.published and voters.missing else ''
    return Finding('content gate', 'ok', voters.words, advice)


def _check_workers(invocation: Invocation) -> Finding:
    """Show the workers and the engine that the options, or otherwise the rule, give a video on the CPU."""
    from facefusion.pipeline.crew import SEGMENTS_A_PROCESS, worker_count
    from facefusion.pipeline.plan import SEGMENT_FRAMES

    options = invocation.settings[ExecutionOptions]
    workers, engine = worker_count(options), options.execution_engine
    fact = f'{workers} threads of one process for a video'
    if engine == 'processes' and workers > 1:
        fact = f'{workers} processes for a video'
    elif engine == 'auto' and workers > 1:
        frames = (2 * SEGMENTS_A_PROCESS - 1) * SEGMENT_FRAMES
        fact += f'; with more than {frames} frames in up to {workers} processes, if memory allows'
    return Finding('workers', 'ok', fact)


def _check_folders(invocation: Invocation) -> Iterator[Finding]:
    from facefusion.limits import available_memory, memory_limits
    from facefusion.pipeline.output import existing_folder

    work = invocation.settings[WorkOptions]
    folders = {
        'jobs folder': invocation.jobs_path(),
        'temp folder': Path(work.temp_path) if work.temp_path else None,
    }
    for check, folder in folders.items():
        if folder is None:
            continue
        there = existing_folder(folder)
        free = shutil.disk_usage(there).free
        fact = f'{folder}, {free / 1e9:.1f} GB free'
        if not os.access(there, os.W_OK):
            yield Finding(
                check, 'fail', f'{folder} is not writable', f'change its permissions, or use --{check[:4]}-path'
            )
        elif free < SMALLEST_FREE_BYTES:
            yield Finding(check, 'warn', fact, 'long videos need more space; delete files or use --temp-path')
        else:
            yield Finding(check, 'ok', fact)
    memory = available_memory()
    if memory is not None:
        yield Finding('memory', 'ok', f'{memory / 1e9:.1f} GB available, {os.cpu_count()} CPU cores')
    for limit in memory_limits():
        if limit.kind != 'memory':
            yield Finding(limit.name, 'ok', str(limit))
