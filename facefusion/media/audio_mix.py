"""Mix the audio of several voices into one file, which replaces the audio of the output."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path

import av
import av.error
import numpy as np

from facefusion.errors import OutputError
from facefusion.media.audio import AudioPlan, chosen_encoder, encoded_track, remarks_on_length, span_of_sound
from facefusion.media.audio_settle import settle_track
from facefusion.media.containers import container_of
from facefusion.media.files import ffmpeg_name, write_failure
from facefusion.media.info import AudioInfo, MediaInfo, VideoInfo
from facefusion.media.options import OutputOptions
from facefusion.media.sound import Samples, SoundInfo, SoundPieces
from facefusion.media.timeline import Timeline
from facefusion.media.voice import resampled, without_gaps
from facefusion.stopping import StopFlag

_CODEC = 'pcm_f32le'
# Samples that are mixed at once.
_BLOCK = 1 << 16


def plan_mix(
    info: MediaInfo, timeline: Timeline, options: OutputOptions, extension: str, sounds: Sequence[SoundInfo]
) -> AudioPlan:
    """Plan the audio of an output from the mix of several voices, which all begin at the first output frame.

    The mix has the highest rate of the voices, and two channels if any voice has several; it is always encoded. Raises
    the errors of ``plan_audio``.
    """
    extension, mix, length = extension.lower(), mix_form(sounds), mix_duration(sounds)
    span, volume = span_of_sound(Fraction(0), length, timeline, extension), options.output_audio_volume / 100
    if volume == 0:
        return AudioPlan((), span, volume, ())
    names = [sound.path.name for sound in sounds]
    text = f'the mix of {", ".join(names[:-1])} and {names[-1]}'
    remarks = [remark for sound in sounds for remark in sound.remarks]
    asked = options.output_audio_encoder
    encoder = container_of(extension).automatic_audio if asked == 'auto' else chosen_encoder(asked, extension, remarks)
    track = settle_track(encoded_track(mix, encoder, options.output_audio_quality, extension, True), extension)
    if track.rate < mix.rate:
        remarks.append(f'{text} is written at {track.rate} Hz: {encoder} does not support {mix.rate} Hz')
    for sound in sounds:
        if sound.audio.channels > 2:
            remarks.append(f'the {sound.audio.channels} channels of {sound.path.name} are mixed to one')
    if isinstance(info, VideoInfo) and info.audio:
        remarks.append(f'the audio of {info.path.name} is replaced by {text}')
    remarks += remarks_on_length(timeline, text, length)
    mixed = tuple(sound.path for sound in sounds)
    return AudioPlan((track,), span, volume, tuple(dict.fromkeys(remarks)), mixed=mixed)


def mix_form(sounds: Sequence[SoundInfo]) -> AudioInfo:
    """Return the only stream of the mix."""
    rate = max(sound.audio.rate for sound in sounds)
    channels = 2 if any(sound.audio.channels > 1 for sound in sounds) else 1
    return AudioInfo(0, _CODEC, rate, channels, 'stereo' if channels == 2 else 'mono', Fraction(1, rate), 0)


def mix_duration(sounds: Sequence[SoundInfo]) -> Fraction:
    """Return the duration in seconds of the longest voice."""
    return max(sound.duration for sound in sounds)


def mix_size(sounds: Sequence[SoundInfo]) -> int:
    """Return the disk space in bytes of a mix: 1.4 GB for an hour of stereo at 48 kHz; 0 for a single voice."""
    if len(sounds) < 2:
        return 0
    form = mix_form(sounds)
    return round(mix_duration(sounds) * form.rate) * form.channels * 4


def write_mix(sounds: Sequence[SoundInfo], path: Path, volume: float, stop: StopFlag) -> tuple[str, ...]:
    """Write the sum of the voices times ``volume`` as float32 wav; return remarks.

    The sum is not normalised; it is clipped to -1..1. Memory does not grow with the length. Raises those of
    ``SoundPieces``, ResourceError disk-full, OutputError output-unwritable, Interrupted; a failure leaves no file.
    """
    clipped = 0
    try:
        # RF64 has no limit of 4 GB.
        with av.open(ffmpeg_name(path), 'w', format='wav', options={'rf64': 'auto'}) as output:
            form = mix_form(sounds)
            stream = output.add_stream(_CODEC, rate=form.rate)
            assert isinstance(stream, av.AudioStream)
            stream.codec_context.layout = form.layout
            position = 0
            for samples in mixed_samples(sounds, stop):
                louder = samples * np.float32(volume)
                clipped += int((np.abs(louder) > 1).any(axis=-1).sum())
                packed = np.ascontiguousarray(np.clip(louder, -1, 1)).reshape(1, -1)
                frame = av.AudioFrame.from_ndarray(packed, format='flt', layout=form.layout)
                frame.sample_rate, frame.pts, frame.time_base = form.rate, position, form.time_base
                position += len(samples)
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    except av.error.FFmpegError as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno:
            raise write_failure(OSError(error.errno, error.strerror), path) from None
        raise OutputError(
            'output-unwritable', f'{path.name} cannot be written', cause=str(error), hint='check the disk'
        ) from None
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    if not clipped:
        return ()
    of_all = f'{clipped} of {position} samples are clipped'
    return (f'the mix of the voices is too loud: {of_all}; lower --output-audio-volume',)


def mixed_samples(sounds: Sequence[SoundInfo], stop: StopFlag) -> Iterator[Samples]:
    """Yield the sum of the voices, float32 [n,channels] at the rate of ``mix_form``, unclipped, block by block."""
    form = mix_form(sounds)
    with ExitStack() as stack:
        voices = [stack.enter_context(closing(_blocks(sound, form, stop))) for sound in sounds]
        for blocks in zip_longest(*voices):
            stop.check()
            present = [block for block in blocks if block is not None]
            total = np.zeros((max(map(len, present)), form.channels), np.float64)
            for block in present:
                total[: len(block)] += block
            yield total.astype(np.float32)


def _blocks(sound: SoundInfo, form: AudioInfo, stop: StopFlag) -> Generator[Samples, None, None]:
    """Yield a voice from its time 0 at the rate of ``form`` in blocks of equal length; only the last is shorter."""
    pieces = SoundPieces(sound.path, sound.content, stop, is_stereo=form.channels == 2)
    parts = without_gaps(resampled(pieces, form.rate))
    yield from _of_length(part.reshape(-1, form.channels) for part in parts)


def _of_length(parts: Iterable[Samples]) -> Iterator[Samples]:
    held, count = list[Samples](), 0
    for part in parts:
        held.append(part)
        count += len(part)
        while count >= _BLOCK:
            joined = np.concatenate(held)
            yield joined[:_BLOCK]
            held, count = [joined[_BLOCK:]], count - _BLOCK
    if count:
        yield np.concatenate(held)
