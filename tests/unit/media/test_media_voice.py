"""Tests of a file's audio for processors: samples of any kind of file have the right times, in bounded memory."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
import wave as wave_files
import zlib
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import make_clip
from sounds import decoded, resampled, voice_like, write_sound

from facefusion.errors import Interrupted, MediaError, OutputError, ResourceError
from facefusion.media.kinds import AUDIO_EXTENSIONS, find_kind
from facefusion.media.probe import probe
from facefusion.media.sound import probe_sound
from facefusion.media.voice import Voice, voice_size, write_voice
from facefusion.stopping import StopFlag

ROOT = Path(__file__).resolve().parents[3]
# Codecs fade audio in and out over this many seconds at its ends.
EDGE = 0.05


def voice_of(path: Path) -> Voice:
    return write_voice(probe_sound(path), path.with_name('voice.npy'))


def wav(path: Path, samples: np.ndarray, rate: int = 16000) -> Path:
    """Write 16-bit samples, [n] or [channels, n], with the standard library."""
    with wave_files.open(str(path), 'wb') as file:
        file.setnchannels(len(np.atleast_2d(samples)))
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.atleast_2d(samples).T.astype('<i2').tobytes())
    return path


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-32768, 32768, count).astype(np.int16)


def refused(path: Path) -> MediaError:
    with pytest.raises(MediaError) as caught:
        probe_sound(path)
    assert caught.value.hint
    return caught.value


def test_windows_are_exact_samples_with_silence_outside(tmp_path: Path) -> None:
    samples = noise(8000)
    voice = voice_of(wav(tmp_path / 'a.wav', samples))
    assert (voice.rate, voice.sample_count, voice.duration) == (16000, 8000, Fraction(1, 2))
    whole = np.concatenate([np.zeros(20000), samples / 32768, np.zeros(30000)]).astype(np.float32)
    numbers = np.random.default_rng(1)
    for start, seconds in [
        (0, 0.5),
        (-0.25, 1.0),
        (0.4, 0.5),
        (-1, 0.5),
        (0.5, 0.2),
        (0.1, 0),
        *numbers.uniform(0, 1, (40, 2)),
    ]:
        first, count = 20000 + round(start * 16000), round(seconds * 16000)
        window = voice.window(float(start), float(seconds))
        assert window.dtype == np.float32
        assert np.array_equal(window, whole[first : first + count])
    exact = voice.window(Fraction(7, 25), Fraction(1, 25))
    assert np.array_equal(exact, whole[20000 + 4480 : 20000 + 5120])
    exact[:] = 9
    assert np.array_equal(voice.window(Fraction(7, 25), 0.04), whole[24480:25120])


@pytest.mark.parametrize(
    ('name', 'codec', 'rate', 'loss'),
    [
        ('a.wav', 'pcm_s24le', 44100, 1e-3),
        ('a.flac', 'flac', 44100, 1e-3),
        ('a.mp3', 'libmp3lame', 44100, 0.05),
        ('a.m4a', 'aac', 44100, 0.15),
        ('a.ogg', 'libopus', 48000, 0.1),
        ('a.opus', 'libopus', 48000, 0.1),
        ('a.mp4', 'aac', 48000, 0.1),
        ('a.mov', 'pcm_s16be', 32000, 1e-3),
        ('a.mkv', 'pcm_s16le', 22050, 1e-3),
        ('a.webm', 'libopus', 48000, 0.1),
        ('a.avi', 'pcm_s16le', 44100, 1e-3),
        ('a.wmv', 'wmav2', 44100, 0.2),
    ],
)
def test_every_kind_of_file_is_in_sync(tmp_path: Path, name: str, codec: str, rate: int, loss: float) -> None:
    said = voice_like(0.6, rate)
    path = write_sound(tmp_path / name, [(0, said)], rate, codec, pictures=5 if name in ('a.mp4', 'a.avi') else 0)
    voice = voice_of(path)
    wanted = voice_like(0.6, 16000)
    edge = round(EDGE * 16000)
    # Times of packets in wmv are in milliseconds.
    slack = 8 if name == 'a.wmv' else 0
    found = [voice.window(Fraction(lag, 16000), 0.6) for lag in range(-slack, slack + 1)]
    assert min(np.abs(window - wanted)[edge:-edge].max() for window in found) < loss
    assert float(voice.duration) == pytest.approx(0.6, abs=0.001 if loss < 0.1 else 0.05)
    # A delay of one sample would fail this test, because neighbouring samples differ by more than 0.1.
    assert np.abs(np.roll(wanted, 1) - wanted)[edge:-edge].max() > 0.1


def test_a_lower_rate_agrees_with_a_long_sinc_over_an_independent_decode(tmp_path: Path) -> None:
    path = write_sound(tmp_path / 'a.mp3', [(0, voice_like(0.4, 44100))], 44100, 'libmp3lame', layout='stereo')
    wanted = resampled(decoded(path).mean(axis=0), 44100, 16000)
    found = voice_of(path).window(0, 0.4)
    assert len(found) == len(wanted) == 6400
    assert np.abs(found - wanted)[300:-300].max() < 2e-3


def test_another_rate_on_request(tmp_path: Path) -> None:
    path = wav(tmp_path / 'a.wav', voice_like(0.5, 16000) * 32767)
    voice = write_voice(probe_sound(path), tmp_path / 'v.npy', rate=48000)
    assert (voice.rate, voice.sample_count) == (48000, 24000)
    assert np.abs(voice.window(0, 0.5) - voice_like(0.5, 48000))[900:-900].max() < 1e-3
    assert len(voice.window(0.1, 0.2)) == 9600


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = noise(4000) // 4, noise(4000, 1) // 4
    voice = voice_of(wav(tmp_path / 'a.wav', np.stack([left, right])))
    assert np.array_equal(voice.window(0, 0.25), ((left / 32768 + right / 32768) / 2).astype(np.float32))
    assert not voice_of(wav(tmp_path / 'b.wav', np.stack([left, -left]))).window(0, 0.25).any()
    surround = write_sound(tmp_path / 'c.flac', [(0, voice_like(0.3, 16000))], 16000, 'flac', layout='5.1')
    assert np.abs(voice_of(surround).window(0, 0.3) - voice_like(0.3, 16000)).max() < 1e-3


@pytest.mark.parametrize('name', ['a.mkv', 'a.mp4', 'a.mov'])
def test_audio_that_begins_late_is_heard_late(tmp_path: Path, name: str) -> None:
    said = voice_like(0.4, 16000)
    codec = 'flac' if name == 'a.mp4' else 'pcm_s16le'
    voice = voice_of(write_sound(tmp_path / name, [(0.5, said)], 16000, codec, pictures=5))
    assert not voice.window(0, 0.499).any()
    assert np.abs(voice.window(0.5, 0.4) - said).max() < 1e-3
    assert voice.sample_count == 14400


def test_audio_that_begins_late_in_flv_is_heard_late(tmp_path: Path) -> None:
    path = write_sound(tmp_path / 'a.flv', [(0.5, voice_like(0.4, 44100))], 44100, 'aac', pictures=5)
    info = probe_sound(path)
    assert (info.content, info.origin) == ('flv', 0)
    voice = write_voice(info, tmp_path / 'v.npy')
    assert np.abs(voice.window(0, 0.45)).max() < 1e-3
    # Times in flv are in milliseconds.
    found = [voice.window(Fraction(9600 + lag, 16000), 0.2) for lag in range(-16, 17)]
    assert min(np.abs(window - voice_like(0.4, 16000)[1600:4800]).max() for window in found) < 0.2


def test_an_arbitrary_clock_is_not_silence(tmp_path: Path) -> None:
    said = voice_like(0.5, 48000)
    late = write_sound(tmp_path / 'a.ts', [(7.3, said)], 48000, 'mp2', pictures=5, begin=7)
    info = probe_sound(late)
    assert info.origin == 7
    assert info.origin == Fraction(probe(late).clock, 90000)
    found = write_voice(info, tmp_path / 'v.npy').window(Fraction(4, 10), 0.3)
    assert np.abs(found - voice_like(0.5, 16000)[1600:6400]).max() < 0.15
    alone = write_sound(tmp_path / 'b.ts', [(7.3, said)], 48000, 'mp2')
    assert float(probe_sound(alone).origin) == pytest.approx(7.29, abs=0.001)


def test_gaps_are_silence(tmp_path: Path) -> None:
    said = [voice_like(0.25, 16000, seed) for seed in (1, 2)]
    voice = voice_of(write_sound(tmp_path / 'a.mkv', [(0, said[0]), (0.5, said[1])], 16000, 'pcm_s16le'))
    assert np.abs(voice.window(0, 0.25) - said[0]).max() < 1e-3
    assert not voice.window(0.25, 0.25).any()
    assert np.abs(voice.window(0.5, 0.25) - said[1]).max() < 1e-3


def test_overlapping_audio_is_heard_once(tmp_path: Path) -> None:
    said = [voice_like(0.48, 48000, seed) for seed in (1, 2)]
    paths = [
        write_sound(tmp_path / f'{at}.ts', [(at, wave)], 48000, 'mp2') for at, wave in ((5, said[0]), (5.2, said[1]))
    ]
    path = tmp_path / 'both.ts'
    path.write_bytes(b''.join(part.read_bytes() for part in paths))
    info = probe_sound(path)
    (remark,) = [remark for remark in info.remarks if 'overlap earlier audio' in remark]
    assert float(remark.split()[0]) == pytest.approx(0.29, abs=0.03)
    # The encoder delays the audio by a hundredth of a second.
    voice = write_voice(info, tmp_path / 'v.npy')
    assert np.abs(voice.window(0.11, 0.3) - voice_like(0.48, 16000)[1600:6400]).max() < 0.15
    second = voice_like(0.48, 16000, 2)[5600:7200]
    assert min(np.abs(voice.window(0.56 + at / 16000, 0.1) - second).max() for at in range(-16, 17)) < 0.15


def test_gaps_keep_their_times_at_another_rate(tmp_path: Path) -> None:
    said = [voice_like(0.25, 44100, seed) for seed in (1, 2)]
    voice = voice_of(write_sound(tmp_path / 'a.mkv', [(0, said[0]), (0.6, said[1])], 44100, 'pcm_s16le'))
    assert not voice.window(0.2505, 0.349).any()
    assert np.abs(voice.window(0.65, 0.15) - voice_like(0.25, 16000, 2)[800:3200]).max() < 1e-3
    assert voice.sample_count == 13600


def test_a_second_process_reads_the_same_and_detects_damage(tmp_path: Path) -> None:
    voice = voice_of(wav(tmp_path / 'a.wav', noise(4000)))
    assert voice.path.stat().st_size == voice_size(probe_sound(tmp_path / 'a.wav')) + 128
    code = (
        'import sys, zlib; from contextlib import closing; from pathlib import Path\n'
        'from facefusion.media.voice import Voice\n'
        'with closing(Voice.open(Path(sys.argv[1]))) as voice:\n'
        '    print(voice.rate, voice.sha256, zlib.crc32(voice.window(0.1, 0.1).tobytes()))'
    )
    run = [sys.executable, '-c', code, str(voice.path)]
    said = subprocess.run(run, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    assert said == ['16000', voice.sha256, str(zlib.crc32(voice.window(0.1, 0.1).tobytes()))]
    voice.close()
    data = bytearray(voice.path.read_bytes())
    data[-1] ^= 1
    voice.path.write_bytes(data)
    for _ in range(2):
        with pytest.raises(ResourceError) as caught:
            Voice.open(voice.path)
        assert caught.value.reference == 'work-unreadable'
        voice.path.unlink(missing_ok=True)


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    path = tmp_path / 'a.wav'
    with wave_files.open(str(path), 'wb') as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(16000)
        file.writeframes(bytes(16000 * 60))
    tracemalloc.start()
    try:
        voice = voice_of(path)
        voice.window(30, 1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert voice.path.stat().st_size > 3_800_000
    assert peak < 700_000


def test_files_without_audio_have_different_errors(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / 'empty.mp3').touch()
    (tmp_path / 'text.mp3').write_text('not a sound at all')
    (tmp_path / 'odd.xyz').write_text('x')
    (tmp_path / 'page.mp3').write_bytes(b'%PDF-1.7')
    wav(tmp_path / 'nothing.wav', noise(0))
    wav(tmp_path / 'short.wav', noise(800))
    expected = {
        tmp_path / 'a.png': 'audio-missing',
        make_clip(tmp_path / 'mute.mp4', frames=3): 'audio-missing',
        tmp_path / 'empty.mp3': 'media-empty',
        tmp_path / 'text.mp3': 'media-content-unknown',
        tmp_path / 'odd.xyz': 'media-content-unknown',
        tmp_path / 'page.mp3': 'media-kind-unsupported',
        tmp_path / 'absent.wav': 'media-missing',
        tmp_path / 'nothing.wav': 'audio-empty',
        tmp_path / 'short.wav': 'audio-too-short',
    }
    assert {path: refused(path).reference for path in expected} == expected
    assert 'opus' in refused(tmp_path / 'odd.xyz').hint


def test_audio_of_any_name_is_read_with_a_remark(tmp_path: Path) -> None:
    path = write_sound(tmp_path / 'a.mp3', [(0, voice_like(0.2, 44100))], 44100, 'libmp3lame')
    length = probe_sound(path).duration
    for name in ('a.wav', 'a.mp4', 'a.png', 'a'):
        wrong = tmp_path / name
        wrong.write_bytes(path.read_bytes())
        assert probe_sound(wrong).duration == length
        kind = find_kind(wrong, takes_audio=True)
        assert (kind.family, kind.content, kind.name) == ('audio', 'mp3', 'mp3')
        assert kind.remark.startswith(f'{name} is read as mp3 because of its content, but ')
        with pytest.raises(MediaError) as caught:
            find_kind(wrong)
        assert caught.value.reference == 'media-kind-unsupported', 'an audio file cannot be a target'
        assert 'audio' not in caught.value.hint


def test_the_name_of_an_mp4_decides_whether_it_is_audio(tmp_path: Path) -> None:
    path = write_sound(tmp_path / 'a.m4a', [(0, voice_like(0.2, 44100))], 44100, 'aac')
    assert find_kind(path, takes_audio=True) == ('audio', 'mp4', '')
    assert find_kind(path).family == 'video' and find_kind(path).remark
    clip = path.rename(tmp_path / 'a.mp4')
    assert find_kind(clip, takes_audio=True) == find_kind(clip) == ('video', 'mp4', '')
    assert probe_sound(clip).duration >= Fraction(1, 5)


def test_kinds_of_audio_are_detected_by_content(tmp_path: Path) -> None:
    for name, codec in (('a.mp3', 'libmp3lame'), ('a.aac', 'aac')):
        path = write_sound(tmp_path / name, [(0, voice_like(0.2, 44100))], 44100, codec)
        data = path.read_bytes()
        tag = b'ID3\x04\0\0\0\0\x0a\x02' + bytes(1282)
        bare = data[data.index(b'\xff', 10) :] if data.startswith(b'ID3') else data
        for number, content in enumerate((bare, tag + bare)):
            made = tmp_path / f'{number}{name}'
            made.write_bytes(content)
            assert find_kind(made, takes_audio=True) == ('audio', AUDIO_EXTENSIONS[path.suffix], '')
            assert probe_sound(made).duration >= Fraction(1, 5)


def test_truncated_files(tmp_path: Path) -> None:
    whole = wav(tmp_path / 'a.wav', noise(16000))
    cut = tmp_path / 'cut.wav'
    cut.write_bytes(whole.read_bytes()[:-8000])
    info = probe_sound(cut)
    assert (info.duration, len(info.remarks)) == (Fraction(3, 4), 1)
    assert '8000 bytes are missing' in info.remarks[0]
    assert not probe_sound(whole).remarks
    sound = write_sound(tmp_path / 'a.m4a', [(0, voice_like(0.5, 44100))], 44100, 'aac')
    sound.write_bytes(sound.read_bytes()[:-200])
    assert refused(sound).reference == 'media-truncated'
    flac = write_sound(tmp_path / 'a.flac', [(0, voice_like(1, 16000))], 16000, 'flac')
    flac.write_bytes(flac.read_bytes()[: flac.stat().st_size // 2])
    assert 'ends early' in ' '.join(probe_sound(flac).remarks)


def test_damage_in_the_middle_becomes_silence_with_a_remark(tmp_path: Path) -> None:
    path = write_sound(tmp_path / 'a.mp4', [(0, voice_like(2, 48000))], 48000, 'aac')
    data = bytearray(path.read_bytes())
    middle = data.index(b'mdat') + 12000
    data[middle : middle + 600] = bytes([0xFF]) * 600
    path.write_bytes(data)
    info = probe_sound(path)
    assert 'do not decode' in ' '.join(info.remarks)
    voice = write_voice(info, tmp_path / 'v.npy')
    assert np.abs(voice.window(1.5, 0.3) - voice_like(2, 16000)[24000:28800]).max() < 0.15


def test_a_mostly_damaged_stream_is_refused(tmp_path: Path) -> None:
    path = write_sound(tmp_path / 'a.mp4', [(0, voice_like(1, 48000))], 48000, 'aac')
    data = bytearray(path.read_bytes())
    begin = data.index(b'mdat') + 4
    data[begin + 300 : begin + 12000] = bytes([0xFF]) * 11700
    path.write_bytes(data)
    assert refused(path).reference == 'audio-damaged'


def test_nan_becomes_silence(tmp_path: Path) -> None:
    said = voice_like(0.5, 16000)
    broken = said.copy()
    broken[4000:4100:3], broken[4001:4100:3] = np.nan, np.inf
    found = voice_of(write_sound(tmp_path / 'a.wav', [(0, broken)], 16000, 'pcm_f32le')).window(0, 0.5)
    assert np.isfinite(found).all()
    assert np.array_equal(found[:4000], said[:4000])
    assert not found[4000:4099:3].any()


def test_absurd_times_do_not_fill_the_disk(tmp_path: Path) -> None:
    said = voice_like(0.2, 16000)
    path = write_sound(tmp_path / 'a.mkv', [(0, said), (90000, said)], 16000, 'pcm_s16le')
    assert refused(path).reference == 'audio-too-long'


def test_a_stop_leaves_no_file(tmp_path: Path) -> None:
    path = wav(tmp_path / 'a.wav', noise(48000))
    info = probe_sound(path)
    stop = StopFlag()
    stop.set('test')
    with pytest.raises(Interrupted):
        probe_sound(path, stop)
    with pytest.raises(Interrupted):
        write_voice(info, tmp_path / 'v.npy', stop=stop)
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_no_file_and_states_the_reason(tmp_path: Path) -> None:
    path = wav(tmp_path / 'a.wav', noise(48000))
    info = probe_sound(path)
    with pytest.raises(OutputError):
        write_voice(info, tmp_path / 'absent' / 'v.npy')
    wav(path, noise(32000))
    with pytest.raises(MediaError) as caught:
        write_voice(info, tmp_path / 'v.npy')
    assert caught.value.reference == 'media-changed'
    assert list(tmp_path.iterdir()) == [path]
