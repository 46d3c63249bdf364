"""The step of the page on a running server: options, draft, command line, plan, sources and checks."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys

import pytest
from fakes.page_server import page_server
from fakes.program import ROOT

from facefusion.options import describe
from facefusion.steps.arguments import STEP_GROUPS


def options_of(page):
    return {option['key']: option for section in page.get('/options')['sections'] for option in section['options']}


def test_every_step_option_is_listed_once_with_its_processor(page):
    listed = [option['key'] for section in page.get('/options')['sections'] for option in section['options']]
    expected = [info.key for group in STEP_GROUPS for info in describe(group) if not info.no_effect]
    assert sorted(listed) == sorted(expected)
    found, options = page.get('/options'), options_of(page)
    for processor in found['processors']:
        assert processor['title'] and processor['options']
        assert all(options[key]['processor'] == processor['name'] for key in processor['options'])
    assert {processor['name'] for processor in found['processors']} >= {'face_swapper', 'lip_syncer'}


def test_options_show_the_layer_of_their_value(tmp_path):
    ini = tmp_path / 'my.ini'
    ini.write_text('[output_creation]\noutput_video_quality = 71\n[face_masker]\nface_mask_blur = 0.1\n')
    words = ('--config-path', str(ini), '--face-mask-blur', '0.2', '--log-level', 'warn')
    with page_server(tmp_path, *words, environ={'FACEFUSION_MAX_FACES': '7'}) as page:
        found = options_of(page)
        layers = {key: (found[key]['value'], found[key]['layer']) for key in found}
        settings = {option['key']: option for option in page.get('/settings')['options']}
        line = page.post('/command', {'args': {'max_faces': 5}})['words']
    assert layers['output_video_quality'] == (71, 'ini')
    assert layers['face_mask_blur'] == (0.2, 'flag')
    assert layers['max_faces'] == (7, 'environment')
    assert layers['output_image_quality'] == (80, 'default')
    assert found['output_video_quality']['default'] == 80
    assert settings['log_level']['layer'] == 'flag' and settings['log_level']['value'] == 'warn'
    assert line[:2] == ['facefusion', 'headless-run']
    assert set(zip(line[2::2], line[3::2], strict=True)) == {
        ('--face-mask-blur', '0.2'),
        ('--max-faces', '5'),
        ('--config-path', str(ini)),
        ('--log-level', 'warn'),
    }


def test_settings_show_folders_versions_and_policies_but_no_token(page):
    found = page.get('/settings')
    assert found['paths']['jobs'] == str(page.folder / 'jobs') and found['paths']['media_roots'][0] == str(page.folder)
    assert found['versions']['facefusion'] and found['versions']['python']
    assert {policy['key'] for policy in found['policies']} >= {'require_consent'}
    assert 'token' not in {option['key'] for option in found['options']}
    assert page.token not in str(found) + str(page.get('/options'))


def test_a_draft_survives_a_restart_and_refuses_the_older_of_two_tabs(tmp_path):
    with page_server(tmp_path) as page:
        assert page.get('/draft') == {'version': 0, 'args': {}}
        first = page.call('PUT', '/draft', {'version': 0, 'args': {'max_faces': 3}})
        assert first.status == 200 and first.json == {'version': 1}
        late = page.call('PUT', '/draft', {'version': 0, 'args': {'max_faces': 9}})
        assert late.status == 409 and late.json['reference'] == 'draft-outdated'
        assert late.json['facts']['draft'] == {'version': 1, 'args': {'max_faces': 3}}
        page.process.kill()
        page.process.wait()
    with page_server(tmp_path) as page:
        assert page.get('/draft') == {'version': 1, 'args': {'max_faces': 3}}
        (tmp_path / 'jobs' / '.gui' / 'draft.json').write_text('{"version": "x"')
        assert page.get('/draft')['version'] == 0


@pytest.mark.parametrize(
    'body',
    [
        b'{}',
        b'{"version": 0}',
        b'{"version": 0, "args": []}',
        b'{"version": "0", "args": {}}',
        b'{"version": 0, "args": {"a": 1e999}}',
        b'{"version": 0, "args": {"a": NaN}}',
        b'{"version": 0, "args": {}, "name": 3}',
    ],
)
def test_a_malformed_draft_is_refused_and_changes_nothing(page, body):
    before = page.get('/draft')
    assert page.call('PUT', '/draft', body).status == 422
    assert page.get('/draft') == before


def test_the_copied_command_line_runs_the_same_step(page, clip):
    args = {
        'target_path': str(clip),
        'source_paths': [f'{page.folder}/a b.png', f"{page.folder}/it's.png"],
        'output_path': f'{page.folder}/out.mp4',
        'processors': ['face_debugger'],
        'face_mask_padding': [1, 2, 3, 4],
        'disclosure_text': '--bold "AI"\nnew line',
        'output_video_fps': 23.976023976,
    }
    found = page.post('/command', {'args': args})
    assert shlex.split(found['line']) == found['words'] and found['words'][:2] == ['facefusion', 'headless-run']
    script = (
        'import sys, json\n'
        'from facefusion.cli import headless_run as command\n'
        'from facefusion.cli.parser import Parser, add_config_path, add_options, given_flags\n'
        'parser = Parser(); add_config_path(parser); add_options(parser, command.GROUPS)\n'
        'print(json.dumps(given_flags(parser.parse_args(sys.argv[3:]), command.GROUPS)))\n'
    )
    line = found['line'].replace('facefusion headless-run', 'RUN facefusion headless-run', 1)
    shell = f'RUN() {{ "{sys.executable}" -c "$SCRIPT" "$@"; }}\n{line}'
    done = subprocess.run(
        ['sh', '-c', shell], env={'SCRIPT': script, 'PYTHONPATH': str(ROOT)}, capture_output=True, text=True
    )
    parsed = json.loads(done.stdout)
    assert {key: parsed[key] for key in args} == args, done.stderr


@pytest.mark.parametrize(
    ('args', 'named'),
    [
        ({'max_facez': 3}, 'did you mean max_faces'),
        ({'max_faces': 'many'}, 'max_faces'),
        ({'max_faces': 9999}, 'max_faces'),
        ({'max_faces': True}, 'max_faces'),
        ({'processors': 'face_swapper'}, 'processors'),
        ({'processors': ['bad']}, 'processors'),
        ({'target_path': 5}, 'target_path'),
        ({'jobs_path': '/tmp'}, 'jobs_path'),
        ([], 'args'),
        ('text', 'args'),
    ],
)
def test_invalid_arguments_are_named(page, args, named):
    for route in ('/plan', '/command'):
        reply = page.call('POST', route, {'args': args})
        assert reply.status == 422 and reply.json['reference'] == 'request-argument' and named in str(reply.json)


def test_a_plan_needs_paths_and_says_what_a_run_would_do(page, clip):
    reply = page.call('POST', '/plan', {'args': {}})
    assert reply.status == 422 and reply.json['hint']
    args = {'target_path': str(clip), 'output_path': f'{page.folder}/out.mp4', 'processors': ['face_debugger']}
    found = page.post('/plan', {'args': args})
    assert found['plan'] and found['limit_exceeded'] is False and isinstance(found['remarks'], list)
    assert not (page.folder / 'out.mp4').exists()
    gone = page.call('POST', '/plan', {'args': {**args, 'target_path': f'{page.folder}/gone.mp4'}})
    assert gone.status in (404, 422) and gone.json['message']


def test_sources_are_judged_in_words(page, clip):
    good, empty = page.folder / 'good.jpg', page.folder / 'plain.png'
    cv2, np = pytest.importorskip('cv2'), pytest.importorskip('numpy')
    portrait = next((ROOT / 'models' / 'weights').glob('example_portrait.*'), None)
    cv2.imwrite(str(empty), np.full((200, 200, 3), 128, np.uint8))
    (page.folder / 'no.png').write_text('no image')
    paths = [str(empty), str(page.folder / 'no.png'), str(clip), str(page.folder / 'gone.png')]
    if portrait is not None:
        good.write_bytes(portrait.read_bytes())
        paths.append(str(good))
    found = page.post('/sources', {'paths': paths})['sources']
    assert [source['path'] for source in found] == paths
    for source in found[:4]:
        assert source['is_usable'] is False and source['problems'] and all(source['problems'])
    assert 'no face' in found[0]['problems'][0] and 'does not exist' in found[3]['problems'][0]
    if portrait is not None:
        assert found[4]['is_usable'] is True and found[4]['kind'] == 'image' and found[4]['faces'] == 1
    assert page.post('/sources', {'paths': paths})['sources'] == found
    (page.folder / 'gone.png').write_bytes(empty.read_bytes())
    assert 'no face' in page.post('/sources', {'paths': paths})['sources'][3]['problems'][0]
    for paths in ('text', [5], ['x'] * 65, None):
        assert page.call('POST', '/sources', {'paths': paths}).status == 422


def test_verify_and_doctor_answer(page, clip):
    verdict = page.post('/verify', {'path': str(clip)})
    assert isinstance(verdict, dict) and verdict
    assert page.call('POST', '/verify', {'path': str(page.folder / 'no such.mp4')}).status == 404
    assert page.call('POST', '/verify', {}).status == 422
    findings = page.get('/doctor')['findings']
    assert findings and all(finding['check'] and finding['state'] for finding in findings)
