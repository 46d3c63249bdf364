"""Clips that cover the properties of containers, created by an FFmpeg other than the one under test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fakes.ffmpeg_program import ffmpeg

X264 = ('-c:v', 'libx264', '-preset', 'veryfast', '-crf', 10, '-pix_fmt', 'yuv420p')
AAC = ('-c:a', 'aac', '-b:a', '96k')
BT709 = 'setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709'
BT601 = 'setparams=range=tv:colorspace=smpte170m:color_primaries=smpte170m:color_trc=smpte170m'
FULL = 'scale=out_range=full,setparams=range=pc:colorspace=bt709:color_primaries=bt709:color_trc=bt709'
# Frame times in ticks of 1/600 s: intervals of at least 24 that change from frame to frame, and two longer gaps.
UNEVEN = (
    *('-vf', f"settb=1/600,setpts='trunc(N*24+9*mod(N\\,3)+130*gt(N\\,20)+7*gt(N\\,33))',{BT709}"),
    *('-fps_mode', 'passthrough', '-enc_time_base', '1/600', '-video_track_timescale', '600'),
)


def pictures(seconds: float = 2.0, rate: str = '25', size: str = '320x180') -> tuple[object, ...]:
    """Return FFmpeg arguments for a soft moving gradient as input."""
    width, height = size.split('x')
    colours = 'n=4:c0=0xA07868:c1=0x689878:c2=0x607898:c3=0x989070'
    line = f'x0=0:y0=0:x1={width}:y1={height}:speed=0.01:seed=7'
    return ('-f', 'lavfi', '-i', f'gradients=s={size}:r={rate}:d={seconds}:{colours}:{line},format=yuv444p')


def sound(seconds: float = 2.0, layout: str = 'stereo', rate: int = 48000, pitch: int = 440) -> tuple[object, ...]:
    """Return FFmpeg arguments for rising tones as input, one for each channel; every moment sounds different."""
    count = {'mono': 1, 'stereo': 2, '5.1': 6}[layout]
    waves = '|'.join(f'0.2*sin(2*PI*t*({pitch + 70 * channel}+60*t))' for channel in range(count))
    return ('-f', 'lavfi', '-i', f'aevalsrc={waves}:s={rate}:d={seconds}:c={layout}')


@dataclass(frozen=True)
class Clip:
    """A file name and the FFmpeg calls that create it; '{folder}' in their arguments is the folder of the clips.

    ``output`` is the extension of the output of a run on the clip; if ``kept`` is true, the run copies the
    audio packets of the clip.
    """

    name: str
    calls: tuple[tuple[object, ...], ...]
    output: str = '.mp4'
    kept: bool = True

    @property
    def label(self) -> str:
        """The name of the test case."""
        return f'{self.name}{self.output}'

    def make(self, folder: Path) -> Path:
        """Write the clip into ``folder``."""
        for words in self.calls:
            ffmpeg('-v', 'error', *(str(word).replace('{folder}', str(folder)) for word in words))
        return folder / self.name


def clip(name: str, *words: object, output: str = '.mp4', kept: bool = True) -> Clip:
    """Return a clip that a single FFmpeg call creates."""
    return Clip(name, ((*words, f'{{folder}}/{name}'),), output, kept)


def tagged(*words: object, tags: str = BT709) -> tuple[object, ...]:
    """Return FFmpeg arguments for H.264 with colour tags."""
    return ('-vf', tags, *X264, *words)


def turned(degrees: int) -> Clip:
    """Return a clip with a display matrix."""
    name = f'turned-{degrees}.mp4'
    flat = f'{{folder}}/flat-{degrees}.mp4'
    made = (*pictures(), *sound(), *tagged(), *AAC, flat)
    return Clip(name, (made, ('-display_rotation', degrees, '-i', flat, '-c', 'copy', f'{{folder}}/{name}')))


HEVC_OPEN_GOP = (
    *['-c:v', 'libx265', '-preset', 'fast', '-pix_fmt', 'yuv420p'],
    *('-x265-params', 'log-level=none:open-gop=1:bframes=6:keyint=20:scenecut=0:crf=10'),
)
VP9 = ['-c:v', 'libvpx-vp9', '-pix_fmt', 'yuv420p', '-crf', '8', '-b:v', '0', '-deadline', 'realtime', '-cpu-used', '8']
OPEN_GOP = ('-x264-params', 'open-gop=1:bframes=8:b-adapt=2:b-pyramid=normal:keyint=20:scenecut=0')
CLIPS = (
    clip('plain.mp4', *pictures(), *sound(), *tagged(), *AAC),
    clip('film.mp4', *pictures(rate='24000/1001'), *sound(), *tagged(), *AAC),
    clip('ntsc.mov', *pictures(rate='30000/1001'), *sound(), *tagged(), *AAC, output='.mov'),
    clip('double.mkv', *pictures(rate='60000/1001'), *sound(), *tagged(), *AAC, output='.mkv'),
    clip('uneven.mp4', *pictures(), *sound(2.4), *UNEVEN, *X264, *AAC),
    clip('uneven-forward.mp4', *pictures(), *UNEVEN, *X264, '-bf', 0),
    clip('uneven.mkv', *pictures(), *sound(2.4), *UNEVEN, *X264, *AAC, output='.mkv'),
    clip('late-video.mp4', '-itsoffset', 0.3, *pictures(), *sound(2.6), *tagged(), *AAC),
    clip('late-audio.mp4', *pictures(), '-itsoffset', 0.5, *sound(1.5), *tagged(), *AAC),
    clip('late-video.mkv', '-itsoffset', 0.3, *pictures(), *sound(2.6), *tagged(), *AAC, output='.mkv'),
    clip('open-gop.mp4', *pictures(3), *sound(3), *tagged(*OPEN_GOP), *AAC),
    clip('open-gop-hevc.mkv', *pictures(3), '-vf', BT709, *HEVC_OPEN_GOP, output='.mkv'),
    Clip(
        'edited.mp4',
        (
            (*pictures(3), *sound(3), *tagged('-g', 40), *AAC, '{folder}/uncut.mp4'),
            ('-ss', 0.73, '-i', '{folder}/uncut.mp4', '-c', 'copy', '{folder}/edited.mp4'),
        ),
    ),
    clip('odd.webm', *pictures(1, size='321x181'), *sound(1), '-vf', BT709, *VP9, '-c:a', 'libopus', output='.webm'),
    clip('odd-444.mkv', *pictures(1, size='321x181'), *tagged('-pix_fmt', 'yuv444p'), output='.mkv'),
    turned(90),
    turned(180),
    turned(270),
    clip('mono.mp4', *pictures(), *sound(layout='mono', rate=44100), *tagged(), *AAC),
    clip('surround.mp4', *pictures(), *sound(layout='5.1'), *tagged(), *AAC),
    clip('silent.mp4', *pictures(), *tagged()),
    clip('long-audio.mp4', *pictures(), *sound(3), *tagged(), *AAC),
    clip('short-audio.mp4', *pictures(), *sound(1), *tagged(), *AAC),
    clip('opus.mkv', *pictures(), *sound(), *tagged(), '-c:a', 'libopus', output='.mkv'),
    clip('opus.mp4', *pictures(), *sound(), *tagged(), '-c:a', 'libopus'),
    clip('flac.mkv', *pictures(), *sound(), *tagged(), '-c:a', 'flac', output='.mkv'),
    clip('pcm.mov', *pictures(), *sound(), *tagged(), '-c:a', 'pcm_s24le', output='.mov'),
    clip('mp3.avi', *pictures(), *sound(), *tagged('-bf', 0), '-c:a', 'libmp3lame', output='.avi'),
    clip('mpeg2.ts', *pictures(), *sound(), '-vf', BT709, '-c:v', 'mpeg2video', '-q:v', 2, '-c:a', 'mp2', output='.ts'),
    clip('full-range.mp4', *pictures(), *tagged('-pix_fmt', 'yuv420p', tags=FULL)),
    clip('bt601.mp4', *pictures(), *tagged(tags=BT601)),
    clip('anamorphic.mp4', *pictures(), *tagged(tags=f'{BT709},setsar=4/3')),
    clip('prores.mov', *pictures(1), '-vf', BT709, '-c:v', 'prores_ks', '-pix_fmt', 'yuv422p10le', output='.mov'),
    clip('one-frame.mp4', *pictures(0.04), *tagged()),
)
