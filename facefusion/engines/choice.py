"""Choose the engine of a run."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager

from facefusion.engines.messages import WorkerTask
from facefusion.engines.processes import ProcessEngine
from facefusion.engines.threads import ThreadEngine
from facefusion.events import Message
from facefusion.models.store import ModelStore
from facefusion.pipeline.prepare import PreparedRun
from facefusion.pipeline.run import Engine
from facefusion.profiling import NO_PROFILE


@contextmanager
def running_engine(
    run: PreparedRun, store: ModelStore, device_ids: Sequence[int], mark: bytes | None
) -> Generator[Engine, None, None]:
    """Yield the engine of a run; its processes end with the block.

    An accelerator is used by one process. A profile has the stages of one process, so a profiled run uses threads.
    ``mark`` is the payload of the invisible mark, or None without one.
    """
    plan, emit, sessions = run.context.plan, run.context.emit, run.context.sessions
    processes = plan.processes if sessions.providers[0] == 'cpu' else min(plan.processes, len(set(device_ids)))
    if run.context.profile is not NO_PROFILE:
        processes = 1
    words = f'{processes} processes with {plan.workers} threads' if processes > 1 else f'{plan.workers} threads'
    emit(Message('debug', 'run', f'engine: {words}, {plan.network_threads} in each network while faces are found'))
    if processes < 2 or run.work is None or run.context.digests is None:
        yield ThreadEngine(plan.workers)
        return
    task = WorkerTask(
        plan=plan,
        settings=run.context.settings,
        digests=run.context.digests,
        work=run.work.path,
        cache=(run.work.cache.folder, run.work.cache.limit),
        scores=run.screening.cache.folder,
        catalog=store.catalog,
        weights=store.weights,
        providers=tuple(sessions.providers),
        estimates_ages=run.screening.estimator is not None,
        mark=mark,
    )
    with closing(ProcessEngine(task, plan.workers, processes, tuple(dict.fromkeys(device_ids)), emit)) as engine:
        yield engine
