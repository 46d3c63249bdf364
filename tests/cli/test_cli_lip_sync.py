"""End-to-end tests of the lip syncer, with stand-ins of the published networks and the real embedded models.

The stand-in of Wav2Lip makes the lower face lighter or darker, depending on the mel spectrogram of the voice.
"""

from __future__ import annotations

import itertools
import json
import shutil
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from fakes.media_files import frame_pixels, frame_times, photo_view, write_views
from fakes.program import UNMARKED, Program
from fakes.resume_chaos import SHORT_UNITS
from fakes.sound_files import bursts, loudness, sound_of, write_sound_file
from fakes.stand_ins import enhancer, extractor, lip_syncer, spoken

from facefusion.media.sound import probe_sound
from facefusion.media.voice import write_voice
from facefusion.voice.mel import mel_window

pytestmark = pytest.mark.network
# The stand-in of this extractor keeps all sounds.
VOICE = ('--voice-extractor-model', 'uvr_mdxnet')
LIPS = ('--processors', 'lip_syncer', '--lip-syncer-model', 'wav2lip_96', *VOICE)
FRAMES = 20
SECONDS = 0.8


@pytest.fixture(scope='module')
def weights(store, tmp_path_factory) -> Path:
    """A folder of weights with the embedded models and stand-ins of published ones."""
    folder = tmp_path_factory.mktemp('lips') / 'weights'
    folder.mkdir()
    for name in ('open_nsfw', 'face_mesh', 'centerface', 'dlib_face_resnet', 'silero_vad'):
        (folder / store.path(name).name).symlink_to(store.path(name))
    (folder / 'lock.json').write_bytes((store.weights / 'lock.json').read_bytes())
    files = {
        'wav2lip_96': lip_syncer(96, False, 1),
        'edtalk_256': lip_syncer(256, True, 1),
        'gfpgan_1.4': enhancer(512),
        'uvr_mdxnet': extractor(),
    }
    for name, data in files.items():
        path = folder.parent / f'{name}.onnx'
        path.write_bytes(data)
        done = Program(folder)('models', 'import', path, '--as', name, '--models-path', folder)
        assert done.code == 0, done.err
    return folder


@pytest.fixture(scope='module')
def clip(example_group, tmp_path_factory) -> Path:
    """A slow pan over three faces, with a tone."""
    photo = cv2.imread(str(example_group))
    path = tmp_path_factory.mktemp('clip') / 'clip.mp4'
    return write_views(path, lambda number: photo_view(photo, 330 + number, 290, 480), FRAMES)


@pytest.fixture(scope='module')
def portrait(example_portrait, tmp_path_factory) -> Path:
    """A square of 256 pixels with one face, whose mouth is in the middle."""
    path = tmp_path_factory.mktemp('portrait') / 'portrait.png'
    cv2.imwrite(str(path), cv2.imread(str(example_portrait))[20:276, 96:352])
    return path


@pytest.fixture
def voice(tmp_path) -> Path:
    return write_sound_file(tmp_path / 'voice.wav', bursts(SECONDS, 16000), 16000, 'pcm_s16le')


@pytest.fixture
def sync(program, weights):
    """Return a function that runs the lip syncer and returns the result of the program."""

    def run(*words):
        return program.run(*LIPS, *words, '--models-path', weights, *UNMARKED)

    return run


def mouth_levels(path: Path, portrait: Path) -> np.ndarray:
    """Return the mean level of the changed part of each frame of a clip of the portrait."""
    frames = np.array(frame_pixels(path)).astype(float)
    changed = np.abs(frames - cv2.imread(str(portrait))).mean((0, 3)) > 12
    assert 0.005 < changed.mean() < 0.15
    return frames[:, changed].mean((1, 2))


def wanted_levels(voice: Path, folder: Path, count: int, rate: Fraction = Fraction(25)) -> np.ndarray:
    """Return the level that the stand-in adds at each frame."""
    samples = write_voice(probe_sound(voice), folder / 'wanted.npy')
    target = np.full((6, 1, 1), 0.5)
    outputs = [spoken(target, mel_window(samples, number / rate)) for number in range(count)]
    return np.array([255 * np.clip(output, 0, 1).mean() for output in outputs])


SOUNDS = {
    'voice.wav': ('pcm_s16le', 16000, 'mono'),
    'stereo.wav': ('pcm_s16le', 48000, 'stereo'),
    'surround.wav': ('pcm_s16le', 48000, '5.1'),
    'slow.wav': ('pcm_s16le', 8000, 'mono'),
    'float.wav': ('pcm_f32le', 96000, 'stereo'),
    'voice.mp3': ('libmp3lame', 44100, 'stereo'),
    'voice.m4a': ('aac', 44100, 'stereo'),
    'voice.flac': ('flac', 48000, 'mono'),
    'voice.ogg': ('vorbis', 44100, 'stereo'),
    'voice.opus': ('libopus', 48000, 'mono'),
}


@pytest.mark.parametrize('name', [*SOUNDS, 'clip.mp4'])
def test_a_portrait_speaks_with_any_kind_of_voice(sync, portrait, tmp_path, name):
    codec, rate, layout = SOUNDS.get(name, ('aac', 44100, 'mono'))
    path = tmp_path / name
    write_sound_file(path, bursts(SECONDS, rate, av.AudioLayout(layout).nb_channels), rate, codec, layout)
    output = tmp_path / 'out.mp4'
    report = sync('-s', path, '-t', portrait, '-o', output).report
    count = len(frame_times(output))
    assert report['frames_changed'] == count and count in (20, 21, 22)
    assert frame_times(output)[:3] == [0, Fraction(1, 25), Fraction(2, 25)]
    found, wanted = mouth_levels(output, portrait), wanted_levels(path, tmp_path, count)
    assert wanted.std() > 5 and np.corrcoef(found, wanted)[0, 1] > 0.97
    # The sound of the output is the voice.
    heard, spoken_wave = loudness(sound_of(output), 25), loudness(sound_of(path), 25)
    shared = min(len(heard), len(spoken_wave))
    assert shared >= 19 and np.corrcoef(heard[:shared], spoken_wave[:shared])[0, 1] > 0.97


@pytest.mark.parametrize(('fps', 'rate'), [('30', Fraction(30)), ('29.97', Fraction(30000, 1001))])
def test_a_portrait_speaks_at_the_rate_of_the_option(sync, portrait, voice, tmp_path, fps, rate):
    output = tmp_path / 'out.mp4'
    sync('-s', voice, '-t', portrait, '-o', output, '--output-video-fps', fps)
    times = frame_times(output)
    assert len(times) == round(SECONDS * rate) and times[4] == 4 / rate
    found, wanted = mouth_levels(output, portrait), wanted_levels(voice, tmp_path, len(times), rate)
    assert np.corrcoef(found, wanted)[0, 1] > 0.97


def test_the_weight_changes_the_motion(sync, portrait, voice, tmp_path):
    motions = []
    for weight in (0, 0.5, 1):
        sync('-s', voice, '-t', portrait, '-o', tmp_path / 'out.mp4', '--lip-syncer-weight', weight)
        motions.append(mouth_levels(tmp_path / 'out.mp4', portrait).std())
    assert motions[0] < 1 and motions[1] > 5 and motions[2] > 1.3 * motions[1]


def test_edtalk_runs_too_and_auto_selects_the_best_model_of_this_machine(program, weights, portrait, voice, tmp_path):
    words = ('-s', voice, '-t', portrait, '--models-path', weights, *VOICE, *UNMARKED)
    chosen = program.run('--processors', 'lip_syncer', *words, '-o', tmp_path / 'auto.mp4')
    assert 'lip syncer model edtalk_256' in chosen.err and 'fetch' in chosen.err
    program.run(*LIPS[:3], 'edtalk_256', *words, '-o', tmp_path / 'named.mp4')
    frames = [np.array(frame_pixels(tmp_path / f'{name}.mp4')) for name in ('auto', 'named')]
    np.testing.assert_array_equal(*frames)
    # EDTalk repaints the whole crop.
    changed = np.abs(frames[0].astype(float) - cv2.imread(str(portrait))).mean((0, 3)) > 8
    assert changed.mean() > 0.1


def test_a_short_voice_is_followed_by_silence_and_a_mouth_at_rest(sync, clip, tmp_path):
    short = write_sound_file(tmp_path / 'short.wav', bursts(0.4, 16000), 16000, 'pcm_s16le')
    done = sync('-s', short, '-t', clip, '-o', tmp_path / 'out.mp4', '--face-selector-mode', 'one')
    assert 'short.wav is shorter than the output: the last 0.40 seconds are silent' in done.err
    levels = loudness(sound_of(tmp_path / 'out.mp4'), 25)
    assert done.report['frames_changed'] == FRAMES and len(frame_times(tmp_path / 'out.mp4')) == FRAMES
    assert levels[:4].min() > 0.05 and levels[12:].max(initial=0) < 0.01
    wanted = wanted_levels(short, tmp_path, FRAMES)
    assert np.ptp(wanted[12:]) < 1e-6 and np.ptp(wanted[:10]) > 5


def test_a_long_voice_is_cut_and_it_is_said(sync, clip, tmp_path):
    long = write_sound_file(tmp_path / 'long.wav', bursts(3, 16000), 16000, 'pcm_s16le')
    done = sync('-s', long, '-t', clip, '-o', tmp_path / 'out.mp4')
    assert 'long.wav is longer than the output: its last 2.20 seconds are left out' in done.err
    assert len(frame_times(tmp_path / 'out.mp4')) == FRAMES
    assert len(sound_of(tmp_path / 'out.mp4')) == pytest.approx(0.8 * 16000, abs=1600)


def test_a_clip_speaks_with_its_own_sound(sync, face_clip, tmp_path):
    done = sync('-s', face_clip, '-t', face_clip, '-o', tmp_path / 'out.mp4', '--trim-frame-end', 10)
    assert done.report['frames_changed'] == 10 and 'is replaced' not in done.err
    heard, wanted = sound_of(tmp_path / 'out.mp4'), sound_of(face_clip)
    assert np.abs(heard[1000:5000]).max() == pytest.approx(np.abs(wanted[1000:5000]).max(), rel=0.1)


def test_the_voice_replaces_the_sound_of_the_clip(sync, face_clip, voice, tmp_path):
    done = sync('-s', voice, '-t', face_clip, '-o', tmp_path / 'out.mp4', '--trim-frame-end', 20)
    assert 'the audio of clip.mp4 is replaced by the audio of voice.wav' in done.err
    heard, wanted = loudness(sound_of(tmp_path / 'out.mp4'), 25), loudness(sound_of(voice), 25)
    assert np.corrcoef(heard[:19], wanted[:19])[0, 1] > 0.97


@pytest.mark.parametrize('extension', ['mov', 'webm', 'avi'])
def test_containers_and_encoders_work_as_for_other_processors(sync, portrait, voice, tmp_path, extension):
    output = tmp_path / f'out.{extension}'
    sync('-s', voice, '-t', portrait, '-o', output)
    assert len(frame_times(output)) == 20
    heard = loudness(sound_of(output), 25)
    assert np.corrcoef(heard[:19], loudness(sound_of(voice), 25)[:19])[0, 1] > 0.95


def test_volume_and_encoder_of_the_options_apply_to_the_voice(sync, portrait, voice, tmp_path):
    levels = []
    for volume in (100, 50):
        words = ('--output-audio-volume', volume, '--output-audio-encoder', 'flac')
        sync('-s', voice, '-t', portrait, '-o', tmp_path / 'out.mkv', *words)
        levels.append(np.abs(sound_of(tmp_path / 'out.mkv')).mean())
        with av.open(str(tmp_path / 'out.mkv')) as container:
            assert container.streams.audio[0].codec_context.name == 'flac'
    assert levels[1] == pytest.approx(levels[0] / 2, rel=0.01)
    sync('-s', voice, '-t', portrait, '-o', tmp_path / 'mute.mp4', '--output-audio-volume', 0)
    with av.open(str(tmp_path / 'mute.mp4')) as container:
        assert not container.streams.audio
    # The mouth moves even if nothing is heard.
    assert mouth_levels(tmp_path / 'mute.mp4', portrait).std() > 5


def changed_columns(path: Path, clip: Path) -> np.ndarray:
    """Return the share of changed pixels in each of eight columns of the clip."""
    changed = np.abs(np.array(frame_pixels(path)).astype(int) - np.array(frame_pixels(clip))).max(-1) > 40
    return changed.mean((0, 1)).reshape(8, -1).mean(1)


def test_the_selector_says_who_speaks(sync, clip, voice, tmp_path):
    columns = {}
    for name, words in {'many': (), 'left': ('left-right',), 'right': ('right-left',)}.items():
        options = ('--face-selector-mode', 'one', '--face-selector-order', *words) if words else ()
        done = sync('-s', voice, '-t', clip, '-o', tmp_path / f'{name}.mp4', *options)
        columns[name] = changed_columns(tmp_path / f'{name}.mp4', clip) > 0.005
        assert done.report['frames_changed'] == FRAMES
    assert columns['left'].any() and columns['right'].any() and not (columns['left'] & columns['right']).any()
    assert (columns['many'] >= (columns['left'] | columns['right'])).all()


@pytest.fixture
def coming_and_going(example_group, tmp_path):
    """A clip whose frames 12 to 35 show faces in the shot of a grey wall."""
    photo = cv2.imread(str(example_group))

    def view(number: int) -> np.ndarray:
        return photo_view(photo, 330, 290 if 12 <= number < 36 else 2900, 480)

    return write_views(tmp_path / 'gaps.mp4', view, 48)


def test_frames_without_a_face_pass_untouched(sync, coming_and_going, voice, tmp_path):
    report = sync('-s', voice, '-t', coming_and_going, '-o', tmp_path / 'out.mp4').report
    assert report['frames_changed'] == 24 and report['ranges_without_face'] == [[0, 11], [36, 47]]
    before, after = (np.array(frame_pixels(path)).astype(int) for path in (coming_and_going, tmp_path / 'out.mp4'))
    difference = np.abs(before - after).mean((1, 2, 3))
    assert difference[[*range(12), *range(36, 48)]].max() < 1.5


def test_a_face_that_leaves_gets_its_own_mouth_back(sync, example_portrait, voice, tmp_path):
    photo = cv2.imread(str(example_portrait))
    clip = write_views(tmp_path / 'pan.mp4', lambda k: photo_view(photo, 180 + 6 * k, 140, 300), 48)
    # At quality 100, the encoder is lossless.
    report = sync('-s', voice, '-t', clip, '-o', tmp_path / 'out.mp4', '--output-video-quality', 100).report
    before, after = (np.array(frame_pixels(path)).astype(int) for path in (clip, tmp_path / 'out.mp4'))
    (gone,) = report['ranges_without_face']
    assert 15 < gone[0] < gone[1] == 47
    strongest = np.quantile(np.abs(before - after).max(-1), 0.999, axis=(1, 2))
    usual, fading = np.median(strongest[: gone[0] - 6]), strongest[gone[0] - 5 : gone[0]]
    assert usual > 60 and fading[-1] < usual / 3 and (np.diff(fading) < 0).all()
    assert strongest[gone[0] :].max() == 0


def test_one_chain_swaps_and_syncs(program, weights, clip, portrait_source, tmp_path):
    sound = write_sound_file(tmp_path / 'voice.mp3', bursts(0.8, 44100, 2), 44100, 'libmp3lame', 'stereo')
    outputs = []
    for number, sources in enumerate(((portrait_source, sound), (sound, portrait_source))):
        output = tmp_path / f'{number}.mp4'
        words = ('--processors', 'face_swapper', 'lip_syncer', '--face-swapper-model', 'mesh_warp', *LIPS[2:])
        words += ('-s', *sources, '-t', clip, '-o', output, '--models-path', weights, '--face-selector-mode', 'one')
        assert program.run(*words, *UNMARKED).report['frames_changed'] == FRAMES
        outputs.append(np.array(frame_pixels(output)))
    np.testing.assert_array_equal(*outputs)
    assert loudness(sound_of(tmp_path / '0.mp4'), 25)[:4].min() > 0.05


def test_the_credentials_name_the_voice_and_the_file_is_marked(
    program, weights, clip, portrait_source, voice, tmp_path
):
    words = ('--processors', 'face_swapper', 'lip_syncer', '--face-swapper-model', 'mesh_warp', *LIPS[2:])
    words += ('-s', portrait_source, voice, '-t', clip, '-o', tmp_path / 'out.mp4', '--models-path', weights)
    program.run(*words)
    checked = program('verify', tmp_path / 'out.mp4')
    assert checked.code == 0, checked.err
    for text in (
        'source: voice.wav, sha256',
        f'source: {portrait_source.name}, sha256',
        'c2pa.edited: lip_syncer, compositeWithTrainedAlgorithmicMedia',
        'mark:          found',
    ):
        assert text in checked.out


def test_a_chain_is_one_pass(program, weights, portrait_source, clip, voice, tmp_path, monkeypatch):
    """A chain of three processors opens the files that the lip syncer alone opens, and writes no images."""
    real, opened = av.open, []

    def counting(file, mode='r', *arguments, **named):
        name = Path(file).name if isinstance(file, (str, Path)) else 'stream'
        # Names of work files contain the number of the process.
        opened.append((name.split('@')[0].split('.')[0], mode))
        return real(file, mode, *arguments, **named)

    def files_of(*chain):
        opened.clear()
        options = ('--face-swapper-model', 'mesh_warp', '--face-enhancer-model', 'gfpgan_1.4', *LIPS[2:])
        words = ('--processors', *chain, *options, '-t', clip, '--models-path', weights, '--cache-size', 0)
        program.run(*words, '-s', portrait_source, voice, '-o', tmp_path / f'{len(chain)}.mp4', *UNMARKED)
        return list(opened)

    monkeypatch.setattr(av, 'open', counting)
    alone = files_of('lip_syncer')
    assert files_of('face_swapper', 'lip_syncer', 'face_enhancer') == alone
    # One encoding, and one joining of the packets with the sound.
    assert [name for name, mode in alone if mode == 'w' and name != 'stream'] == ['segment-00000', 'clip']
    assert not [path for path in tmp_path.rglob('*') if path.suffix in ('.png', '.bmp', '.jpg', '.tiff')]


def digest(path: Path) -> bytes:
    return np.array(frame_pixels(path)).tobytes()


def test_workers_and_segments_change_no_pixel(program, weights, coming_and_going, voice, tmp_path, monkeypatch):
    import facefusion.steps.step_run as step_run

    make_plan, found = step_run.make_plan, set()
    for workers, frames in ((1, 250), (3, 250), (2, 7)):
        monkeypatch.setattr(
            step_run,
            'make_plan',
            lambda *words, frames=frames, **more: make_plan(*words, **more, segment_frames=frames),
        )
        output = tmp_path / f'{workers}.mp4'
        # At quality 100, the encoder is lossless.
        words = ('-s', voice, '-t', coming_and_going, '-o', output, '--output-video-quality', 100, '--cache-size', 0)
        program.run(*LIPS, *words, '--execution-thread-count', workers, '--models-path', weights, *UNMARKED)
        found.add(digest(output))
    assert len(found) == 1


def test_an_interrupted_run_resumes_and_is_equal(program, weights, portrait, tmp_path):
    sound = write_sound_file(tmp_path / 'long.wav', bursts(2, 16000), 16000, 'pcm_s16le')
    words = ('headless-run', *LIPS, '-s', sound, '-t', portrait, '--models-path', weights, *UNMARKED)
    words += ('--progress', 'json')

    def run(name, kills=False):
        """Run a process with short segments; return the origins of the segments by their first frame."""
        process, origins = program.start(*words, '-o', tmp_path / name, script=SHORT_UNITS), {}
        for line in process.stdout:
            event = json.loads(line)
            if event['event'] == 'segment_rendered':
                origins[event['start']] = event['origin']
                if kills:
                    process.kill()
        process.communicate()
        assert process.returncode == (-9 if kills else 0)
        return origins

    assert 0 < len(run('out.mp4', kills=True)) < 6
    assert not (tmp_path / 'out.mp4').exists()
    origins = list(run('out.mp4').values())
    assert origins[0] == 'work' and origins[-1] == 'rendered' and len(origins) >= 6
    shutil.rmtree(tmp_path / 'jobs')
    assert set(run('whole.mp4').values()) == {'rendered'}
    assert digest(tmp_path / 'out.mp4') == digest(tmp_path / 'whole.mp4')


# Bad input


def write_bad(folder: Path, name: str, portrait: Path, clip: Path) -> Path:
    path = folder / name
    if name == 'zero.wav':
        path.write_bytes(b'')
    elif name == 'corrupt.mp3':
        path.write_bytes(np.random.default_rng(0).integers(0, 256, 20000, np.uint8).tobytes())
    elif name == 'half.mp3':
        data = write_sound_file(folder / 'good.mp3', bursts(2, 44100), 44100, 'libmp3lame').read_bytes()
        path.write_bytes(data[:700] + np.random.default_rng(0).integers(0, 256, len(data), np.uint8).tobytes())
    elif name == 'locked.m4a':
        # The data of a protected file are encrypted.
        data = bytearray(write_sound_file(path, bursts(1, 44100), 44100, 'aac').read_bytes())
        begin = data.find(b'mdat') + 4
        end = begin - 8 + int.from_bytes(data[begin - 8 : begin - 4], 'big')
        data[begin:end] = np.random.default_rng(0).integers(0, 256, end - begin, np.uint8).tobytes()
        path.write_bytes(data.replace(b'mp4a', b'drms'))
    elif name == 'picture.mp3':
        shutil.copy(portrait, path)
    elif name == 'mute.mp4':
        shutil.copy(clip, path)
    elif name == 'text.wav':
        path.write_text('no sound ' * 500)
    elif name == 'one.wav':
        write_sound_file(path, bursts(1 / 16000, 16000), 16000, 'pcm_s16le')
    return path


@pytest.mark.parametrize(
    ('name', 'code', 'reference'),
    [
        ('zero.wav', 1, 'media-empty'),
        ('corrupt.mp3', 1, 'media-content-unknown'),
        ('half.mp3', 1, 'audio-damaged'),
        ('locked.m4a', 1, 'audio-damaged'),
        ('picture.mp3', 2, 'source-audio-missing'),
        ('mute.mp4', 1, 'audio-missing'),
        ('text.wav', 1, 'media-content-unknown'),
        ('one.wav', 1, 'audio-too-short'),
        ('nothing.wav', 1, 'media-missing'),
    ],
)
def test_a_bad_voice_is_refused(program, weights, portrait, clip, tmp_path, name, code, reference):
    path = write_bad(tmp_path, name, portrait, clip)
    words = ('headless-run', *LIPS, '-s', path, '-t', clip, '-o', tmp_path / 'out.mp4', '--models-path', weights)
    assert name.split('.')[0] in program.fails(code, reference, *words)


def test_without_a_voice_among_the_sources_the_run_is_refused(program, weights, portrait, clip, tmp_path):
    words = ('headless-run', *LIPS, '-t', clip, '-o', tmp_path / 'out.mp4', '--models-path', weights)
    assert 'cause' not in program.fails(2, 'source-audio-missing', *words)
    said = program.fails(2, 'source-audio-missing', *words, '-s', portrait)
    assert 'portrait.png is an image' in said
    assert 'each of 2 sources is an image' in program.fails(2, 'source-audio-missing', *words, '-s', portrait, portrait)


def test_a_second_voice_is_ignored_and_it_is_said(sync, portrait, voice, tmp_path):
    other = write_sound_file(tmp_path / 'other.wav', bursts(3, 16000, period=0.6), 16000, 'pcm_s16le')
    done = sync('-s', voice, other, '-t', portrait, '-o', tmp_path / 'out.mp4')
    assert 'the audio of other.wav is ignored: voice.wav is the voice' in done.err
    assert len(frame_times(tmp_path / 'out.mp4')) == 20


def test_an_image_with_a_voice_cannot_become_an_image(program, weights, portrait, voice, tmp_path):
    words = ('headless-run', *LIPS, '-s', voice, '-t', portrait, '-o', tmp_path / 'out.png', '--models-path', weights)
    said = program.fails(1, 'output-extension', *words)
    assert 'an image with a voice becomes a video' in said and '.mp4' in said


def test_audio_without_speech_leaves_the_mouth_at_rest(sync, portrait, tmp_path):
    silence = write_sound_file(tmp_path / 'silence.wav', 0 * bursts(0.4, 16000), 16000, 'pcm_s16le')
    sync('-s', silence, '-t', portrait, '-o', tmp_path / 'out.mp4')
    frames = np.array(frame_pixels(tmp_path / 'out.mp4')).astype(int)
    assert max(np.abs(a - b).mean() for a, b in itertools.pairwise(frames)) < 0.2


@pytest.mark.parametrize('colour', [(200, 190, 150), (240, 240, 240)])
def test_a_face_whose_mouth_is_hidden_is_unchanged_and_it_is_said(sync, portrait, voice, tmp_path, colour):
    picture = cv2.imread(str(portrait))
    picture[108:160, 90:166] = colour
    cv2.imwrite(str(tmp_path / 'hidden.png'), picture)
    done = sync('-s', voice, '-t', tmp_path / 'hidden.png', '-o', tmp_path / 'out.mp4')
    assert done.report['frames_changed'] == 0
    assert 'no frame was changed: masks leave nothing of the faces' in done.err


def test_a_picture_without_a_human_face_is_unchanged_and_it_is_said(sync, voice, tmp_path):
    animal = np.full((256, 256, 3), (90, 150, 90), np.uint8)
    cv2.ellipse(animal, (128, 140), (60, 75), 0, 0, 360, (60, 90, 140), -1)
    for x in (100, 156):
        cv2.circle(animal, (x, 120), 8, (20, 20, 20), -1)
        cv2.fillConvexPoly(animal, np.array([[x - 20, 90], [x + 20, 90], [x, 40]], np.int32), (60, 90, 140))
    cv2.circle(animal, (128, 155), 10, (30, 30, 60), -1)
    cv2.imwrite(str(tmp_path / 'animal.png'), animal)
    done = sync('-s', voice, '-t', tmp_path / 'animal.png', '-o', tmp_path / 'out.mp4')
    assert done.report['frames_changed'] == 0 and 'no face was found' in done.err
