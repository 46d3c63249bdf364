"""Complete runs on small clips with a scripted analyser, a processor that brightens frames and a signer that copies."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.plain_signer import PlainSigner
from fakes.screenings import make_screening
from fakes.scripted_analyser import Actor, ScriptedAnalyser
from fakes.tiny_clip import make_tiny_clip

from facefusion.engines.threads import ThreadEngine
from facefusion.errors import Interrupted
from facefusion.events import ChunkAnalysed, SegmentRendered, silent
from facefusion.faces.analyser import FaceFinder
from facefusion.faces.measurement_types import Meters
from facefusion.faces.options import FaceSelectorOptions
from facefusion.inference.pool import SessionPool
from facefusion.pipeline import planning, render, units
from facefusion.pipeline.analyse import FaceTools
from facefusion.pipeline.analysis_cache import AnalysisCache
from facefusion.pipeline.content_screening import ContentScreening
from facefusion.pipeline.context import RunContext
from facefusion.pipeline.fingerprints import RunDigests
from facefusion.pipeline.options import PathOptions
from facefusion.pipeline.planning import make_plan
from facefusion.pipeline.prepare import PreparedRun
from facefusion.pipeline.processor_chain import Chain
from facefusion.pipeline.run import execute
from facefusion.pipeline.selection import Wanted
from facefusion.pipeline.signing import Signer
from facefusion.pipeline.work_folder import WorkFolder
from facefusion.processors.face_debugger.options import FaceDebuggerOptions
from facefusion.processors.processor import Processor
from facefusion.processors.registration import Requirements
from facefusion.processors.registry import ProcessorsOptions
from facefusion.provenance.watermarking import NO_WATERMARKS
from facefusion.settings import Settings, resolve
from facefusion.stopping import StopFlag

FRAMES, CHUNK, SEGMENT = 60, 20, 10
SEEN = frozenset(range(5, 55))


class Brightener:
    """A processor that adds twenty codes of luma to each frame with a face, and records the position of the face.

    It calls ``before`` with the number of each frame.
    """

    name = 'brightener'

    def __init__(self, before: Callable[[int], None] = lambda number: None) -> None:
        self.before = before
        self.places: dict[int, float] = {}

    def process(self, batch):
        for task in batch:
            self.before(task.frame.number)
            self.places[task.frame.number] = float(task.faces[0].landmarks[:, 0].mean())
            task.frame.add_luma(np.full((task.frame.height, task.frame.width), 20, np.float32))
        return [True] * len(batch)


def settings_of(target: Path, output: Path, *groups: object) -> Settings:
    """Return the settings of a run with a registered processor, which ``make_run`` replaces."""
    from facefusion.cli.headless_run import GROUPS

    settings = resolve(GROUPS, {}, None, {}).replace(PathOptions((), str(target), str(output)))
    # The box needs no measurement of the faces.
    settings = settings.replace(ProcessorsOptions(('face_debugger',))).replace(FaceDebuggerOptions(('bounding-box',)))
    for group in groups:
        settings = settings.replace(group)
    return settings


def make_run(
    settings: Settings,
    work: WorkFolder | None,
    screening: ContentScreening,
    analyser: FaceFinder,
    *,
    processor: Processor | None = None,
    workers: int = 1,
    segment_frames: int = 250,
    emit: Any = silent,
    flag: StopFlag | None = None,
    signer: Signer | None = None,
    sessions: SessionPool | None = None,
    batch: int = 1,
) -> PreparedRun:
    """Build a run without networks."""
    plan = replace(make_plan(settings, workers, segment_frames), batch=batch)
    digests = work.digests if work is not None else None
    context = RunContext(plan, settings, sessions or SessionPool(None, ('cpu',), 0), digests, emit, flag or StopFlag())
    chain = Chain(((processor or Brightener(), Requirements()),))
    return PreparedRun(
        context=context,
        work=work,
        screening=screening,
        watermarks=NO_WATERMARKS,
        signer=signer or PlainSigner(),
        faces=FaceTools(analyser, Meters()),
        chain=chain,
        wanted=Wanted(settings[FaceSelectorOptions], plan.cast),
    )


def execute_run(run: PreparedRun) -> dict[str, Any]:
    """Execute a run with the number of threads of its plan."""
    return execute(run, ThreadEngine(run.context.plan.workers))


class ShortRuns:
    """Runs with short chunks and segments on one clip, in one work folder."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in (planning, units):
            monkeypatch.setattr(module, 'CHUNK_FRAMES', CHUNK)
        monkeypatch.setattr(render.LinkedFaces.__init__, '__defaults__', (CHUNK,))
        self.folder = folder
        self.clip = make_tiny_clip(folder / 'clip.mp4', FRAMES)
        self.output = folder / 'out.mp4'
        self.work = folder / 'work'
        self.cache_limit = 0
        self.events: list[Any] = []

    def build(
        self,
        *,
        digests: tuple[Any, ...] = ('target', 'analysis', 'plan'),
        before: Callable[[int], None] = lambda number: None,
        workers: int = 2,
        screening: ContentScreening | None = None,
        **more: Any,
    ) -> PreparedRun:
        cache = AnalysisCache(self.folder / 'cache', self.cache_limit)
        work = WorkFolder(self.work, RunDigests(*digests), cache)
        work.open()
        self.events = []
        return make_run(
            settings_of(self.clip, self.output),
            work,
            screening or make_screening(self.folder / 'kept'),
            ScriptedAnalyser(Actor(SEEN, place=lambda frame: (50.0, 48.0))),
            workers=workers,
            emit=self.events.append,
            **{'processor': Brightener(before), 'segment_frames': SEGMENT} | more,
        )

    def execute(self, **more: Any) -> dict[str, Any]:
        """Build a run and execute it."""
        return execute_run(self.build(**more))

    def chunks(self, origin: str) -> list[int]:
        return sorted(self._starts(ChunkAnalysed, origin))

    def segments(self, origin: str) -> list[int]:
        return self._starts(SegmentRendered, origin)

    def _starts(self, kind: type, origin: str) -> list[int]:
        return [each.start for each in self.events if isinstance(each, kind) and each.origin == origin]

    def interrupted_at(self, number: int, **more: Any) -> None:
        """Execute a run, and stop it when it renders frame ``number``."""
        flag = StopFlag()

        def before(at: int) -> None:
            if at == number:
                flag.set('the test wants this')

        with pytest.raises(Interrupted):
            self.execute(before=before, flag=flag, workers=1, **more)

    def names(self, *without: str) -> Collection[str]:
        """Return the names of the complete files in the work folder, except those that start with ``without``."""
        names = sorted(path.name for path in self.work.iterdir() if '@' not in path.name)
        return [name for name in names if not name.startswith(without)]
