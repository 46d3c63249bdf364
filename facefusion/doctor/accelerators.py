"""Checks of execution providers, devices, the NVIDIA driver and its libraries."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from facefusion.doctor.finding import Finding, attempt
from facefusion.errors import FaceFusionError
from facefusion.inference.cuda_libraries import needed_libraries
from facefusion.inference.devices import CUDA_PROVIDERS, check_device_ids, find_driver, visibility_note
from facefusion.inference.libraries import remedy_for
from facefusion.inference.options import ExecutionOptions

_DRIVER_FILE = Path('/proc/driver/nvidia/version')
_SMI_SECONDS = 10
_PRODUCTS = {'CUDA': 'cuda', 'cuDNN': 'cuda', 'TensorRT': 'tensorrt'}


def check_providers(options: ExecutionOptions) -> list[Finding]:
    """Run two small networks on every provider of the build and of the options.

    A provider that the options do not name, and that 'auto' would not use, is only a warning if it fails; so is every
    accelerator if the options permit the CPU in its place.
    """
    try:
        wanted, others = _wanted_and_other_providers(options)
    except (FaceFusionError, ImportError):
        return [attempt('providers', lambda: _broken_runtime(options))]
    device_id = options.execution_device_ids[0]
    found = []
    for name in (*wanted, *others):
        finding = attempt(f'provider {name}', partial(_try_provider, name, device_id))
        is_required = name in wanted and (name == 'cpu' or not options.allow_cpu_fallback)
        found.append(finding if is_required else _softened(finding))
    return found


def check_devices(options: ExecutionOptions) -> Finding:
    """Check the device numbers of the options."""
    finding = attempt('devices', partial(_check_devices, options))
    return _softened(finding) if options.allow_cpu_fallback else finding


def _check_devices(options: ExecutionOptions) -> Finding:
    from facefusion.inference.provider_trial import device_label
    from facefusion.inference.providers import providers_in_build

    built = [name for name in providers_in_build() if name in CUDA_PROVIDERS]
    named = options.execution_providers
    asked = [name for name in built if name in named or 'auto' in named]
    driver, note = find_driver(), visibility_note()
    if 'auto' in named and (driver is None or not driver.devices):
        asked = []
    check_device_ids(asked, options.execution_device_ids)
    shown = ' '.join(map(str, options.execution_device_ids))
    if not asked:
        fact = '; '.join(filter(None, (f'--execution-device-ids {shown}: not used by the CPU', note)))
        return Finding('devices', 'ok', fact)
    labels = ', '.join(device_label(asked[0], number) for number in options.execution_device_ids)
    return Finding('devices', 'ok', '; '.join(filter(None, (f'--execution-device-ids {shown}: {labels}', note))))


def check_driver() -> Finding:
    """Show the NVIDIA driver and its devices; missing is a warning where the build of onnxruntime needs it."""
    from facefusion.inference.providers import providers_in_build

    driver, is_needed = find_driver(), set(CUDA_PROVIDERS) & set(providers_in_build())
    if driver is None:
        if not is_needed:
            return Finding('NVIDIA driver', 'ok', 'not installed; the installed onnxruntime does not use it')
        advice = 'install the NVIDIA driver, or run `python install.py --device cpu`'
        return Finding('NVIDIA driver', 'warn', 'not installed: libcuda.so.1 does not load', advice)
    devices = ', '.join(f'{number} ({name})' for number, name in enumerate(driver.devices)) or 'none'
    fact = f'{_driver_version() or "version unknown"}, for CUDA up to {driver.cuda_version}; devices: {devices}'
    if not driver.devices:
        note = visibility_note()
        return Finding(
            'NVIDIA driver',
            'warn',
            '; '.join(filter(None, (fact, note))),
            'unset CUDA_VISIBLE_DEVICES' if note else 'check the device with nvidia-smi',
        )
    return Finding('NVIDIA driver', 'ok', fact)


def check_libraries(failed: Collection[str]) -> Iterator[Finding]:
    """Show the libraries of CUDA, cuDNN and TensorRT that onnxruntime needs, by file and version.

    ``failed`` are the names of the provider checks that failed: a library that one of them misses is a failure, too.
    """
    for product, provider in _PRODUCTS.items():
        try:
            libraries = needed_libraries(product)
        except (FaceFusionError, ImportError):
            return  # The finding of the providers has the reason.
        if not libraries:
            yield Finding(product, 'ok', 'not needed by the installed onnxruntime')
            continue
        missing = [library for library in libraries if library.path is None]
        found = [f'{each.version} {each.path}'.strip() for each in libraries if each.path is not None]
        fact = f'found: {", ".join(found)}' if found else ''
        if not missing:
            yield Finding(product, 'ok', fact)
            continue
        fact = '; '.join(filter(None, (f'missing: {", ".join(library.name for library in missing)}', fact)))
        advice = remedy_for(missing[0].name)
        yield Finding(product, 'fail' if f'provider {provider}' in failed else 'warn', fact, advice)


def _wanted_and_other_providers(options: ExecutionOptions) -> tuple[list[str], list[str]]:
    from facefusion.inference.providers import AUTO_ORDER, providers_in_build

    built, wanted = providers_in_build(), list[str]()
    for name in options.execution_providers:
        wanted += [each for each in AUTO_ORDER if each in built] + ['cpu'] if name == 'auto' else [name]
    wanted = list(dict.fromkeys(wanted))
    return wanted, [name for name in built if name not in wanted]


def _broken_runtime(options: ExecutionOptions) -> Finding:
    """Raise the error of the import again, as the finding of all providers."""
    _wanted_and_other_providers(options)
    return Finding('providers', 'ok', 'onnxruntime loads')


def _try_provider(name: str, device_id: int) -> Finding:
    from facefusion.inference import provider_trial

    trial = provider_trial.try_provider(name, device_id)
    times = f'one node {trial.node_ms:.2f} ms, a convolution {trial.convolution_ms:.2f} ms'
    if trial.left_to_cpu:
        fact = f'it opens {trial.device}, but leaves the convolution to the CPU ({times})'
        return Finding(f'provider {name}', 'warn', fact, 'use another execution provider')
    return Finding(f'provider {name}', 'ok', f'both networks ran on {trial.device}: {times}')


def _softened(finding: Finding) -> Finding:
    return replace(finding, state='warn') if finding.state == 'fail' else finding


def _driver_version() -> str:
    """Return the version of the NVIDIA driver, from its file or else from nvidia-smi; '' if neither tells it."""
    if _DRIVER_FILE.is_file():
        found = re.search(r'Kernel Module\D*(\d+\.\d+(?:\.\d+)?)', _DRIVER_FILE.read_text(encoding='utf-8'))
        if found:
            return found[1]
    program = shutil.which('nvidia-smi')
    if program is None:
        return ''
    query = [program, '--query-gpu=driver_version', '--format=csv,noheader']
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=_SMI_SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ''
    return next(iter(answer.split()), '')
