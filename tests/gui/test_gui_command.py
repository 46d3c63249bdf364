"""The commands ``gui`` and ``run``: start, signals, ports, tokens and modes."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest
from fakes.page_server import page_server
from fakes.program import ROOT

PROGRAM = [sys.executable, str(ROOT / 'facefusion.py')]


def started(folder, *words, **environ):
    settings = {'FACEFUSION_JOBS_PATH': str(folder / 'jobs'), 'FACEFUSION_OFFLINE': 'yes', 'PYTHONPATH': str(ROOT)}
    return subprocess.run(
        [*PROGRAM, *words],
        cwd=folder,
        env={**os.environ, **settings, **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )


def serving(folder, *words, **environ):
    """Start the server; the first line of its output is its address."""
    command = [*PROGRAM, *words, '--port', '0', '--jobs-path', str(folder / 'jobs')]
    names = {**os.environ, 'PYTHONPATH': str(ROOT), **environ}
    return subprocess.Popen(command, cwd=folder, env=names, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_with_success_even_while_a_stream_is_open(tmp_path, number):
    with page_server(tmp_path) as page, socket.create_connection(('127.0.0.1', page.port)) as client:
        lines = ('GET /api/v1/events HTTP/1.1', f'host: 127.0.0.1:{page.port}', f'authorization: Bearer {page.token}')
        client.sendall(''.join(f'{line}\r\n' for line in (*lines, '')).encode())
        assert b' 200 ' in client.recv(1000)
        began = time.monotonic()
        page.process.send_signal(number)
        assert page.process.wait(20) == 0
        assert time.monotonic() - began < 10
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(('127.0.0.1', page.port), 5)


@pytest.mark.parametrize('words', [('run',), ('--mode', 'gui'), ('--mode', 'gui', 'gui'), ('--mode=gui', 'run')])
def test_every_name_of_the_command_serves_the_page(tmp_path, words):
    process = serving(tmp_path, *words)
    assert process.stdout.readline().startswith('http://127.0.0.1:')
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 0


@pytest.mark.parametrize('name', ['gui', 'run'])
def test_the_headless_mode_refuses_the_page(tmp_path, name):
    done = started(tmp_path, '--mode', 'headless', name)
    assert done.returncode == 2 and '[mode-command]' in done.stderr and f'{name} opens a web page' in done.stderr


def test_a_taken_port_is_an_error_with_a_hint(tmp_path):
    with socket.create_server(('127.0.0.1', 0)) as other:
        done = started(tmp_path, 'gui', '--port', str(other.getsockname()[1]))
    assert done.returncode == 2 and '[port-taken]' in done.stderr and '--port 0' in done.stderr


@pytest.mark.parametrize(
    ('words', 'reference'),
    [
        (('--host', '0.0.0.0'), 'token-required'),
        (('--host', '::'), 'token-required'),
        (('--host', '127.example.invalid'), 'token-required'),
        (('--host', '192.0.2.1', '--token', 'abc'), 'host-unusable'),
        (('--host', 'no such host', '--token', 'abc'), 'host-unusable'),
        (('--host', 'x' * 100, '--token', 'abc'), 'host-unusable'),
        (('--token', 'größe'), 'token-characters'),
        (('--token', 'two words'), 'token-characters'),
        (('--media-roots', '/no/such/folder'), 'media-root'),
    ],
)
def test_an_unusable_address_token_or_root_is_refused(tmp_path, words, reference):
    done = started(tmp_path, 'gui', '--port', '0', *words)
    assert done.returncode == 2 and f'[{reference}]' in done.stderr and 'hint' in done.stderr and done.stdout == ''


def test_the_token_of_the_user_is_used_and_a_random_one_differs_at_every_start(tmp_path):
    with page_server(tmp_path, environ={'FACEFUSION_TOKEN': 'a-Secret_1'}) as page:
        assert page.token == 'a-Secret_1' and page.get('/version')
    tokens = set()
    for _ in range(2):
        with page_server(tmp_path) as page:
            tokens.add(page.token)
    assert len(tokens) == 2 and min(map(len, tokens)) >= 32


def test_beyond_loopback_the_server_serves_a_proxy_and_warns_about_encryption(tmp_path):
    process = serving(tmp_path, 'gui', '--host', '0.0.0.0', '--token', 'secret')
    address = urlsplit(process.stdout.readline().strip())
    assert address.query == 'token=secret'
    connection = http.client.HTTPConnection('127.0.0.1', address.port, timeout=20)
    statuses = []
    for origin, token in (('https://studio.example', 'secret'), ('https://evil.example', 'secret'), ('', 'wrong')):
        headers = {
            'host': 'studio.example',
            'authorization': f'Bearer {token}',
            **({'origin': origin} if origin else {}),
        }
        connection.request('GET', '/api/v1/version', headers=headers)
        reply = connection.getresponse()
        reply.read()
        statuses.append(reply.status)
    connection.close()
    assert statuses == [200, 403, 401]
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 0 and 'TLS' in said


def test_a_machine_without_a_browser_gets_a_warning_and_the_page(tmp_path):
    nothing = dict.fromkeys(('DISPLAY', 'WAYLAND_DISPLAY', 'BROWSER'), '')
    process = serving(tmp_path, 'gui', '--open-browser', PATH=str(tmp_path), **nothing)
    assert process.stdout.readline().startswith('http://127.0.0.1:')
    lines = iter(process.stderr.readline, '')
    assert any('no browser was found' in line for line in lines)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 0


def test_a_user_who_came_by_ssh_learns_the_command_of_the_tunnel(tmp_path):
    process = serving(tmp_path, 'gui', SSH_CONNECTION='192.0.2.7 5000 192.0.2.8 22')
    port = process.stdout.readline().split(':')[2].split('/')[0]
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert f'ssh -L {port}:127.0.0.1:{port}' in said


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_the_server_takes_less_than_60_mb_until_pictures_are_asked_for(page):
    for route in ('/options', '/settings', '/draft', '/files', '/version', '/jobs'):
        page.get(route)
    page.raw('GET', '/', headers={'authorization': f'Bearer {page.token}'})
    with open(f'/proc/{page.process.pid}/status') as status:
        memory = next(int(line.split()[1]) * 1024 for line in status if line.startswith('VmRSS'))
    with open(f'/proc/{page.process.pid}/maps') as maps:
        loaded = maps.read()
    assert memory < 60e6
    assert not any(name in loaded for name in ('onnxruntime', 'libavcodec', 'cv2', 'numpy'))


def test_help_does_not_import_the_server(tmp_path):
    script = (
        'import sys\nfrom facefusion.cli.main import main\nmain(["gui", "--help"], {})\n'
        'print(sorted({name.partition(".")[0] for name in sys.modules} & {"starlette", "uvicorn", "anyio", "numpy"}))'
    )
    done = subprocess.run([sys.executable, '-c', script], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.endswith('[]\n') and '--media-roots' in done.stdout
