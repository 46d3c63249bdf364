from __future__ import annotations

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from fakes.media_files import audio_packets, frame_pixels, frame_times, photo_view, rewrap, write_views
from fakes.program import UNMARKED
from fakes.resume_chaos import content_of

pytestmark = pytest.mark.network
DRAW = ('--processors', 'face_debugger')
SHORT = ('--trim-frame-end', 6)


@pytest.mark.parametrize('name', ['out.mp4', 'out.mov', 'out.mkv'])
def test_times_and_audio_are_those_of_the_target(program, face_clip, tmp_path, name):
    target = face_clip if name == 'out.mp4' else rewrap(face_clip, tmp_path / f'in{name[3:]}')
    done = program.run(*DRAW, '-t', target, '-o', tmp_path / name)
    assert done.report['frames'] == 60 and done.report['faces'] > 100
    assert frame_times(tmp_path / name) == frame_times(target)
    found, expected = audio_packets(tmp_path / name), audio_packets(target)
    assert [data for _, data in found] == [data for _, data in expected]
    assert max(abs(a - b) for (a, _), (b, _) in zip(found, expected, strict=True)) <= Fraction(1, 1000)


def test_a_variable_rate_keeps_every_frame_time(program, example_group, tmp_path):
    photo = cv2.imread(str(example_group))
    times = np.cumsum([40, 20, 100, 33, 7, 250, 40, 41, 39, 500] * 2).tolist()
    write_views(tmp_path / 'in.mp4', lambda k: photo_view(photo, 330 + k, 285, 533), 20, pts=lambda k: times[k])
    for name in ('out.mp4', 'out.mkv'):
        program.run(*DRAW, '-t', tmp_path / 'in.mp4', '-o', tmp_path / name)
        assert frame_times(tmp_path / name) == frame_times(tmp_path / 'in.mp4')


def test_a_swap_changes_faces_and_little_else(program, face_clip, portrait_source, tmp_path):
    out = tmp_path / 'out.mp4'
    words = ('-s', portrait_source, '-t', face_clip, '-o', out, *SHORT, '--output-video-quality', 100, *UNMARKED)
    done = program.run(*words)
    assert done.report['frames'] == 6 and done.report['frames_without_face'] == 0
    for before, after in zip(frame_pixels(face_clip), frame_pixels(out), strict=False):
        far = np.abs(before.astype(int) - after).max(axis=2) > 12
        assert 0.01 < far.mean() < 0.25
    program.run(*words[:5], tmp_path / 'again.mp4', *words[6:])
    assert content_of(tmp_path / 'again.mp4') == content_of(out)


def test_a_trim_includes_its_start_and_excludes_its_end(program, face_clip, tmp_path):
    words = ('-t', face_clip, '-o', tmp_path / 'out.mp4', '--trim-frame-start', 10, '--trim-frame-end', 25)
    done = program.run(*DRAW, *words, '--output-video-quality', 100, '--face-debugger-items', 'bounding-box')
    assert done.report['frames'] == 15
    assert frame_times(tmp_path / 'out.mp4') == [Fraction(k, 25) for k in range(15)]
    first = frame_pixels(tmp_path / 'out.mp4')[0].astype(int)
    distances = [np.abs(first - frame).mean() for frame in frame_pixels(face_clip)[:20]]
    assert int(np.argmin(distances)) == 10
    sound = audio_packets(tmp_path / 'out.mp4')
    assert abs(sound[-1][0] - Fraction(15, 25)) < Fraction(1, 20)
    assert {data for _, data in sound} <= {data for _, data in audio_packets(face_clip)}


def test_size_rate_and_encoder_are_as_requested(program, face_clip, tmp_path):
    out = tmp_path / 'out.mp4'
    program.run(*DRAW, '-t', face_clip, '-o', out, '--output-video-fps', 10, '--output-video-scale', 0.5)
    assert frame_times(out) == [Fraction(k, 10) for k in range(24)]
    assert frame_pixels(out)[0].shape == (90, 160, 3)
    for encoder, codec, name in (('libx265', 'hevc', 'out.mov'), ('libvpx-vp9', 'vp9', 'out.mkv')):
        words = ('-t', face_clip, '-o', tmp_path / name, '--output-video-encoder', encoder, *SHORT)
        program.run(*DRAW, *words)
        with av.open(str(tmp_path / name)) as container:
            assert container.streams.video[0].codec_context.name.endswith(codec)
            assert sum(1 for _ in container.decode(video=0)) == 6


def test_quality_and_preset_reach_the_encoder(program, face_clip, tmp_path):
    sizes = []
    for words in (('--output-video-quality', 90), ('--output-video-quality', 30), ('--output-video-preset', 'slow')):
        out = tmp_path / f'{len(sizes)}.mp4'
        program.run(*DRAW, '-t', face_clip, '-o', out, *SHORT, *words)
        sizes.append(out.stat().st_size)
    assert sizes[1] < sizes[0] / 2
    assert len(set(sizes)) == 3


def test_audio_is_removed_or_encoded_on_request(program, face_clip, tmp_path):
    out = tmp_path / 'out.mp4'
    program.run(*DRAW, '-t', face_clip, '-o', out, *SHORT, '--output-audio-volume', 0)
    with av.open(str(out)) as container:
        assert not container.streams.audio
    program.run(*DRAW, '-t', face_clip, '-o', out, *SHORT, '--output-audio-encoder', 'flac')
    with av.open(str(out)) as container:
        assert container.streams.audio[0].codec_context.name == 'flac'
        samples = sum(frame.samples for frame in container.decode(audio=0))
    assert samples == 48000 * 6 // 25


def test_a_video_of_one_frame(program, face_clip, tmp_path):
    done = program.run(*DRAW, '-t', face_clip, '-o', tmp_path / 'out.mp4', '--trim-frame-end', 1)
    assert done.report['frames'] == 1 and len(frame_times(tmp_path / 'out.mp4')) == 1


def test_the_selector_follows_one_face_in_every_frame(program, face_clip, tmp_path):
    words = ('-t', face_clip, '-o', tmp_path / 'out.mp4', '--trim-frame-end', 20)
    one = program.run(*DRAW, *words, '--face-selector-mode', 'one', '--face-selector-order', 'right-left').report
    many = program.run(*DRAW, *words).report
    assert one['faces'] == 20
    assert many['faces'] >= 40 and many['tracks'] >= 2


def test_the_report_lists_frames_without_a_face(program, example_group, tmp_path):
    photo = cv2.imread(str(example_group))

    def view(number):
        seen = 20 <= number < 40
        return photo_view(photo, 330, 285, 533) if seen else np.full((180, 320, 3), 90, np.uint8)

    write_views(tmp_path / 'in.mp4', view, 60)
    done = program.run(*DRAW, '-t', tmp_path / 'in.mp4', '-o', tmp_path / 'out.mp4')
    report = done.report
    assert report['ranges_without_face'] == [[0, 19], [40, 59]]
    assert report['frames'] == 60 and report['frames_without_face'] == 40 and report['tracks'] >= 2
    assert '0-19, 40-59' in done.err


def test_a_superfluous_source_is_ignored(program, face_clip, portrait_source, tmp_path):
    program.run(*DRAW, '-s', portrait_source, '-t', face_clip, '-o', tmp_path / 'out.mp4', *SHORT)


def test_file_names_that_ffmpeg_would_parse_as_addresses(program, face_clip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('http:clip.mp4', 'concat:clip.mp4', 'pipe:1.mp4'):
        (tmp_path / name).write_bytes(face_clip.read_bytes())
        out = name.replace('clip', 'out').replace('1', '2')
        done = program.run(*DRAW, '-t', name, '-o', out, '--trim-frame-end', 2, '--temp-path', 'pipe:0')
        assert done.report['frames'] == 2 and len(frame_times(tmp_path / out)) == 2
