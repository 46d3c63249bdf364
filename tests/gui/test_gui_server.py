"""The page's server: access, files, options and jobs, in a process of its own."""

from __future__ import annotations

import json
import shlex
import time

import pytest
from fakes.page_server import page_server
from fakes.program import Program
from fakes.tiny_clip import make_tiny_clip


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp('page')
    make_tiny_clip(folder / 'clip.mp4', 20)
    (folder / 'evil\n<b>.svg').write_text('<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>')
    (folder / 'out of roots.mp4').symlink_to('/etc/hostname')
    with (folder / 'huge.mp4').open('wb') as file:
        file.truncate(5 << 30)
    with page_server(folder) as running:
        yield running


@pytest.mark.parametrize(
    ('headers', 'status', 'reference'),
    [
        ({}, 401, 'token-missing'),
        ({'Authorization': 'Bearer wrong'}, 401, 'token-missing'),
        ({'Cookie': 'facefusion-1=wrong'}, 401, 'token-missing'),
        ({'Host': 'evil.example'}, 403, 'host-foreign'),
        ({'Origin': 'http://evil.example'}, 403, 'origin-foreign'),
    ],
)
def test_foreign_requests_are_refused(server, headers, status, reference):
    if 'Host' in headers or 'Origin' in headers:
        headers = {**headers, 'Authorization': f'Bearer {server.token}'}
    reply = server.raw('GET', '/api/v1/jobs', headers=headers)
    assert (reply.status, reply.json['reference']) == (status, reference)
    assert "default-src 'self'" in reply.headers['content-security-policy']


def test_the_login_sets_a_cookie_that_scripts_cannot_read(server):
    assert server.raw('GET', '/login?token=wrong').status == 401
    reply = server.raw('GET', f'/login?token={server.token}')
    assert reply.status == 303 and 'HttpOnly' in reply.headers['set-cookie']
    assert 'samesite=strict' in reply.headers['set-cookie'].lower()
    cookie = reply.headers['set-cookie'].partition(';')[0]
    assert server.raw('GET', '/', headers={'Cookie': cookie}).status == 200


@pytest.mark.parametrize('path', ['/etc/hostname', '{root}/../x', '{root}/out of roots.mp4', 'clip.mp4', '\0'])
def test_no_file_outside_of_the_roots_is_read(server, path):
    reply = server.call('GET', '/files/content', path=path.replace('{root}', str(server.folder)))
    assert reply.status in (403, 422) and b'hostname' not in reply.body.split(b'message')[0]


def test_files_are_listed_and_scripts_in_them_never_run(server):
    names = {entry['name']: entry['kind'] for entry in server.get('/files', dir=str(server.folder))['entries']}
    assert names['clip.mp4'] == 'video' and names['evil\n<b>.svg'] == 'other' and 'out of roots.mp4' not in names
    reply = server.call('GET', '/files/content', path=str(server.folder / 'evil\n<b>.svg'))
    assert reply.status == 200 and reply.headers['content-disposition'].startswith('attachment')
    assert reply.headers['x-content-type-options'] == 'nosniff'


def test_ranges_of_huge_files_are_served(server):
    path, end = str(server.folder / 'huge.mp4'), (5 << 30) - 1
    reply = server.call('GET', '/files/content', headers={'Range': f'bytes={end - 9}-'}, path=path)
    assert (reply.status, len(reply.body)) == (206, 10)
    assert reply.headers['content-range'] == f'bytes {end - 9}-{end}/{end + 1}'
    assert server.call('GET', '/files/content', headers={'Range': f'bytes={end + 5}-'}, path=path).status == 416


def test_an_upload_gets_a_safe_name_and_leaves_no_remains(server):
    found = server.call('PUT', '/uploads/..%2F..%2Fa b.png', b'picture').json
    assert found['path'].startswith(str(server.folder / 'jobs/.gui/uploads/')) and found['size'] == 7
    again = server.call('PUT', '/uploads/..%2F..%2Fa b.png', b'picture').json
    assert again['path'] != found['path']
    assert server.call('PUT', '/uploads/empty.png', b'').status == 422
    assert not list((server.folder / 'jobs/.gui/uploads').glob('.*.part'))


def test_every_option_has_a_control_and_the_layer_of_its_value(server):
    reply = server.get('/options')
    options = {option['key']: option for section in reply['sections'] for option in section['options']}
    assert options['face_swapper_weight']['processor'] == 'face_swapper'
    for option in options.values():
        assert option['kind'] in ('text', 'int', 'float', 'flag', 'path') and option['help'], option['key']
        assert option['layer'] == 'default' and option['value'] == option['default'], option['key']
    assert not [option for option in server.get('/settings')['options'] if option['key'] == 'token']


def test_a_draft_of_an_older_version_is_refused(server):
    version = server.get('/draft')['version']
    assert server.call('PUT', '/draft', {'version': version, 'args': {'max_faces': 3}}).json['version'] == version + 1
    reply = server.call('PUT', '/draft', {'version': version, 'args': {}})
    assert (reply.status, reply.json['facts']['draft']['args']) == (409, {'max_faces': 3})


@pytest.mark.parametrize(
    ('args', 'reference'),
    [
        ({'max_facez': 1}, 'request-argument'),
        ({'max_faces': 'many'}, 'request-argument'),
        ({'face_selector_race': 'x'}, 'option-refused'),
        ({'target_path': '/etc/hostname'}, 'path-outside-roots'),
    ],
)
def test_invalid_arguments_are_named(server, args, reference):
    reply = server.call('POST', '/command', {'args': args})
    assert reply.json['reference'] == reference and reply.status in (403, 422)


def test_the_command_line_gives_the_same_plan(server, tmp_path):
    clip = server.folder / 'clip.mp4'
    args = {'target_path': str(clip), 'output_path': str(server.folder / 'a b.mp4'), 'processors': ['face_debugger']}
    args |= {'max_faces': 5, 'output_video_quality': 71}
    line = server.post('/command', {'args': args})['line']
    words = shlex.split(line)
    assert words[:2] == ['facefusion', 'headless-run']
    printed = Program(tmp_path)(*words[1:], '--dry-run')
    planned = server.post('/plan', {'args': args})
    assert printed.code == 0 and json.loads(printed.out)['processors'] == planned['plan']['processors']
    assert planned['plan']['output'] == str(server.folder / 'a b.mp4')


def test_exact_frames_are_shown(server):
    clip = str(server.folder / 'clip.mp4')
    assert server.get('/media', path=clip)['frames'] == 20
    pictures = {server.call('GET', '/media/frame', path=clip, number=number).body for number in (0, 12)}
    assert len(pictures) == 2
    assert server.call('GET', '/media/frame', path=clip, number=20).json['reference'] == 'frame-out-of-range'
    assert server.call('GET', '/media', path=clip + 'x').status == 404


def finished(server, job_id):
    for _ in range(600):
        job = server.get(f'/jobs/{job_id}')
        if job['state'] in ('completed', 'failed'):
            return job
        time.sleep(0.1)
    raise AssertionError(job)


def test_jobs_are_created_moved_run_and_deleted(server):
    clip = str(server.folder / 'clip.mp4')
    for name in ('one', 'two', 'three'):
        args = {'target_path': clip, 'output_path': str(server.folder / f'{name}.mp4'), 'processors': ['face_debugger']}
        job = server.post('/jobs', {'id': name, 'steps': [{'args': args}], 'submit': True}, 201)
        assert job['state'] == 'queued'
    assert server.call('PATCH', '/jobs/three', {'before': 'one'}).status == 200
    assert server.call('POST', '/jobs/one/retry', {}).json['reference'] == 'job-wrong-state'
    assert server.call('POST', '/jobs/none/run', {}).status == 404
    server.post('/jobs/two/cancel')
    assert server.get('/jobs/two')['error']['reference'] == 'cancelled'
    server.post('/jobs/one/run')
    jobs = {name: finished(server, name) for name in ('one', 'three')}
    assert {job['state'] for job in jobs.values()} == {'completed'}, jobs
    assert jobs['three']['date_started'] < jobs['one']['date_started']
    verdict = server.post('/verify', {'path': str(server.folder / 'one.mp4')})
    assert verdict['verdict'] == 'intact'
    assert [line['text'] for line in server.get('/jobs/one/log')['lines']]
    assert 'facefusion_jobs{state="completed"} 2' in server.call('GET', '/metrics').body.decode()
    assert server.call('DELETE', '/jobs/two').status == 204 and server.call('GET', '/jobs/two').status == 404
    (worker,) = server.get('/workers')['workers']
    assert worker['is_child'] and server.call('DELETE', '/workers').status == 202


def test_events_begin_with_all_jobs_and_follow_changes(server):
    import http.client

    connection = http.client.HTTPConnection('127.0.0.1', server.port, timeout=20)
    connection.request('GET', '/api/v1/events', headers={'Authorization': f'Bearer {server.token}'})
    stream = connection.getresponse()
    assert stream.readline() == b'event: jobs\n'
    server.post('/jobs', {'id': 'new-one'}, 201)
    lines = [stream.readline()]
    while not lines[-1].startswith(b'event: job\n'):
        lines.append(stream.readline())
    assert json.loads(stream.readline().removeprefix(b'data: '))['id'] == 'new-one'
    connection.close()


def test_a_server_beyond_loopback_needs_a_token(tmp_path):
    result = Program(tmp_path)('gui', '--host', '0.0.0.0', '--port', '0')
    assert result.code == 2 and '[token-required]' in result.err


def test_a_taken_port_is_reported_and_signals_end_the_server(server, tmp_path):
    result = Program(tmp_path)('run', '--port', server.port)
    assert result.code == 2 and '[port-taken]' in result.err
    with page_server(tmp_path) as other:
        pass
    assert other.process.returncode == 0
