"""A voice as processors read it: one channel at one rate, on the disk, so that an hour of it needs no memory."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import av
import numpy as np
from numpy.typing import NDArray

from facefusion.errors import MediaError, ResourceError
from facefusion.media.file_stamp import LEAVE_ALONE
from facefusion.media.files import part_of, publish, write_failure, write_synced
from facefusion.media.sound import Piece, Samples, SoundInfo, SoundPieces
from facefusion.models.digests import file_sha256
from facefusion.stopping import StopFlag

VOICE_RATE = 16000
_VERSION = 1
_DTYPE = np.dtype('<f4')
# Samples of silence that are written at once.
_BLOCK = 1 << 16


class Voice:
    """The sound of a file as float32 samples, -1 to 1, ``rate`` a second; read-only, and by any number of threads.

    It stands in the .npy file ``path``, which is mapped, not read; ``path`` with .json has its rate and its digest.
    """

    def __init__(self, path: Path, rate: int, sha256: str) -> None:
        """Maps a file that is known to be whole; use ``open``."""
        self.path = path
        self.rate = rate
        self.sha256 = sha256
        self._samples: NDArray[np.float32] = np.load(path, mmap_mode='r', allow_pickle=False)

    @classmethod
    def open(cls, path: Path, stop: StopFlag | None = None) -> Voice:
        """The voice that ``write_voice`` has written to ``path``, in this process or another; its digest is checked.

        Raises ResourceError work-unreadable when it is not whole, Interrupted.
        """
        try:
            record = json.loads(_record_of(path).read_bytes())
            if record['version'] == _VERSION and file_sha256(path, stop) == record['sha256']:
                return cls(path, int(record['rate']), record['sha256'])
            cause = 'its bytes are not those that were written'
        except (OSError, ValueError, KeyError, TypeError) as error:
            cause = str(error)
        raise ResourceError(
            'work-unreadable',
            f'{path.name}, which this run has written, cannot be read again',
            cause=cause,
            hint='run the same command again; if that does not help, check the disk that the work folder lies on',
        )

    @property
    def sample_count(self) -> int:
        """Number of samples."""
        return len(self._samples)

    @property
    def duration(self) -> Fraction:
        """Seconds."""
        return Fraction(self.sample_count, self.rate)

    def window(self, start: Fraction | float, seconds: Fraction | float) -> Samples:
        """The ``round(seconds * rate)`` samples from the one nearest to ``start`` on; silence where there are none."""
        count, first = round(seconds * self.rate), round(start * self.rate)
        made: Samples = np.zeros(count, np.float32)
        begin, end = max(first, 0), min(first + count, self.sample_count)
        if begin < end:
            made[begin - first : end - first] = self._samples[begin:end]
        return made

    def close(self) -> None:
        """Gives the file up; Windows removes none that is mapped."""
        self._samples = np.zeros(0, np.float32)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def voice_size(info: SoundInfo, rate: int = VOICE_RATE) -> int:
    """About how many bytes ``write_voice`` needs on the disk: 230 MB for an hour at 16 kHz."""
    return round(info.duration * rate) * _DTYPE.itemsize


def write_voice(info: SoundInfo, path: Path, rate: int = VOICE_RATE, stop: StopFlag | None = None) -> Voice:
    """Decodes a sound into the .npy file ``path``: sample n is heard ``n / rate`` seconds after its time 0.

    Gaps in it are silence. Memory does not grow with its length. Raises MediaError media-changed when it is not as long
    as it was measured, and those of ``SoundPieces``; ResourceError disk-full, OutputError output-unwritable,
    Interrupted. On failure nothing stays.
    """
    stop = stop or StopFlag()
    part = part_of(path)
    total = round(info.duration * rate)
    try:
        with part.open('wb') as file:
            writer = _Writer(file, total)
            for start, samples in _resampled(SoundPieces(info.path, info.content, stop), rate):
                stop.check()
                writer.write(start, samples)
        if writer.written != total:
            raise MediaError(
                'media-changed',
                f'{info.path.name} was changed since it was measured',
                cause=f'it had {total} samples at {rate} Hz, it has {writer.written}',
                hint=LEAVE_ALONE,
            )
        sha256 = writer.digest.hexdigest()
        record = {'version': _VERSION, 'rate': rate, 'samples': total, 'sha256': sha256}
        publish(part, path, stop)
        write_synced(_record_of(path), json.dumps(record).encode('ascii'))
    except OSError as error:
        _remove(path)
        raise write_failure(error, path) from None
    except BaseException:
        _remove(path)
        raise
    return Voice(path, rate, sha256)


class _Writer:
    """Writes samples behind the header of an .npy file, with silence in between."""

    def __init__(self, file: BinaryIO, total: int) -> None:
        self.written = 0
        self.digest = hashlib.sha256()
        self._file = file
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {'descr': _DTYPE.str, 'fortran_order': False, 'shape': (total,)})
        self._put(header.getvalue())

    def write(self, start: int, samples: Samples) -> None:
        """Writes samples to the place ``start``, which is not before the end of those that were written."""
        while self.written < start:
            silence = np.zeros(min(start - self.written, _BLOCK), _DTYPE)
            self._put(silence.tobytes())
            self.written += len(silence)
        self._put(samples.astype(_DTYPE).tobytes())
        self.written += len(samples)

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self.digest.update(data)


def _resampled(pieces: Iterable[Piece], rate: int) -> Iterator[tuple[int, Samples]]:
    """Samples at ``rate`` and the place of the first of them, run by run of pieces that follow one another."""
    run: _GaplessSpan | None = None
    for piece in pieces:
        if run is None or not piece.follows:
            if run is not None:
                yield run.finish()
            run = _GaplessSpan(piece.begin, piece.rate, rate)
        yield run.push(piece.samples)
    if run is not None:
        yield run.finish()


class _GaplessSpan:
    """Resamples sound without a gap; ``push`` and ``finish`` give the place of the samples and the samples.

    It has as many as there are places in its time, whatever the resampler gives.
    """

    def __init__(self, begin: Fraction, source_rate: int, rate: int) -> None:
        self._begin = begin
        self._source_rate = source_rate
        self._rate = rate
        self._taken = 0
        self._place = round(begin * rate)
        self._spare = np.zeros(0, np.float32)
        self._resampler = None if source_rate == rate else av.AudioResampler('flt', 'mono', rate)

    def push(self, samples: Samples) -> tuple[int, Samples]:
        self._taken += len(samples)
        if self._resampler is None:
            return self._placed(samples)
        frame = av.AudioFrame.from_ndarray(samples[None], format='flt', layout='mono')
        frame.sample_rate = self._source_rate
        return self._placed(*(made.to_ndarray()[0] for made in self._resampler.resample(frame)))

    def finish(self) -> tuple[int, Samples]:
        rest = [] if self._resampler is None else self._resampler.resample(None)
        padding = np.zeros(self._end() - self._place, np.float32)
        return self._placed(*(made.to_ndarray()[0] for made in rest), padding)

    def _end(self) -> int:
        """The place behind the last one in the time of the samples that were taken."""
        return round((self._begin + Fraction(self._taken, self._source_rate)) * self._rate)

    def _placed(self, *samples: Samples) -> tuple[int, Samples]:
        held = np.concatenate([self._spare, *samples])
        place, room = self._place, self._end() - self._place
        self._spare = held[room:]
        self._place += len(held[:room])
        return place, held[:room]


def _remove(path: Path) -> None:
    for name in (part_of(path), path, _record_of(path)):
        name.unlink(missing_ok=True)


def _record_of(path: Path) -> Path:
    return path.with_suffix('.json')
