"""Sinks, model files, job store and worker of a command, created from its settings and environment on each call."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facefusion.engines.process_settings import tune_process
from facefusion.events import LOG_LEVELS, BarSink, Emit, JsonSink, LogSink, Message, tee
from facefusion.jobs.options import ClaimOptions, StoreOptions
from facefusion.models.choice import Licences, LocalModels, physical_memory
from facefusion.models.options import ModelOptions
from facefusion.options import quoted
from facefusion.pipeline.options import ProfileOptions, WorkOptions
from facefusion.profiling import NO_PROFILE
from facefusion.safety.options import PolicyOptions
from facefusion.services.options import ConsoleOptions
from facefusion.services.profile_file import profile_file
from facefusion.settings import Settings, program_path
from facefusion.standard_streams import is_terminal

if TYPE_CHECKING:
    from facefusion.jobs.runner import OnStep
    from facefusion.jobs.store import JobStore
    from facefusion.jobs.worker import Worker
    from facefusion.models.catalog import Catalog
    from facefusion.models.store import ModelStore
    from facefusion.profiling import Profile
    from facefusion.steps.step_run import RunFolders, StepEnvironment
    from facefusion.stopping import StopFlag


@dataclass(frozen=True, slots=True)
class Workplace:
    """Settings, home and environment of a command; ``home`` is the folder of weights, jobs and the ini file."""

    settings: Settings
    home: Path
    environ: Mapping[str, str]

    def emit(self) -> Emit:
        """Return the sinks that the console options request."""
        console = self.settings[ConsoleOptions]
        sinks: list[Emit] = []
        # As in FaceFusion 3.8, there are no bars at the log levels 'warn' and 'error', and none without a terminal.
        if console.progress == 'bar' and console.log_level in ('info', 'debug') and is_terminal(sys.stderr):
            sinks.append(BarSink())
        if console.progress == 'json':
            sinks.append(JsonSink())
        return tee([*sinks, self._log()])

    def remark(self, messages: Iterable[Message]) -> None:
        """Show messages about the settings on stderr only, because stdout may contain a single JSON document."""
        show = self._log()
        for message in messages:
            show(message)

    def _log(self) -> LogSink:
        level = self.settings[ConsoleOptions].log_level
        return LogSink(next(known for known in LOG_LEVELS if known == level))

    def catalog(self) -> Catalog:
        """Return the model catalogue, which is part of the program and never read from ``home``."""
        from facefusion.models.catalog import load_catalog

        return load_catalog(program_path() / 'models' / 'catalog')

    def weights_path(self) -> Path:
        """Return the folder of the model files."""
        named = self.settings[ModelOptions].models_path
        return Path(named) if named else self.home / 'models' / 'weights'

    def model_store(self, emit: Emit, stop: StopFlag | None = None) -> ModelStore:
        """Return the model files of this machine."""
        from facefusion.models.store import ModelStore

        options = self.settings[ModelOptions]
        catalog = self.catalog().preferring(options.download_providers)
        return ModelStore(catalog, self.weights_path(), offline=options.offline, emit=emit, stop=stop)

    def local_models(self) -> LocalModels:
        """Return the models from which ``auto`` selects."""
        licences: Licences = 'commercial' if self.settings[PolicyOptions].licences == 'commercial' else 'any'
        return LocalModels(self.catalog, self.weights_path(), licences, physical_memory())

    def jobs_path(self) -> Path:
        """Return the folder of the job store."""
        named = self.settings[StoreOptions].jobs_path
        return Path(named) if named else self.home / 'jobs'

    def on_this_store(self, command: str) -> str:
        """Return a command line that uses this job store, for messages to the user."""
        named = self.settings[StoreOptions].jobs_path
        return f'facefusion {command}' + (f' --jobs-path {quoted(named)}' if named else '')

    def job_store(self) -> JobStore:
        """Return the job store. Raises UsageError jobs-path."""
        from facefusion.errors import UsageError
        from facefusion.jobs.store import JobStore

        path = self.jobs_path()
        if _is_no_folder(path):
            raise UsageError(
                'jobs-path', f'{path} is not a folder', hint='specify the folder of a job store with --jobs-path'
            )
        return JobStore(path)

    def run_folders(self) -> RunFolders:
        """Return the folders of the files of runs."""
        from facefusion.steps.step_run import RunFolders

        options = self.settings[WorkOptions]
        temp = Path(options.temp_path) if options.temp_path else None
        return RunFolders(self.jobs_path(), temp, int(options.cache_size * 1e9))

    def step_environment(self, emit: Emit, flag: StopFlag, profile: Profile = NO_PROFILE) -> StepEnvironment:
        """Return the models and folders of this process for running steps."""
        from facefusion.steps.step_run import StepEnvironment

        store, models = self.model_store(emit, flag), self.local_models()
        return StepEnvironment(store, self.run_folders(), self.environ, models, profile)

    @contextmanager
    def worker(
        self,
        emit: Emit,
        flag: StopFlag,
        on_step: OnStep | None = None,
        profile: Profile | None = None,
        *,
        shares: bool = True,
    ) -> Iterator[Worker]:
        """Yield a worker with the models, devices and folders of this process, then wait for its notifications.

        The worker calls ``on_step`` after each step. ``profile`` times its steps; without one, --profile creates one
        and writes it at the end, even after a failure. ``shares``: whether the steps share what they load. Raises
        OutputError profile-unwritable.
        """
        tune_process()
        from facefusion.jobs.notify import Notifier
        from facefusion.jobs.runner import JobRunner
        from facefusion.jobs.worker import Worker
        from facefusion.steps.step_work import LocalStepWork

        timeout = self.settings[ClaimOptions].claim_timeout
        store, notifier = self.job_store(), Notifier(emit)
        with ExitStack() as opened:
            opened.callback(notifier.close)
            if profile is None:
                profile = opened.enter_context(profile_file(self.settings[ProfileOptions].profile, emit))
            environment = self.step_environment(emit, flag, profile)
            runner = JobRunner(store, LocalStepWork(self.settings, environment, shares=shares), timeout, emit, on_step)
            yield Worker(store, runner, notifier, timeout, emit, flag)


def _is_no_folder(path: Path) -> bool:
    """Whether ``path`` exists and is not a folder; False without permission, which the store itself reports."""
    try:
        return path.exists() and not path.is_dir()
    except PermissionError:
        return False
