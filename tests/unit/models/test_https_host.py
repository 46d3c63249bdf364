from __future__ import annotations

import hashlib
import threading

import pytest
from local_server import served

from facefusion.errors import Interrupted, ModelError
from facefusion.models.catalog import HttpsSource
from facefusion.models.hosts.https import HttpsDownload, Limits
from facefusion.models.hosts.transfer import Watcher
from facefusion.stopping import StopFlag

BODY = bytes(range(256)) * 8000
SIZE = len(BODY)
# The size of one read and write. If the connection closes early, only complete pieces are stored.
PIECE = 256 << 10
SHA = hashlib.sha256(BODY).hexdigest()
QUIET = Watcher(lambda done: None, StopFlag())


@pytest.fixture
def site():
    with served() as site:
        site.files['/a'] = BODY
        yield site


def download(site, folder, *paths, sha256=SHA, size=SIZE, watcher=QUIET, waits=None, **limits):
    folder.mkdir(exist_ok=True)
    source = HttpsSource(tuple(site.url(path) for path in paths or ('/a',)), sha256, size)
    waits = [] if waits is None else waits
    return HttpsDownload(source, folder, watcher, limits=Limits(**limits), sleep=waits.append).run()


def test_a_file_arrives_complete(site, tmp_path):
    seen = []
    path, sha256 = download(site, tmp_path / 'w', watcher=Watcher(seen.append, StopFlag()))
    assert path.read_bytes() == BODY and sha256 == SHA
    assert seen == sorted(seen) and seen[-1] == len(BODY)


def test_a_closed_connection_is_resumed_at_its_last_piece(site, tmp_path):
    site.cuts['/a'] = [2 * PIECE, 2 * PIECE]
    path, _ = download(site, tmp_path / 'w')
    assert path.read_bytes() == BODY
    assert [asked for _, asked in site.requests] == ['', f'bytes={2 * PIECE}-', f'bytes={4 * PIECE}-']


def test_a_changed_file_is_fetched_from_its_start(site, tmp_path):
    site.cuts['/a'] = [2 * PIECE]
    with pytest.raises(ModelError):
        download(site, tmp_path / 'w', tries=1)
    changed = BODY[::-1]
    site.files['/a'], site.tag = changed, '"two"'
    path, _ = download(site, tmp_path / 'w', sha256=hashlib.sha256(changed).hexdigest())
    assert path.read_bytes() == changed


def test_the_part_of_an_earlier_run_is_used(site, tmp_path):
    site.cuts['/a'] = [2 * PIECE]
    with pytest.raises(ModelError):
        download(site, tmp_path / 'w', tries=1)
    path, _ = download(site, tmp_path / 'w')
    assert path.read_bytes() == BODY
    assert site.requests[-1][1] == f'bytes={2 * PIECE}-'


def test_a_part_without_a_strong_validator_is_not_resumed(site, tmp_path):
    site.tag = 'W/"weak"'
    site.cuts['/a'] = [2 * PIECE]
    path, _ = download(site, tmp_path / 'w')
    assert path.read_bytes() == BODY
    assert [asked for _, asked in site.requests] == ['', '']


def test_a_wrong_content_range_is_refused(site, tmp_path):
    site.cuts['/a'] = [2 * PIECE]
    site.wrong_range = True
    with pytest.raises(ModelError) as error:
        download(site, tmp_path / 'w')
    assert 'Content-Range' in error.value.cause and str(2 * PIECE) in error.value.cause
    assert list((tmp_path / 'w').iterdir()) == []


def test_a_wrong_digest_names_address_and_both_digests_and_leaves_nothing(site, tmp_path):
    with pytest.raises(ModelError) as error:
        download(site, tmp_path / 'w', sha256='0' * 64)
    assert error.value.reference == 'model-digest'
    assert site.url('/a') in error.value.message
    assert '0' * 64 in error.value.cause and SHA in error.value.cause
    assert list((tmp_path / 'w').iterdir()) == []


@pytest.mark.parametrize('size', [len(BODY) - 1, len(BODY) + 1])
def test_a_wrong_size_is_refused_before_anything_is_stored(site, tmp_path, size):
    seen = []
    with pytest.raises(ModelError) as error:
        download(site, tmp_path / 'w', size=size, watcher=Watcher(seen.append, StopFlag()))
    assert error.value.reference == 'model-size' and str(len(BODY)) in error.value.cause
    assert seen == []


def test_an_endless_file_is_limited(site, tmp_path):
    with pytest.raises(ModelError) as error:
        download(site, tmp_path / 'w', sha256=None, size=None, largest_bytes=1000)
    assert error.value.reference == 'model-size'


def test_the_next_mirror_is_used_when_the_first_lacks_the_file(site, tmp_path):
    path, _ = download(site, tmp_path / 'w', '/gone', '/a')
    assert path.read_bytes() == BODY


def test_no_mirror_has_the_file(site, tmp_path):
    with pytest.raises(ModelError) as error:
        download(site, tmp_path / 'w', '/gone', '/lost')
    assert error.value.reference == 'model-unreachable'
    assert error.value.cause.count('HTTP 404') == 2 and site.url('/lost') in error.value.cause


def test_a_busy_server_is_retried_with_growing_waits(site, tmp_path):
    site.statuses['/a'] = [503, 503, 503]
    waits = []
    download(site, tmp_path / 'w', waits=waits)
    assert 0.75 + 1.5 + 3 <= sum(waits) <= 1.25 + 2.5 + 5


def test_tries_are_bounded(site, tmp_path):
    site.statuses['/a'] = [503] * 50
    with pytest.raises(ModelError, match='could not be downloaded') as error:
        download(site, tmp_path / 'w', tries=4)
    assert len(site.requests) == 4 and 'HTTP 503' in error.value.cause


def test_a_silent_server_times_out(site, tmp_path):
    site.stalls = threading.Event()
    site.cuts['/a'] = [1000] * 9
    with pytest.raises(ModelError) as error:
        download(site, tmp_path / 'w', read_seconds=0.2, tries=2)
    assert 'timed out' in error.value.cause


def test_a_closed_port_is_named_plainly(tmp_path):
    with served() as site:
        pass
    with pytest.raises(ModelError) as error:
        download(site, tmp_path / 'w', tries=1)
    assert 'refused' in error.value.cause and 'object at' not in error.value.cause


def test_a_stop_interrupts_between_pieces(site, tmp_path):
    stop = StopFlag()
    watcher = Watcher(lambda done: stop.set('asked'), stop)
    with pytest.raises(Interrupted):
        download(site, tmp_path / 'w', watcher=watcher)
    assert (tmp_path / 'w' / 'body.part').stat().st_size < len(BODY)
