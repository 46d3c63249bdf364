"""Tests that a file and its sidecar are replaced together or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes.plain_signer import PlainSigner

from facefusion.errors import Interrupted, OutputError, ResourceError
from facefusion.events import silent
from facefusion.media.frame import PixelFrame
from facefusion.media.image import read_image
from facefusion.media.options import OutputOptions
from facefusion.pipeline import publish as publishing
from facefusion.pipeline.publish import Publication, _partial_file, publish_file, publish_image
from facefusion.pipeline.signing import WorkDone
from facefusion.stopping import StopFlag


class BesideSeal(PlainSigner):
    """A signer that writes a sidecar and leaves the file unchanged."""

    def sign(self, unsigned: Path, signed: Path, worked: WorkDone):
        made = super().sign(unsigned, signed, worked)
        signed.unlink()
        sidecar = signed.with_name(signed.name + '.c2pa')
        sidecar.write_bytes(b'credentials of ' + unsigned.read_bytes())
        return replace(made, media=unsigned, sidecar=sidecar)


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / 'work' / 'clip.mkv'
    path.parent.mkdir()
    path.write_bytes(b'new')
    return path


@pytest.fixture
def output(tmp_path):
    return tmp_path / 'out' / 'out.mkv'


def lies_there(output):
    return {path.name: path.read_bytes() for path in sorted(output.parent.iterdir())} if output.parent.exists() else {}


def test_a_file_and_its_sidecar_are_published(clip, output):
    publish_file(clip, Publication(output, BesideSeal(), WorkDone(1), StopFlag()))
    assert lies_there(output) == {'out.mkv': b'new', 'out.mkv.c2pa': b'credentials of new'}
    assert clip.read_bytes() == b'new'


@pytest.mark.parametrize('is_there', [False, True])
def test_a_failed_rename_leaves_the_previous_files(clip, output, monkeypatch, is_there):
    before = {'out.mkv': b'old', 'out.mkv.c2pa': b'credentials of old'} if is_there else {}
    if is_there:
        output.parent.mkdir()
    for name, data in before.items():
        (output.parent / name).write_bytes(data)
    publish = publishing.publish

    def fail(part, path, stop=None):
        if path.suffix == '.mkv':
            raise OutputError('output-unwritable', 'not now')
        publish(part, path, stop)

    monkeypatch.setattr(publishing, 'publish', fail)
    with pytest.raises(OutputError):
        publish_file(clip, Publication(output, BesideSeal(), WorkDone(1), StopFlag()))
    assert lies_there(output) == before


def test_a_stop_between_sidecar_and_file_comes_too_late(clip, output, monkeypatch):
    flag, publish = StopFlag(), publishing.publish

    def then_stop(part, path, stop=None):
        publish(part, path, stop)
        flag.set('the test wants this')

    monkeypatch.setattr(publishing, 'publish', then_stop)
    publish_file(clip, Publication(output, BesideSeal(), WorkDone(1), flag))
    assert sorted(lies_there(output)) == ['out.mkv', 'out.mkv.c2pa']


def test_a_stop_before_publishes_neither(clip, output):
    flag = StopFlag()
    flag.set('the test wants this')
    with pytest.raises(Interrupted):
        publish_file(clip, Publication(output, BesideSeal(), WorkDone(1), flag))
    assert lies_there(output) == {}


def test_the_sidecar_of_a_replaced_file_is_removed(clip, output):
    output.parent.mkdir()
    (output.parent / 'out.mp4').write_bytes(b'old')
    (output.parent / 'out.mp4.c2pa').write_bytes(b'credentials of old')
    publish_file(clip, Publication(output.with_name('out.mp4'), PlainSigner(), WorkDone(1), StopFlag()))
    assert lies_there(output) == {'out.mp4': b'new'}


def test_a_clip_that_was_altered_during_signing_is_not_published(clip, output):
    def check():
        raise ResourceError('work-file-damaged', 'it was altered')

    with pytest.raises(ResourceError):
        publish_file(clip, Publication(output, BesideSeal(), WorkDone(1), StopFlag(), check))
    assert lies_there(output) == {}


def test_an_image_gets_its_name_when_it_is_complete(tmp_path):
    output = tmp_path / 'new' / 'deeper' / 'out.png'
    pixels = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
    publication = Publication(output, PlainSigner(), WorkDone(1), StopFlag())
    publish_image(PixelFrame(pixels), OutputOptions(), publication, silent)
    np.testing.assert_array_equal(read_image(output).pixels, pixels)
    assert [path.name for path in output.parent.iterdir()] == ['out.png']


def test_a_failure_leaves_the_old_output_and_nothing_else(tmp_path):
    output = tmp_path / 'out.mp4'
    output.write_bytes(b'before')
    with pytest.raises(ValueError, match='failed'), _partial_file(output) as part:
        part.write_bytes(b'half')
        raise ValueError('failed')
    assert [path.name for path in tmp_path.iterdir()] == ['out.mp4'] and output.read_bytes() == b'before'


def test_a_failure_removes_the_folders_that_it_created_and_no_others(tmp_path):
    (tmp_path / 'there').mkdir()
    with pytest.raises(KeyboardInterrupt), _partial_file(tmp_path / 'there' / 'new' / 'deep' / 'out.mp4') as part:
        part.write_bytes(b'half')
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.rglob('*')] == ['there']
    with pytest.raises(ValueError, match='failed'), _partial_file(tmp_path / 'a' / 'b' / 'out.mp4') as part:
        (part.parent / 'of another program').write_bytes(b'')
        raise ValueError('failed')
    assert (tmp_path / 'a' / 'b' / 'of another program').exists()


def test_an_error_names_the_output_and_not_the_part(tmp_path):
    with pytest.raises(OutputError) as caught, _partial_file(tmp_path / 'out.mp4') as part:
        raise OutputError('output-unwritable', f'cannot write {part}')
    assert caught.value.message == f'cannot write {tmp_path / "out.mp4"}'


def test_partial_files_of_two_runs_have_different_names(tmp_path):
    with _partial_file(tmp_path / 'out.mp4') as one, _partial_file(tmp_path / 'out.mp4') as other:
        assert one != other and one.suffix == '.mp4' and one.parent == tmp_path
