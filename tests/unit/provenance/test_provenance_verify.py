"""Tests of the verdict and its hints: a damaged file is never reported as a file without credentials."""

from __future__ import annotations

import pytest
from fakes.statements import make_file, make_picture, swap_of

from facefusion.cli.verify import verdict_lines
from facefusion.errors import MediaError
from facefusion.events import silent
from facefusion.provenance.credentials_writer import Ingredient, sign
from facefusion.provenance.mark.detect import MarkFinding
from facefusion.provenance.mark.file import MarkReading
from facefusion.provenance.mark.payload import mark_payload
from facefusion.provenance.sidecar import sidecar_of
from facefusion.provenance.verify import verify
from facefusion.services.verification import job_ids


@pytest.fixture
def signed(tmp_path, signing):
    def make(name):
        target = make_picture(tmp_path / 'target.png')
        made = sign(
            make_file(tmp_path / f'un-{name}'), tmp_path / name, swap_of(target), [Ingredient(target)], signing, silent
        )
        if made.sidecar is not None:
            made.media.replace(tmp_path / name)
        return tmp_path / name

    return make


def marked(monkeypatch, job_id):
    finding = MarkFinding(mark_payload(job_id), 20.0, 9, 0, (0.0, 0.0, 1.0, 1.0))
    monkeypatch.setattr('facefusion.provenance.verify.read_marks', lambda path, flag: MarkReading((finding,), 9, ''))


@pytest.mark.parametrize('name', ['out.jpg', 'out.png', 'out.mp4', 'out.mov', 'out.webp'])
def test_a_damaged_file_is_reported_as_unreadable(signed, roots, name):
    path = signed(name)
    whole = path.read_bytes()
    for share in (20, 100, 1000, len(whole) // 2, len(whole) * 9 // 10):
        path.write_bytes(whole[:share])
        assert verify(path, roots).word in ('unreadable', 'tampered'), share
    path.write_bytes(whole[:100])
    assert 'its Content Credentials cannot be found' in next(verdict_lines(verify(path, roots)))


@pytest.mark.parametrize('name', ['notes.txt', 'notes.jpg', 'notes.mp4'])
def test_text_has_no_credentials_whatever_its_name(tmp_path, roots, name):
    (tmp_path / name).write_text('nothing to see here, nothing at all\n' * 9)
    assert verify(tmp_path / name, roots).word == 'nothing-found'


def test_missing_unused_and_foreign_sidecars_are_reported(signed, roots, tmp_path, monkeypatch):
    clip, picture = signed('out.mkv'), signed('out.jpg')
    with pytest.raises(MediaError) as error:
        verify(clip, roots, tmp_path / 'none.c2pa')
    assert error.value.reference == 'media-missing'
    sidecar = sidecar_of(clip)
    assert 'was not read' in ' '.join(verify(picture, roots, sidecar).remarks())
    assert 'this is a sidecar' in ' '.join(verify(sidecar, roots).remarks())
    other = verify(make_file(tmp_path / 'other.webm'), roots, sidecar)
    assert other.word == 'tampered' and 'belongs to another file' in ' '.join(other.remarks())
    assert '--trusted-roots' in ' '.join(verify(picture, ()).remarks())
    sidecar.unlink()
    marked(monkeypatch, 'some-job')
    verdict = verify(clip, roots)
    assert verdict.word == 'mark-only' and 'no sidecar out.mkv.c2pa next to it' in ' '.join(verdict.remarks())


def test_the_sidecar_of_a_link_is_that_of_its_destination(signed, signing, roots, tmp_path):
    clip = signed('out.mkv')
    (tmp_path / 'elsewhere').mkdir()
    link = tmp_path / 'elsewhere' / 'link.mkv'
    try:
        link.symlink_to(clip)
    except OSError:
        pytest.skip('this system does not support links')
    assert verify(link, roots).word == 'intact'
    made = sign(make_file(tmp_path / 'un.jpg'), tmp_path / 'x.jpg', swap_of(link), [Ingredient(link)], signing, silent)
    assert made.inherited == ('intact',)


def test_a_mark_alone_is_matched_with_the_known_jobs(tmp_path, roots, monkeypatch):
    path = make_file(tmp_path / 'x.jpg')
    asked = iter(['one-job', 'other-job'])
    assert verify(path, roots, job_ids=asked).known_jobs == () and next(asked) == 'one-job'
    marked(monkeypatch, 'other-job')
    verdict = verify(path, roots, job_ids=iter(['one-job', 'other-job']))
    assert verdict.as_record()['mark']['found'][0]['job_id'] == 'other-job'
    assert any('of job other-job' in line for line in verdict_lines(verdict))
    assert list(job_ids(tmp_path / 'none')) == [] and list(job_ids(path)) == []
