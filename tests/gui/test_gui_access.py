"""Access to a running server: hosts, origins, tokens, headers, and paths outside the roots."""

from __future__ import annotations

import http.client

import pytest
from fakes.page_server import API

VERSION = f'{API}/version'


def test_the_address_with_the_token_opens_the_page_and_sets_a_strict_cookie(page):
    reply = page.raw('GET', f'/login?token={page.token}')
    cookie = reply.headers['set-cookie']
    assert reply.status == 303 and reply.headers['location'] == '/'
    assert (
        'HttpOnly' in cookie and 'samesite=strict' in cookie.lower() and cookie.startswith(f'facefusion-{page.port}=')
    )
    with_cookie = {'cookie': cookie.split(';')[0]}
    assert page.raw('GET', '/', headers=with_cookie).status == 200
    assert page.raw('GET', VERSION, headers=with_cookie).json['version']


@pytest.mark.parametrize(
    'headers',
    [
        {},
        {'authorization': 'Bearer wrong'},
        {'authorization': 'Bearer '},
        {'authorization': 'Basic dTpw'},
        {'cookie': 'facefusion-1=x'},
        {'cookie': '\x7f"=;;,'},
    ],
)
def test_a_request_without_the_token_is_refused(page, headers):
    for target in (VERSION, '/', '/app.js', f'{API}/files/content?path=/etc/hostname'):
        reply = page.raw('GET', target, headers=headers)
        assert reply.status == 401 and reply.json['reference'] == 'token-missing', target


def test_a_person_without_the_token_reads_where_to_find_it(page):
    reply = page.raw('GET', '/', headers={'accept': 'text/html,*/*;q=0.8'})
    assert reply.status == 401 and reply.headers['content-type'].startswith('text/plain')
    assert b'the address that `facefusion gui` printed' in reply.body


def test_a_wrong_token_does_not_log_in(page):
    reply = page.raw('GET', '/login?token=wrong')
    assert reply.status == 401 and 'set-cookie' not in reply.headers


@pytest.mark.parametrize(
    'host', ['evil.example', 'evil.example:{port}', '127.0.0.1', 'localhost:1', '10.0.0.1:{port}', '']
)
def test_a_foreign_host_is_refused_even_with_the_token(page, host):
    reply = page.call('GET', '/version', headers={'host': host.format(port=page.port)})
    assert reply.status == 403 and reply.json['reference'] == 'host-foreign'


@pytest.mark.parametrize('host', ['127.0.0.1:{port}', 'localhost:{port}', 'LOCALHOST:{port}', '[::1]:{port}'])
def test_the_names_of_this_machine_are_accepted(page, host):
    assert page.call('GET', '/version', headers={'host': host.format(port=page.port)}).status == 200


@pytest.mark.parametrize('origin', ['http://evil.example', 'null', 'http://127.0.0.1:1', 'file://', ''])
def test_a_foreign_origin_is_refused_even_with_the_token(page, origin):
    reply = page.call('POST', '/plan', {}, {'origin': origin})
    assert reply.status == 403 and reply.json['reference'] == 'origin-foreign'


def test_the_origin_of_the_page_is_accepted(page):
    assert page.call('GET', '/version', headers={'origin': f'http://127.0.0.1:{page.port}'}).status == 200


def test_every_reply_has_the_security_headers(page):
    for reply in (
        page.raw('GET', VERSION),
        page.call('GET', '/version'),
        page.raw('GET', f'/login?token={page.token}'),
    ):
        assert "default-src 'self'" in reply.headers['content-security-policy']
        assert "frame-ancestors 'none'" in reply.headers['content-security-policy']
        assert reply.headers['x-content-type-options'] == 'nosniff'
        assert reply.headers['referrer-policy'] == 'no-referrer'
        assert 'access-control-allow-origin' not in reply.headers and 'server' not in reply.headers


def test_an_unknown_address_or_method_is_replied_with_a_record(page):
    unknown, method = page.call('GET', '/nothing'), page.call('DELETE', '/version')
    assert unknown.status == 404 and unknown.json['reference'] == 'not-found'
    assert method.status == 405 and method.json['reference'] == 'method-unknown'
    assert page.call('GET', '/../static/../../server.py').status == 404


@pytest.mark.parametrize(
    'body', [b'no json', b'[]', b'\xff\xfe', b'{"args": NaN}', b'[' * 200_000, b'{"a":' + b'1' * 6000 + b'}', b'"text"']
)
def test_a_body_that_is_no_json_object_is_refused(page, body):
    reply = page.call('POST', '/plan', body)
    assert reply.status == 422 and reply.json['reference'] == 'request-not-json'


def test_a_huge_body_is_refused(page):
    reply = page.call('POST', '/plan', b'{"a":"' + b'x' * 1_000_001 + b'"}')
    assert reply.status == 422 and reply.json['reference'] == 'request-too-large'


def test_the_server_survives_a_client_that_speaks_no_http(page):
    connection = http.client.HTTPConnection('127.0.0.1', page.port, timeout=20)
    connection.connect()
    connection.sock.sendall(b'\x16\x03\x01\x00nonsense\r\n\r\n')
    connection.sock.recv(100)
    connection.close()
    assert page.call('GET', '/version').status == 200


OUTSIDE = {
    'target_path': '{outside}/a.png',
    'output_path': '{outside}/out.png',
    'source_paths': ['{outside}/a.png'],
    'reference_face': '{outside}/a.png',
    'disclosure_font': '{outside}/a.ttf',
    'face_map': '{outside}/a.png=0',
    'consent': '{outside}/consent.txt',
}


@pytest.mark.parametrize('key', OUTSIDE)
@pytest.mark.parametrize('route', ['/plan', '/command', '/preview', '/jobs'])
def test_no_argument_can_name_a_file_outside_the_roots(page, key, route, tmp_path):
    (tmp_path / 'consent.txt').write_text('a secret')
    value = OUTSIDE[key]
    path = [value[0].format(outside=tmp_path)] if isinstance(value, list) else value.format(outside=tmp_path)
    args = {key: path}
    reply = page.call('POST', route, {'steps': [{'args': args}]} if route == '/jobs' else {'args': args, 'frame': 0})
    assert reply.status == 403 and reply.json['reference'] == 'path-outside-roots', reply.body
    assert b'a secret' not in reply.body


def test_links_and_dots_do_not_lead_out_of_the_roots(page, tmp_path):
    (tmp_path / 'private.png').write_bytes(b'private')
    link, folder = page.folder / 'link.png', page.folder / 'link'
    link.symlink_to(tmp_path / 'private.png')
    folder.symlink_to(tmp_path, target_is_directory=True)
    dots = f'{page.folder}/../{tmp_path.name}/private.png'
    for path in (str(link), f'{folder}/private.png', dots, str(tmp_path / 'private.png')):
        reply = page.call('GET', '/files/content', path=path)
        assert reply.status == 403 and b'private' not in reply.body.replace(b'private.png', b''), path
        assert page.call('GET', '/media', path=path).status == 403
        assert page.call('GET', '/media/frame', path=path).status == 403
        assert page.call('POST', '/verify', {'path': path}).status == 403
        assert page.call('POST', '/sources', {'paths': [path]}).status == 403
    for listed in (str(folder), f'{page.folder}/..', '/', '/etc'):
        assert page.call('GET', '/files', dir=listed).status == 403, listed
    assert {entry['name'] for entry in page.get('/files')['entries']}.isdisjoint({'link.png', 'link'})


@pytest.mark.parametrize(
    'path', ['', 'relative.png', '~/a.png', 'http://127.0.0.1/a.png', 'file:///etc/hostname', '\0', '/\0']
)
def test_a_path_that_is_not_absolute_is_refused(page, path):
    reply = page.call('GET', '/files/content', path=path)
    assert reply.status == 422 and reply.json['reference'] in ('path-not-absolute', 'path-invalid')


@pytest.mark.parametrize('text', ['a\0b', 'a\ud800b'])
@pytest.mark.parametrize('key', ['target_path', 'disclosure_text', 'face_map', 'consent'])
def test_a_text_that_is_no_text_is_refused(page, key, text):
    reply = page.call('POST', '/plan', {'args': {key: f'{page.folder}/{text}'}})
    assert reply.status == 422 and key in reply.json['facts']['options']
