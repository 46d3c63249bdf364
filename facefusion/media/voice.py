"""A voice for processors: one channel at one rate, stored in a file so that long audio needs little memory."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

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
# Samples of silence written at once.
_BLOCK = 1 << 16


class Voice:
    """The audio of a file as float32 samples, -1 to 1, ``rate`` a second; read-only, for any number of threads.

    The .npy file ``path`` is mapped into memory instead of read; the .json file next to it states its rate and digest.
    """

    def __init__(self, path: Path, rate: int, sha256: str) -> None:
        """Map a file that is known to be complete; ``open`` checks it first."""
        self.path = path
        self.rate = rate
        self.sha256 = sha256
        self._samples: NDArray[np.float32] = np.load(path, mmap_mode='r', allow_pickle=False)

    @classmethod
    def open(cls, path: Path, stop: StopFlag | None = None) -> Voice:
        """Open the file ``path``, written by ``write_voice`` in this or another process, and check its digest.

        Raises ResourceError work-unreadable when it is incomplete, Interrupted.
        """
        try:
            record = json.loads(_record_of(path).read_bytes())
            if record['version'] == _VERSION and file_sha256(path, stop) == record['sha256']:
                return cls(path, int(record['rate']), record['sha256'])
            cause = 'its content changed'
        except (OSError, ValueError, KeyError, TypeError) as error:
            cause = str(error)
        raise ResourceError(
            'work-unreadable',
            f'{path.name}, written by this run, cannot be read again',
            cause=cause,
            hint='run the same command again; if it fails again, check the disk of the work folder',
        )

    @property
    def sample_count(self) -> int:
        """Number of samples."""
        return len(self._samples)

    @property
    def duration(self) -> Fraction:
        """Seconds of audio."""
        return Fraction(self.sample_count, self.rate)

    def window(self, start: Fraction | float, seconds: Fraction | float) -> Samples:
        """Return ``round(seconds * rate)`` samples, the first nearest to ``start``; missing samples are silence."""
        count, first = round(seconds * self.rate), round(start * self.rate)
        samples: Samples = np.zeros(count, np.float32)
        begin, end = max(first, 0), min(first + count, self.sample_count)
        if begin < end:
            samples[begin - first : end - first] = self._samples[begin:end]
        return samples

    def close(self) -> None:
        """Release the file; Windows cannot delete a mapped file."""
        self._samples = np.zeros(0, np.float32)


def voice_size(info: SoundInfo, rate: int = VOICE_RATE) -> int:
    """Return the approximate disk space in bytes that ``write_voice`` needs: 230 MB for an hour at 16 kHz."""
    return round(info.duration * rate) * _DTYPE.itemsize


def write_voice(
    info: SoundInfo,
    path: Path,
    rate: int = VOICE_RATE,
    stop: StopFlag | None = None,
    blocks: Iterable[tuple[int, Samples]] | None = None,
) -> Voice:
    """Decode audio into the .npy file ``path``: sample n is heard ``n / rate`` seconds after its time 0.

    ``blocks`` replaces the decoded audio: samples at ``rate`` with the position of the first one, in order. Gaps become
    silence. Memory does not grow with the length. Raises MediaError media-changed when the length differs
    from the measured one, and those of ``SoundPieces``; ResourceError disk-full, OutputError output-unwritable,
    Interrupted. A failure leaves no file.
    """
    stop = stop or StopFlag()
    part = part_of(path)
    total = round(info.duration * rate)
    try:
        with part.open('wb') as file:
            writer = _Writer(file, total)
            if blocks is None:
                blocks = resampled(SoundPieces(info.path, info.content, stop), rate)
            for start, samples in blocks:
                stop.check()
                writer.write(start, samples)
        if writer.written != total:
            raise MediaError(
                'media-changed',
                f'{info.path.name} changed after it was read',
                cause=f'it had {total} samples at {rate} Hz, and now has {writer.written}',
                hint=LEAVE_ALONE,
            )
        sha256 = writer.digest.hexdigest()
        record = {'version': _VERSION, 'rate': rate, 'samples': total, 'sha256': sha256}
        publish(part, path, stop)
        write_synced(_record_of(path), json.dumps(record).encode('ascii'))
    except OSError as error:
        remove_voice(path)
        raise write_failure(error, path) from None
    except BaseException:
        remove_voice(path)
        raise
    return Voice(path, rate, sha256)


class _Writer:
    """A writer of an .npy file that fills the gaps between samples with silence."""

    def __init__(self, file: BinaryIO, total: int) -> None:
        self.written = 0
        self.digest = hashlib.sha256()
        self._file = file
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {'descr': _DTYPE.str, 'fortran_order': False, 'shape': (total,)})
        self._put(header.getvalue())

    def write(self, start: int, samples: Samples) -> None:
        """Write samples at position ``start``, at or after the end of earlier ones."""
        while self.written < start:
            silence = np.zeros(min(start - self.written, _BLOCK), _DTYPE)
            self._put(silence.tobytes())
            self.written += len(silence)
        self._put(samples.astype(_DTYPE).tobytes())
        self.written += len(samples)

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self.digest.update(data)


def resampled(pieces: Iterable[Piece], rate: int) -> Iterator[tuple[int, Samples]]:
    """Yield samples at ``rate`` with the position of the first, for each run of pieces without gaps."""
    run: _GaplessSpan | None = None
    for piece in pieces:
        if run is None or not piece.follows:
            if run is not None:
                yield run.finish()
            run = _GaplessSpan(piece.begin, piece.rate, rate, piece.samples.shape[1:])
        yield run.push(piece.samples)
    if run is not None:
        yield run.finish()


def without_gaps(blocks: Iterable[tuple[int, Samples]]) -> Iterator[Samples]:
    """Yield the samples of ``resampled`` from position 0, with silence in the gaps."""
    written = 0
    for start, samples in blocks:
        while written < start:
            silence = np.zeros((min(start - written, _BLOCK), *samples.shape[1:]), np.float32)
            written += len(silence)
            yield silence
        written += len(samples)
        yield samples


class _GaplessSpan:
    """A resampler of audio without gaps; ``push`` and ``finish`` return the first sample's position and the samples.

    Samples are [n], or [n,2] with the ``channels`` (2,).

    The number of samples is exactly the duration times the rate, even if the resampler returns more or fewer.
    """

    def __init__(self, begin: Fraction, source_rate: int, rate: int, channels: tuple[int, ...]) -> None:
        self._begin = begin
        self._source_rate = source_rate
        self._rate = rate
        self._pushed = 0
        self._position = round(begin * rate)
        self._channels = channels
        self._layout = 'stereo' if channels else 'mono'
        self._spare = np.zeros((0, *channels), np.float32)
        self._resampler = None if source_rate == rate else av.AudioResampler('flt', self._layout, rate)

    def push(self, samples: Samples) -> tuple[int, Samples]:
        self._pushed += len(samples)
        if self._resampler is None:
            return self._positioned(samples)
        packed = np.ascontiguousarray(samples).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format='flt', layout=self._layout)
        frame.sample_rate = self._source_rate
        return self._positioned(*self._unpacked(self._resampler.resample(frame)))

    def finish(self) -> tuple[int, Samples]:
        rest = [] if self._resampler is None else self._resampler.resample(None)
        padding = np.zeros((self._end() - self._position, *self._channels), np.float32)
        return self._positioned(*self._unpacked(rest), padding)

    def _unpacked(self, frames: Iterable[av.AudioFrame]) -> Iterator[Samples]:
        for frame in frames:
            samples: Samples = frame.to_ndarray().reshape(-1, *self._channels).astype(np.float32, copy=False)
            yield samples

    def _end(self) -> int:
        """Return the end position of the samples pushed so far."""
        return round((self._begin + Fraction(self._pushed, self._source_rate)) * self._rate)

    def _positioned(self, *samples: Samples) -> tuple[int, Samples]:
        available = np.concatenate([self._spare, *samples])
        position, count = self._position, self._end() - self._position
        self._spare = available[count:]
        self._position += len(available[:count])
        return position, available[:count]


def remove_voice(path: Path) -> None:
    """Remove a voice file, with its record and its partial file, where they exist."""
    for name in (part_of(path), path, _record_of(path)):
        name.unlink(missing_ok=True)


def _record_of(path: Path) -> Path:
    return path.with_suffix('.json')
