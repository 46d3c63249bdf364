"""The engine for a single process: threads analyse chunks, or render the frames of a segment, in parallel."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing

from facefusion.errors import Interrupted
from facefusion.media.reader import ReaderPool
from facefusion.media.sources import open_frames
from facefusion.pipeline.manifest import Manifest
from facefusion.pipeline.plan import Span
from facefusion.pipeline.progress import Progress
from facefusion.pipeline.stream import ordered_map
from facefusion.pipeline.units import AnalysisUnits, RenderUnits
from facefusion.stopping import StopFlag


class ThreadEngine:
    """Processes ``workers`` chunks or frames at once."""

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def analyse(
        self, units: AnalysisUnits, spans: Sequence[Span], progress: Progress, flag: StopFlag
    ) -> Generator[tuple[Span, Manifest], None, None]:
        """Yield each chunk with its manifest, in order.

        When a chunk fails, or the generator is closed, the other chunks stop at their next frame.
        """
        stopped, failures = StopFlag(flag), list[BaseException]()
        with closing(ReaderPool(units.analysis.target, self._workers, stop=stopped)) as readers:
            shared = units.reading_with(readers)

            def analyse(span: Span) -> tuple[Span, Manifest]:
                try:
                    return span, shared.run(span, stopped, progress.advance)
                except BaseException as error:
                    failures.append(error)
                    stopped.set('another chunk failed')
                    raise

            with closing(ordered_map(analyse, spans, self._workers, ahead=self._workers)) as chunks:
                try:
                    # With `yield from`, closing this generator would wait for the workers before the flag is set.
                    for chunk in chunks:  # noqa: UP028
                        yield chunk
                except Interrupted:
                    # The first failure is raised, because it stopped the other chunks.
                    raise failures[0] from None
                finally:
                    stopped.set('the chunks are no longer needed')

    def render(
        self, units: RenderUnits, numbers: Sequence[int], progress: Progress, flag: StopFlag
    ) -> Generator[tuple[int, Manifest], None, None]:
        """Yield each segment with its manifest, one after the other."""
        video = units.rendering.video
        with closing(open_frames(units.rendering.target, 1, flag)) as readers:
            shared = units.reading_with(readers, self._workers)
            for number in numbers:
                progress.at(f'segment {number + 1} of {len(video.segments)}')
                yield number, shared.run(number, flag, progress.advance)
