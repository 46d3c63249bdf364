"""A timestamp authority (RFC 3161) for tests; its replies are valid DER, encoded by this module."""

from __future__ import annotations

import hashlib
import http.server
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from fakes.certificates import issue, make_root

_SEQUENCE, _SET, _OCTETS, _INTEGER, _OID, _TIME = 0x30, 0x31, 4, 2, 6, 0x18
_SHA256 = '2.16.840.1.101.3.4.2.1'
_ECDSA_SHA256 = '1.2.840.10045.4.3.2'
_SIGNED_DATA = '1.2.840.113549.1.7.2'
_TST_INFO = '1.2.840.113549.1.9.16.1.4'
_CONTENT_TYPE, _MESSAGE_DIGEST = '1.2.840.113549.1.9.3', '1.2.840.113549.1.9.4'
_SIGNING_CERTIFICATE = '1.2.840.113549.1.9.16.2.47'
_DER = serialization.Encoding.DER


class Authority:
    """An authority with its own root certificate."""

    def __init__(self) -> None:
        self.root = make_root('timestamp root')
        self.signer = issue(self.root, 'timestamps', extended=(ExtendedKeyUsageOID.TIME_STAMPING,), critical=True)

    @property
    def root_pem(self) -> bytes:
        return self.root.certificate.public_bytes(serialization.Encoding.PEM)

    def answer(self, query: bytes) -> bytes:
        """Return the TimeStampResp for a TimeStampReq."""
        fields = _children(_value(query))
        imprint = next(raw for tag, raw in fields if tag == _SEQUENCE)
        nonce = b''.join(raw for tag, raw in fields[1:] if tag == _INTEGER)
        now = datetime.now(UTC).strftime('%Y%m%d%H%M%SZ').encode()
        info = _tlv(
            _SEQUENCE,
            _integer(1),
            _oid('1.2.3.4.1'),
            imprint,
            _integer(secrets.randbits(60)),
            _tlv(_TIME, now),
            nonce,
        )
        token = _tlv(_SEQUENCE, _oid(_SIGNED_DATA), _tlv(0xA0, self._signed(info)))
        return _tlv(_SEQUENCE, _tlv(_SEQUENCE, _integer(0)), token)

    def _signed(self, info: bytes) -> bytes:
        der = self.signer.certificate.public_bytes(_DER)
        algorithm = _tlv(_SEQUENCE, _oid(_SHA256))
        essence = _tlv(_SEQUENCE, _tlv(_SEQUENCE, _tlv(_SEQUENCE, _tlv(_OCTETS, hashlib.sha256(der).digest()))))
        attributes = sorted(
            (
                _attribute(_CONTENT_TYPE, _oid(_TST_INFO)),
                _attribute(_MESSAGE_DIGEST, _tlv(_OCTETS, hashlib.sha256(info).digest())),
                _attribute(_SIGNING_CERTIFICATE, essence),
            )
        )
        assert isinstance(self.signer.key, ec.EllipticCurvePrivateKey)
        signature = self.signer.key.sign(_tlv(_SET, *attributes), ec.ECDSA(hashes.SHA256()))
        certificate = self.signer.certificate
        signer = _tlv(
            _SEQUENCE,
            _integer(1),
            _tlv(_SEQUENCE, certificate.issuer.public_bytes(), _integer(certificate.serial_number)),
            algorithm,
            _tlv(0xA0, *attributes),
            _tlv(_SEQUENCE, _oid(_ECDSA_SHA256)),
            _tlv(_OCTETS, signature),
        )
        content = _tlv(_SEQUENCE, _oid(_TST_INFO), _tlv(0xA0, _tlv(_OCTETS, info)))
        chain = _tlv(0xA0, der, self.root.certificate.public_bytes(_DER))
        return _tlv(_SEQUENCE, _integer(3), _tlv(_SET, algorithm), content, chain, _tlv(_SET, signer))


@contextmanager
def serving(answer: Callable[[bytes], bytes]) -> Iterator[str]:
    """Yield the address of a server that replies with ``answer(request)``."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = answer(self.rfile.read(int(self.headers['content-length'])))
            self.send_response(200)
            self.send_header('content-type', 'application/timestamp-reply')
            self.send_header('content-length', str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.01})
    thread.start()
    try:
        yield f'http://127.0.0.1:{server.server_port}/stamp'
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _attribute(kind: str, value: bytes) -> bytes:
    return _tlv(_SEQUENCE, _oid(kind), _tlv(_SET, value))


def _tlv(tag: int, *parts: bytes) -> bytes:
    body = b''.join(parts)
    size = len(body)
    if size < 128:
        return bytes([tag, size]) + body
    count = (size.bit_length() + 7) // 8
    return bytes([tag, 0x80 | count]) + size.to_bytes(count, 'big') + body


def _integer(value: int) -> bytes:
    return _tlv(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, 'big'))


def _oid(text: str) -> bytes:
    first, second, *rest = (int(part) for part in text.split('.'))
    body = bytes([first * 40 + second])
    for part in rest:
        digits = [part & 127]
        while part := part >> 7:
            digits.append(128 | part & 127)
        body += bytes(reversed(digits))
    return _tlv(_OID, body)


def _split(data: bytes, at: int = 0) -> tuple[int, int, int]:
    """Return the tag of the element at ``at``, and the start and end of its value."""
    size, start = data[at + 1], at + 2
    if size & 128:
        start += size & 127
        size = int.from_bytes(data[at + 2 : start], 'big')
    return data[at], start, start + size


def _value(data: bytes) -> bytes:
    _, start, end = _split(data)
    return data[start:end]


def _children(data: bytes) -> list[tuple[int, bytes]]:
    at, found = 0, []
    while at < len(data):
        tag, _, end = _split(data, at)
        found.append((tag, data[at:end]))
        at = end
    return found
