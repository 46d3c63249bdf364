"""A processor that sleeps for known times before, in and after a call of a network."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

from fakes.exercise import NoOptions

from facefusion.inference import pool
from facefusion.processors import registry
from facefusion.processors.registration import Registration, Requirements

PRE, NETWORK, POST = 0.004, 0.012, 0.008
# The network of the processor; its file is only opened.
MODEL = 'face_mesh'


class SleepingSession:
    """A session whose calls take ``seconds``."""

    def __init__(self, seconds: float = NETWORK) -> None:
        self._seconds = seconds

    def get_providers(self) -> list[str]:
        return ['SleepExecutionProvider', 'CPUExecutionProvider']

    def run(self, names, feeds):
        time.sleep(self._seconds)
        return []


class Sleeper:
    """A processor that sleeps PRE, calls its network, and sleeps POST, for each batch; ``before`` gets the frame."""

    name = 'sleeper'

    def __init__(self, session, before: Callable[[int], None] = lambda number: None) -> None:
        self._session = session
        self._before = before

    def process(self, batch):
        self._before(batch[0].frame.number)
        time.sleep(PRE)
        self._session.run(None, {})
        time.sleep(POST)
        return [True] * len(batch)


@dataclasses.dataclass(frozen=True, slots=True)
class SleeperRegistration(Registration):
    """The registration of the sleeper."""

    before: Callable[[int], None] = lambda number: None

    def prepare(self, tools):
        return Sleeper(tools.sessions.session(MODEL), self.before)


def install_sleeper(patch, before: Callable[[int], None] = lambda number: None, models: tuple[str, ...] = ()) -> None:
    """Add the sleeper to the registry until the test ends; its network is a stand-in, all others are real."""
    sleeper = SleeperRegistration(
        name='sleeper',
        options=NoOptions,
        package='',
        requirements=lambda settings: Requirements(faces=False, every_frame=True),
        models=lambda settings: (MODEL, *models),
        effect=lambda settings: 'enhancement',
        changes=lambda settings, faces: True,
        before=before,
    )
    known = (*registry.REGISTRATIONS, sleeper)
    (chain,) = dataclasses.fields(registry.ProcessorsOptions)
    patch.setattr(registry, 'REGISTRATIONS', known)
    patch.setitem(chain.metadata['option'], 'choices', tuple(each.name for each in known))
    real = pool.create_session

    def create(path, *rest):
        return SleepingSession() if path.stem == MODEL else real(path, *rest)

    patch.setattr(pool, 'create_session', create)
