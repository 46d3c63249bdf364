"""Tests that an output is always complete or unchanged, and never partial."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from fakes.media_files import audio_packets, frame_times
from fakes.resume_chaos import content_of

pytestmark = pytest.mark.network
DRAW = ('headless-run', '--processors', 'face_debugger')
can_mount = pytest.mark.skipif(
    sys.platform != 'linux' or os.geteuid() != 0, reason='needs root on Linux, to mount a small file system'
)


@pytest.fixture
def clip(face_clip, tmp_path):
    path = tmp_path / 'clip.mp4'
    shutil.copy(face_clip, path)
    return path


@pytest.fixture
def mount(tmp_path):
    """Return a function that mounts a tmpfs of a size in KiB and returns its folder."""
    mounted = []

    def make(kilobytes, options=''):
        folder = tmp_path / f'disk{len(mounted)}'
        folder.mkdir()
        command = ['mount', '-t', 'tmpfs', '-o', f'size={kilobytes}k{options}', 'tmpfs', str(folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            folder.rmdir()
            pytest.skip('even root cannot mount on this machine')
        mounted.append(folder)
        return folder

    yield make
    for folder in mounted:
        subprocess.run(['umount', '-l', str(folder)], check=True)


def test_an_output_that_is_an_input(program, clip, example_group, tmp_path):
    os.link(clip, tmp_path / 'hard.mp4')
    (tmp_path / 'soft.mp4').symlink_to(clip)
    (tmp_path / 'folder').mkdir()
    names = [clip, tmp_path / 'hard.mp4', tmp_path / 'soft.mp4', tmp_path / 'folder' / '..' / 'clip.mp4']
    for out in names:
        assert 'the target file' in program.fails(1, 'output-is-input', *DRAW, '-t', clip, '-o', out)
    assert 'the target' in program.fails(1, 'output-is-input', *DRAW, '-t', names[2], '-o', names[1])
    shutil.copy(example_group, tmp_path / 'source.jpg')
    shutil.copy(example_group, tmp_path / 'target.jpg')
    words = ('-s', tmp_path / 'source.jpg', '-t', tmp_path / 'target.jpg', '-o', tmp_path / 'source.jpg')
    assert 'the source file' in program.fails(1, 'output-is-input', 'headless-run', *words)


@pytest.mark.parametrize('name', ['out', 'out.', 'out.gif', 'out.png', '.mp4', 'out.mp4.bak'])
def test_an_unsupported_output_extension(program, clip, tmp_path, name):
    said = program.fails(1, 'output-extension', *DRAW, '-t', clip, '-o', tmp_path / name)
    assert 'use one of: .mp4, .m4v, .mov, .mkv' in said


def test_an_image_output_must_be_an_image_format(program, example_group, tmp_path):
    said = program.fails(1, 'output-extension', *DRAW, '-t', example_group, '-o', tmp_path / 'out.mp4')
    assert 'use one of: .jpg, .jpeg, .jpe, .jfif, .png, .webp, .bmp, .tif, .tiff' in said


def test_outputs_that_are_not_regular_files(program, clip, tmp_path):
    (tmp_path / 'folder.mp4').mkdir()
    for out in (tmp_path, tmp_path / 'folder.mp4'):
        program.fails(1, 'output-is-directory', *DRAW, '-t', clip, '-o', out)
    os.mkfifo(tmp_path / 'pipe.mp4')
    program.fails(1, 'output-not-a-file', *DRAW, '-t', clip, '-o', tmp_path / 'pipe.mp4')
    (tmp_path / 'gone.mp4').symlink_to('nowhere.mp4')
    program.fails(1, 'output-broken-link', *DRAW, '-t', clip, '-o', tmp_path / 'gone.mp4')
    for name in ('n' * 300 + '.mp4', 'é' * 130 + '.mp4'):
        program.fails(1, 'output-name', *DRAW, '-t', clip, '-o', tmp_path / name)


def test_a_file_where_a_folder_should_be(program, clip, tmp_path):
    (tmp_path / 'file').write_bytes(b'x')
    for out in (tmp_path / 'file' / 'out.mp4', tmp_path / 'file' / 'deep' / 'out.mp4'):
        program.fails(1, 'output-unwritable', *DRAW, '-t', clip, '-o', out)
    words = (*DRAW, '-t', clip, '-o', tmp_path / 'out.mp4')
    program.fails(1, 'work-unwritable', *words, '--temp-path', tmp_path / 'file')
    program.fails(2, 'jobs-path', *words, '--jobs-path', tmp_path / 'file')


@can_mount
def test_an_output_on_another_file_system(program, clip, mount):
    disk = mount(16384)
    out = disk / 'new' / 'out.mp4'
    program.run(*DRAW[1:], '-t', clip, '-o', out)
    assert frame_times(out) == frame_times(clip)
    assert [data for _, data in audio_packets(out)] == [data for _, data in audio_packets(clip)]
    first = content_of(out)
    program.run(*DRAW[1:], '-t', clip, '-o', out, '--temp-path', disk)
    assert content_of(out) == first
    assert sorted(path.name for path in disk.rglob('*')) == ['new', 'out.mp4']


@can_mount
def test_read_only_folders(program, clip, mount, tmp_path):
    disk = mount(8192, ',ro')
    for out in (disk / 'out.mp4', disk / 'new' / 'out.mp4'):
        program.fails(1, 'output-unwritable', *DRAW, '-t', clip, '-o', out)
    words = (*DRAW, '-t', clip, '-o', tmp_path / 'out.mp4')
    program.fails(1, 'work-unwritable', *words, '--temp-path', disk / 'new')
    program.fails(1, 'store-unwritable', *words, '--jobs-path', disk / 'new')


@can_mount
@pytest.mark.parametrize('kilobytes', [16, 96])
def test_a_disk_too_small_for_the_output(program, clip, example_group, mount, monkeypatch, kilobytes):
    disk = mount(kilobytes)
    (disk / 'out.mp4').write_bytes(b'what was here before')
    said = program.fails(5, 'disk-short', *DRAW, '-t', clip, '-o', disk / 'out.mp4', '--output-video-quality', 100)
    assert 'the output would need about' in said and str(disk) in said
    # The run also fails with this error if the estimate was wrong or if other processes have used the space.
    monkeypatch.setattr('facefusion.steps.step_run.check_space', lambda folder, needed, what: None)
    said = program.fails(5, 'disk-full', *DRAW, '-t', clip, '-o', disk / 'out.mp4', '--output-video-quality', 100)
    assert 'no space is left for out.mp4' in said and str(disk) in said
    words = (*DRAW, '-t', example_group, '-o', disk / 'new' / 'deep' / 'out.png')
    assert 'no space is left for out.png' in program.fails(5, 'disk-full', *words)


@can_mount
def test_a_disk_too_small_for_the_work(program, clip, mount, tmp_path):
    words = (*DRAW, '-t', clip, '-o', tmp_path / 'out.mp4', '--temp-path', mount(512))
    assert 'the work files would need about' in program.fails(5, 'disk-short', *words)


@can_mount
@pytest.mark.parametrize('kilobytes', [8, 200, 420])
def test_a_disk_that_becomes_full_during_the_run(
    program, clip, portrait_source, mount, tmp_path, monkeypatch, kilobytes
):
    monkeypatch.setattr('facefusion.steps.step_run.check_space', lambda folder, needed, what: None)
    (tmp_path / 'out.mp4').write_bytes(b'what was here before')
    words = ('headless-run', '-s', portrait_source, '-t', clip, '-o', tmp_path / 'out.mp4')
    more = ('--temp-path', mount(kilobytes), '--output-video-quality', 100)
    assert 'free space' in program.fails(5, 'disk-full', *words, *more)
    last = program(*words, *more, '--progress', 'json').events[-1]
    assert last['event'] == 'run_failed' and last['error']['reference'] == 'disk-full'


def test_a_target_that_changes_during_the_run(program, clip, monkeypatch, tmp_path):
    from facefusion.steps import step_run

    prepare = step_run.prepare_run

    def change_first(*arguments, **settings):
        os.utime(clip, (1, 1))
        return prepare(*arguments, **settings)

    monkeypatch.setattr(step_run, 'prepare_run', change_first)
    (tmp_path / 'out.mp4').write_bytes(b'what was here before')
    program.fails(1, 'media-changed', *DRAW, '-t', clip, '-o', tmp_path / 'out.mp4')


def test_a_failing_stage_leaves_no_files(program, clip, monkeypatch, tmp_path):
    from facefusion.processors.face_debugger.process import FaceDebugger

    def fail(*_):
        raise ZeroDivisionError('the test wants this')

    monkeypatch.setattr(FaceDebugger, 'process', fail)
    (tmp_path / 'out.mp4').write_bytes(b'what was here before')
    words = (*DRAW, '-t', clip, '-o', tmp_path / 'out.mp4', '--temp-path', tmp_path / 'temp')
    (tmp_path / 'temp').mkdir()
    said = program.fails(1, 'unexpected', *words)
    assert 'ZeroDivisionError: the test wants this' in said
