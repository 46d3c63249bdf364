"""Previews of single frames, and the people of a target."""

from __future__ import annotations

import shutil
import time

import cv2
import numpy as np
import pytest
from fakes.page_server import page_server
from fakes.program import UNMARKED, Program

pytestmark = pytest.mark.network


@pytest.fixture(scope='module')
def server(tmp_path_factory, face_clip, example_portrait):
    folder = tmp_path_factory.mktemp('preview')
    shutil.copy(face_clip, folder / 'clip.mp4')
    shutil.copy(example_portrait, folder / 'face.png')
    with page_server(folder, *map(str, UNMARKED)) as running:
        yield running


def preview(server, frame=0, **args):
    paths = {'target_path': str(server.folder / 'clip.mp4'), 'source_paths': [str(server.folder / 'face.png')]}
    return server.call('POST', '/preview', {'args': paths | args, 'frame': frame})


def pixels(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).astype(np.int16)


def test_a_preview_is_what_a_run_writes(server, tmp_path):
    target, face = server.folder / 'group.png', server.folder / 'face.png'
    frame = server.call('GET', '/media/frame', path=str(server.folder / 'clip.mp4'), number=3)
    cv2.imwrite(str(target), cv2.imdecode(np.frombuffer(frame.body, np.uint8), cv2.IMREAD_COLOR))
    reply = preview(server, target_path=str(target))
    assert (reply.status, reply.headers['x-changed'], reply.headers['cache-control']) == (200, 'yes', 'no-store')
    output = tmp_path / 'out.jpg'
    assert Program(tmp_path)('headless-run', *UNMARKED, '-s', face, '-t', target, '-o', output).code == 0
    assert np.abs(pixels(reply.body) - pixels(output.read_bytes())).max() <= 1


def test_an_option_changes_the_preview_and_a_seen_value_is_fast(server):
    first, changed = preview(server, 3), preview(server, 3, face_mask_blur=1.0)
    assert first.status == changed.status == 200 and first.body != changed.body
    started = time.monotonic()
    assert preview(server, 3).body == first.body
    assert time.monotonic() - started < 0.4


@pytest.mark.parametrize(
    ('frame', 'args', 'status', 'reference'),
    [
        (9999, {}, 422, 'frame-out-of-range'),
        (0, {'target_path': None}, 422, 'preview-no-target'),
        (0, {'source_paths': []}, 422, 'source-missing'),
        (0, {'processors': ['nobody']}, 422, 'request-argument'),
    ],
)
def test_a_preview_that_is_not_possible_says_why(server, frame, args, status, reference):
    reply = preview(server, frame, **args)
    assert (reply.status, reply.json['reference']) == (status, reference)


def test_faces_and_people_are_found(server):
    clip = str(server.folder / 'clip.mp4')
    found = server.post('/media/faces', {'path': clip, 'number': 0, 'args': {}})
    assert found['faces'] and [face['position'] for face in found['faces']] == list(range(len(found['faces'])))
    key = server.post('/people', {'args': {'target_path': clip}}, 202)['survey']
    for _ in range(900):
        survey = server.get(f'/people/{key}')
        if survey['state'] != 'running':
            break
        time.sleep(0.1)
    assert survey['state'] == 'done' and survey['record']['persons'], survey['error']
    number = survey['record']['persons'][0]['number']
    assert server.call('GET', f'/people/{key}/crops/{number}').body.startswith(b'\x89PNG')
    assert server.call('GET', '/people/none').status == 404
