"""Tests of complete runs from every media format into another, through the command line."""

from __future__ import annotations

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from fakes.media_files import photo_view, write_views
from PIL import Image

from facefusion.media.containers import CONTAINERS
from facefusion.media.info import VideoInfo
from facefusion.media.probe import probe

pytestmark = pytest.mark.network
DRAW = ('--processors', 'face_debugger')
FRAMES = 12
CODECS = {'.webm': 'vp9', '.wmv': 'wmv2', '.mpg': 'mpeg2video', '.mpeg': 'mpeg2video', '.mxf': 'mpeg2video'}


@pytest.fixture(scope='module')
def clip(example_group, tmp_path_factory):
    """A clip of half a second with two faces and audio."""
    photo = cv2.imread(str(example_group))
    folder = tmp_path_factory.mktemp('formats')
    silent = write_views(folder / 'silent.mp4', lambda k: photo_view(photo, 330 + 2 * k, 285, 533), FRAMES)
    with av.open(str(silent)) as source, av.open(str(folder / 'clip.mp4'), 'w') as output:
        copied = output.add_stream_from_template(source.streams.video[0])
        sound = output.add_stream('aac', rate=48000)
        sound.codec_context.layout = 'mono'
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = copied
                output.mux(packet)
        wave = (np.sin(np.arange(48000 * FRAMES // 25) * 0.06) * 0.4).astype(np.float32)
        for at in range(0, len(wave), 960):
            frame = av.AudioFrame.from_ndarray(wave[None, at : at + 960], format='fltp', layout='mono')
            frame.sample_rate, frame.pts, frame.time_base = 48000, at, Fraction(1, 48000)
            output.mux(sound.encode(frame))
        output.mux(sound.encode(None))
    return folder / 'clip.mp4'


def check(path, extension):
    info = probe(path)
    assert isinstance(info, VideoInfo)
    assert info.frame_count == FRAMES and not [remark for remark in info.remarks if 'early' in remark]
    times = [(pts - info.pts[0]) * info.time_base for pts in info.pts]
    assert times == [Fraction(k, 25) for k in range(FRAMES)]
    assert info.duration == Fraction(FRAMES, 25)
    assert info.codec == CODECS.get(extension, 'h264')
    assert [sound.codec in (CONTAINERS[extension].copied or ()) for sound in info.audio] == [True]
    with av.open(str(path)) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
    assert abs(samples / info.audio[0].rate - FRAMES / 25) < 0.15


def test_runs_from_every_container_into_the_next(program, clip, tmp_path):
    target = clip
    for extension in ('.m4v', '.webm', '.avi', '.wmv', '.mpg', '.ts', '.mxf', '.mp4'):
        out = tmp_path / f'out{extension}'
        done = program.run(*DRAW, '-t', target, '-o', out)
        assert done.report['frames'] == FRAMES and done.report['faces'] >= FRAMES
        check(out, extension)
        target = out


def test_two_steps_into_one_file_of_every_container(program, clip, tmp_path):
    for extension in ('.webm', '.avi', '.mxf'):
        job = f'job{extension[1:]}'
        words = ('-t', clip, '-o', tmp_path / f'joined{extension}', *DRAW)
        assert program('job-create', job).code == 0
        for _ in range(2):
            added = program('job-add-step', job, *words)
            assert added.code == 0, added.err
        assert program('job-submit', job).code == 0
        done = program('job-run', job)
        assert done.code == 0, done.err
        info = probe(tmp_path / f'joined{extension}')
        times = [(pts - info.pts[0]) * info.time_base for pts in info.pts]
        assert times == [Fraction(k, 25) for k in range(2 * FRAMES)]
        assert len(info.audio) == 1


def test_unsupported_streams_of_a_container_are_refused_first(program, clip, example_group, tmp_path):
    def refused(reference, target, name, *words):
        return program.fails(2, reference, 'headless-run', *DRAW, '-t', target, '-o', tmp_path / name, *words)

    refused('encoder-container', clip, 'out.webm', '--output-video-encoder', 'libx264')
    refused('encoder-container', clip, 'out.mxf', '--output-audio-encoder', 'aac')
    photo = cv2.imread(str(example_group))
    times = np.cumsum([0, 40, 20, 100, 33, 250]).tolist()
    uneven = write_views(tmp_path / 'in.mp4', lambda k: photo_view(photo, 330, 285, 533), 6, pts=lambda k: times[k])
    assert '--output-video-fps' in refused('variable-rate', uneven, 'out.avi')
    done = program.run(*DRAW, '-t', uneven, '-o', tmp_path / 'out.avi', '--output-video-fps', 25)
    found = probe(tmp_path / 'out.avi')
    assert done.report['frames'] == 6 and abs(found.duration - probe(uneven).duration) < Fraction(1, 25)


@pytest.mark.parametrize('name', ['in.tif', 'in.tiff'])
def test_images_are_read_and_written_as_tiff(program, example_group, tmp_path, name):
    photo = cv2.resize(cv2.imread(str(example_group)), (640, 443), interpolation=cv2.INTER_AREA)
    deep = name == 'in.tiff'
    cv2.imwrite(str(tmp_path / name), photo.astype(np.uint16) * 257 if deep else photo)
    Image.fromarray(photo[..., ::-1]).save(tmp_path / 'same.png')
    done = program.run(*DRAW, '-t', tmp_path / name, '-o', tmp_path / 'out.tif')
    assert done.report['faces'] == 6 and ('16-bit' in done.err) == deep
    program.run(*DRAW, '-t', tmp_path / 'same.png', '-o', tmp_path / 'out.png')
    with Image.open(tmp_path / 'out.tif') as one, Image.open(tmp_path / 'out.png') as other:
        assert one.format == 'TIFF' and (np.asarray(one) == np.asarray(other)).all()


def test_a_tiff_of_several_pages_is_refused(program, tmp_path):
    page = Image.new('RGB', (20, 20))
    page.save(tmp_path / 'in.tif', save_all=True, append_images=[page])
    words = ('headless-run', *DRAW, '-t', tmp_path / 'in.tif', '-o', tmp_path / 'out.tif')
    assert 'pages' in program.fails(1, 'image-animated', *words)
