"""Run the units of a clip in parallel, so that a failure or a closed generator stops all of them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from typing import TypeVar

from facefusion.errors import Interrupted
from facefusion.pipeline.stream import ordered_map
from facefusion.stopping import StopFlag

T = TypeVar('T')
R = TypeVar('R')


def run_in_parallel(
    run: Callable[[T], R], units: Iterable[T], workers: int, ahead: int, stopped: StopFlag
) -> Generator[R, None, None]:
    """Yield ``run(unit)`` of each unit in order; ``workers`` threads work at most ``ahead`` units ahead.

    When a unit fails, or the generator is closed, ``stopped`` is set, at which the other units stop. The first failure
    is raised.
    """
    failures = list[BaseException]()

    def guarded(unit: T) -> R:
        try:
            return run(unit)
        except BaseException as error:
            failures.append(error)
            stopped.set('another unit failed')
            raise

    with closing(ordered_map(guarded, units, workers, ahead=ahead)) as results:
        try:
            # With `yield from`, closing this generator would wait for the workers before the flag is set.
            for result in results:  # noqa: UP028
                yield result
        except Interrupted:
            # The first failure is raised, because it stopped the other units.
            raise failures[0] from None
        finally:
            stopped.set('the units are no longer needed')
