"""Previews, faces and surveys of a real server in a process of its own."""

from __future__ import annotations

import shutil
import threading
import time

import cv2
import numpy as np
import pytest
from fakes.page_server import page_server

pytestmark = pytest.mark.network


@pytest.fixture(scope='module')
def server(tmp_path_factory, face_clip, portrait_source):
    folder = tmp_path_factory.mktemp('page')
    shutil.copy(face_clip, folder / 'clip.mp4')
    shutil.copy(portrait_source, folder / 'source.png')
    with page_server(folder) as server:
        yield server


@pytest.fixture
def swap(server):
    return {
        'target_path': str(server.folder / 'clip.mp4'),
        'source_paths': [str(server.folder / 'source.png')],
        'processors': ['face_swapper'],
    }


def preview(server, args, frame=5, width=320):
    return server.call('POST', '/preview', {'args': args, 'frame': frame, 'width': width})


def test_a_preview_is_a_picture_of_the_changed_frame(server, swap):
    reply = preview(server, swap)
    assert (reply.status, reply.headers['content-type'], reply.headers['x-changed']) == (200, 'image/jpeg', 'yes')
    assert reply.headers['cache-control'] == 'no-store' and 'total;dur=' in reply.headers['server-timing']
    before = server.call('GET', '/media/frame', path=swap['target_path'], number=5, width=320).body
    pictures = [cv2.imdecode(np.frombuffer(data, np.uint8), 1).astype(int) for data in (reply.body, before)]
    assert pictures[0].shape == (180, 320, 3) and np.abs(pictures[0] - pictures[1]).max() > 40
    assert np.median(np.abs(pictures[0] - pictures[1])) < 6
    again = preview(server, swap)
    assert again.body == reply.body and again.headers['server-timing'].startswith('kept')
    assert preview(server, {**swap, 'face_mask_blur': 0.9}).body != reply.body
    assert cv2.imdecode(np.frombuffer(preview(server, swap, width=160).body, np.uint8), 1).shape == (90, 160, 3)


def test_a_frame_or_a_target_that_does_not_exist_is_an_error(server, swap):
    for frame in (60, 10**9):
        assert preview(server, swap, frame).json['reference'] == 'frame-out-of-range'
    assert preview(server, swap, -1).json['reference'] == 'request-argument'
    gone = server.folder / 'gone.mp4'
    shutil.copy(swap['target_path'], gone)
    args = {**swap, 'target_path': str(gone)}
    assert preview(server, args).status == 200
    gone.unlink()
    reply = preview(server, args)
    assert (reply.status, reply.json['reference']) == (404, 'media-missing')
    outside = {**swap, 'target_path': '/etc/hostname'}
    assert preview(server, outside).status == 403


def test_a_newer_request_overtakes_those_that_wait(server, swap):
    found = []

    def ask(frame):
        found.append((frame, preview(server, swap, frame).status))

    threads = [threading.Thread(target=ask, args=(frame,)) for frame in range(20, 32)]
    for thread in threads:
        thread.start()
        time.sleep(0.02)
    for thread in threads:
        thread.join()
    status = dict(found)
    assert status[31] == 200 and 204 in status.values() and set(status.values()) == {200, 204}


def test_the_faces_of_a_frame_have_positions_and_reasons(server, swap):
    def faces(**args):
        body = {'path': swap['target_path'], 'number': 40, 'args': args}
        return server.post('/media/faces', body)['faces']

    everyone = faces(face_selector_order='left-right')
    assert len(everyone) == 2 and all(face['is_selected'] and face['reason'] == '' for face in everyone)
    assert [face['position'] for face in everyone] == [0, 1]
    assert everyone[0]['box'][0] < everyone[1]['box'][0] and all(face['box'][2] > 20 for face in everyone)
    one = faces(face_selector_order='right-left', face_selector_mode='one')
    assert [face['is_selected'] for face in one] == [True, False] and one[1]['reason']
    assert one[0]['box'] == everyone[1]['box']
    known = {'face_selector_mode': 'reference', 'reference_frame_number': 40, 'reference_face_position': 1}
    chosen = [face for face in faces(face_selector_order='left-right', **known) if face['is_selected']]
    assert [face['box'] for face in chosen] == [everyone[1]['box']]


def test_a_survey_lets_a_preview_change_one_person(server, swap):
    args = {**swap, 'source_paths': [], 'face_map': swap['source_paths'][0] + '=1'}
    assert preview(server, args, 40).json['reference'] == 'preview-people-unknown'
    survey = server.post('/people', {'args': {'target_path': swap['target_path']}}, 202)['survey']
    while (found := server.get(f'/people/{survey}'))['state'] == 'running':
        time.sleep(0.1)
    assert found['state'] == 'done' and len(found['record']['persons']) == 3
    assert server.call('GET', f'/people/{survey}/crops/0').headers['content-type'].startswith('image/')
    one, everyone = preview(server, args, 40), preview(server, swap, 40)
    assert one.headers['x-changed'] == 'yes' and one.body != everyone.body
    assert server.call('GET', '/people/unknown').status == 404
