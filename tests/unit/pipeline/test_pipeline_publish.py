"""A file and its side-car are replaced together, or neither is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fakes.plain_seal import PlainSeal

from facefusion.errors import Interrupted, OutputError, ResourceError
from facefusion.pipeline import publish as publishing
from facefusion.pipeline.publish import Publication, publish_clip
from facefusion.pipeline.seal import Worked
from facefusion.stopping import StopFlag


class BesideSeal(PlainSeal):
    """Leaves the file as it is, and writes a side-car."""

    def sign(self, unsigned: Path, signed: Path, worked: Worked):
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


def test_both_are_published(clip, output):
    publish_clip(clip, Publication(output, BesideSeal(), Worked(1), StopFlag()))
    assert lies_there(output) == {'out.mkv': b'new', 'out.mkv.c2pa': b'credentials of new'}
    assert clip.read_bytes() == b'new'


@pytest.mark.parametrize('is_there', [False, True])
def test_a_file_that_cannot_be_named_leaves_what_was_there(clip, output, monkeypatch, is_there):
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
        publish_clip(clip, Publication(output, BesideSeal(), Worked(1), StopFlag()))
    assert lies_there(output) == before


def test_a_stop_between_the_two_comes_too_late(clip, output, monkeypatch):
    flag, publish = StopFlag(), publishing.publish

    def then_stop(part, path, stop=None):
        publish(part, path, stop)
        flag.set('the test wants this')

    monkeypatch.setattr(publishing, 'publish', then_stop)
    publish_clip(clip, Publication(output, BesideSeal(), Worked(1), flag))
    assert sorted(lies_there(output)) == ['out.mkv', 'out.mkv.c2pa']


def test_a_stop_before_names_neither(clip, output):
    flag = StopFlag()
    flag.set('the test wants this')
    with pytest.raises(Interrupted):
        publish_clip(clip, Publication(output, BesideSeal(), Worked(1), flag))
    assert lies_there(output) == {}


def test_the_side_car_of_a_file_that_is_replaced_goes(clip, output):
    output.parent.mkdir()
    (output.parent / 'out.mp4').write_bytes(b'old')
    (output.parent / 'out.mp4.c2pa').write_bytes(b'credentials of old')
    publish_clip(clip, Publication(output.with_name('out.mp4'), PlainSeal(), Worked(1), StopFlag()))
    assert lies_there(output) == {'out.mp4': b'new'}


def test_a_clip_that_was_altered_while_it_was_signed_gets_no_name(clip, output):
    def check():
        raise ResourceError('work-file-damaged', 'it was altered')

    with pytest.raises(ResourceError):
        publish_clip(clip, Publication(output, BesideSeal(), Worked(1), StopFlag(), check))
    assert lies_there(output) == {}
