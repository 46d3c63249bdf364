"""The source frame and the time of each output frame."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import cast

import numpy as np
from numpy.typing import NDArray

from facefusion.errors import InternalError, UsageError
from facefusion.media.info import PICTURE_RATE, VideoInfo

_MAXIMUM_TICKS = 2**62
# Maximum ticks a second, and the ticks a second that are used if exact times would need more.
_FINEST = 2**24
_FINE = 90000
# In seconds: the shortest visible duration of a frame, and the rounding of times in some containers.
_VISIBLE = Fraction(1, 20)
_ROUNDED = Fraction(1, 1000)


@dataclass(frozen=True, eq=False)
class Timeline:
    """Output frame k shows source frame ``sources[k]`` at ``pts[k]`` ticks of ``time_base``.

    ``start`` and ``stop`` bound the source frames; ``origin`` is the source time in seconds that is 0 in the output;
    ``last_duration`` is the duration of the last output frame in ticks; ``rate`` is the average frame rate.
    """

    start: int
    stop: int
    origin: Fraction
    time_base: Fraction
    rate: Fraction
    last_duration: int
    sources: NDArray[np.int64]
    pts: NDArray[np.int64]
    is_trimmed: bool

    @property
    def frame_count(self) -> int:
        """Number of output frames."""
        return len(self.pts)

    @property
    def is_identity(self) -> bool:
        """Whether every source frame between start and stop is shown once."""
        return self.frame_count == self.stop - self.start and bool((np.diff(self.sources) == 1).all())

    @property
    def begin(self) -> Fraction:
        """The source time in seconds at which the first output frame is shown."""
        return self.origin + int(self.pts[0]) * self.time_base

    @property
    def end(self) -> Fraction:
        """The source time in seconds at which the last output frame ends."""
        return self.origin + (int(self.pts[-1]) + self.last_duration) * self.time_base

    def time_of(self, number: int) -> Fraction:
        """Return the seconds from the beginning of output frame 0 to that of output frame ``number``.

        Output frames of the same source frame have different times.
        """
        return int(self.pts[number] - self.pts[0]) * self.time_base

    def counted(self, rate: Fraction, has_gaps: bool = False) -> Timeline:
        """Return the same frames in the slots of ``steady_rate``, at ``rate`` slots a second.

        The first frame has slot 0; with ``has_gaps`` empty slots before it reach back to time 0.
        """
        # Times are rounded to a hundredth of a slot.
        free = max(math.ceil((self.begin - self.origin) * rate - Fraction(1, 100)), 0) if has_gaps else 0
        return replace(
            self,
            origin=self.begin - free / rate,
            time_base=1 / rate,
            rate=rate,
            last_duration=1,
            pts=free + self._slots(rate),
        )

    def steady_rate(self, has_gaps: bool = False) -> Fraction | None:
        """Return the constant rate of the frames; None when their rate is not constant.

        The time of each frame differs from its slot at most by rounding (less than a tick; a millisecond in some
        containers), and the rounding never makes the slot ambiguous. With ``has_gaps`` slots may be empty.
        """
        times = self.pts - self.pts[0]
        span = int(times[-1]) * self.time_base
        measured = (len(times) - 1) / span if span else self.rate
        rates = [exact_rate(float(self.rate)), self.rate, exact_rate(float(measured)), measured]
        if has_gaps and span:
            usual = 1 / (Fraction(int(np.median(np.diff(times)))) * self.time_base)
            rates += [rate for rate in (1 / self.time_base, exact_rate(float(usual))) if 1 <= rate <= 60]
        counts = np.arange(len(times))
        for rate in dict.fromkeys(rates):
            slots = self._slots(rate)
            off = (times - slots * float(1 / (rate * self.time_base))) * float(self.time_base)
            is_rounded = float(np.ptp(off)) < 0.999 * float(self.time_base) or float(np.abs(off).max()) < 0.001001
            is_ordered = bool((np.diff(slots) > 0).all()) if has_gaps else np.array_equal(slots, counts)
            if is_ordered and is_rounded and float(np.abs(off).max()) < float(1 / (4 * rate)):
                return rate
        return None

    def _slots(self, rate: Fraction) -> NDArray[np.int64]:
        """Return the nearest slot of every frame, counted from that of the first frame."""
        step = float(1 / (rate * self.time_base))
        return cast('NDArray[np.int64]', np.rint((self.pts - self.pts[0]) / step).astype(np.int64))

    def as_record(self) -> dict[str, object]:
        """Return a summary as plain JSON; ``build_timeline`` recreates the timeline from the same file and options."""
        return {
            'start': self.start,
            'stop': self.stop,
            'frame_count': self.frame_count,
            'rate': str(self.rate),
            'time_base': str(self.time_base),
            'duration': float(self.end - self.begin),
            'origin': str(self.origin),
        }


def build_timeline(
    info: VideoInfo, trim_start: int | None = None, trim_end: int | None = None, fps: float | None = None
) -> Timeline:
    """Return the timeline of a clip; trim is clamped to its frames (end exclusive), ``fps`` to 1..60.

    Without ``fps`` the intervals between frames stay unchanged. With ``fps`` frames are repeated or dropped, and the
    last frame is shortened or lengthened to keep the duration. After a trim, time 0 is that of the first frame;
    without a trim it is the clip's ``clock``. Raises UsageError trim-empty.
    """
    total = info.frame_count
    start = min(max(trim_start or 0, 0), total)
    stop = total if trim_end is None else min(max(trim_end, 0), total)
    if start >= stop:
        raise UsageError(
            'trim-empty',
            f'the trim leaves no frame of {info.path.name}',
            cause=f'it selects frames from {trim_start or 0} to before {total if trim_end is None else trim_end}',
            hint=f'the clip has frames 0 to {total - 1}; the end is exclusive',
        )
    trimmed = (start, stop) != (0, total)
    ticks = np.frombuffer(info.pts, np.int64)[start:stop]
    after = info.pts[stop] - info.pts[stop - 1] if stop < total else info.last_duration
    if fps is not None:
        return _constant(info, start, stop, ticks, after, fps, trimmed)
    first = int(ticks[0]) if trimmed else info.clock
    return Timeline(
        start=start,
        stop=stop,
        origin=first * info.time_base,
        time_base=info.time_base,
        rate=info.average_rate,
        last_duration=after,
        sources=np.arange(start, stop, dtype=np.int64),
        pts=ticks - first,
        is_trimmed=trimmed,
    )


def still_timeline(duration: Fraction, fps: float | None = None) -> Timeline:
    """Return the timeline of an image shown for ``duration`` seconds, ``fps`` (1..60, default 25) times a second.

    Every output frame shows source frame 0. The last one is as long as the others and ends at or after ``duration``.
    """
    rate = PICTURE_RATE if fps is None else exact_rate(fps)
    # Times are rounded to a hundredth of a frame.
    count = max(math.ceil(duration * rate - Fraction(1, 100)), 1)
    tick = _tick(rate)
    step = int(1 / (rate * tick))
    if count * step >= _MAXIMUM_TICKS:
        raise InternalError('timeline-overflow', f'{count} frames of {step} ticks do not fit 64 bits')
    return Timeline(
        start=0,
        stop=1,
        origin=Fraction(0),
        time_base=tick,
        rate=rate,
        last_duration=step,
        sources=np.zeros(count, np.int64),
        pts=np.arange(count, dtype=np.int64) * step,
        is_trimmed=False,
    )


def exact_rate(fps: float) -> Fraction:
    """Return a frame rate as a fraction, clamped to 1..60; rates such as 23.976 become n * 1000 / 1001."""
    fps = min(max(fps, 1.0), 60.0)
    broadcast = round(fps * 1001 / 1000)
    if abs(broadcast * 1000 / 1001 - fps) < 0.002 and abs(round(fps) - fps) > 1e-6:
        return Fraction(broadcast * 1000, 1001)
    return Fraction(fps).limit_denominator(1001)


def nearest(value: Fraction) -> int:
    """Return the nearest whole number; halves are rounded up."""
    return math.floor(value + Fraction(1, 2))


def _constant(
    info: VideoInfo, start: int, stop: int, ticks: NDArray[np.int64], after: int, fps: float, trimmed: bool
) -> Timeline:
    rate = exact_rate(fps)
    first = int(ticks[0])
    origin = first if trimmed else info.clock
    count, last = _divided((int(ticks[-1]) - first + after) * info.time_base, rate, info.time_base)
    # Frame k is shown at k / rate, which is k * step in source ticks. This time is rounded, as the source times are.
    step = 1 / (rate * info.time_base)
    if count * step.numerator * 2 >= _MAXIMUM_TICKS:
        raise InternalError('timeline-overflow', f'{count} frames of {step} ticks do not fit 64 bits')
    numbers = np.arange(count, dtype=np.int64)
    shown = first + (numbers * (2 * step.numerator) + step.denominator) // (2 * step.denominator)
    sources = start + np.searchsorted(ticks, shown, side='right') - 1
    late = (first - origin) * info.time_base
    tick = _tick(rate, late, last)
    return Timeline(
        start=start,
        stop=stop,
        origin=origin * info.time_base,
        time_base=tick,
        rate=rate,
        last_duration=max(round(last / tick), 1),
        sources=sources.astype(np.int64),
        pts=round(late / tick) + numbers * int(1 / (rate * tick)),
        is_trimmed=trimmed,
    )


def _divided(duration: Fraction, rate: Fraction, source_tick: Fraction) -> tuple[int, Fraction]:
    """Return the number of frames at ``rate`` that fill a duration, and the seconds that the last one lasts.

    A remainder after the last complete frame becomes a frame of its own if it lasts at least half a frame or is
    visible; else the last frame is longer. Differences within the rounding of source times are ignored.
    """
    whole = math.floor(duration * rate)
    rest = duration - whole / rate
    count = whole + 1 if not whole or rest >= min(1 / (2 * rate), _VISIBLE) else whole
    last = duration - (count - 1) / rate
    return count, 1 / rate if abs(last - 1 / rate) <= min(source_tick, _ROUNDED) else last


def _tick(rate: Fraction, *times: Fraction) -> Fraction:
    """Return a time base that represents frames of ``rate`` exactly, and ``times`` exactly or approximately."""
    common = math.lcm(rate.numerator, *(time.denominator for time in times))
    if common > _FINEST:
        common = rate.numerator * -(-_FINE // rate.numerator)
    return Fraction(1, common)
