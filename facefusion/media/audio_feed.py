"""The audio packets of an output, read and converted according to its plan."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import av
import av.error

from facefusion.errors import MediaError
from facefusion.media.audio import AudioPlan
from facefusion.media.audio_copy import CopiedTrack
from facefusion.media.audio_encode import EncodedTrack
from facefusion.media.info import MediaInfo
from facefusion.media.opening import damaged_audio, open_audio
from facefusion.stopping import StopFlag


class AudioFeed:
    """Adds the tracks of a plan to an output and yields their packets in the order of their times.

    Raises MediaError audio-damaged when the source's audio cannot be read to its end, audio-lost when a stream of
    an untrimmed clip yields no packet; OutputError audio-encoder-failed.
    """

    def __init__(
        self, info: MediaInfo, plan: AudioPlan, output: av.container.OutputContainer, stop: StopFlag | None = None
    ) -> None:
        self._plan = plan
        self._stop = stop or StopFlag()
        self._path = plan.path or info.path
        self._inputs: list[av.AudioStream] = []
        self._tracks: dict[int, CopiedTrack | EncodedTrack] = {}
        with ExitStack() as stack:
            # The stack closes the source when a track cannot be set up.
            self._source = stack.enter_context(open_audio(self._path))
            for track in plan.tracks:
                stream = self._source.streams[track.index]
                assert isinstance(stream, av.AudioStream)
                self._inputs.append(stream)
                self._tracks[track.index] = (
                    EncodedTrack(stream, track, plan.span, plan.volume, output)
                    if track.encoder
                    else CopiedTrack(stream, track, plan.span, output)
                )
            self._open = stack.pop_all()

    def __iter__(self) -> Iterator[av.Packet[Any]]:
        counts = dict.fromkeys(self._tracks, 0)
        try:
            for packet in self._source.demux(self._inputs):
                self._stop.check()
                # Read the index before the conversion: afterwards a copied packet has the index of the output stream,
                # and a flushing packet has none.
                index = packet.stream.index
                for written in self._tracks[index].convert(packet):
                    counts[index] += 1
                    yield written
            for index, track in self._tracks.items():
                for written in track.finish():
                    counts[index] += 1
                    yield written
        except av.error.FFmpegError as error:
            raise damaged_audio(self._path, error) from None
        if self._plan.span.begin is None and not all(counts.values()):
            raise MediaError(
                'audio-lost',
                f'{self._path.name} has an audio stream without audio',
                hint='leave the audio out with --output-audio-volume 0',
            )

    @property
    def remarks(self) -> tuple[str, ...]:
        """Losses found while the audio is read; complete once all packets have been yielded."""
        numbers = {stream.index: number for number, stream in enumerate(self._source.streams.audio, 1)}
        found = ((numbers[index], text) for index, track in self._tracks.items() for text in track.remarks)
        return tuple(f'audio stream {number} {text}' for number, text in found)

    def close(self) -> None:
        """Close the source."""
        self._open.close()
