"""Encode an audio stream again: cut it, change its volume, fill its gaps and join parts of different formats."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, cast

import av
import av.error
import av.filter

from facefusion.errors import OutputError
from facefusion.media.extras import describe_stream
from facefusion.media.layouts import keeps_all, link, mixing, placing, usual_layout
from facefusion.media.tracks import AudioRange, AudioTrack, add_encoded

# The delay of LAME plus that of every MP3 decoder (576 + 529 samples), and the number of samples of a frame.
_MP3_DELAY = 1105
_MP3_FRAME = 1152


class EncodedTrack:
    """A track that is decoded, cut, scaled by ``volume`` and encoded again; gaps in the source become silence.

    Avi has no timestamps, so players play all output of an MP3 decoder from 0 on, including the encoder's delay. The
    packets of the delay are therefore left out of avi, and the audio is aligned so that a packet begins at time 0.

    Broadcasts may change from stereo to 5.1 within a clip. A filter graph accepts only one format of audio, so each
    format has its own graph, which begins at the end of the previous graph. ``remarks`` report the losses.
    """

    def __init__(
        self,
        stream: av.AudioStream,
        track: AudioTrack,
        span: AudioRange,
        volume: float,
        output: av.container.OutputContainer,
    ) -> None:
        self._output = add_encoded(output, track)
        describe_stream(stream, self._output)
        self._stream = stream
        self._track = track
        self._span = span
        self._volume = volume
        self._graph: av.filter.Graph | None = None
        self._form: tuple[int, str, str] | None = None
        self._planned = usual_layout(stream.codec_context.layout.name, stream.codec_context.channels)
        self._is_past_end = False
        self._reached: int | None = None
        self.remarks: list[str] = []
        has_delay = output.format.name == 'avi' and track.encoder == 'libmp3lame'
        # The number of encoded samples before 0: at least a millisecond, as aresample ignores shorter differences.
        self._lead = 2 * _MP3_FRAME - _MP3_DELAY if has_delay else 0

    def convert(self, packet: av.Packet[Any]) -> Iterator[av.Packet[Any]]:
        """Yield the encoded packets for a packet of the source."""
        if self._is_past_end:
            return
        for frame in cast('list[av.AudioFrame]', packet.decode()):
            _count_samples(frame)
            layout = usual_layout(frame.layout.name, frame.layout.nb_channels)
            form = frame.sample_rate, frame.format.name, layout
            if self._graph is None or form != self._form:
                yield from self._end_graph()
                self._warn_of_mixing(layout)
                self._graph, self._form = self._build(frame, layout), form
            self._push(self._graph, frame)
            yield from self._drain(self._graph)

    def finish(self) -> Iterator[av.Packet[Any]]:
        """Yield the remaining packets at the end of the source."""
        yield from self._end_graph()
        if self._span.until is not None:
            yield from self._silence(round(self._span.until * self._track.rate))
        if self._graph is not None or self._reached:
            yield from self._encode(None)

    def _end_graph(self) -> Iterator[av.Packet[Any]]:
        if self._graph is not None:
            self._push(self._graph, None)
            yield from self._drain(self._graph)

    def _warn_of_mixing(self, layout: str) -> None:
        """Add a remark when a layout unknown to the plan is mixed down."""
        target = self._track.layout
        is_unplanned = layout not in (self._planned, 'mono') and keeps_all(self._planned, target)
        text = f'changes to {layout} in the clip: these channels are mixed into {target}'
        if is_unplanned and not keeps_all(layout, target) and text not in self.remarks:
            self.remarks.append(text)

    def _push(self, graph: av.filter.Graph, frame: av.AudioFrame | None) -> None:
        try:
            graph.push(frame)
        except av.error.EOFError:
            # The trim filter is past its end and accepts no more frames.
            self._is_past_end = True

    def _build(self, frame: av.AudioFrame, layout: str) -> av.filter.Graph:
        span, rate = self._span, self._track.rate
        graph = av.filter.Graph()
        chain = [
            graph.add_abuffer(
                sample_rate=frame.sample_rate, format=frame.format.name, layout=layout, time_base=frame.time_base
            )
        ]
        begin = None if span.begin is None else float(span.begin - Fraction(self._lead, rate))
        bounds = [f'start={begin:.6f}'] if begin is not None else []
        bounds += [f'end={float(span.end):.6f}'] if span.end is not None else []
        if bounds:
            chain.append(graph.add('atrim', ':'.join(bounds)))
        if span.origin:
            chain.append(graph.add('asetpts', f'PTS-{float(span.origin):.9f}/TB'))
        if self._volume != 1:
            chain.append(graph.add('volume', f'{self._volume:g}'))
        # A container without timestamps needs audio from 0 on, so aresample adds silence before the first sound.
        first = self._reached if span.has_times or self._reached is not None else -self._lead
        begins = '' if first is None else f':first_pts={first}'
        if begins and frame.sample_rate != rate:
            # aresample counts first_pts in samples of its input, so the rate is converted first.
            chain.append(graph.add('aresample', str(rate)))
        chain += placing(graph, layout, self._track.layout)
        mixed = mixing(self._track.layout)
        chain.append(graph.add('aresample', f'{rate}:async=1000:min_hard_comp=0.1:{mixed}{begins}'))
        form = f'sample_fmts={self._output.format.name}:sample_rates={rate}:channel_layouts={self._track.layout}'
        chain.append(graph.add('aformat', form))
        chain.append(graph.add('abuffersink'))
        link(chain)
        graph.configure()
        return graph

    def _encode(self, frame: av.AudioFrame | None) -> list[av.Packet[Any]]:
        try:
            packets = list(self._output.encode(frame))
        except av.error.FFmpegError as error:
            raise OutputError(
                'audio-encoder-failed',
                f'the audio encoder {self._track.encoder} failed',
                cause=error.strerror or str(error),
                hint='choose another --output-audio-encoder, or leave the option out',
            ) from None
        return [packet for packet in packets if (packet.pts or 0) >= 0] if self._lead else packets

    def _drain(self, graph: av.filter.Graph) -> Iterator[av.Packet[Any]]:
        while True:
            try:
                frame = graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            assert isinstance(frame, av.AudioFrame)
            self._reached = (frame.pts or 0) + frame.samples
            yield from self._encode(frame)

    def _silence(self, end: int) -> Iterator[av.Packet[Any]]:
        """Yield silence from the end of the audio up to the sample ``end``."""
        rate, reached = self._track.rate, self._reached or 0
        while reached < end:
            count = min(rate, end - reached)
            frame = av.AudioFrame(self._output.format.name, self._track.layout, count)
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            frame.sample_rate, frame.pts, frame.time_base = rate, reached, Fraction(1, rate)
            self._reached = reached = reached + count
            yield from self._encode(frame)


def _count_samples(frame: av.AudioFrame) -> None:
    """Convert a frame's time to samples, because a tick in avi is a whole packet and a cut packet begins in between."""

    base = Fraction(1, frame.sample_rate)
    if frame.pts is not None and frame.time_base is not None:
        frame.pts = round(frame.pts * frame.time_base / base)
    frame.time_base = base
