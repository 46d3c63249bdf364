"""End-to-end tests of the processor interface with test processors: full frames, sizes, alpha, neighbours, batches."""

from __future__ import annotations

import hashlib
import json
import signal
import sys

import av
import cv2
import numpy as np
import pytest
from fakes import exercise
from fakes.exercise import CORNER, SCRIPT
from fakes.program import UNMARKED
from fakes.spoken import speak
from fakes.tiny_clip import make_tiny_clip
from fakes.voices import music, resampled, write_wav

from facefusion.media.voice import write_voice

pytestmark = pytest.mark.network
SIZE = (160, 96)
FRAMES = 40
CHAINS = [('inverter',), ('doubler',), ('echo',), ('network',), ('inverter', 'echo', 'doubler', 'network')]


@pytest.fixture
def clip(tmp_path):
    """A clip without a face, in which every frame has a different brightness."""
    return make_tiny_clip(tmp_path / 'clip.mp4', FRAMES, SIZE)


@pytest.fixture
def run(program, monkeypatch):
    """Return a function that runs a chain on a target and returns the report."""
    exercise.install(monkeypatch)

    def call(chain, target, output, *words):
        result = program.run('--processors', *chain, '-t', target, '-o', output, *words)
        call.messages = result.err
        return result.report

    return call


def frames_of(path, codec=None):
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        if codec is None:
            return [frame.to_ndarray(format='bgr24') for frame in file.decode(stream)]
        decoder = av.CodecContext.create(codec, 'r')
        return [frame for packet in file.demux(stream) for frame in decoder.decode(packet)]


def digest_of(path):
    return hashlib.sha256(b''.join(frame.tobytes() for frame in frames_of(path))).hexdigest()


@pytest.fixture
def scene_clip(tmp_path):
    """A clip with enough texture for the invisible mark, and without a face."""
    path, noise = tmp_path / 'scene.mp4', np.random.default_rng(5).normal(0, 12, (192, 320, 3))
    with av.open(str(path), 'w') as output:
        stream = output.add_stream('libx264', rate=25, options={'crf': '8', 'preset': 'ultrafast'})
        stream.width, stream.height, stream.pix_fmt = 320, 192, 'yuv420p'
        for number in range(FRAMES):
            picture = np.clip(np.roll(noise, number, 1) + np.linspace(60, 190, 320)[None, :, None], 0, 255)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture.astype(np.uint8), format='bgr24')))
        output.mux(stream.encode(None))
    return path


def test_whole_frames_without_a_face_are_signed_as_altered_and_marked(program, run, scene_clip, tmp_path):
    clip = scene_clip
    report = run(['inverter'], clip, tmp_path / 'out.mp4')
    assert (report['frames_changed'], report['credentials']['marked_frames']) == (FRAMES, FRAMES)
    assert 'models' in report and 'centerface' not in report['models']
    assert f'{FRAMES} frames were processed' in run.messages and 'no face' not in run.messages
    for before, after in zip(frames_of(clip), frames_of(tmp_path / 'out.mp4'), strict=True):
        assert abs((255 - before.mean()) - after.mean()) < 3
    said = json.loads(program('verify', tmp_path / 'out.mp4', '--format', 'json').out)
    (claim,) = said['credentials']['chain']
    assert any('TrainedAlgorithmicMedia' in str(action) for action in claim['actions'])


def test_an_image_without_a_face_is_processed_too(run, tmp_path):
    picture = tmp_path / 'in.png'
    cv2.imwrite(str(picture), np.full((96, 160, 3), (10, 90, 200), np.uint8))
    report = run(['inverter'], picture, tmp_path / 'out.png', *UNMARKED)
    assert report['frames_changed'] == 1
    assert (cv2.imread(str(tmp_path / 'out.png')) == (245, 165, 55)).all()


def test_the_named_scale_keeps_all_pixels(run, clip, tmp_path):
    run(['doubler'], clip, tmp_path / 'same.mp4')
    assert frames_of(tmp_path / 'same.mp4')[0].shape[:2] == SIZE[::-1]
    assert '--output-video-scale 2 keeps all pixels' in run.messages
    run(['doubler'], clip, tmp_path / 'twice.mp4', '--output-video-scale', 2)
    assert frames_of(tmp_path / 'twice.mp4')[0].shape[:2] == (2 * SIZE[1], 2 * SIZE[0])
    assert 'keeps all pixels' not in run.messages


def test_an_image_is_written_at_its_size_times_the_scale(run, tmp_path):
    picture = tmp_path / 'in.png'
    cv2.imwrite(str(picture), np.full((60, 80, 3), 90, np.uint8))
    run(['doubler'], picture, tmp_path / 'out.png', *UNMARKED)
    assert cv2.imread(str(tmp_path / 'out.png')).shape == (60, 80, 3)
    run(['doubler'], picture, tmp_path / 'twice.png', *UNMARKED, '--output-image-scale', 2)
    assert cv2.imread(str(tmp_path / 'twice.png')).shape == (120, 160, 3)


@pytest.mark.parametrize(('name', 'codec'), [('out.webm', 'libvpx-vp9'), ('out.mkv', 'libvpx-vp9')])
def test_alpha_is_written(run, clip, tmp_path, name, codec):
    run(['matte'], clip, tmp_path / name, *UNMARKED)
    frames = frames_of(tmp_path / name, codec)
    assert len(frames) == FRAMES and {frame.format.name for frame in frames} == {'yuva420p'}
    alpha = np.frombuffer(frames[7].planes[3], np.uint8).reshape(-1, frames[7].planes[3].line_size)[
        : SIZE[1], : SIZE[0]
    ]
    np.testing.assert_allclose(alpha.mean(0), np.linspace(0, 255, SIZE[0]), atol=8)


def test_alpha_is_refused_before_the_run_where_it_cannot_be_written(program, monkeypatch, clip, tmp_path):
    exercise.install(monkeypatch)
    words = ('headless-run', '--processors', 'matte', '-t', clip, '-o', tmp_path / 'out.mp4')
    assert '.webm' in program.fails(2, 'alpha-container', *words)


def test_neighbours_and_the_original_are_those_of_the_target(run, clip, tmp_path):
    run(['inverter', 'echo'], clip, tmp_path / 'out.mp4', *UNMARKED, '--output-video-quality', 95)
    before, after = ([frame.astype(float) for frame in frames_of(path)] for path in (clip, tmp_path / 'out.mp4'))
    inner = slice(3, CORNER - 3)
    for number in range(FRAMES):
        around = [before[min(max(near, 0), FRAMES - 1)] for near in range(number - 2, number + 3)]
        wanted = np.mean([frame[:CORNER, :CORNER].mean() for frame in around])
        assert abs(after[number][inner, inner].mean() - wanted) < 4
        original = before[number][:CORNER, :CORNER].mean()
        assert abs(after[number][inner, CORNER + 3 : 2 * CORNER - 3].mean() - original) < 4


@pytest.mark.parametrize('chain', CHAINS, ids='+'.join)
def test_any_number_of_workers_renders_the_same_pixels(run, clip, tmp_path, chain):
    for workers in (1, 3):
        output = tmp_path / f'{workers}.mp4'
        run(chain, clip, output, *UNMARKED, '--execution-thread-count', workers, '--cache-size', 0)
    assert digest_of(tmp_path / '1.mp4') == digest_of(tmp_path / '3.mp4')


def test_repeated_frames_are_the_same_and_rendered_once(run, clip, tmp_path):
    run(['inverter'], clip, tmp_path / 'out.mp4', *UNMARKED, '--output-video-fps', 50, '--output-video-quality', 100)
    frames = frames_of(tmp_path / 'out.mp4')
    assert len(frames) == 2 * FRAMES
    assert all(np.abs(a.astype(int) - b).mean() < 1 for a, b in zip(frames[::2], frames[1::2], strict=True))


@pytest.mark.skipif(sys.platform == 'win32', reason='needs SIGKILL')
def test_a_killed_chain_resumes_and_renders_the_same_clip(program, run, tmp_path):
    target = make_tiny_clip(tmp_path / 'long.mp4', 620, (64, 64))
    chain = ['inverter', 'echo', 'doubler', 'network']
    words = ('headless-run', '--processors', *chain, '-t', target, *UNMARKED, '--cache-size', 0, '--progress', 'json')
    process = program.start(*words, '-o', tmp_path / 'out.mp4', script=SCRIPT)
    for line in process.stdout:
        if json.loads(line)['event'] == 'segment_rendered':
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    assert not (tmp_path / 'out.mp4').exists()
    second = program.start(*words, '-o', tmp_path / 'out.mp4', script=SCRIPT)
    said, errors = second.communicate(timeout=120)
    assert second.returncode == 0, errors
    segments = [event for event in map(json.loads, said.splitlines()) if event['event'] == 'segment_rendered']
    assert [event['origin'] for event in segments if event['number'] == 0] == ['work']
    run(chain, target, tmp_path / 'whole.mp4', *UNMARKED, '--cache-size', 0)
    assert digest_of(tmp_path / 'out.mp4') == digest_of(tmp_path / 'whole.mp4')


LOUDNESS = ('loudness',)


@pytest.fixture
def voice(tmp_path, monkeypatch):
    """Two seconds of a tone at 16 kHz that rises from silence to full loudness; it passes the extractor unchanged."""
    monkeypatch.setattr(
        'facefusion.pipeline.prepare.extract_voice',
        lambda sound, folder, extractor, sessions, stop, number: write_voice(sound, folder / 'voice.npy', stop=stop),
    )
    path = tmp_path / 'voice.wav'
    with av.open(str(path), 'w') as output:
        stream = output.add_stream('pcm_s16le', rate=16000, layout='mono')
        wave = np.sin(np.arange(32000) * 0.3) * np.linspace(0, 1, 32000) * 32000
        frame = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], format='s16', layout='mono')
        frame.sample_rate = 16000
        for packet in (*stream.encode(frame), *stream.encode(None)):
            output.mux(packet)
    return path


def shades_of(path):
    return np.array([frame[8:-8, 8:-8].mean() for frame in frames_of(path)])


def wanted_shades(times):
    """Return the loudness of the voice in the 40 ms after each time."""
    return np.array([255 * min(time / 2 + 0.01, 1) / np.sqrt(2) * (time < 2) for time in times])


@pytest.mark.parametrize(('words', 'rate'), [((), 25), (('--output-video-fps', 50), 50)])
def test_every_output_frame_gets_the_audio_of_its_time(run, clip, voice, tmp_path, words, rate):
    run(LOUDNESS, clip, tmp_path / 'out.mp4', '-s', voice, *UNMARKED, *words)
    shades = shades_of(tmp_path / 'out.mp4')
    assert len(shades) == FRAMES * rate // 25
    np.testing.assert_allclose(shades, wanted_shades(np.arange(len(shades)) / rate), atol=6)


@pytest.fixture
def two_voices(tmp_path):
    """Two wav files of a tone at 48 kHz: 1.6 seconds, and half a second that is too loud together with the other."""
    waves = []
    for number, (seconds, pitch, level) in enumerate(((1.6, 0.01, 20000), (0.5, 0.05, 22000))):
        wave = np.round(np.sin(np.arange(round(48000 * seconds)) * pitch) * level)
        waves.append(wave)
        write_wav(tmp_path / f'{number}.wav', wave / 32767, 48000)
    total = waves[0].copy()
    total[: len(waves[1])] += waves[1]
    return f'{tmp_path}/0.wav=0,{tmp_path}/1.wav=2', np.clip(total, -32768, 32767)


def samples_of(path):
    with av.open(str(path)) as file:
        assert len(file.streams.audio) == 1
        return np.concatenate([frame.to_ndarray().ravel() for frame in file.decode(audio=0)])


FLAC = ('--output-audio-encoder', 'flac', '--voice-extractor-model', 'band')


def test_the_output_has_the_mix_of_all_voices_of_a_face_map(run, clip, two_voices, tmp_path):
    """The clip lasts as long as the longer voice; the shorter one begins with it."""
    text, wanted = two_voices
    run(LOUDNESS, clip, tmp_path / 'out.mkv', '--face-map', text, *UNMARKED, *FLAC)
    found = samples_of(tmp_path / 'out.mkv') / 65536
    assert len(found) == len(wanted) and np.abs(found - wanted).max() < 1 and (wanted >= 32767).sum() > 100
    assert 'samples are clipped' in run.messages
    for name in ('0.wav (person 0)', '1.wav (person 2)'):
        assert f'no speech was found in {name}: mouths stay closed' in run.messages
    picture = tmp_path / 'in.png'
    cv2.imwrite(str(picture), np.full((96, 160, 3), 90, np.uint8))
    run(LOUDNESS, picture, tmp_path / 'still.mkv', '--face-map', text, *UNMARKED, *FLAC)
    assert len(frames_of(tmp_path / 'still.mkv')) == FRAMES
    np.testing.assert_array_equal(samples_of(tmp_path / 'still.mkv'), samples_of(tmp_path / 'out.mkv'))


@pytest.mark.skipif(sys.platform == 'win32', reason='needs SIGKILL')
def test_a_killed_run_with_two_voices_resumes_and_writes_the_same_clip(program, run, two_voices, tmp_path):
    target, (text, wanted) = make_tiny_clip(tmp_path / 'long.mp4', 620, (64, 64)), two_voices
    more = (*UNMARKED, *FLAC, '--face-map', text, '--cache-size', 0)
    words = ('headless-run', '--processors', *LOUDNESS, '-t', target, *more, '--progress', 'json')
    process = program.start(*words, '-o', tmp_path / 'out.mkv', script=SCRIPT)
    for line in process.stdout:
        if json.loads(line)['event'] == 'segment_rendered':
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    second = program.start(*words, '-o', tmp_path / 'out.mkv', script=SCRIPT)
    said, errors = second.communicate(timeout=120)
    assert second.returncode == 0, errors
    segments = [event for event in map(json.loads, said.splitlines()) if event['event'] == 'segment_rendered']
    assert [event['origin'] for event in segments if event['number'] == 0] == ['work']
    run(LOUDNESS, target, tmp_path / 'whole.mkv', *more)
    assert digest_of(tmp_path / 'out.mkv') == digest_of(tmp_path / 'whole.mkv')
    found, whole = (samples_of(tmp_path / name) for name in ('out.mkv', 'whole.mkv'))
    np.testing.assert_array_equal(found, whole)
    assert np.abs(found[: len(wanted)] / 65536 - wanted).max() < 1


def test_an_image_with_audio_becomes_a_video(program, run, voice, tmp_path):
    picture = tmp_path / 'in.png'
    cv2.imwrite(str(picture), np.full((96, 161, 3), 90, np.uint8))
    report = run(LOUDNESS, picture, tmp_path / 'out.mp4', '-s', voice, *UNMARKED)
    shades = shades_of(tmp_path / 'out.mp4')
    assert report['frames_changed'] == len(shades) == 50
    np.testing.assert_allclose(shades, wanted_shades(np.arange(50) / 25), atol=6)
    with av.open(str(tmp_path / 'out.mp4')) as file:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
        assert abs(len(sound) / file.streams.audio[0].rate - 2) < 0.1
    assert np.sqrt(np.mean(sound[-8000:] ** 2)) > 5 * np.sqrt(np.mean(sound[:4000] ** 2))
    refused = program.fails(
        1, 'output-extension', 'headless-run', '--processors', *LOUDNESS, '-s', voice, '-t', picture, '-o', 'out.png'
    )
    assert '.mp4' in refused


def test_a_chain_with_audio_renders_the_same_pixels_in_any_way(run, voice, tmp_path):
    picture = tmp_path / 'in.png'
    cv2.imwrite(str(picture), np.random.default_rng(3).integers(0, 255, (64, 64, 3), np.uint8))
    for workers in (1, 3):
        words = ('-s', voice, *UNMARKED, '--execution-thread-count', workers)
        run(['loudness', 'echo', 'doubler'], picture, tmp_path / f'{workers}.mp4', *words)
    assert digest_of(tmp_path / '1.mp4') == digest_of(tmp_path / '3.mp4')


def test_processors_hear_the_voice_and_not_the_music(run, tmp_path):
    picture = tmp_path / 'in.png'
    cv2.imwrite(str(picture), np.zeros((64, 64, 3), np.uint8))
    spoken = resampled(speak('en-us', 'My mother plays the piano.'))
    sound = music(2 * len(spoken))
    sound[len(spoken) :] += spoken / np.abs(spoken).max() / 2
    source = write_wav(tmp_path / 'song.wav', sound)
    run(LOUDNESS, picture, tmp_path / 'out.mp4', '-s', source, *UNMARKED)
    shades = shades_of(tmp_path / 'out.mp4')
    half = len(shades) // 2
    assert shades[: half - 5].max() < 2
    assert np.median(shades[half + 2 :]) > 10
    with av.open(str(tmp_path / 'out.mp4')) as file:
        heard = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    assert np.std(heard[: len(heard) // 3]) > 0.02


@pytest.mark.parametrize(
    ('words', 'extractor', 'network'),
    [((), 'band', 'silero_vad'), (('--voice-extractor-model', 'uvr_mdxnet'), 'uvr_mdxnet', 'uvr_mdxnet')],
)
def test_the_plan_has_the_network_and_the_memory_of_the_voice_extractor(
    program, monkeypatch, voice, tmp_path, words, extractor, network
):
    exercise.install(monkeypatch)
    cv2.imwrite(str(tmp_path / 'in.png'), np.zeros((64, 64, 3), np.uint8))
    paths = ('-t', tmp_path / 'in.png', '-s', voice, '-o', tmp_path / 'out.mp4')
    (event,) = program.run('--processors', *LOUDNESS, *paths, '--dry-run', *words).events
    assert event['plan']['settings']['voice_extractor_model'] == extractor
    assert network in event['plan']['models']
    assert event['plan']['memory_parts']['voice extraction'] > 0


def test_a_missing_audio_source_is_reported(program, monkeypatch, clip, tmp_path):
    exercise.install(monkeypatch)
    words = ('headless-run', '--processors', 'loudness', '-t', clip, '-o', tmp_path / 'out.mp4')
    assert 'wav' in program.fails(2, 'source-audio-missing', *words)
