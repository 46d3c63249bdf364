from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest
from fakes.program import UNMARKED
from PIL import Image

pytestmark = pytest.mark.network
DRAW = ('--processors', 'face_debugger')


@pytest.fixture
def photo(example_group, tmp_path):
    """The photo of six faces at half its size, saved without loss."""
    path = tmp_path / 'photo.png'
    cv2.imwrite(str(path), cv2.resize(cv2.imread(str(example_group)), (640, 443), interpolation=cv2.INTER_AREA))
    return path


def opened(path):
    with Image.open(path) as image:
        image.load()
        return image


def changed(path, other):
    """Return a mask of the pixels in which two images differ: bool [height, width]."""
    return (cv2.imread(str(path)) != cv2.imread(str(other))).any(axis=2)


def middle(mask):
    return np.nonzero(mask)[1].mean() / mask.shape[1]


@pytest.mark.parametrize('name', ['out.jpg', 'out.JPEG', 'out.webp', 'out.bmp'])
def test_a_swap_in_every_format(program, photo, portrait_source, tmp_path, name):
    done = program.run('-s', portrait_source, '-t', photo, '-o', tmp_path / name)
    assert done.report['faces'] == 6 and done.report['frames_without_face'] == 0
    with Image.open(tmp_path / name) as image:
        assert image.size == (640, 443)
        assert image.format == {'.jpg': 'JPEG', '.jpeg': 'JPEG'}.get((tmp_path / name).suffix.lower(), name[4:].upper())


def test_only_the_faces_change(program, photo, portrait_source, tmp_path):
    program.run('-s', portrait_source, '-t', photo, '-o', tmp_path / 'out.png', *UNMARKED)
    share = changed(photo, tmp_path / 'out.png').mean()
    assert 0.02 < share < 0.25
    program.run('--source', portrait_source, '--target', photo, '--output', tmp_path / 'again.png', *UNMARKED)
    assert not changed(tmp_path / 'again.png', tmp_path / 'out.png').any()


def test_alpha_is_unchanged(program, photo, tmp_path):
    colours = np.asarray(opened(photo))
    alpha = np.tile(np.linspace(0, 255, 640).astype(np.uint8), (443, 1))
    Image.fromarray(np.dstack([colours, alpha])).save(tmp_path / 'alpha.png')
    for name in ('out.png', 'out.webp', 'out.bmp'):
        program.run(*DRAW, '-t', tmp_path / 'alpha.png', '-o', tmp_path / name, '--output-image-quality', 100)
        found = np.asarray(opened(tmp_path / name) if name != 'out.bmp' else read_bmp(tmp_path / name))
        assert (found[..., 3] == alpha).all()


def read_bmp(path):
    return cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA)


def test_a_rotated_photo_is_processed_upright(program, photo, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = 'a group'
    with Image.open(photo) as image:
        image.rotate(90, expand=True).save(tmp_path / 'turned.jpg', quality=95, exif=exif)
    done = program.run(*DRAW, '-t', tmp_path / 'turned.jpg', '-o', tmp_path / 'out.jpg')
    assert done.report['faces'] == 6
    with Image.open(tmp_path / 'out.jpg') as image:
        assert image.size == (640, 443)
        assert image.getexif().get(0x0112, 1) == 1
        assert image.getexif()[0x010E] == 'a group'


@pytest.mark.parametrize('mode', ['L', 'LA', 'P', 'CMYK', 'I;16', '16-bit colour'])
def test_other_pixel_formats_are_converted_with_a_remark(program, photo, tmp_path, mode):
    path = tmp_path / ('in.jpg' if mode == 'CMYK' else 'in.png')
    image = opened(photo)
    if mode == '16-bit colour':
        cv2.imwrite(str(path), cv2.imread(str(photo)).astype(np.uint16) * 257)
    elif mode == 'I;16':
        Image.fromarray(np.asarray(image.convert('L')).astype(np.uint16) * 257).save(path)
    else:
        image.convert(mode).save(path)
    done = program.run(*DRAW, '-t', path, '-o', tmp_path / 'out.png')
    assert done.report['faces'] == 6
    words = {'L': 'grey', 'LA': 'grey', 'P': 'palette', 'CMYK': 'CMYK'}.get(mode, '16-bit')
    assert words in done.err
    close = np.asarray(opened(tmp_path / 'out.png').convert('L').resize((40, 28)), np.int16)
    assert np.abs(close - np.asarray(image.convert('L').resize((40, 28)), np.int16)).max() < 60


def test_an_image_of_one_pixel(program, portrait_source, tmp_path):
    for name in ('one.png', 'one.jpg'):
        cv2.imwrite(str(tmp_path / name), np.full((1, 1, 3), 77, np.uint8))
        done = program.run('-s', portrait_source, '-t', tmp_path / name, '-o', tmp_path / f'out-{name}')
        assert done.report['frames_without_face'] == 1 and done.report['ranges_without_face'] == [[0, 0]]
        assert (cv2.imread(str(tmp_path / f'out-{name}')) == 77).all()


def test_the_selector_processes_one_or_many_in_order(program, photo, tmp_path):
    middles = {}
    for order in ('left-right', 'right-left'):
        words = ('-t', photo, '-o', tmp_path / 'one.png', '--face-selector-mode', 'one', '--face-selector-order', order)
        done = program.run(*DRAW, *words)
        assert done.report['faces'] == 1
        middles[order] = middle(changed(photo, tmp_path / 'one.png'))
    assert middles['left-right'] < 0.3 and middles['right-left'] > 0.7
    heights = []
    for order in ('large-small', 'small-large'):
        words = ('-t', photo, '-o', tmp_path / 'one.png', '--face-selector-mode', 'one', '--face-selector-order', order)
        program.run(*DRAW, *words, '--face-debugger-items', 'bounding-box')
        heights.append(np.ptp(np.nonzero(changed(photo, tmp_path / 'one.png'))[0]))
    assert heights[0] > heights[1]


def test_the_debugger_draws_the_requested_items(program, photo, tmp_path):
    counts = []
    for items in (['bounding-box'], ['face-landmark-5'], ['bounding-box', 'face-landmark-5', 'face-landmark-68']):
        program.run(*DRAW, '-t', photo, '-o', tmp_path / 'out.png', '--face-debugger-items', *items)
        counts.append(int(changed(photo, tmp_path / 'out.png').sum()))
    assert 0 < counts[1] < counts[0] < counts[2]


def test_a_chain_runs_processors_in_order(program, photo, portrait_source, tmp_path):
    swap = program.run('-s', portrait_source, '-t', photo, '-o', tmp_path / 'swap.png', *UNMARKED)
    assert swap.report['models'] == ['centerface', 'face_mesh', 'open_nsfw']
    both = ('--processors', 'face_swapper', 'face_debugger')
    program.run(*both, '-s', portrait_source, '-t', photo, '-o', tmp_path / 'both.png', *UNMARKED)
    program.run(*DRAW, '-t', photo, '-o', tmp_path / 'draw.png')
    drawn = changed(photo, tmp_path / 'draw.png')
    assert (changed(tmp_path / 'swap.png', tmp_path / 'both.png') <= drawn).all()
    assert changed(tmp_path / 'swap.png', tmp_path / 'both.png').sum() > 0.5 * drawn.sum()


def test_scale_and_quality(program, photo, tmp_path):
    sizes = []
    for quality in (95, 20):
        program.run(*DRAW, '-t', photo, '-o', tmp_path / 'out.jpg', '--output-image-quality', quality)
        sizes.append((tmp_path / 'out.jpg').stat().st_size)
    assert sizes[1] < sizes[0] / 2
    program.run(*DRAW, '-t', photo, '-o', tmp_path / 'out.jpg', '--output-image-scale', 0.5)
    assert opened(tmp_path / 'out.jpg').size == (320, 220)


def test_the_source_may_be_the_target_and_several_are_allowed(program, example_portrait, example_group, tmp_path):
    brighter = tmp_path / 'brighter.png'
    cv2.imwrite(str(brighter), cv2.convertScaleAbs(cv2.imread(str(example_portrait)), alpha=1.1, beta=5))
    several = ('-s', example_group, example_portrait, brighter)
    done = program.run(*several, '-t', example_portrait, '-o', tmp_path / 'out.png')
    assert done.report['faces'] == 1 and 'dlib_face_resnet' in done.report['models']
    assert 'the source face is combined from 2 images of one person' in done.err
    assert f'{example_group} is skipped: it does not show the same person as' in done.err


def test_the_output_folder_is_created_and_the_file_replaced(program, photo, tmp_path):
    out = tmp_path / 'new' / 'deep' / 'out.png'
    program.run(*DRAW, '-t', photo, '-o', out)
    first = shutil.copy(out, tmp_path / 'first.png')
    out.write_bytes(b'something else')
    program.run(*DRAW, '-t', photo, '-o', out)
    assert not changed(first, out).any()
    assert [entry.name for entry in out.parent.iterdir()] == ['out.png']


def test_an_image_of_sixteen_thousand_pixels_width(program, tmp_path):
    from fakes.media_files import plain_png

    plain_png(tmp_path / 'wide.png', 16384, 256)
    program.run(*DRAW, '-t', tmp_path / 'wide.png', '-o', tmp_path / 'out.png')
    assert opened(tmp_path / 'out.png').size == (16384, 256)
