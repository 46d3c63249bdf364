"""Options of the encoders and the frame range of the output."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.options import option

_OUTPUT = 'output_creation'
_TRIM = 'frame_extraction'

VIDEO_ENCODERS = (
    'libx264',
    'libx264rgb',
    'libx265',
    'libvpx-vp9',
    'h264_nvenc',
    'hevc_nvenc',
    'h264_amf',
    'hevc_amf',
    'h264_qsv',
    'hevc_qsv',
    'h264_videotoolbox',
    'hevc_videotoolbox',
    'rawvideo',
    'prores_ks',
    'qtrle',
    'mpeg2video',
    'mpeg4',
    'wmv2',
)
AUDIO_ENCODERS = (
    'flac',
    'aac',
    'libmp3lame',
    'libopus',
    'libvorbis',
    'pcm_s16le',
    'pcm_s32le',
    'mp2',
    'wmav2',
)
VIDEO_PRESETS = ('ultrafast', 'superfast', 'veryfast', 'faster', 'fast', 'medium', 'slow', 'slower', 'veryslow')


@dataclass(frozen=True)
class OutputOptions:
    """Encoders, quality, size and frame rate of the output."""

    output_image_quality: int = option(
        'int', 80, 'image quality; 100 is the best (webp: lossless)', section=_OUTPUT, minimum=0, maximum=100
    )
    output_image_scale: float = option(
        'float', 1.0, 'image size relative to the target', section=_OUTPUT, minimum=0.25, maximum=8.0, step=0.25
    )
    output_audio_encoder: str = option(
        'text',
        'auto',
        'audio encoder; auto copies the audio packets and encodes only where the container requires it',
        section=_OUTPUT,
        choices=('auto', *AUDIO_ENCODERS),
    )
    output_audio_quality: int = option(
        'int', 80, 'audio quality when audio is encoded', section=_OUTPUT, minimum=0, maximum=100
    )
    output_audio_volume: int = option(
        'int', 100, 'audio volume in percent; 0 writes no audio', section=_OUTPUT, minimum=0, maximum=100
    )
    output_video_encoder: str = option(
        'text',
        'auto',
        'video encoder; auto: libx264, or libx265 where libx264 lacks the bit depth; libvpx-vp9 for webm, wmv2 for '
        'wmv, mpeg2video for mpg and mxf; with transparency libvpx-vp9 for webm and mkv, prores_ks for mov',
        section=_OUTPUT,
        choices=('auto', *VIDEO_ENCODERS),
    )
    output_video_preset: str = option(
        'text', 'veryfast', 'speed of the video encoder', section=_OUTPUT, choices=VIDEO_PRESETS
    )
    output_video_quality: int = option(
        'int',
        80,
        'video quality; 100 is the best; for x264 80 is crf 10 (large files), 65 is crf 18, 55 is crf 23',
        section=_OUTPUT,
        minimum=0,
        maximum=100,
    )
    output_video_scale: float = option(
        'float', 1.0, 'video size relative to the target', section=_OUTPUT, minimum=0.25, maximum=8.0, step=0.25
    )
    output_video_fps: float | None = option(
        'float', None, 'frame rate, limited to 1 to 60; default: every frame keeps its time', section=_OUTPUT
    )


@dataclass(frozen=True)
class TrimOptions:
    """Range of target frames to process and write."""

    trim_frame_start: int | None = option('int', None, 'first frame, counted from 0', section=_TRIM, metavar='FRAME')
    trim_frame_end: int | None = option('int', None, 'frame to stop before', section=_TRIM, metavar='FRAME')
