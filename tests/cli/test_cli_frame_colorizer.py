"""Tests of the frame colorizer in ``headless-run``, with stand-in networks imported as the published models."""

from __future__ import annotations

import json
import shutil

import av
import cv2
import numpy as np
import pytest
from fakes.program import UNMARKED, Program
from fakes.stand_ins import colorizer

pytestmark = pytest.mark.network


@pytest.fixture(scope='module')
def models(store, tmp_path_factory):
    """A folder of weights with the models of the content gate and two stand-in colorizers; no face model."""
    folder = tmp_path_factory.mktemp('colorizers') / 'weights'
    folder.mkdir()
    (folder / store.path('open_nsfw').name).symlink_to(store.path('open_nsfw'))
    (folder / 'lock.json').write_bytes((store.weights / 'lock.json').read_bytes())
    for name, channels in (('ddcolor_artistic', 2), ('deoldify', 3)):
        path = folder.parent / f'{name}.onnx'
        path.write_bytes(colorizer(channels))
        done = Program(folder)('models', 'import', path, '--as', name, '--models-path', folder)
        assert done.code == 0, done.err
    return folder


@pytest.fixture
def run(program, models, tmp_path):
    """Return a function that colours a file and returns the result; the output is out.png unless another is named."""

    def call(target, *words, output='out.png'):
        paths = ('-t', target, '-o', tmp_path / output, '--models-path', models)
        return program.run(*UNMARKED, *paths, '--processors', 'frame_colorizer', *words)

    return call


def shades(width, height):
    """Return a grey image of gradients, uint8 [height,width]."""
    x, y = np.meshgrid(np.linspace(30, 200, width), np.linspace(0, 50, height))
    return (x + y).astype(np.uint8)


@pytest.fixture
def grey(tmp_path):
    """A PNG with one channel."""
    cv2.imwrite(str(tmp_path / 'grey.png'), shades(400, 300))
    return tmp_path / 'grey.png'


def spread(pixels):
    """Return the mean difference between the largest and the smallest channel of a pixel."""
    return float(np.ptp(pixels.astype(int), axis=2).mean())


def test_a_grey_image_without_faces_is_coloured_and_no_face_model_is_loaded(run, grey, tmp_path):
    done = run(grey)
    pixels = cv2.imread(str(tmp_path / 'out.png'))
    assert pixels.shape == (300, 400, 3) and spread(pixels) > 20
    assert (done.report['frames_changed'], done.report['faces']) == (1, 0)
    assert done.report['models'] == ['open_nsfw', 'ddcolor_artistic']
    assert 'frame colorizer model ddcolor_artistic' in done.err and 'models fetch ddcolor`' in done.err
    assert 'already in colour' not in done.err and 'no face' not in done.err


def test_colour_material_is_coloured_with_a_message(run, example_portrait, tmp_path):
    done = run(example_portrait)
    assert 'the first frame is already in colour' in done.err
    assert np.abs(cv2.imread(str(tmp_path / 'out.png')).astype(int) - cv2.imread(str(example_portrait))).mean() > 10


@pytest.mark.parametrize('model', ['ddcolor_artistic', 'deoldify'])
@pytest.mark.parametrize('size', [(8, 8), (1, 1), (201, 131)])
def test_tiny_and_odd_images_keep_their_size(run, tmp_path, model, size):
    cv2.imwrite(str(tmp_path / 'in.png'), shades(*size))
    run(tmp_path / 'in.png', '--frame-colorizer-model', model, '--frame-colorizer-size', '192x192')
    pixels = cv2.imread(str(tmp_path / 'out.png'))
    assert pixels.shape[1::-1] == size and spread(pixels) > 10


def test_the_alpha_of_an_image_stays(run, tmp_path):
    alpha = np.arange(60 * 40).reshape(40, 60).astype(np.uint8)
    cv2.imwrite(str(tmp_path / 'in.png'), np.dstack([shades(60, 40)] * 3 + [alpha]))
    run(tmp_path / 'in.png')
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / 'out.png'), cv2.IMREAD_UNCHANGED)[..., 3], alpha)


@pytest.fixture
def clip(tmp_path):
    """A grey clip of 20 frames with 10 bits and an odd size."""
    path = tmp_path / 'grey.mkv'
    with av.open(str(path), 'w') as output:
        stream = output.add_stream('ffv1', rate=25)
        stream.width, stream.height, stream.pix_fmt = 161, 91, 'yuv420p10le'
        for number in range(20):
            image = np.roll(shades(161, 91), 4 * number, 1)
            frame = av.VideoFrame.from_ndarray(np.dstack([image] * 3), format='bgr24').reformat(format='yuv420p10le')
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def planes_of(path):
    with av.open(str(path)) as container:
        return [frame.reformat(format='yuv420p10le') for frame in container.decode(video=0)]


def test_a_clip_of_ten_bits_and_odd_size_is_coloured_and_keeps_its_luma(run, clip, tmp_path):
    words = ('--frame-colorizer-model', 'deoldify', '--output-video-encoder', 'libx265', '--output-video-quality', 100)
    done = run(clip, *words, output='out.mkv')
    assert done.report['frames_changed'] == 20
    before, after = planes_of(clip), planes_of(tmp_path / 'out.mkv')
    assert len(after) == 20
    for old, new in zip(before, after, strict=True):
        luma = [np.frombuffer(f.planes[0], '<u2').reshape(f.height, -1)[:91, :161].astype(int) for f in (old, new)]
        # The difference is that of the encoder.
        assert np.abs(luma[1] - luma[0]).mean() < 1.5
    assert all(spread(cv2.cvtColor(frame.to_ndarray(format='rgb24'), cv2.COLOR_RGB2BGR)) > 15 for frame in after)


def test_without_weights_the_error_states_the_command_and_sizes(program, store, grey, tmp_path):
    """Nothing is written, not even with --dry-run."""
    words = ('-t', grey, '-o', tmp_path / 'out.png', '--models-path', store.weights, '--processors', 'frame_colorizer')
    for more in ((), ('--dry-run',)):
        said = program.fails(6, 'model-none-present', 'headless-run', *words, *more)
        assert 'facefusion models fetch ddcolor`' in said
        assert 'ddcolor_artistic (980 MB)' in said and 'deoldify_artistic (255 MB)' in said
    said = program.fails(6, 'model-missing-offline', 'headless-run', *words, '--frame-colorizer-model', 'deoldify')
    assert 'models fetch deoldify' in said


def test_a_file_with_the_tensors_of_another_model_is_not_imported(program, tmp_path):
    path = tmp_path / 'wrong.onnx'
    path.write_bytes(colorizer(2))
    words = ('models', 'import', path, '--as', 'deoldify', '--models-path', tmp_path / 'weights')
    assert 'expected [1, 3, height, width]' in program.fails(6, 'model-tensors', *words)


def test_the_credentials_state_an_enhancement(program, models, grey, tmp_path):
    output = tmp_path / 'out.jpg'
    program.run('-t', grey, '-o', output, '--processors', 'frame_colorizer', '--models-path', models)
    record = json.loads(program('verify', output, '--format', 'json').out)
    types = [each['source_type'] for each in record['credentials']['chain'][0]['actions']]
    assert 'algorithmicallyEnhanced' in types


def test_an_image_that_does_not_fit_into_memory_is_refused_by_the_plan(program, models, tmp_path):
    cv2.imwrite(str(tmp_path / 'large.png'), np.zeros((16000, 16000), np.uint8))
    words = ('-t', tmp_path / 'large.png', '-o', tmp_path / 'out.png', '--models-path', models)
    words += ('--processors', 'frame_colorizer', '--system-memory-limit', 1)
    said = program.fails(5, 'memory-limit', 'headless-run', *words)
    assert 'MB of memory' in said


def with_face_models(models, store, folder):
    """Return a copy of a folder of weights that also has the models of the embedded swapper."""
    weights = folder / 'weights'
    shutil.copytree(models, weights, symlinks=True)
    for name in ('centerface', 'face_mesh'):
        (weights / store.path(name).name).symlink_to(store.path(name))
    return weights


@pytest.mark.parametrize('chain', [('face_swapper', 'frame_colorizer'), ('frame_colorizer', 'face_swapper')])
def test_the_colorizer_works_before_and_after_the_swapper(program, models, store, example_portrait, tmp_path, chain):
    weights = with_face_models(models, store, tmp_path)
    target = tmp_path / 'grey.png'
    cv2.imwrite(str(target), cv2.imread(str(example_portrait), cv2.IMREAD_GRAYSCALE))
    paths = ('-s', example_portrait, '-t', target, '-o', tmp_path / 'out.png', '--models-path', weights)
    done = program.run(*UNMARKED, *paths, '--processors', *chain, '--face-swapper-model', 'mesh_warp')
    assert (done.report['frames_changed'], done.report['faces']) == (1, 1)
    assert spread(cv2.imread(str(tmp_path / 'out.png'))) > 20


def test_a_clip_is_swapped_and_coloured_in_one_pass(program, models, store, example_portrait, face_clip, tmp_path):
    weights = with_face_models(models, store, tmp_path)
    paths = ('-s', example_portrait, '-t', face_clip, '-o', tmp_path / 'out.mp4', '--models-path', weights)
    words = ('--processors', 'frame_colorizer', 'face_swapper', '--face-swapper-model', 'mesh_warp')
    done = program.run(*UNMARKED, *paths, *words, '--trim-frame-end', 20)
    assert done.report['frames_changed'] == 20 and done.report['faces'] > 20
    assert done.report['effects'] == {'frame_colorizer': 'enhancement', 'face_swapper': 'composite'}
