"""Tests of the relay to a timestamp authority: it is bounded in bytes and time, can be stopped and states failures."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import replace

import pytest
import requests
from fakes.certificates import issue, make_root, write_chain, write_key
from fakes.statements import make_picture, swap_of
from fakes.time_stamps import Authority, serving

from facefusion.errors import Interrupted, ProvenanceError
from facefusion.events import silent
from facefusion.provenance.credentials_writer import Ingredient, sign
from facefusion.provenance.timestamp import Relay, RelayFailure, RelayLimits
from facefusion.stopping import StopFlag

SHORT = RelayLimits(connect_seconds=0.5, total_seconds=0.6)
HEAD = b'HTTP/1.1 200 OK\r\nContent-Type: application/timestamp-reply\r\n'
# The last bytes of a request: the query of ``asked``, or the last field of the library's query (certReq TRUE).
ENDS = (b'query', b'\xff')
ANSWER = b'\x30\x03abc'


@contextmanager
def talking(talk):
    """Yield the address of a server that calls ``talk(connection)`` for each request."""

    def run():
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    got = b''
                    while not got.endswith(ENDS):
                        got += connection.recv(65536) or ENDS[0]
                    talk(connection)

    with closing(socket.create_server(('127.0.0.1', 0))) as listener:
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f'http://127.0.0.1:{listener.getsockname()[1]}/stamp'
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)
    assert not thread.is_alive()


def sending(data):
    return lambda connection: connection.sendall(data)


def reply_of(size):
    return HEAD + b'Content-Length: %d\r\n\r\n' % size + ANSWER[:1] + bytes(size - 1)


def asked(authority, limits=SHORT, flag=None):
    """Return the response to the library and the failure of the relay."""
    with Relay(authority, flag, limits) as relay:
        response = requests.post(relay.url, b'query', timeout=30)
    return response, relay.failure


def queries():
    return [thread for thread in threading.enumerate() if thread.name == 'timestamp query']


def settle():
    """Wait for the query threads to end, because none may outlive its query for long."""
    end = time.monotonic() + 3
    while queries() and time.monotonic() < end:
        time.sleep(0.02)
    assert not queries()


def test_query_and_reply_are_forwarded():
    got = []
    with serving(lambda query: got.append(query) or ANSWER) as url:
        response, failure = asked(url)
    assert (response.status_code, response.content, failure, got) == (200, ANSWER, None, [b'query'])


def test_a_flood_is_cut_off():
    sent = []

    def flood(connection):
        connection.sendall(HEAD + b'\r\n' + ANSWER)
        while True:
            sent.append(connection.send(bytes(65536)))

    with talking(flood) as url:
        response, failure = asked(url, RelayLimits())
    assert (response.status_code, response.content) == (502, b'')
    assert str(failure) == 'its reply is longer than 65536 bytes'
    # The server sent no more than the buffers of two sockets hold.
    assert sum(sent) < 32_000_000


@pytest.mark.parametrize(('size', 'reason'), [(65536, ''), (65537, 'its reply is longer than 65536 bytes')])
def test_the_bound_of_a_reply_is_64_kilobytes(size, reason):
    with talking(sending(reply_of(size))) as url:
        response, failure = asked(url, RelayLimits())
    assert str(failure) == reason if reason else (len(response.content), failure) == (size, None)


def hang(connection):
    """Wait until the other side ends the connection."""
    assert connection.recv(1) == b''


def drip(connection):
    connection.sendall(HEAD + b'\r\n')
    while True:
        connection.sendall(b'\x30')
        time.sleep(0.05)


def drip_heads(connection):
    while True:
        connection.sendall(b'H')
        time.sleep(0.05)


@pytest.mark.parametrize('talk', [hang, drip, drip_heads])
def test_the_wait_ends_with_its_threads(talk):
    begin = time.monotonic()
    with talking(talk) as url:
        response, failure = asked(url)
        assert time.monotonic() - begin < 20
        settle()
    assert response.status_code == 502
    assert str(failure) == 'it did not answer within 0.6 seconds'


@pytest.mark.parametrize(
    ('reply', 'reason'),
    [
        (b'HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n', 'it answered with status 500'),
        (b'HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n', 'it answered with status 401'),
        (HEAD + b'Content-Length: 0\r\n\r\n', 'its reply is empty'),
        (HEAD + b'Content-Length: 6\r\n\r\n<html>', 'its reply is not a timestamp'),
        (HEAD + b'Content-Length: 9\r\n\r\n' + ANSWER, 'its reply ended too early'),
        (HEAD + b'Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\n' + ANSWER, 'its reply is compressed'),
        (b'\0\1\2\3' * 100, 'the connection to it failed'),
        (b'', 'the connection to it failed'),
    ],
)
def test_each_failure_states_its_reason(reply, reason):
    with talking(sending(reply)) as url:
        response, failure = asked(url.replace('//', '//user:secret@'))
    assert response.status_code == 502
    assert reason in str(failure)
    assert 'secret' not in str(failure) and '127.0.0.1' not in str(failure)


def test_a_redirect_is_not_followed():
    got = []
    with serving(lambda query: got.append(query) or ANSWER) as other:
        head = f'HTTP/1.1 307 There\r\nLocation: {other}\r\nContent-Length: 0\r\n\r\n'
        with talking(sending(head.encode())) as url:
            _, failure = asked(url)
    assert not got and str(failure) == 'it answered with status 307, a redirect, which is not followed'


def test_a_closed_port_and_an_unknown_name():
    with closing(socket.socket()) as listener:
        listener.bind(('127.0.0.1', 0))
        port = listener.getsockname()[1]
    _, failure = asked(f'http://127.0.0.1:{port}', RelayLimits())
    assert str(failure) == 'it refused the connection'
    _, failure = asked('http://nowhere.invalid/', RelayLimits())
    assert str(failure) == 'its name cannot be resolved'


def test_the_certificate_of_an_authority_is_verified(tmp_path):
    house = issue(make_root(), 'localhost')
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(write_chain(tmp_path / 'chain.pem', house), write_key(tmp_path / 'key.pem', house.key))
    got = []

    def run():
        with suppress(OSError), context.wrap_socket(listener.accept()[0], server_side=True) as connection:
            got.append(connection.recv(1))

    with closing(socket.create_server(('127.0.0.1', 0))) as listener:
        thread = threading.Thread(target=run)
        thread.start()
        _, failure = asked(f'https://127.0.0.1:{listener.getsockname()[1]}', RelayLimits())
        thread.join()
    assert 'its TLS certificate cannot be verified' in str(failure) and got in ([], [b''])


def test_the_credentials_in_the_address_are_sent():
    heads = []

    def talk(connection):
        connection.sendall(reply_of(5))

    def run():
        connection, _ = listener.accept()
        with connection:
            heads.append(connection.recv(65536))
            talk(connection)

    with closing(socket.create_server(('127.0.0.1', 0))) as listener:
        thread = threading.Thread(target=run)
        thread.start()
        response, _ = asked(f'http://user:secret@127.0.0.1:{listener.getsockname()[1]}/stamp')
        thread.join()
    assert response.status_code == 200 and b'Authorization: Basic dXNlcjpzZWNyZXQ=' in heads[0]


def test_only_the_secret_address_is_served_and_only_while_the_relay_is_open():
    got = []
    with serving(lambda query: got.append(query) or ANSWER) as url:
        with Relay(url, None, SHORT) as relay:
            root, _, token = relay.url.rpartition('/')
            assert root.startswith('http://127.0.0.1:') and len(token) >= 32
            assert requests.post(f'{root}/{token[:-1]}', b'query', timeout=5).status_code == 404
            assert requests.get(relay.url, timeout=5).status_code == 501
            assert requests.post(relay.url, bytes(65537), timeout=5).status_code == 413
            assert requests.post(relay.url, iter([b'query']), timeout=5).status_code == 411
            address = relay.url
        assert not got and relay.failure is None
        with pytest.raises(requests.ConnectionError):
            requests.post(address, b'query', timeout=5)


def test_a_refused_local_port_is_reported(monkeypatch):
    def refuse(*arguments, **named):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(socket.socket, 'bind', refuse)
    with pytest.raises(RelayFailure, match='no local port can be opened'), Relay('http://nowhere.invalid/'):
        pass


@pytest.fixture
def picture(tmp_path):
    return make_picture(tmp_path / 'picture.jpg')


@pytest.fixture
def sign_at(signing, picture, tmp_path):
    def make(url, flag=None, emit=silent, require=True):
        stamped = replace(signing, timestamp_url=url, require_timestamp=require)
        return sign(picture, tmp_path / 'out.jpg', swap_of(picture), [Ingredient(picture)], stamped, emit, flag)

    return make


def test_a_stop_ends_the_wait_for_an_authority(sign_at, tmp_path):
    flag = StopFlag()
    begin = time.monotonic()
    with talking(lambda connection: (flag.set('requested'), hang(connection))) as url:
        with pytest.raises(Interrupted):
            sign_at(url, flag, require=False)
        assert time.monotonic() - begin < 20
        settle()
    assert not (tmp_path / 'out.jpg').exists()


def test_the_error_and_the_warning_state_the_failure(sign_at):
    events = []
    with talking(sending(b'HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n')) as url:
        with pytest.raises(ProvenanceError) as error:
            sign_at(url)
        assert sign_at(url, emit=events.append, require=False).time_stamp is None
    assert error.value.reference == 'timestamp-failed' and error.value.cause == 'it answered with status 503'
    assert events[-1].text == 'no timestamp from 127.0.0.1 (it answered with status 503); signed without one'
    with serving(lambda query: ANSWER) as url, pytest.raises(ProvenanceError) as error:
        sign_at(url)
    assert error.value.cause.startswith('its reply cannot be used: ')


def test_proxies_of_the_environment_are_used_for_the_authority_but_not_for_the_relay(sign_at, monkeypatch):
    relayed, ask = [], Relay.ask
    monkeypatch.setattr(Relay, 'ask', lambda relay, query: relayed.append(query) or ask(relay, query))
    with serving(Authority().answer) as proxy:
        for name in ('no_proxy', 'NO_PROXY'):
            monkeypatch.setenv(name, 'elsewhere.invalid')
        monkeypatch.setenv('HTTP_PROXY', proxy)
        monkeypatch.setenv('http_proxy', proxy)
        assert sign_at('http://authority.invalid/stamp').time_stamp
    assert len(relayed) == 1, 'the proxy was used for the relay'
