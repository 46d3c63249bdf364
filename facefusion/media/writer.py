"""Encoding one segment of a clip into a file that exists only when it is whole."""

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
from facefusion.media.color import ColorSpec
from facefusion.media.encoder import EncoderSettings, apply_settings
from facefusion.media.encoder_room import check_survivable, raise_encoder_shortage
from facefusion.media.files import ffmpeg_name, part_of, publish, write_failure
from facefusion.media.frame import Frame, PlaneFrame
from facefusion.media.planes import copy_tags, plane_views

# The matrices as swscale knows them: it takes code 6, which is the same as 5, for no matrix at all.
_SCALER_CODES = {'bt601': 5, 'bt709': 1, 'bt2020': 9}


class SegmentWriter:
    """Encodes frames into ``path`` (NUT: any time base, exact times); a context manager.

    While it runs the file is ``<path>.part``; leaving the block without an error finishes, flushes and renames it,
    leaving it with one removes it. Times in the file count from the first frame of the segment.
    """

    def __init__(self, path: Path, encoder: EncoderSettings) -> None:
        self.path = path
        self.frame_count = 0
        self._settings = encoder
        self._part = part_of(path)
        self._first = 0
        self._last = 0
        self._container: av.container.OutputContainer | None = None
        self._stream: av.VideoStream | None = None
        self._reformatter = av.video.reformatter.VideoReformatter()

    def __enter__(self) -> Self:
        """Opens the file. Raises OutputError output-unwritable, encoder-failed; ResourceError disk-full, memory-out,
        threads-out."""
        check_survivable(self._settings)
        try:
            self._container = av.open(ffmpeg_name(self._part), 'w', format='nut')
            stream = self._container.add_stream(self._settings.codec, rate=self._settings.rate)
            assert isinstance(stream, av.VideoStream)
            apply_settings(stream.codec_context, self._settings)
            stream.time_base = self._settings.time_base
            self._stream = stream
        except (av.error.FFmpegError, ValueError) as error:
            self._discard()
            raise self._failure(error) from None
        return self

    def write(self, frame: Frame, pts: int) -> None:
        """Encodes a frame at ``pts`` (ticks of the encoder's time base, ascending).

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
        """Finishes the file, or removes it when the block failed."""
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
            # Not of the disk, whatever number the error has: nothing is written here.
            raise self._encoder_failure(error) from None
        try:
            for packet in packets:
                self._container.mux(packet)
        except av.error.FFmpegError as error:
            raise self._failure(error) from None

    def _prepared(self, frame: Frame) -> av.VideoFrame:
        """The frame in the encoder's format and size; the decoder's own samples where nothing asks for a change."""
        settings = self._settings
        if isinstance(frame, PlaneFrame):
            video = frame.video
        else:
            video = av.VideoFrame.from_ndarray(frame.read(frame.window), format='bgr24')
            video.pict_type = 0
        picture = (settings.picture_width, settings.picture_height)
        name = video.format.name
        # yuvj is the same samples as yuv with the range in its name: a conversion would squeeze them.
        same_samples = name.replace('yuvj', 'yuv') == settings.pix_fmt.replace('yuvj', 'yuv')
        meant = frame.color if isinstance(frame, PlaneFrame) else settings.color
        same_samples = same_samples and (meant.matrix, meant.full_range) == (
            settings.color.matrix,
            settings.color.full_range,
        )
        if (video.width, video.height) != picture or not same_samples:
            video = self._converted(video, picture, meant)
            name = video.format.name
        if name != settings.pix_fmt or (settings.width, settings.height) != picture:
            video = _extended(video, settings)
        return video

    def _converted(self, video: av.VideoFrame, picture: tuple[int, int], meant: ColorSpec) -> av.VideoFrame:
        settings = self._settings
        is_rgb = video.format.is_rgb
        to_rgb = av.VideoFormat(settings.pix_fmt, 16, 16).is_rgb
        color = settings.color
        shrinks = picture[0] < video.width
        return self._reformatter.reformat(
            video,
            width=picture[0],
            height=picture[1],
            format=settings.pix_fmt,
            src_colorspace=_SCALER_CODES[meant.matrix],
            dst_colorspace=_SCALER_CODES[color.matrix],
            src_color_range=2 if is_rgb else meant.range_code,
            dst_color_range=2 if to_rgb else color.range_code,
            interpolation='AREA' if shrinks else 'BICUBIC',
        )

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
            # The file is thrown away: what its trailer says does not matter.
            with suppress(av.error.FFmpegError):
                container.close()
        self._part.unlink(missing_ok=True)


def _extended(video: av.VideoFrame, settings: EncoderSettings) -> av.VideoFrame:
    """The same samples under the encoder's format name and size, the last column and line repeated."""
    wider = av.VideoFrame(settings.width, settings.height, settings.pix_fmt)
    for target, source in zip(plane_views(wider), plane_views(video), strict=True):
        high, wide = source.shape
        missing = ((0, target.shape[0] - high), (0, target.shape[1] - wide))
        target[...] = np.pad(source, missing, mode='edge')
    copy_tags(video, wider)
    wider.color_range = settings.color.range_code
    return wider
