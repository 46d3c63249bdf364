"""The parts of the server that its routes share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from anyio import to_thread

from facefusion.faces.face_map import parse_face_map
from facefusion.faces.options import ReferenceFaceOptions
from facefusion.gui.broadcast import Broadcast
from facefusion.gui.job_board import JobBoard
from facefusion.gui.media_library import MediaLibrary
from facefusion.gui.media_roots import MediaRoots
from facefusion.gui.replies import invalid
from facefusion.gui.surveys import Surveys
from facefusion.gui.worker_child import WorkerChild
from facefusion.jobs.store import JobStore
from facefusion.options import describe
from facefusion.safety.consent import consent_file
from facefusion.safety.options import ConsentOptions
from facefusion.services.step_request import request_settings
from facefusion.services.workplace import Workplace
from facefusion.settings import Layer, Settings
from facefusion.steps.arguments import STEP_GROUPS

T = TypeVar('T')


@dataclass(frozen=True, slots=True)
class SharedParts:
    """The parts of the server with a state, which several groups of routes use."""

    store: JobStore
    board: JobBoard
    broadcast: Broadcast
    workers: WorkerChild
    library: MediaLibrary
    surveys: Surveys

    @classmethod
    def of(cls, context: GuiContext) -> SharedParts:
        """Return the parts for a context. Raises UsageError jobs-path."""
        store, log = context.workplace.job_store(), context.state_path / 'worker.log'
        workers = WorkerChild(store.root, log, context.flags.worker, dict(context.workplace.environ))
        broadcast = Broadcast()
        surveys = Surveys(context.workplace, context.state_path / 'surveys', broadcast)
        return cls(store, JobBoard(store, broadcast), broadcast, workers, MediaLibrary(), surveys)


class CommandFlags(NamedTuple):
    """Flags that give other commands the process options of the server.

    ``worker`` are those of workers and benchmarks, ``doctor`` those of ``facefusion doctor``, and ``copied`` those that
    a copied command line needs in addition to the step.
    """

    worker: tuple[str, ...] = ()
    doctor: tuple[str, ...] = ()
    copied: tuple[str, ...] = ()


@dataclass(frozen=True)
class GuiContext:
    """Settings, folders and access of a running server. A group of routes gets it when the server starts.

    ``workplace`` has the settings in force of all step and process options, and ``layers`` the layer that each value
    comes from; ``groups`` are their types. ``state_path`` is a folder for files of the page, such as the draft and
    uploads. ``flags`` are those of the commands that the page starts.
    """

    workplace: Workplace
    roots: MediaRoots
    state_path: Path
    groups: tuple[type, ...] = STEP_GROUPS
    layers: Mapping[str, Layer] = field(default_factory=dict)
    flags: CommandFlags = field(default_factory=CommandFlags)
    shared: SharedParts = field(init=False)

    def __post_init__(self) -> None:
        """Create the shared parts."""
        object.__setattr__(self, 'shared', SharedParts.of(self))

    @property
    def settings(self) -> Settings:
        """Return the settings in force, from the ini file, the environment and the flags of the command."""
        return self.workplace.settings

    def step_settings(self, args: Any) -> Settings:
        """Return the settings of a step of the page, whose paths are inside the media roots.

        Raises UsageError request-argument, option-refused, path-not-absolute, path-outside-roots.
        """
        if not isinstance(args, dict | None):
            raise invalid('args is not an object')
        settings = request_settings(self.settings, args or {}, STEP_GROUPS)
        self.check_paths(settings)
        return settings

    def check_paths(self, settings: Settings) -> None:
        """Raise UsageError if a path that a request added to the settings in force is outside the media roots."""
        own = set(_paths(self.settings))
        for path in _paths(settings):
            if path not in own:
                self.roots.resolve(path)


def _paths(settings: Settings) -> Iterator[str]:
    """Yield all paths of a step: of its path options, of its face map, and of a file with the consent."""
    for group in STEP_GROUPS:
        for info in describe(group):
            value = getattr(settings[group], info.key) if info.kind == 'path' else None
            yield from value if isinstance(value, tuple) else filter(None, (value,))
    face_map, consent = settings[ReferenceFaceOptions].face_map, settings[ConsentOptions].consent
    for entry in parse_face_map(face_map) if face_map is not None else ():
        yield from entry.files
    file = consent_file(consent) if consent is not None else None
    if file is not None:
        yield str(file.absolute())


async def in_thread(work: Callable[[], T]) -> T:
    """Run blocking work in a thread, so that the event loop stays free for other requests."""
    return await to_thread.run_sync(work)
