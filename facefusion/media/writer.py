"""Encode one segment of a clip into a file that gets its final name only when it is complete."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import av.error
import av.video.reformatter
import numpy as np

from facefusion.errors import InternalError, OutputError
from facefusion.media.convert import alpha_codes
from facefusion.media.encoder import ALPHA_TAG, SEGMENT_TICK, EncoderSettings, apply_settings
from facefusion.media.encoder_room import check_survivable, raise_encoder_shortage
from facefusion.media.files import ffmpeg_name, part_of, publish, write_failure
from facefusion.media.frame import Frame, PlaneFrame
from facefusion.media.join import ranks_of, reordering
from facefusion.media.planes import RGB_PLANES, Plane, copy_tags, plane_views

_MUXERS = {'.nut': 'nut', '.mkv': 'matroska', '.mov': 'mov'}


class SegmentWriter:
    """A context manager that encodes frames into ``path``, in the container of ``EncoderSettings.segment_suffix``.

    The file is ``<path>.part`` until the block ends. After a success it is finished, flushed and renamed; after an
    error it is deleted. Times in the file count from the first frame of the segment; if the file's container has no
    exact times, or the output has no times, they count frames.
    """

    def __init__(self, path: Path, encoder: EncoderSettings) -> None:
        self.path = path
        self.frame_count = 0
        self._settings = encoder
        self._part = part_of(path)
        self._times: list[int] = []
        self._first = 0
        self._last = 0
        self._container: av.container.OutputContainer | None = None
        self._stream: av.VideoStream | None = None
        self._reformatter = av.video.reformatter.VideoReformatter()

    @property
    def delay(self) -> int:
        """The number of frames by which the decoding order of the written segment precedes the presentation order."""
        return reordering(ranks_of(np.array(self._times, np.int64)))

    def __enter__(self) -> Self:
        """Open the file. Raises OutputError output-unwritable, encoder-failed; ResourceError disk-full, memory-out,
        threads-out."""
        check_survivable(self._settings)
        try:
            muxer = _MUXERS[self._settings.segment_suffix]
            self._container = av.open(ffmpeg_name(self._part), 'w', format=muxer)
            stream = self._container.add_stream(self._settings.codec, rate=self._settings.rate)
            assert isinstance(stream, av.VideoStream)
            apply_settings(stream.codec_context, self._settings)
            stream.time_base = self._settings.time_base if muxer == 'nut' else SEGMENT_TICK
            if muxer == 'matroska':
                stream.metadata[ALPHA_TAG] = '1'
            self._stream = stream
        except (av.error.FFmpegError, ValueError) as error:
            self._discard()
            raise self._failure(error) from None
        return self

    def write(self, frame: Frame, pts: int) -> None:
        """Encode a frame at ``pts`` (ticks of the encoder's time base, ascending).

        Raises ResourceError disk-full, memory-out, threads-out; OutputError encoder-failed.
        """
        if self.frame_count and pts <= self._last:
            raise InternalError('segment-order', f'time {pts} follows {self._last} in {self.path.name}')
        if not self.frame_count:
            self._first = pts
        self._last = pts
        video = self._prepared(frame)
        video.pts = self.frame_count if self._settings.is_counted else pts - self._first
        video.time_base = self._settings.time_base
        self._encode(video)
        self.frame_count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Finish the file, or delete it when the block failed."""
        if error is not None:
            self._discard()
            return
        try:
            if not self.frame_count:
                raise InternalError('segment-empty', f'no frame was written to {self.path.name}')
            self._encode(None)
            assert self._container is not None
            container, self._container, self._stream = self._container, None, None
            try:
                container.close()
            except av.error.FFmpegError as closing:
                raise self._failure(closing) from None
            publish(self._part, self.path)
        except BaseException:
            self._discard()
            raise

    def _encode(self, video: av.VideoFrame | None) -> None:
        if self._container is None or self._stream is None:
            raise InternalError('segment-closed', f'{self.path.name} is not open')
        try:
            packets = self._stream.encode(video)
        except av.error.FFmpegError as error:
            # Encoding does not write to the disk, so an error number never means a failed write here.
            raise self._encoder_failure(error) from None
        try:
            for packet in packets:
                if self._settings.segment_suffix != '.nut':
                    # Every packet of these encoders is a displayed frame, in the order of their input.
                    packet.pts = packet.dts = len(self._times)
                    packet.duration, packet.time_base = 1, SEGMENT_TICK
                self._times.append(packet.pts or 0)
                self._container.mux(packet)
        except av.error.FFmpegError as error:
            raise self._failure(error) from None

    def _prepared(self, frame: Frame) -> av.VideoFrame:
        """Return the frame in the encoder's format and size; the decoder's own samples where no change is needed."""
        settings = self._settings
        frame = frame.to_planes(settings.plane_format, settings.picture_size, settings.color)
        layout = settings.plane_format
        if settings.has_alpha:
            layout = layout.replace('yuv', 'yuva').replace(RGB_PLANES, f'{RGB_PLANES[:-1]}ap')
        video = frame.video
        if (video.format.name, video.width, video.height) != (layout, settings.width, settings.height):
            video = _with_layout(frame, layout, settings)
        # Packing planes moves samples without changing them.
        return video if layout == settings.pix_fmt else self._reformatter.reformat(video, format=settings.pix_fmt)

    def _failure(self, error: Exception) -> Exception:
        if isinstance(error, OSError) and not isinstance(error, av.error.InvalidDataError):
            return write_failure(error, self.path)
        return self._encoder_failure(error)

    def _encoder_failure(self, error: Exception) -> OutputError:
        raise_encoder_shortage(self._settings, error)
        return OutputError(
            'encoder-failed',
            f'{self._settings.codec} failed on {self.path.name}',
            cause=str(error),
            hint='try another --output-video-encoder',
        )

    def _discard(self) -> None:
        container, self._container, self._stream = self._container, None, None
        if container is not None:
            # The file is deleted, so errors in its trailer do not matter.
            with suppress(av.error.FFmpegError):
                container.close()
        self._part.unlink(missing_ok=True)


def _with_layout(frame: PlaneFrame, layout: str, settings: EncoderSettings) -> av.VideoFrame:
    """Return the samples under another format name, with alpha if the format has it, in the encoder's size.

    The last column and line are repeated; a frame without alpha is opaque.
    """
    video = av.VideoFrame(settings.width, settings.height, layout)
    planes: list[Plane] = list(frame.planes)
    if settings.has_alpha:
        alpha = np.full((frame.height, frame.width), 255, np.uint8) if frame.alpha is None else frame.alpha
        planes.append(alpha_codes(alpha, video.format.components[0].bits))
    for target, source in zip(plane_views(video), planes, strict=True):
        high, wide = source.shape
        missing = ((0, target.shape[0] - high), (0, target.shape[1] - wide))
        target[...] = np.pad(source, missing, mode='edge')
    copy_tags(frame.video, video)
    video.color_range = settings.color.range_code
    return video
