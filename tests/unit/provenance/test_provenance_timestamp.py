"""The relay to a time stamp authority: bounded in bytes and in time, it stops, and it says what failed."""

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
# What requests end with: the query of ``asked``, and the last field of one of the library (certReq TRUE).
ENDS = (b'query', b'\xff')
ANSWER = b'\x30\x03abc'


@contextmanager
def talking(talk):
    """The address of a server that lets ``talk(connection)`` say what it wants to whoever asks."""

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


def saying(data):
    return lambda connection: connection.sendall(data)


def reply_of(size):
    return HEAD + b'Content-Length: %d\r\n\r\n' % size + ANSWER[:1] + bytes(size - 1)


def asked(authority, limits=SHORT, flag=None):
    """What the library is answered, and why it failed."""
    with Relay(authority, flag, limits) as relay:
        response = requests.post(relay.url, b'query', timeout=30)
    return response, relay.failure


def queries():
    return [thread for thread in threading.enumerate() if thread.name == 'time stamp query']


def settle():
    """Waits for the threads that ask to end: none may outlive its question for long."""
    end = time.monotonic() + 3
    while queries() and time.monotonic() < end:
        time.sleep(0.02)
    assert not queries()


def test_query_and_reply_are_passed_on():
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
    assert failure.kind == 'too-long' and '65536 bytes' in failure.words
    # What the buffers of two sockets hold, and not what an endless answer brings.
    assert sum(sent) < 32_000_000


@pytest.mark.parametrize(('size', 'kind'), [(65536, None), (65537, 'too-long')])
def test_the_bound_of_a_reply_is_64_kilobytes(size, kind):
    with talking(saying(reply_of(size))) as url:
        response, failure = asked(url, RelayLimits())
    assert failure.kind == kind if kind else (len(response.content), failure) == (size, None)


def hang(connection):
    """Until the other side ends the connection."""
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
def test_the_wait_ends_and_nothing_goes_on_waiting(talk):
    begin = time.monotonic()
    with talking(talk) as url:
        response, failure = asked(url)
        assert time.monotonic() - begin < 3
        settle()
    assert response.status_code == 502
    assert (failure.kind, failure.words) == ('timed-out', 'it did not answer within 0.6 seconds')


@pytest.mark.parametrize(
    ('said', 'kind', 'words'),
    [
        (b'HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n', 'status', 'status 500'),
        (b'HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n', 'status', 'status 401'),
        (HEAD + b'Content-Length: 0\r\n\r\n', 'garbage', 'is empty'),
        (HEAD + b'Content-Length: 6\r\n\r\n<html>', 'garbage', 'is no time stamp'),
        (HEAD + b'Content-Length: 9\r\n\r\n' + ANSWER, 'garbage', 'ended too early'),
        (HEAD + b'Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\n' + ANSWER, 'garbage', 'compressed'),
        (b'\0\1\2\3' * 100, 'unreachable', 'failed'),
        (b'', 'unreachable', 'failed'),
    ],
)
def test_each_failure_has_its_words(said, kind, words):
    with talking(saying(said)) as url:
        response, failure = asked(url.replace('//', '//user:secret@'))
    assert response.status_code == 502
    assert failure.kind == kind and words in failure.words
    assert 'secret' not in failure.words and '127.0.0.1' not in failure.words


def test_a_redirect_is_not_followed():
    got = []
    with serving(lambda query: got.append(query) or ANSWER) as other:
        head = f'HTTP/1.1 307 There\r\nLocation: {other}\r\nContent-Length: 0\r\n\r\n'
        with talking(saying(head.encode())) as url:
            _, failure = asked(url)
    assert not got and failure.kind == 'status' and '307, a redirect' in failure.words


def test_a_closed_port_and_an_unknown_name():
    with closing(socket.socket()) as listener:
        listener.bind(('127.0.0.1', 0))
        port = listener.getsockname()[1]
    _, failure = asked(f'http://127.0.0.1:{port}', RelayLimits())
    assert (failure.kind, failure.words) == ('refused', 'it refused the connection')
    _, failure = asked('http://nowhere.invalid/', RelayLimits())
    assert failure.kind == 'unreachable'


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
    assert failure.kind == 'untrusted' and got in ([], [b''])


def test_a_name_and_a_password_of_the_address_are_sent():
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


def test_only_who_was_given_the_address_is_served_and_only_while_it_is_open():
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


def test_a_machine_that_cannot_be_listened_on_is_told(monkeypatch):
    def refuse(*arguments, **named):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(socket.socket, 'bind', refuse)
    with pytest.raises(RelayFailure, match='cannot be listened on'), Relay('http://nowhere.invalid/'):
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
    with talking(lambda connection: (flag.set('asked to'), hang(connection))) as url:
        with pytest.raises(Interrupted):
            sign_at(url, flag, require=False)
        assert time.monotonic() - begin < 5
        settle()
    assert not (tmp_path / 'out.jpg').exists()


def test_what_failed_stands_in_the_error_and_in_the_warning(sign_at):
    said = []
    with talking(saying(b'HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n')) as url:
        with pytest.raises(ProvenanceError) as error:
            sign_at(url)
        assert sign_at(url, emit=said.append, require=False).time_stamp is None
    assert error.value.reference == 'timestamp-failed' and error.value.cause == 'it answered with status 503'
    assert said[-1].text == 'no time stamp: 127.0.0.1 did not give one (it answered with status 503); signed without'
    with serving(lambda query: ANSWER) as url, pytest.raises(ProvenanceError) as error:
        sign_at(url)
    assert error.value.cause.startswith('its answer cannot be used: ')


def test_proxies_of_the_environment_are_asked_for_the_authority_and_not_for_the_relay(sign_at, monkeypatch):
    relayed, ask = [], Relay.ask
    monkeypatch.setattr(Relay, 'ask', lambda relay, query: relayed.append(query) or ask(relay, query))
    with serving(Authority().answer) as proxy:
        for name in ('no_proxy', 'NO_PROXY'):
            monkeypatch.setenv(name, 'elsewhere.invalid')
        monkeypatch.setenv('HTTP_PROXY', proxy)
        monkeypatch.setenv('http_proxy', proxy)
        assert sign_at('http://authority.invalid/stamp').time_stamp
    assert len(relayed) == 1, 'the proxy was asked for an address of this machine'
