"""The engine for a single process: threads analyse chunks, or render the frames of a segment, in parallel."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing

from facefusion.engines.parallel import run_in_parallel
from facefusion.media.reader import ReaderPool
from facefusion.media.sources import open_frames
from facefusion.pipeline.manifest import Manifest
from facefusion.pipeline.plan import Span
from facefusion.pipeline.progress import Progress
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
        stopped = StopFlag(flag)
        with closing(ReaderPool(units.analysis.target, self._workers, stop=stopped)) as readers:
            shared = units.reading_with(readers)

            def analyse(span: Span) -> tuple[Span, Manifest]:
                return span, shared.run(span, stopped, progress.advance)

            yield from run_in_parallel(analyse, spans, self._workers, self._workers, stopped)

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
