"""Tests that unusable inputs are refused with a reason, and that no files are left."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from fakes.media_files import plain_png, rewrap, write_views
from fakes.program import Program
from PIL import Image

from facefusion.limits import Limit

pytestmark = pytest.mark.network
as_root = pytest.mark.skipif(
    not hasattr(os, 'geteuid') or os.geteuid() != 0, reason='needs root, to become a user without permission'
)
DRAW = ('headless-run', '--processors', 'face_debugger')
NAMES = [
    'a name with spaces.mp4',
    'quote\'s and "more".mp4',
    'per%cent %05d %s.mp4',
    'two\nlines.mp4',
    '-o.mp4',
    '*?[a]$HOME;#.mp4',
    'naïve 日本 \U0001f600.mp4',
    os.fsdecode(b'no\xff\xfeutf.mp4'),
    'n' * 251 + '.mp4',
]


@pytest.fixture
def clip(face_clip, tmp_path):
    path = tmp_path / 'clip.mp4'
    shutil.copy(face_clip, path)
    return path


@pytest.fixture
def refuses(program, tmp_path):
    """Return a function that checks that a target is refused and that an existing output stays unchanged."""

    def check(reference, path, code=1, **settings):
        out = tmp_path / f'out{path.suffix if path.suffix in (".png", ".jpg", ".webp", ".mkv") else ".mp4"}'
        out.write_bytes(b'what was here before')
        said = program.fails(code, reference, *DRAW, '-t', path, '-o', out, **settings)
        assert '\n  cause: ' in said or code == 2
        return said

    return check


@pytest.fixture
def refuses_source(program, clip, tmp_path):
    def check(reference, path, code=1):
        out = tmp_path / 'out.mp4'
        out.write_bytes(b'what was here before')
        return program.fails(code, reference, 'headless-run', '-s', path, '-t', clip, '-o', out)

    return check


def test_missing_and_special_files(refuses, refuses_source, tmp_path):
    assert str(tmp_path / 'no.mp4') in refuses('media-missing', tmp_path / 'no.mp4')
    assert 'there is no folder' in refuses('media-missing', tmp_path / 'no' / 'no.mp4')
    refuses_source('media-missing', tmp_path / 'no.png')
    (tmp_path / 'folder.mp4').mkdir()
    refuses('media-directory', tmp_path / 'folder.mp4')
    refuses('media-directory', tmp_path)
    refuses_source('media-directory', tmp_path)
    refuses('media-unreadable', tmp_path / ('n' * 300 + '.mp4'))
    (tmp_path / 'loop.mp4').symlink_to('loop.mp4')
    refuses('media-unreadable', tmp_path / 'loop.mp4')
    (tmp_path / 'gone.mp4').symlink_to('nowhere.mp4')
    refuses('media-missing', tmp_path / 'gone.mp4')


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='this system has no named pipes')
def test_pipes_and_devices_do_not_block(refuses, refuses_source, tmp_path):
    os.mkfifo(tmp_path / 'pipe.mp4')
    refuses('media-not-a-file', tmp_path / 'pipe.mp4')
    os.mkfifo(tmp_path / 'pipe.png')
    refuses_source('media-not-a-file', tmp_path / 'pipe.png')
    (tmp_path / 'zero.png').symlink_to('/dev/zero')
    refuses('media-not-a-file', tmp_path / 'zero.png')


def test_empty_files_and_text(refuses, refuses_source, tmp_path):
    for name in ('empty.mp4', 'empty.png'):
        (tmp_path / name).write_bytes(b'')
        refuses('media-empty', tmp_path / name)
    refuses_source('media-empty', tmp_path / 'empty.png')
    for name in ('text.mp4', 'text.mkv', 'text.jpg'):
        (tmp_path / name).write_text('this is a letter\n' * 40)
        assert 'its content is text' in refuses('media-content-unknown', tmp_path / name)
    refuses_source('media-content-unknown', tmp_path / 'text.jpg')
    (tmp_path / 'noise.mp4').write_bytes(np.random.default_rng(1).bytes(5000))
    refuses('media-content-unknown', tmp_path / 'noise.mp4')


def test_files_without_or_with_a_wrong_extension(program, refuses, clip, example_group, tmp_path):
    (tmp_path / 'notes.txt').write_text('The free word stands in a text.\n')
    assert 'this version reads images: jpg' in refuses('media-content-unknown', tmp_path / 'notes.txt')
    shutil.copy(clip, tmp_path / 'film.jpg')
    said = program.fails(1, 'output-extension', *DRAW, '-t', tmp_path / 'film.jpg', '-o', tmp_path / 'out.jpg')
    assert 'the content of film.jpg is video' in said
    for wrong, right, kind in ((clip, 'out.mp4', 'mp4'), (example_group, 'out.png', 'jpg')):
        shutil.copy(wrong, tmp_path / 'wrong.gif')
        done = program.run(*DRAW[1:], '-t', tmp_path / 'wrong.gif', '-o', tmp_path / right)
        assert f'wrong.gif is read as {kind}' in done.err


@pytest.mark.parametrize('share', [0.02, 0.5, 0.97])
def test_a_truncated_mp4_is_refused(refuses, clip, tmp_path, share):
    front = rewrap(clip, tmp_path / 'front.mp4', {'movflags': '+faststart'})
    for path in (clip, front):
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
        assert 'is incomplete' in refuses('media-truncated', path)


def test_a_clip_with_damaged_frames_completes_and_names_them(program, clip, tmp_path):
    with av.open(str(clip)) as container:
        job_files = [(p.pos, p.size) for p in container.demux(container.streams.video[0]) if p.size]
    with clip.open('r+b') as file:
        for position, size in job_files[25:30]:
            file.seek(position)
            file.write(b'\xff' * size)
    first = program.run(*DRAW[1:], '-t', clip, '-o', tmp_path / 'out.mp4')
    assert re.search(r'clip\.mp4: \d+ frames are damaged: 2\d', first.err)
    assert first.report['frames'] == 60 and first.report['ranges_damaged'][0][0] in range(20, 30)
    # A cached analysis is not repeated, but its damaged frames are reported again.
    again = program.run(*DRAW[1:], '-t', clip, '-o', tmp_path / 'out.mp4', '--output-video-quality', 60)
    for done, origin in ((first, 'analysed'), (again, 'cache')):
        events = {event['event']: event for event in done.events}
        assert events['chunk_analysed']['origin'] == origin
        assert events['frames_damaged']['ranges'] == done.report['ranges_damaged'] == first.report['ranges_damaged']
        assert f'{done.report["frames_damaged"]} frames of the target are damaged' in done.err
    records = [json.loads(path.read_text()) for path in (tmp_path / 'jobs' / 'completed').glob('*.json')]
    for record in records:
        assert record['steps'][0]['report']['frames_damaged'] == first.report['frames_damaged'] > 0


def test_clips_without_video(refuses, clip, tmp_path):
    sound = rewrap(clip, tmp_path / 'sound.mp4', kinds='audio')
    assert 'only audio' in refuses('media-no-video', sound)
    with av.open(str(clip)) as source, av.open(str(tmp_path / 'none.mkv'), 'w') as output:
        output.add_stream_from_template(source.streams.video[0])
        track = output.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = track
                output.mux(packet)
    refuses('media-no-frames', tmp_path / 'none.mkv')


def test_damaged_and_animated_images(refuses, refuses_source, example_group, tmp_path):
    for name in ('cut.jpg', 'cut.png', 'cut.webp'):
        with Image.open(example_group) as image:
            image.resize((320, 222)).save(tmp_path / name)
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
        refuses('media-damaged', tmp_path / name)
    refuses_source('media-damaged', tmp_path / 'cut.png')
    pictures = [Image.new('RGB', (64, 64), colour) for colour in ('red', 'blue')]
    pictures[0].save(tmp_path / 'two.webp', save_all=True, append_images=pictures[1:])
    said = str(refuses_source('image-animated', tmp_path / 'two.webp'))
    assert 'animation of 2 images' in said


def test_too_large_images_are_refused_with_numbers(program, refuses, tmp_path, monkeypatch):
    plain_png(tmp_path / 'huge.png', 20000, 20000, whole=False)
    said = refuses('image-too-large', tmp_path / 'huge.png')
    assert '20000x20000' in said and '16384' in said
    wide = plain_png(tmp_path / 'wide.png', 16384, 16)
    said = program.fails(1, 'output-too-large', *DRAW, '-t', wide, '-o', tmp_path / 'o.webp')
    assert '16384x16' in said and '16383' in said
    limit = Limit('memory', 'this machine', 4 << 30, 2 << 30, 'close other programs')
    monkeypatch.setattr('facefusion.pipeline.resources.memory_limits', lambda: (limit,))
    large = plain_png(tmp_path / 'large.png', 16384, 16384, whole=False)
    words = (*DRAW, '-t', large, '-o', tmp_path / 'o.png', '--models-path', tmp_path / 'none')
    assert re.search(r'about 5\d{3} MB of memory, and 2147 MB are free', program.fails(5, 'memory-short', *words))


def test_the_memory_for_a_large_scale_is_checked_first(program, clip, wide_memory, tmp_path):
    words = (*DRAW, '-t', clip, '-o', tmp_path / 'o.mp4', '--output-video-scale', 8)
    program.fails(5, 'memory-short', *words)


@pytest.fixture
def wide_memory(monkeypatch):
    limit = Limit('memory', 'the control group /a', 600 << 20, 0, 'raise it')
    monkeypatch.setattr('facefusion.pipeline.resources.memory_limits', lambda: (limit,))


def test_sources_without_a_usable_face(refuses_source, example_portrait, clip, tmp_path):
    noise = np.random.default_rng(3).integers(0, 255, (256, 256, 3), np.uint8)
    cv2.imwrite(str(tmp_path / 'noise.png'), noise)
    refuses_source('source-no-face', tmp_path / 'noise.png')
    cv2.imwrite(str(tmp_path / 'one.png'), np.zeros((1, 1, 3), np.uint8))
    refuses_source('source-no-face', tmp_path / 'one.png')
    canvas = np.full((300, 400, 3), 110, np.uint8)
    canvas[90:220, 90:220] = cv2.resize(cv2.imread(str(example_portrait)), (130, 130), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(tmp_path / 'far.png'), canvas)
    assert 'at least 48 pixels' in refuses_source('source-face-small', tmp_path / 'far.png')
    refuses_source('source-kind', clip, code=2)


@pytest.mark.parametrize('name', NAMES, ids=range(len(NAMES)))
def test_file_names_of_every_kind(program, clip, example_portrait, tmp_path, name):
    target, out = tmp_path / 'in' / name, tmp_path / 'out' / name
    target.parent.mkdir()
    try:
        clip.rename(target)
    except OSError as error:
        pytest.skip(f'this file system does not support such names: {error}')
    done = program.run(*DRAW[1:], f'--target-path={target}', '-o', out, '--trim-frame-end', 2)
    assert done.report['frames'] == 2
    (finished,) = [event for event in done.events if event['event'] == 'run_finished']
    assert finished['output_path'] == str(out)
    assert [entry.name for entry in out.parent.iterdir()] == [name]
    gone = target.with_name('x' + name[-250:])
    said = program.fails(1, 'media-missing', *DRAW, '-t', gone, '-o', tmp_path / 'o.mp4')
    said.encode('utf-8')


def test_an_image_whose_name_is_not_utf8(program, example_group, tmp_path):
    target, out = tmp_path / os.fsdecode(b'\xe9.jpg'), tmp_path / os.fsdecode(b'\xff.jpg')
    try:
        shutil.copy(example_group, target)
    except OSError as error:
        pytest.skip(f'this file system does not support such names: {error}')
    program.run(*DRAW[1:], '-t', target, '-o', out)
    assert out.stat().st_size > 10000


# The user "nobody" cannot read the certificate of these tests, so a new one is created in the job store.
OF_NOBODY = {'FACEFUSION_PROVENANCE_PATH': '', 'XDG_DATA_HOME': '/nowhere', 'HOME': '/nowhere'}


@contextlib.contextmanager
def as_nobody():
    """Run the block without root permissions."""
    os.setresgid(65534, 65534, 0)
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)


@pytest.fixture
def open_folder():
    """A folder that all users can access, unlike the folders of pytest."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        if not all(parent.stat().st_mode & 1 for parent in folder.parents):
            pytest.skip(f'the user nobody has no access to {folder}')
        yield folder


def give_store(folder: Path) -> None:
    """Create a job store in which all users may write."""
    (folder / 'jobs').mkdir()
    (folder / 'jobs').chmod(0o777)


@as_root
def test_unreadable_files(face_clip, example_portrait, open_folder):
    program = Program(open_folder)
    clip, source, out = (open_folder / name for name in ('clip.mp4', 'source.png', 'out.mp4'))
    shutil.copy(face_clip, clip)
    shutil.copy(example_portrait, source)
    words = ('headless-run', '-s', source, '-t', clip, '-o', out)
    give_store(open_folder)
    # The first run has all permissions, because it loads modules.
    program('headless-run', '-s', source, '-t', clip, '-o', out, '--dry-run')
    for path in (source, clip):
        path.chmod(0)
        with as_nobody():
            result = program(*words, environ=OF_NOBODY)
        assert result.code == 1 and '[media-unreadable]' in result.err and path.name in result.err
        assert 'check the permissions' in result.err and not out.exists()


@as_root
def test_an_unwritable_folder(face_clip, open_folder):
    program = Program(open_folder)
    give_store(open_folder)
    program(*DRAW, '-t', face_clip, '-o', open_folder / 'out.mp4', '--dry-run')
    clip = open_folder / 'clip.mp4'
    shutil.copy(face_clip, clip)
    for out in (open_folder / 'out.mp4', open_folder / 'new' / 'out.mp4'):
        with as_nobody():
            said = program.fails(1, 'output-unwritable', *DRAW, '-t', clip, '-o', out, environ=OF_NOBODY)
        assert 'is not writable' in said


def test_tiny_and_odd_clips_are_processed(program, tmp_path):
    for width, height in ((2, 2), (36, 18), (640, 2)):
        grey = np.full((height, width, 3), 90, np.uint8)
        write_views(tmp_path / 'in.mp4', lambda k, grey=grey: grey, 3, size=(width, height))
        done = program.run(*DRAW[1:], '-t', tmp_path / 'in.mp4', '-o', tmp_path / 'out.mp4')
        assert done.report['frames_without_face'] == 3
