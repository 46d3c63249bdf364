"""Tests of the provenance that ``verify`` reads from outputs: credentials, sidecar, mark, chain and label."""

from __future__ import annotations

import hashlib
import json
import shutil

import cv2
import numpy as np
import pytest

pytestmark = pytest.mark.network


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def verified(program, path, *words, code=None, **settings):
    result = program('verify', path, '--format', 'json', *words, **settings)
    record = json.loads(result.out)
    assert result.code == (0 if record['verdict'] == 'intact' else 1) == (result.code if code is None else code)
    return record


@pytest.fixture
def swapped(program, example_portrait, example_group, tmp_path):
    """Write the image of a swap to out.jpg, and return the result of the run."""
    target = shutil.copy(example_group, tmp_path / 'group.jpg')
    words = ('-s', example_portrait, '-t', target, '-o', tmp_path / 'out.jpg', '--consent', 'all six agreed')
    return program.run(*words)


def test_an_image_states_signer_target_and_source(program, swapped, tmp_path, example_portrait):
    found = verified(program, tmp_path / 'out.jpg')
    credentials = found['credentials']
    assert (found['verdict'], credentials['state'], credentials['place']) == ('intact', 'trusted', 'embedded')
    assert credentials['is_own_root'] and 'local' in credentials['signer'].lower()
    (claim,) = credentials['chain']
    processing = claim['processing']
    assert processing['targets'][0]['name'] == 'group.jpg'
    assert processing['targets'][0]['sha256'] == sha256(tmp_path / 'group.jpg')
    assert processing['sources'][0]['sha256'] == sha256(example_portrait)
    assert processing['consent'] == ['all six agreed'] and processing['changed'] is True
    (use,) = processing['processors']
    assert use['name'] == 'face_swapper' and {model['id'] for model in use['models']} == {'centerface', 'face_mesh'}
    assert all(len(model['sha256']) == 64 for model in use['models'])
    types = {action['source_type'] for action in claim['actions'] if action['action'] == 'c2pa.edited'}
    assert types == {'compositeWithTrainedAlgorithmicMedia'}
    (mark,) = found['mark']['found']
    assert (mark['job_id'], mark['payload']) == (processing['job_id'], processing['mark_payload'])
    assert mark['confidence'] > 6


def test_the_job_records_the_published_file(program, swapped, tmp_path):
    (record,) = (tmp_path / 'jobs' / 'completed').glob('*.json')
    shown = program('job-show', record.stem)
    assert sha256(tmp_path / 'out.jpg') in shown.out and 'signed by' in shown.out
    credentials = swapped.report['credentials']
    chain = verified(program, tmp_path / 'out.jpg')['credentials']['chain']
    assert credentials['manifest'] == chain[-1]['manifest'] and credentials['marked_frames'] == 1


def test_one_changed_bit_is_detected(program, swapped, tmp_path):
    path = tmp_path / 'out.jpg'
    data = bytearray(path.read_bytes())
    data[-2000] ^= 4
    path.write_bytes(data)
    found = verified(program, path, code=1)
    assert found['verdict'] == 'tampered' and found['credentials']['problems']
    said = program('verify', path).out
    assert said.startswith('verdict:       tampered')


def test_another_machine_trusts_only_configured_roots(program, swapped, tmp_path, certificate_folder):
    elsewhere = {'FACEFUSION_PROVENANCE_PATH': str(tmp_path / 'elsewhere')}
    assert verified(program, tmp_path / 'out.jpg', environ=elsewhere)['verdict'] == 'unknown-signer'
    root = certificate_folder / 'root-certificate.pem'
    found = verified(program, tmp_path / 'out.jpg', '--trusted-roots', root, environ=elsewhere)
    assert found['verdict'] == 'intact' and not found['credentials']['is_own_root'] and found['credentials']['root']


def test_the_mark_remains_without_credentials(program, swapped, tmp_path):
    pixels = cv2.imread(str(tmp_path / 'out.jpg'))
    cv2.imwrite(str(tmp_path / 'stripped.jpg'), pixels, [cv2.IMWRITE_JPEG_QUALITY, 75])
    found = verified(program, tmp_path / 'stripped.jpg')
    assert found['verdict'] == 'mark-only' and found['credentials']['state'] == 'none'
    said = program('verify', tmp_path / 'stripped.jpg').out
    assert 'mark-only' in said and 'found: payload' in said


def test_files_of_other_programs(program, example_group, face_clip, tmp_path):
    for path in (example_group, face_clip):
        assert verified(program, path)['verdict'] == 'nothing-found'
    text = tmp_path / 'notes.txt'
    text.write_text('nothing to see')
    found = verified(program, text)
    assert found['verdict'] == 'nothing-found' and found['mark']['problem']
    assert '[media-missing]' in program('verify', tmp_path / 'none.jpg').err


@pytest.mark.parametrize('extension', ['mkv', 'webm', 'mp4'])
def test_videos_and_sidecars(program, face_clip, example_portrait, tmp_path, extension):
    out = tmp_path / f'out.{extension}'
    program.run('-s', example_portrait, '-t', face_clip, '-o', out, '--trim-frame-end', 30)
    sidecar = tmp_path / f'out.{extension}.c2pa'
    assert sidecar.exists() == (extension != 'mp4')
    found = verified(program, out)
    assert found['verdict'] == 'intact'
    assert found['credentials']['place'] == ('embedded' if extension == 'mp4' else 'sidecar')
    assert found['mark']['found'] and found['mark']['found'][0]['job_id']
    assert 'c2pa.trimmed' in {action['action'] for action in found['credentials']['chain'][-1]['actions']}
    if sidecar.exists():
        moved = sidecar.rename(tmp_path / 'moved.c2pa')
        assert verified(program, out)['verdict'] == 'mark-only'
        assert verified(program, out, '--sidecar', moved)['verdict'] == 'intact'


def test_a_reprocessed_output_keeps_its_history(program, face_clip, example_portrait, tmp_path):
    job = program('job-create').out.strip()
    one, two = tmp_path / 'one.mkv', tmp_path / 'two.mp4'
    words = ('-s', example_portrait, '--trim-frame-end', 20)
    assert program('job-add-step', job, *words, '-t', face_clip, '-o', one).code == 0
    assert program('job-remix-step', job, 0, '--processors', 'face_debugger', '-o', two).code == 0
    assert program('job-submit', job).code == 0
    ran = program('job-run', job)
    assert ran.code == 0, ran.err
    chain = verified(program, two)['credentials']['chain']
    assert [claim['title'] for claim in chain] == ['one.mkv', 'two.mp4']
    assert chain[0]['relationship'] == 'parentOf' and not chain[0]['problems']
    types = [{action['source_type'] for action in claim['actions']} - {''} for claim in chain]
    assert types == [{'compositeWithTrainedAlgorithmicMedia'}, set()]


def test_a_video_of_several_steps_states_all_of_them(program, face_clip, example_portrait, tmp_path):
    job = program('job-create').out.strip()
    out = tmp_path / 'out.mp4'
    for start in (0, 20):
        words = ('-s', example_portrait, '--trim-frame-start', start, '--trim-frame-end', start + 20)
        assert program('job-add-step', job, *words, '-t', face_clip, '-o', out).code == 0
    assert program('job-submit', job).code == 0
    ran = program('job-run', job)
    assert ran.code == 0, ran.err
    found = verified(program, out)
    assert found['verdict'] == 'intact'
    *parts, whole = found['credentials']['chain']
    assert [part['relationship'] for part in parts] == ['componentOf', 'componentOf']
    assert [action['action'] for action in whole['actions']] == ['c2pa.created', 'c2pa.placed', 'c2pa.placed']
    assert whole['actions'][0]['source_type'] == 'compositeWithTrainedAlgorithmicMedia'
    assert sorted(path.name for path in tmp_path.iterdir()) == ['jobs', 'out.mp4']


def test_an_unaltered_output_states_no_alteration(program, example_portrait, tmp_path):
    target = tmp_path / 'flowers.png'
    cv2.imwrite(str(target), np.random.default_rng(4).integers(0, 255, (400, 600, 3), np.uint8))
    out = tmp_path / 'out.png'
    program.run('-s', example_portrait, '-t', target, '-o', out, '--disclosure-label', 'corner')
    found = verified(program, out)
    (claim,) = found['credentials']['chain']
    assert [action['action'] for action in claim['actions']] == ['c2pa.opened', 'c2pa.transcoded']
    assert claim['processing']['changed'] is False and found['mark']['found'] == []
    assert (cv2.imread(str(out)) == cv2.imread(str(target))).all()


def test_the_label_is_drawn_and_stated(program, face_clip, example_portrait, tmp_path):
    words = ('-s', example_portrait, '-t', face_clip, '--trim-frame-end', 3, '--output-video-quality', 100)
    program.run(*words, '-o', tmp_path / 'plain.mp4')
    program.run(*words, '-o', tmp_path / 'bar.mp4', '--disclosure-label', 'bar', '--disclosure-text', 'Not real')
    plain, bar = (cv2.VideoCapture(str(tmp_path / name)).read()[1].astype(int) for name in ('plain.mp4', 'bar.mp4'))
    differs = np.abs(plain - bar).mean(axis=(1, 2)) > 20
    assert differs[-8:].all() and not differs[: len(differs) * 3 // 4].any()
    (claim,) = verified(program, tmp_path / 'bar.mp4')['credentials']['chain']
    assert claim['processing']['label'] == {'kind': 'bar', 'text': 'Not real'}


def test_an_operator_may_switch_off_the_mark(program, example_portrait, example_group, tmp_path):
    ini = tmp_path / 'own.ini'
    ini.write_text('[provenance]\ninvisible_mark = no\n')
    words = ('-s', example_portrait, '-t', example_group, '-o', tmp_path / 'out.png', '--config-path', ini)
    program.run(*words)
    found = verified(program, tmp_path / 'out.png')
    assert found['verdict'] == 'intact' and found['mark']['found'] == []
    assert 'mark_payload' not in found['credentials']['chain'][-1]['processing']


@pytest.mark.parametrize(
    ('reference', 'settings'),
    [
        ('certificate-without-key', {'FACEFUSION_CERTIFICATE_PATH': 'no.pem'}),
        ('certificate-missing', {'FACEFUSION_CERTIFICATE_PATH': 'no.pem', 'FACEFUSION_PRIVATE_KEY_PATH': 'no.key'}),
    ],
)
def test_an_unusable_signer_fails_before_the_run(program, example_portrait, face_clip, tmp_path, reference, settings):
    words = ('headless-run', '-s', example_portrait, '-t', face_clip, '-o', tmp_path / 'out.mp4')
    program.fails(1, reference, *words, environ=settings)
    assert not (tmp_path / 'out.mp4').exists()


def test_an_unwritable_home(program, example_portrait, example_group, tmp_path):
    home = tmp_path / 'home'
    home.write_text('no folder')
    settings = {'FACEFUSION_PROVENANCE_PATH': '', 'XDG_DATA_HOME': str(home), 'LOCALAPPDATA': str(home)}
    settings['HOME'] = str(home)
    result = program.run('-s', example_portrait, '-t', example_group, '-o', tmp_path / 'out.jpg', environ=settings)
    assert 'certificate of this machine is stored in' in result.err
    assert verified(program, tmp_path / 'out.jpg', environ=settings)['verdict'] == 'intact'


def test_only_an_applied_trim_is_stated(program, example_portrait, example_group, face_clip, tmp_path):
    picture, clip = tmp_path / 'out.jpg', tmp_path / 'out.mp4'
    program.run('-s', example_portrait, '-t', example_group, '-o', picture, '--trim-frame-start', 5)
    program.run('-s', example_portrait, '-t', face_clip, '-o', clip, '--trim-frame-start', 0, '--trim-frame-end', 9000)
    for path in (picture, clip):
        claim = verified(program, path)['credentials']['chain'][-1]
        assert 'c2pa.trimmed' not in {action['action'] for action in claim['actions']}
        assert not {'trim_start', 'trim_end'} & set(claim['processing']['targets'][0])
