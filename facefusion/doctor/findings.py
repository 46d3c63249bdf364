"""All checks of this machine, in the order in which they are shown."""

from __future__ import annotations

from facefusion.doctor.accelerators import check_devices, check_driver, check_libraries, check_providers
from facefusion.doctor.finding import Finding, attempt
from facefusion.doctor.models import check_batches, check_gate, check_models
from facefusion.doctor.resources import check_encoders, check_folders, check_memory, check_workers
from facefusion.doctor.software import check_packages, check_python, check_runtime, check_telemetry
from facefusion.inference.options import ExecutionOptions
from facefusion.jobs.options import StoreOptions
from facefusion.models.options import ModelOptions
from facefusion.pipeline.options import WorkOptions
from facefusion.services.options import ConsoleOptions
from facefusion.services.workplace import Workplace
from facefusion.version import VERSION

# The settings that the checks read.
GROUPS: tuple[type, ...] = (ExecutionOptions, ModelOptions, WorkOptions, StoreOptions, ConsoleOptions)


def findings(workplace: Workplace) -> list[Finding]:
    """Return the findings of all checks of this machine, for the settings ``GROUPS``. It prints nothing.

    A check that fails is a finding. The checks take seconds, because providers run networks, and create no file.
    """
    options = workplace.settings[ExecutionOptions]
    return [
        Finding('facefusion', 'ok', f'{VERSION} in {workplace.home}'),
        check_python(),
        *check_packages(),
        check_runtime(),
        attempt('telemetry', check_telemetry),
        # The providers come before their libraries, because they load those of the Python packages.
        *(tried := check_providers(options)),
        check_devices(options),
        attempt('NVIDIA driver', check_driver),
        *check_libraries({finding.check for finding in tried if finding.state == 'fail'}),
        attempt('video encoders', check_encoders),
        *check_models(workplace),
        check_gate(workplace),
        *check_batches(workplace),
        *check_folders(workplace),
        *check_memory(),
        check_workers(options),
    ]
