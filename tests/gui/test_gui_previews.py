"""Previews, the faces of a frame and surveys of a running server, compared with runs."""

from __future__ import annotations

import http.client
import json
import shutil
import threading
import time
from pathlib import Path
from urllib.parse import unquote

import cv2
import numpy as np
import pytest
from fakes.page_server import API, page_server
from fakes.program import ROOT, UNMARKED, Program

pytestmark = pytest.mark.network
SWAP = {'processors': ['face_swapper']}
# JPEG of the quality of previews changes a pixel by less than this on average, in codes of 8 bits.
JPEG_LOSS = 2.0
# The start of a server whose content gate refuses every image.
REFUSING = """
import sys
sys.path.insert(0, {tests!r})
from facefusion.pipeline import content_screening
from facefusion.safety.content_gate import ContentGate
from fakes.screenings import BrightIsBad
content_screening.prepare_gate = lambda sessions, models: ContentGate([BrightIsBad(0.0)], 1)
content_screening.model_digests = lambda store, ids: dict.fromkeys(ids, 'ab' * 32)
"""
# The start of a server that estimates faces in the left half of a frame as under 18.
LEFT_IS_YOUNG = """
import sys
sys.path.insert(0, {tests!r})
from facefusion.pipeline import content_screening
from fakes.screenings import LeftIsYoung
content_screening.find_age_estimator = lambda sessions, store: LeftIsYoung()
"""


class Media:
    """A folder with a portrait, a group and a clip, and the settings that swap the clip."""

    def __init__(self, folder: Path, portrait: Path, group: Path, clip: Path) -> None:
        self.folder = folder
        self.portrait = Path(shutil.copy(portrait, folder / 'portrait.png'))
        self.group = Path(shutil.copy(group, folder / 'group.jpg'))
        self.clip = Path(shutil.copy(clip, folder / 'clip.mp4'))

    def swap(self, **args):
        return {**SWAP, 'target_path': str(self.clip), 'source_paths': [str(self.portrait)], **args}


@pytest.fixture(scope='module')
def media(tmp_path_factory, example_portrait, example_group, face_clip):
    return Media(tmp_path_factory.mktemp('media'), example_portrait, example_group, face_clip)


@pytest.fixture(scope='module')
def page(media):
    with page_server(media.folder, *map(str, UNMARKED)) as server:
        yield server


def preview(page, args, frame=0, width=0):
    return page.call('POST', '/preview', {'args': args, 'frame': frame, 'width': width})


def pixels_of(reply):
    assert reply.status == 200, reply.body[:500]
    assert reply.headers['content-type'] == 'image/jpeg'
    return cv2.imdecode(np.frombuffer(reply.body, np.uint8), cv2.IMREAD_COLOR).astype(int)


def original(page, path, frame=0):
    return pixels_of(page.call('GET', '/media/frame', path=str(path), number=frame, width=3840))


def record_of(reply, status):
    assert reply.status == status, reply.body[:500]
    assert reply.json.keys() >= {'reference', 'message', 'cause', 'hint', 'exit_code'}
    return reply.json


def starting_with(folder, script):
    """Return the environment of a server that runs a script before anything else."""
    (folder / 'sitecustomize.py').write_text(script.format(tests=str(ROOT / 'tests')))
    return {'PYTHONPATH': f'{folder}:{ROOT}'}


def test_a_preview_of_an_image_is_the_output_of_a_run(page, media, tmp_path):
    args = media.swap(target_path=str(media.group))
    seen, output = pixels_of(preview(page, args)), tmp_path / 'out.png'
    Program(tmp_path).run(
        '-s', media.portrait, '-t', media.group, '-o', output, '--processors', 'face_swapper', *UNMARKED
    )
    written, before = cv2.imread(str(output)).astype(int), original(page, media.group)
    changed = np.abs(written - before).max(axis=2) > 40
    assert changed.sum() > 1000 and np.abs(seen - written).mean() < JPEG_LOSS
    assert np.abs(seen - written)[changed].mean() < 6 < 20 < np.abs(seen - before)[changed].mean()


def test_a_preview_of_a_video_frame_is_that_frame_of_a_run(page, media, tmp_path):
    reply, output = preview(page, media.swap(), 30), media.folder / 'out.mp4'
    # A run on a single frame smooths nothing.
    words = ('--trim-frame-start', 30, '--trim-frame-end', 31, '--output-video-quality', 100)
    Program(tmp_path).run(
        '-s', media.portrait, '-t', media.clip, '-o', output, '--processors', 'face_swapper', *words, *UNMARKED
    )
    seen, before, frame = pixels_of(reply), original(page, media.clip, 30), original(page, output)
    changed = np.abs(frame - before).max(axis=2) > 30
    assert reply.headers['x-changed'] == 'yes' and changed.mean() > 0.01
    assert np.abs(seen - frame).mean() < JPEG_LOSS
    assert np.abs(seen - frame)[changed].mean() < 6 < 20 < np.abs(seen - before)[changed].mean()


def test_a_preview_has_the_label_of_an_output(page, media):
    plain, labelled = (pixels_of(preview(page, media.swap(**args), 30)) for args in ({}, {'disclosure_label': 'bar'}))
    rows = (np.abs(plain - labelled).max(axis=2) > 60).mean(axis=1)
    assert rows[-3:].max() > 0.2 and rows[: len(rows) // 2].max() < 0.02


def test_a_preview_is_never_stored_by_the_browser_and_reports_its_times(page, media):
    first, again = preview(page, media.swap(), 12), preview(page, media.swap(), 12)
    assert first.headers['cache-control'] == again.headers['cache-control'] == 'no-store'
    assert 'faces;dur=' in first.headers['server-timing'] and again.headers['server-timing'] == 'kept;dur=0'
    assert first.body == again.body


def test_a_changed_option_changes_the_preview_and_finds_no_faces_again(page, media):
    preview(page, media.swap(), 20)
    reply = preview(page, media.swap(face_mask_blur=0.9), 20)
    stages = dict(part.split(';dur=') for part in reply.headers['server-timing'].split(', '))
    assert float(stages['faces']) < 30 and float(stages['frame']) < 30
    assert reply.body != preview(page, media.swap(), 20).body


def test_a_preview_is_not_wider_than_asked(page, media):
    assert pixels_of(preview(page, media.swap(), 20, 160)).shape == (90, 160, 3)


def test_a_frame_without_faces_stays_unchanged(page, media):
    grey = media.folder / 'grey.png'
    cv2.imwrite(str(grey), np.full((96, 128, 3), 120, np.uint8))
    reply = preview(page, media.swap(target_path=str(grey)))
    assert reply.headers['x-changed'] == 'no'
    assert np.abs(pixels_of(reply) - 120).max() <= 2


def test_a_missing_source_is_the_error_of_a_run(page, media):
    assert record_of(preview(page, media.swap(source_paths=[])), 422)['exit_code'] == 2
    gone = str(media.folder / 'nobody.png')
    assert record_of(preview(page, media.swap(source_paths=[gone])), 404)['reference'] == 'media-missing'


def test_a_changed_source_is_read_again(page, media):
    copy = media.folder / 'changing.png'
    shutil.copy(media.portrait, copy)
    args = media.swap(source_paths=[str(copy)])
    before = preview(page, args, 5)
    image = cv2.imread(str(copy))
    cv2.imwrite(str(copy), cv2.convertScaleAbs(image, alpha=0.6))
    assert preview(page, args, 5).body != before.body


@pytest.mark.parametrize('frame', [60, 10**9])
def test_a_frame_after_the_end_is_refused(page, media, frame):
    assert record_of(preview(page, media.swap(), frame), 422)['reference'] == 'frame-out-of-range'


@pytest.mark.parametrize('frame', [-1, 1.5, 'first', True])
def test_a_frame_that_is_no_number_is_refused(page, media, frame):
    assert record_of(preview(page, media.swap(), frame), 422)['reference'] == 'request-argument'


def test_a_target_that_vanishes_is_unknown(page, media):
    copy = Path(shutil.copy(media.clip, media.folder / 'short-lived.mp4'))
    assert preview(page, media.swap(target_path=str(copy)), 3).status == 200
    copy.unlink()
    assert record_of(preview(page, media.swap(target_path=str(copy)), 3), 404)['reference'] == 'media-missing'


def test_a_refused_target_is_refused_each_time(media, tmp_path):
    with page_server(media.folder, environ=starting_with(tmp_path, REFUSING)) as page:
        for _ in range(2):
            record = record_of(preview(page, media.swap(), 30), 422)
            assert (record['reference'], record['exit_code']) == ('content-refused', 3)


def test_a_selected_face_under_18_is_refused(media, tmp_path):
    portrait = cv2.imread(str(media.portrait))
    wide = media.folder / 'right.png'
    # The source is in the right half, where it counts as adult.
    cv2.imwrite(str(wide), np.hstack([np.full_like(portrait, 90), portrait]))
    args = media.swap(target_path=str(media.group), source_paths=[str(wide)])
    with page_server(media.folder, environ=starting_with(tmp_path, LEFT_IS_YOUNG)) as page:
        record = record_of(preview(page, args), 422)
        assert (record['reference'], record['exit_code']) == ('age-refused', 3)
        assert 'group.jpg' in record['message']
        only = {'face_selector_mode': 'one', 'face_selector_order': 'right-left'}
        assert preview(page, {**args, **only}).status == 200


def test_an_operator_that_requires_consent_gets_it_for_previews(media, tmp_path):
    strict = tmp_path / 'strict.ini'
    strict.write_text('[policy]\nrequire_consent = yes\n')
    with page_server(media.folder, '--config-path', str(strict)) as page:
        assert record_of(preview(page, media.swap(), 4), 422)['reference'] == 'consent-required'
        assert preview(page, media.swap(consent='all agreed'), 4).status == 200
        assert record_of(preview(page, media.swap(), 4), 422)['reference'] == 'consent-required'


def test_only_the_latest_of_waiting_previews_is_made(media):
    statuses = dict[int, int]()

    def ask(frame):
        statuses[frame] = preview(page, media.swap(), frame).status

    with page_server(media.folder) as page:
        # The first preview loads the models, while the others wait.
        threads = [threading.Thread(target=ask, args=(frame,)) for frame in (10, 20, 30)]
        for thread in threads:
            thread.start()
            time.sleep(0.3)
        for thread in threads:
            thread.join()
        assert statuses == {10: 200, 20: 204, 30: 200}


def test_a_preview_whose_client_has_gone_is_not_made(media):
    def ask():
        preview(page, media.swap(), 10)

    with page_server(media.folder) as page:
        busy = threading.Thread(target=ask)
        busy.start()
        time.sleep(0.3)
        connection = http.client.HTTPConnection('127.0.0.1', page.port)
        headers = {'authorization': f'Bearer {page.token}'}
        connection.request('POST', API + '/preview', json.dumps({'args': media.swap(), 'frame': 20}), headers)
        connection.close()
        busy.join()
        assert preview(page, media.swap(), 20).headers['server-timing'] != 'kept;dur=0'


def test_the_faces_of_a_frame_have_the_positions_of_the_reference_face(page, media):
    path = str(media.group)
    args = {'face_selector_order': 'left-right', 'max_faces': 2}
    found = page.post('/media/faces', {'path': path, 'number': 0, 'args': args})
    assert (found['width'], found['height']) == (1280, 886)
    lefts = [face['box'][0] for face in sorted(found['faces'], key=lambda face: face['position'])]
    assert len(lefts) >= 5 and lefts == sorted(lefts)
    chosen = [face for face in found['faces'] if face['is_selected']]
    assert len(chosen) == 2 and all(face['reason'] for face in found['faces'] if not face['is_selected'])
    for face in found['faces']:
        mode = {'face_selector_mode': 'reference', 'reference_face_position': face['position']}
        mode['face_selector_order'] = 'left-right'
        again = page.post('/media/faces', {'path': path, 'number': 0, 'args': mode})['faces']
        same = [each for each in again if each['position'] == face['position']]
        assert same[0]['is_selected'] and same[0]['box'] == face['box']


def test_a_face_map_is_previewed_with_the_people_of_the_survey(page, media):
    mapped = {**SWAP, 'target_path': str(media.clip), 'face_map': f'{media.portrait}=0'}
    assert record_of(preview(page, mapped, 30), 422)['reference'] == 'preview-people-unknown'
    survey = page.post('/people', {'args': {'target_path': str(media.clip)}}, 202)['survey']
    deadline = time.monotonic() + 120
    while (state := page.get(f'/people/{survey}'))['state'] == 'running' and time.monotonic() < deadline:
        time.sleep(0.2)
    assert state['state'] == 'done' and state['record']['kind'] == 'video', state
    crop = page.call('GET', f'/people/{survey}/crops/0', side=96)
    assert cv2.imdecode(np.frombuffer(crop.body, np.uint8), cv2.IMREAD_COLOR) is not None
    reply = preview(page, mapped, 30)
    assert reply.headers['x-changed'] == 'yes'
    everybody = pixels_of(preview(page, media.swap(), 30))
    assert np.abs(pixels_of(reply) - everybody).max() > 60, unquote(reply.headers['x-remarks'])
