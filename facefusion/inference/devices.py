"""NVIDIA devices of this machine, as the CUDA driver lists them: with the numbers that CUDA programs use.

The driver library has no Python package, so it is called directly (CUDA Driver API: cuInit, cuDeviceGetCount,
cuDeviceGetName, cuDriverGetVersion).
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from facefusion.errors import ProviderError

DRIVER_LIBRARIES = ('nvcuda.dll',) if sys.platform == 'win32' else ('libcuda.so.1', '/usr/lib/wsl/lib/libcuda.so.1')
VISIBLE = 'CUDA_VISIBLE_DEVICES'
# The providers whose device numbers are those of the CUDA driver.
CUDA_PROVIDERS = ('cuda', 'tensorrt')
_NAME_BYTES = 256


@dataclass(frozen=True, slots=True)
class CudaDriver:
    """The driver: the newest CUDA version that it supports, such as 13.0, and the names of the visible devices."""

    cuda_version: str
    devices: tuple[str, ...]


def load_driver() -> Any | None:
    """Return the CUDA driver library; None when it is not installed."""
    for name in DRIVER_LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def find_driver() -> CudaDriver | None:
    """Return the CUDA driver with its devices; None when its library is not installed."""
    library = load_driver()
    if library is None:
        return None
    version, count = ctypes.c_int(0), ctypes.c_int(0)
    library.cuDriverGetVersion(ctypes.byref(version))
    shown = f'{version.value // 1000}.{version.value % 1000 // 10}'
    # cuInit fails where no device is visible.
    if library.cuInit(0) != 0 or library.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return CudaDriver(shown, ())
    return CudaDriver(shown, tuple(_name_of(library, number) for number in range(count.value)))


def device_name(device_id: int) -> str:
    """Return the name of a CUDA device, or 'device N' for others, as a part of the keys of caches."""
    driver = find_driver()
    known = driver is not None and device_id < len(driver.devices)
    return driver.devices[device_id] if driver is not None and known else f'device {device_id}'


def lists_devices() -> bool:
    """Whether the CUDA driver lists a device."""
    driver = find_driver()
    return driver is not None and bool(driver.devices)


def visibility_note() -> str:
    """Return the effect of CUDA_VISIBLE_DEVICES on the devices, in words; '' where it is not set."""
    value = os.environ.get(VISIBLE)
    if value is None:
        return ''
    if not value.strip() or value.strip().startswith('-1'):
        return f'{VISIBLE} is {value.strip() or "empty"}, which hides all devices'
    return f'{VISIBLE} is {value}, which hides other devices and numbers these from 0'


def check_device_ids(providers: Sequence[str], device_ids: Sequence[int]) -> None:
    """Raise ProviderError device-missing when CUDA has no device of a number.

    Devices of other providers, and those of a machine without the CUDA driver, cannot be listed; there a session fails.
    """
    if not set(providers) & set(CUDA_PROVIDERS):
        return
    driver = find_driver()
    if driver is None:
        return
    missing = [number for number in device_ids if number >= len(driver.devices)]
    if missing:
        raise _device_missing(missing, driver.devices)


def _device_missing(missing: Sequence[int], names: Sequence[str]) -> ProviderError:
    listed = ', '.join(f'{number} ({name})' for number, name in enumerate(names))
    note = visibility_note()
    cause = f'CUDA lists {listed}' if names else 'the NVIDIA driver lists no device'
    if not names:
        hint = f'unset {VISIBLE}' if note else 'check the driver with nvidia-smi'
        hint += ', or use --execution-providers cpu'
    else:
        hint = f'use --execution-device-ids {" ".join(str(number) for number in range(len(names)))}'
    return ProviderError(
        'device-missing',
        f'there is no device {", ".join(map(str, missing))} on this machine',
        cause='; '.join(filter(None, (cause, note))),
        hint=hint,
        facts={'devices': list(range(len(names)))},
    )


def _name_of(library: Any, number: int) -> str:
    device, name = ctypes.c_int(0), ctypes.create_string_buffer(_NAME_BYTES)
    if library.cuDeviceGet(ctypes.byref(device), number) or library.cuDeviceGetName(name, _NAME_BYTES, device):
        return 'unknown'
    return name.value.decode('utf-8', 'replace')
