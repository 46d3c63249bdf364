"""Tests of the limits of the face swapper in ``headless-run``."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes.program import UNMARKED
from PIL import Image

pytestmark = pytest.mark.network
HEAD = (slice(30, 200), slice(145, 315))


@pytest.fixture
def portrait(example_portrait):
    """The example portrait: uint8 BGR [512,512,3]; its face is about 125 pixels high."""
    return cv2.imread(str(example_portrait))


@pytest.fixture
def put(tmp_path):
    """Return a function that writes pixels as a png into the test's folder and returns the path."""

    def write(name, pixels):
        path = tmp_path / name
        cv2.imwrite(str(path), pixels)
        return path

    return write


@pytest.fixture
def crowd(put, portrait):
    """An image of twelve copies of the same head, in three rows."""
    head = cv2.resize(portrait[HEAD], (110, 110), interpolation=cv2.INTER_AREA)
    return put('crowd.png', np.tile(head, (3, 4, 1)))


def changed(path, other):
    """Return a mask of the pixels in which two images differ visibly: bool [height,width]."""
    return cv2.absdiff(cv2.imread(str(path)), cv2.imread(str(other))).max(axis=2) > 3


@pytest.mark.parametrize(('pixels', 'is_processed'), [(20, 0), (29, 0), (48, 1)])
def test_faces_under_32_pixels_are_unchanged_and_reported(
    program, put, portrait, portrait_source, tmp_path, pixels, is_processed
):
    target = put(
        'small.png', cv2.resize(portrait, None, fx=pixels / 125, fy=pixels / 125, interpolation=cv2.INTER_AREA)
    )
    done = program.run(*UNMARKED, '-s', portrait_source, '-t', target, '-o', tmp_path / 'out.png')
    assert done.report['faces_too_small'] == 1 - is_processed
    is_reported = '1 face under 32 pixels was skipped' in done.err
    assert is_reported == (not is_processed)
    if not is_processed:
        assert not changed(tmp_path / 'out.png', target).any()


@pytest.mark.parametrize('most', [1, 3, 64])
def test_the_largest_faces_are_processed_and_the_others_reported(program, crowd, portrait_source, tmp_path, most):
    words = ('-s', portrait_source, '-t', crowd, '-o', tmp_path / 'out.png')
    done = program.run(*UNMARKED, *words, '--max-faces', most, '--face-mask-types', 'box')
    assert done.report['faces'] == min(most, 12)
    tiles = changed(tmp_path / 'out.png', crowd).reshape(3, 110, 4, 110).sum(axis=(1, 3))
    # The edge of a face may extend a little into the next tile.
    assert (tiles > 300).sum() == min(most, 12)
    left = 12 - min(most, 12)
    assert (f'--max-faces skipped up to {left} more faces in 1 frame' in done.err) == (left > 0)


@pytest.mark.parametrize(
    'words',
    [
        ('--max-faces', '0'),
        ('--max-faces', '-1'),
        ('--max-faces', '257'),
        ('--max-faces', 'abc'),
        ('--face-mask-blur', '2'),
        ('--face-mask-blur', '-1'),
        ('--face-mask-blur', 'nan'),
        ('--face-mask-padding', '1', '2', '3', '4', '5'),
        ('--face-mask-padding', '-10'),
        ('--face-mask-types', 'nonsense'),
        ('--face-selector-mode', 'two'),
    ],
)
def test_invalid_values_are_refused_before_files_are_read(program, words):
    said = program.fails(2, 'usage', 'headless-run', '-s', 'a.png', '-t', 'b.png', '-o', 'c.png', *words)
    assert words[0] in said and words[-1 if len(words) == 2 else 0] in said


def test_the_largest_face_of_a_source_is_used_with_a_remark(program, example_group, example_portrait, tmp_path):
    done = program.run(*UNMARKED, '-s', example_group, '-t', example_portrait, '-o', tmp_path / 'out.png')
    assert f'{example_group} shows 6 faces: the largest is used' in done.err
    done = program.run(*UNMARKED, '-s', example_portrait, '-t', example_portrait, '-o', tmp_path / 'out.png')
    assert 'faces: the largest' not in done.err


def test_a_remark_on_a_source_appears_once(program, put, portrait, example_portrait, tmp_path):
    grey = put('grey.png', cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY))
    done = program.run(*UNMARKED, '-s', grey, '-t', example_portrait, '-o', tmp_path / 'out.png')
    assert done.err.count('grey is expanded to colours') == 1
    assert '1 face in 1 of 1 frame was processed' in done.err


@pytest.mark.parametrize('kind', ['rotated.jpg', 'cmyk.jpg', 'deep.png', 'alpha.webp'])
def test_sources_of_all_formats_give_the_same_swap(
    program, put, example_group, example_portrait, portrait, tmp_path, kind
):
    """The sources contain the same image, so the results differ only by rounding and compression."""
    target = put('target.png', cv2.resize(cv2.imread(str(example_group)), (640, 443), interpolation=cv2.INTER_AREA))
    program.run(*UNMARKED, '-s', example_portrait, '-t', target, '-o', tmp_path / 'plain.png')
    path = tmp_path / kind
    with Image.open(example_portrait) as plain:
        picture = plain.convert('RGB')
    if kind == 'rotated.jpg':
        exif = picture.getexif()
        exif[0x0112] = 6
        picture.rotate(90, expand=True).save(path, exif=exif, quality=97)
    elif kind == 'cmyk.jpg':
        picture.convert('CMYK').save(path, quality=97)
    elif kind == 'deep.png':
        cv2.imwrite(str(path), portrait.astype(np.uint16) * 257)
    else:
        picture.putalpha(128)
        picture.save(path, quality=97)
    program.run(*UNMARKED, '-s', path, '-t', target, '-o', tmp_path / 'out.png')
    plain, other, before = (cv2.imread(str(tmp_path / name)) for name in ('plain.png', 'out.png', 'target.png'))
    swapped = (plain != before).any(axis=2)
    assert swapped.mean() > 0.01
    assert cv2.absdiff(plain, other)[swapped].mean() < 0.25 * cv2.absdiff(plain, before)[swapped].mean()


def test_half_a_face_at_each_edge_is_processed_inside_the_frame(program, put, portrait, example_group, tmp_path):
    for name, part in (('left', portrait[:300, 225:]), ('right', portrait[:300, :225]), ('top', portrait[115:400])):
        target = put(f'{name}.png', np.ascontiguousarray(part))
        done = program.run(*UNMARKED, '-s', example_group, '-t', target, '-o', tmp_path / f'{name}-out.png')
        assert done.report['faces'] == 1, name
        assert changed(tmp_path / f'{name}-out.png', target).mean() > 0.01, name


def test_an_upside_down_face_is_swapped_like_an_upright_one(program, put, portrait, example_group, tmp_path):
    upright, turned = put('upright.png', portrait), put('turned.png', cv2.rotate(portrait, cv2.ROTATE_180))
    program.run(*UNMARKED, '-s', example_group, '-t', upright, '-o', tmp_path / 'a.png')
    program.run(
        *UNMARKED, '-s', example_group, '-t', turned, '-o', tmp_path / 'b.png', '--face-detector-angles', 0, 180
    )
    one, other = cv2.imread(str(tmp_path / 'a.png')), cv2.rotate(cv2.imread(str(tmp_path / 'b.png')), cv2.ROTATE_180)
    swapped = (one != portrait).any(axis=2)
    assert cv2.absdiff(one, other)[swapped].mean() < 0.35 * cv2.absdiff(one, portrait)[swapped].mean()


def test_pixels_outside_the_masks_are_unchanged(program, portrait, example_portrait, example_group, tmp_path):
    middles = {}
    for area in ('upper-face', 'lower-face', 'mouth'):
        words = ('--face-mask-types', 'area', '--face-mask-areas', area)
        program.run(*UNMARKED, '-s', example_group, '-t', example_portrait, '-o', tmp_path / 'out.png', *words)
        middles[area] = np.nonzero(changed(tmp_path / 'out.png', example_portrait))[0].mean()
    assert middles['upper-face'] < middles['lower-face'] - 20
    assert middles['lower-face'] <= middles['mouth'] + 3
    words = ('--face-mask-padding', 100, 100, 100, 100)
    program.run(*UNMARKED, '-s', example_group, '-t', example_portrait, '-o', tmp_path / 'out.png', *words)
    assert (cv2.imread(str(tmp_path / 'out.png')) == portrait).all()


def test_a_harder_edge_changes_more(program, example_portrait, example_group, tmp_path):
    counts = []
    for blur in (1, 0.3, 0):
        words = ('--face-mask-types', 'box', '--face-mask-blur', blur)
        program.run(*UNMARKED, '-s', example_group, '-t', example_portrait, '-o', tmp_path / 'out.png', *words)
        counts.append(int(changed(tmp_path / 'out.png', example_portrait).sum()))
    assert counts[0] < counts[1] < counts[2]


def test_an_unreadable_store_is_reported(program, example_portrait, monkeypatch):
    """A fake refuses the access, because root may read everything."""
    store, stat, scan = program.folder / 'jobs', Path.stat, os.scandir

    def refuse(path):
        if Path(path).is_relative_to(store):
            raise PermissionError(13, 'Permission denied', str(path))

    monkeypatch.setattr(Path, 'stat', lambda path, **how: refuse(path) or stat(path, **how))
    monkeypatch.setattr(os, 'scandir', lambda path: refuse(path) or scan(path))
    words = ('-s', example_portrait, '-t', example_portrait, '-o', program.folder / 'out.png')
    result = program('headless-run', *words)
    assert result.code == 1 and '[store-' in result.err and '--jobs-path' in result.err
