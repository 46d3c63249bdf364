"""Tests of the frame enhancer in ``headless-run`` with the embedded upscalers."""

from __future__ import annotations

import json

import av
import cv2
import numpy as np
import onnx
import pytest
from fakes.program import UNMARKED
from PIL import Image

pytestmark = pytest.mark.network


@pytest.fixture(autouse=True)
def enhancer(store):
    store.fetch(('span_x2', 'span_x4'))


@pytest.fixture
def small(example_portrait, tmp_path):
    """A part of the example portrait, 45x31 pixels, without a whole face."""
    path = tmp_path / 'small.png'
    cv2.imwrite(str(path), cv2.imread(str(example_portrait))[80:111, 180:225])
    return path


@pytest.fixture
def run(program, small, tmp_path):
    """Return a function that enlarges the image and returns the result and its pixels."""

    def call(*words, target=small):
        output = tmp_path / 'out.png'
        done = program.run(*UNMARKED, '-t', target, '-o', output, '--processors', 'frame_enhancer', *words)
        return done, cv2.imread(str(output), cv2.IMREAD_UNCHANGED)

    return call


@pytest.fixture
def clip(example_portrait, tmp_path):
    """Return a function that writes a clip of six frames that move over the portrait."""

    def write(pix_fmt='yuv420p', size=(64, 48)):
        image = cv2.imread(str(example_portrait))
        path = tmp_path / 'clip.mp4'
        with av.open(str(path), 'w') as container:
            stream = container.add_stream('libx264', rate=25, options={'crf': '10'})
            stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
            for number in range(6):
                part = image[90 : 90 + size[1], 170 + 2 * number : 170 + 2 * number + size[0]]
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(part), format='bgr24')))
            container.mux(stream.encode(None))
        return path

    return write


def decoded(path):
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


@pytest.mark.parametrize(('scale', 'size'), [(0.5, (22, 16)), (1, (45, 31)), (2, (90, 62)), (8, (360, 248))])
def test_the_output_has_the_size_of_the_target_times_the_scale(run, scale, size):
    done, pixels = run('--output-image-scale', scale)
    assert pixels.shape[1::-1] == size and done.report['frames_changed'] == 1
    assert ('--output-image-scale 4 keeps all pixels' in done.err) == (scale < 4)


def test_the_default_is_closer_to_the_original_than_a_cubic_filter(run, example_portrait, tmp_path):
    original = cv2.imread(str(example_portrait))[60:188, 160:288]
    path = tmp_path / 'shrunk.png'
    shrunk = np.asarray(Image.fromarray(original).resize((32, 32), Image.Resampling.BICUBIC))
    cv2.imwrite(str(path), shrunk)
    _, pixels = run('--output-image-scale', 4, target=path)
    cubic = cv2.resize(shrunk, (128, 128), interpolation=cv2.INTER_CUBIC)
    errors = [((each.astype(float) - original) ** 2).mean() for each in (pixels, cubic)]
    assert errors[0] < 0.9 * errors[1]


def test_only_the_networks_of_gate_and_enhancer_are_loaded(run, small):
    done, _ = run()
    assert done.report['models'] == ['open_nsfw', 'span_x4']
    assert 'faces' not in done.err


def test_the_plan_shows_the_sizes(program, small, tmp_path):
    done = program(
        *('headless-run', '--processors', 'frame_enhancer', '--frame-enhancer-model', 'span_x2', '--dry-run'),
        *('-t', small, '-o', tmp_path / 'out.png'),
    )
    record = json.loads(done.out)
    assert (record['processed_size'], record['written_size'], record['scale_of_all_pixels']) == ([90, 62], [45, 31], 2)
    assert record['memory_parts']['work on frames'] > 10**8


def test_alpha_is_enlarged(run, small):
    image = cv2.cvtColor(cv2.imread(str(small)), cv2.COLOR_BGR2BGRA)
    image[:, :20, 3] = 0
    cv2.imwrite(str(small), image)
    _, pixels = run('--output-image-scale', 4)
    assert pixels.shape == (124, 180, 4)
    assert (pixels[:, :76, 3] == 0).all() and (pixels[:, 84:, 3] == 255).all()


@pytest.mark.parametrize('size', [(8, 8), (1, 1), (3, 40)])
def test_a_tiny_image_works(run, tmp_path, size):
    path = tmp_path / 'tiny.png'
    cv2.imwrite(str(path), np.full((*size[::-1], 3), 90, np.uint8))
    _, pixels = run('--output-image-scale', 4, target=path)
    assert pixels.shape[1::-1] == (4 * size[0], 4 * size[1]) and np.abs(pixels.astype(int) - 90).max() <= 3


def test_the_credentials_state_an_enhancement(program, small, tmp_path):
    output = tmp_path / 'out.png'
    program.run('-t', small, '-o', output, '--processors', 'frame_enhancer')
    record = json.loads(program('verify', output, '--format', 'json').out)
    types = [each['source_type'] for each in record['credentials']['chain'][0]['actions']]
    assert 'algorithmicallyEnhanced' in types


@pytest.mark.parametrize('pix_fmt', ['yuv420p', 'yuv420p10le'])
def test_a_clip_without_faces_is_enlarged_at_its_own_depth(program, clip, tmp_path, pix_fmt):
    output = tmp_path / 'out.mp4'
    done = program.run(
        *(*UNMARKED, '-t', clip(pix_fmt), '-o', output, '--processors', 'frame_enhancer'),
        *('--frame-enhancer-model', 'span_x2', '--output-video-scale', 2),
    )
    frames = decoded(output)
    assert (len(frames), frames[0].width, frames[0].height) == (6, 128, 96)
    assert frames[0].format.name == pix_fmt and done.report['frames_changed'] == 6


def test_a_clip_with_an_odd_size_and_damped_flicker(program, clip, tmp_path):
    output = tmp_path / 'out.mp4'
    done = program.run(
        *(*UNMARKED, '-t', clip('yuv444p', (45, 31)), '-o', output, '--processors', 'frame_enhancer'),
        *('--frame-enhancer-model', 'span_x2', '--frame-enhancer-stability', 100),
    )
    frames = decoded(output)
    assert len(frames) == 6 and done.report['frames_changed'] == 6
    assert (frames[0].width, frames[0].height) in ((45, 31), (46, 32), (44, 30))


def test_a_chain_enlarges_before_and_after_the_face_enhancer(program, store, example_portrait, tmp_path):
    store.fetch(('realesr_animevideov3',))
    target, output = tmp_path / 'portrait.png', tmp_path / 'out.png'
    cv2.imwrite(str(target), cv2.resize(cv2.imread(str(example_portrait))[:400, 60:460], (200, 200)))
    pixels = []
    for chain in (('frame_enhancer', 'face_enhancer'), ('face_enhancer', 'frame_enhancer'), ('frame_enhancer',)):
        program.run(
            *(*UNMARKED, '-t', target, '-o', output, '--processors', *chain, '--output-image-scale', 2),
            *('--frame-enhancer-model', 'span_x2'),
        )
        pixels.append(cv2.imread(str(output)).astype(int))
    assert [each.shape for each in pixels] == [(400, 400, 3)] * 3
    changes = [np.abs(each - pixels[2]).mean() for each in pixels[:2]]
    assert all(0.01 < change < 3 for change in changes)


def test_a_limit_of_memory_refuses_a_large_output_with_numbers(program, tmp_path):
    target = tmp_path / 'large.png'
    cv2.imwrite(str(target), np.zeros((2000, 16000, 3), np.uint8), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    said = program.fails(
        *(5, 'memory-limit', 'headless-run', '--processors', 'frame_enhancer', '-t', target),
        *('-o', tmp_path / 'out.png', '--system-memory-limit', 4),
    )
    assert 'GB' in said or 'MB' in said


def test_an_output_that_its_format_cannot_hold_is_refused(program, tmp_path):
    target = tmp_path / 'wide.png'
    cv2.imwrite(str(target), np.zeros((8, 5000, 3), np.uint8))
    said = program.fails(
        *(1, 'output-too-large', 'headless-run', '--processors', 'frame_enhancer', '-t', target),
        *('-o', tmp_path / 'out.webp', '--output-image-scale', 4),
    )
    assert '20000x32' in said and '16383' in said


def test_a_file_with_other_tensors_is_not_imported(program, tmp_path):
    node = onnx.helper.make_node('Identity', ['input'], ['output'])
    shapes = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, 64, 64]) for name in ('input', 'output')
    ]
    graph = onnx.helper.make_graph([node], 'other', [shapes[0]], [shapes[1]])
    path = tmp_path / 'other.onnx'
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid('', 18)], ir_version=8), path)
    weights = tmp_path / 'weights'
    weights.mkdir()
    done = program('models', 'import', path, '--as', 'real_esrgan_x4', '--models-path', weights)
    assert done.code != 0 and '[model-tensors]' in done.err
