from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from fakes.certificates import issue, make_root, write_chain, write_key

from facefusion.errors import ProvenanceError
from facefusion.events import silent
from facefusion.provenance.certificate import PASSWORD_VARIABLE
from facefusion.provenance.options import ProvenanceOptions
from facefusion.provenance.signer import prepare_signing

HOUR = timedelta(hours=1)


@pytest.fixture
def with_certificate(tmp_path, house):
    """Return a function that makes options with a certificate and a key, valid unless ``changes`` break them."""

    def make(password=None, chain=None, **changes):
        leaf = issue(house, **changes)
        certificate = write_chain(tmp_path / 'chain.pem', *(chain or (leaf, house)))
        private = write_key(tmp_path / 'key.pem', leaf.key, password)
        return ProvenanceOptions(certificate_path=str(certificate), private_key_path=str(private))

    return make


@pytest.fixture
def prepared(tmp_path):
    def prepare(options, environ=None, **more):
        return prepare_signing(options, environ or {}, tmp_path / 'fallback', silent, **more)

    return prepare


@pytest.fixture
def refusal(prepared):
    def refuse(options, environ=None, **more):
        with pytest.raises(ProvenanceError) as error:
            prepared(options, environ, **more)
        assert error.value.message and error.value.hint and error.value.exit_code == 1
        return error.value

    return refuse


KEYS = {
    'es256': ec.generate_private_key(ec.SECP256R1()),
    'es384': ec.generate_private_key(ec.SECP384R1()),
    'es512': ec.generate_private_key(ec.SECP521R1()),
    'ed25519': ed25519.Ed25519PrivateKey.generate(),
    'ps256': rsa.generate_private_key(65537, 2048),
}


@pytest.mark.parametrize('algorithm', KEYS)
def test_every_kind_of_key_signs(with_certificate, prepared, algorithm):
    signing = prepared(with_certificate(key=KEYS[algorithm]))
    assert (signing.credential.algorithm, signing.is_local) == (algorithm, False)
    assert signing.credential.signer_name == 'test signer (Test house)'


def test_a_chain_may_have_an_intermediate_certificate(with_certificate, prepared, house, tmp_path):
    middle = issue(house, 'middle', is_authority=True, extended=())
    leaf = issue(middle)
    write_chain(tmp_path / 'long.pem', leaf, middle, house)
    write_key(tmp_path / 'long.key', leaf.key)
    options = ProvenanceOptions(
        certificate_path=str(tmp_path / 'long.pem'), private_key_path=str(tmp_path / 'long.key')
    )
    assert prepared(options).credential.chain.count(b'BEGIN CERTIFICATE') == 3


def test_the_password_comes_from_the_environment(with_certificate, prepared, refusal):
    options = with_certificate(password='secret word')
    assert prepared(options, {PASSWORD_VARIABLE: 'secret word'})
    assert refusal(options).reference == 'private-key-password-missing'
    wrong = refusal(options, {PASSWORD_VARIABLE: 'another word'})
    assert wrong.reference == 'private-key-password-wrong'
    assert 'another word' not in str(wrong.as_record())
    # The variable may be set for another key.
    assert prepared(with_certificate(), {PASSWORD_VARIABLE: 'not needed'})


def test_no_representation_shows_the_key(with_certificate, prepared):
    signing = prepared(with_certificate())
    body = signing.credential.key.split(b'\n')[1].decode()
    assert body not in repr(signing) and body not in str(signing)


@pytest.mark.parametrize(
    ('changes', 'reference'),
    [
        ({'begin': -48 * HOUR, 'end': -HOUR}, 'certificate-expired'),
        ({'begin': HOUR}, 'certificate-not-yet-valid'),
        ({'signs_files': False}, 'certificate-usage'),
        ({'extended': ()}, 'certificate-usage'),
        ({'extended': (ExtendedKeyUsageOID.SERVER_AUTH,)}, 'certificate-usage'),
        ({'extended': (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)}, 'certificate-usage'),
        ({'is_authority': True}, 'certificate-usage'),
    ],
    ids=str,
)
def test_a_certificate_that_cannot_sign_is_refused(with_certificate, refusal, changes, reference):
    assert refusal(with_certificate(**changes)).reference == reference


def test_a_key_of_another_certificate_is_refused(with_certificate, refusal, tmp_path):
    options = with_certificate()
    write_key(tmp_path / 'key.pem', ec.generate_private_key(ec.SECP256R1()))
    assert refusal(options).reference == 'private-key-mismatch'


def test_the_root_in_front_of_the_signer_is_refused(with_certificate, refusal, house, tmp_path):
    options = with_certificate()
    leaf = x509.load_pem_x509_certificates((tmp_path / 'chain.pem').read_bytes())[0]
    text = house.certificate.public_bytes(serialization.Encoding.PEM) + leaf.public_bytes(serialization.Encoding.PEM)
    (tmp_path / 'chain.pem').write_bytes(text)
    assert refusal(options).reference == 'private-key-mismatch'


def test_an_unrelated_issuer_is_refused(with_certificate, refusal, house, tmp_path):
    leaf = issue(house)
    options = with_certificate(chain=(leaf, make_root('another root')))
    write_key(tmp_path / 'key.pem', leaf.key)
    assert refusal(options).reference == 'certificate-chain-broken'


def test_a_lone_self_signed_certificate_is_refused(refusal, tmp_path):
    root = make_root()
    own = issue(root._replace(certificate=root.certificate), 'test root', key=root.key)
    write_chain(tmp_path / 'self.pem', own)
    write_key(tmp_path / 'self.key', root.key)
    options = ProvenanceOptions(
        certificate_path=str(tmp_path / 'self.pem'), private_key_path=str(tmp_path / 'self.key')
    )
    assert refusal(options).reference == 'certificate-self-signed'


@pytest.mark.parametrize(
    'key',
    [
        ec.generate_private_key(ec.SECP256K1()),
        rsa.generate_private_key(65537, 1024),
        dsa.generate_private_key(2048),
    ],
    ids=['secp256k1', 'rsa1024', 'dsa'],
)
def test_unsupported_keys_are_refused(with_certificate, refusal, tmp_path, key):
    options = with_certificate()
    write_key(tmp_path / 'key.pem', key)
    assert refusal(options).reference == 'private-key-unsupported'


@pytest.mark.parametrize('kind', ['certificate', 'private-key'])
def test_files_that_are_not_pem_are_refused(with_certificate, refusal, tmp_path, kind):
    options = with_certificate()
    name = 'certificate_path' if kind == 'certificate' else 'private_key_path'
    path = tmp_path / 'file'
    changed = replace(options, **{name: str(path)})
    assert refusal(changed).reference == f'{kind}-missing'
    for data in (b'', b'\x30\x82\x01\x0a' * 50, b'-----BEGIN NONSENSE-----\nAAAA\n-----END NONSENSE-----\n'):
        path.write_bytes(data)
        assert refusal(changed).reference == f'{kind}-not-pem'
    path.write_bytes(b'-----BEGIN ' * 500_000)
    assert refusal(changed).reference == f'{kind}-unreadable'
    assert refusal(replace(options, **{name: str(tmp_path)})).reference == f'{kind}-unreadable'


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='this system has no named pipes')
def test_a_pipe_is_refused_at_once(with_certificate, refusal, tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    options = replace(with_certificate(), private_key_path=str(tmp_path / 'pipe'))
    assert refusal(options).reference == 'private-key-unreadable'


@pytest.mark.parametrize('name', ['certificate_path', 'private_key_path'])
def test_a_certificate_without_its_key_is_refused(with_certificate, refusal, name):
    error = refusal(replace(with_certificate(), **{name: None}))
    assert error.reference == 'certificate-without-key' and name in error.message


def test_a_truncated_key_is_refused(with_certificate, refusal, tmp_path):
    options = with_certificate()
    text = (tmp_path / 'key.pem').read_bytes()
    (tmp_path / 'key.pem').write_bytes(text[:60] + text[-30:])
    assert refusal(options).reference == 'private-key-not-pem'


@pytest.mark.parametrize('url', ['ftp://host/x', 'host', 'http://', 'http://h:99999/', 'http://a b/', 'http://[/'])
def test_an_invalid_address_is_refused(with_certificate, refusal, url):
    error = refusal(replace(with_certificate(), timestamp_url=url))
    assert error.reference == 'timestamp-url-invalid'


def test_a_required_timestamp_needs_an_authority_and_the_network(with_certificate, prepared, refusal):
    assert refusal(replace(with_certificate(), require_timestamp=True)).reference == 'timestamp-url-missing'
    named = replace(with_certificate(), timestamp_url='http://user:word@host.invalid/x')
    assert refusal(replace(named, require_timestamp=True), offline=True).reference == 'timestamp-offline'
    assert prepared(named, offline=True).timestamp_url is None
    assert prepared(named).timestamp_host == 'host.invalid'


def test_a_missing_file_of_trusted_roots_is_found_before_a_run(with_certificate, refusal, tmp_path):
    options = replace(with_certificate(), trusted_roots=(str(tmp_path / 'nowhere.pem'),))
    assert refusal(options).reference == 'trusted-root-missing'
