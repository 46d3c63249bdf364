"""Folders, files in ranges, and uploads of a running server."""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

import pytest
from fakes.page_server import API, page_server
from fakes.tiny_clip import luma_of
from fakes.waits import wait_until

from facefusion.gui.file_listing import MOST_ENTRIES

GIGABYTES = 100 * 2**30


def content(page, path, **headers):
    named = {name.replace('_', '-'): value for name, value in headers.items()}
    return page.call('GET', '/files/content', headers=named, path=str(path))


@pytest.fixture(scope='module')
def digits(page):
    path = page.folder / 'digits.mp4'
    path.write_bytes(b'0123456789')
    return path


@pytest.mark.parametrize(
    ('asked', 'body', 'where'),
    [
        ('bytes=0-3', b'0123', 'bytes 0-3/10'),
        ('bytes=4-', b'456789', 'bytes 4-9/10'),
        ('bytes=-3', b'789', 'bytes 7-9/10'),
        ('bytes=8-99', b'89', 'bytes 8-9/10'),
        ('bytes=-99', b'0123456789', 'bytes 0-9/10'),
    ],
)
def test_a_range_of_a_file_is_sent(page, digits, asked, body, where):
    reply = content(page, digits, range=asked)
    assert (reply.status, reply.body, reply.headers['content-range']) == (206, body, where)


@pytest.mark.parametrize('asked', ['bytes=10-', 'bytes=99-100'])
def test_a_range_past_the_end_is_refused(page, digits, asked):
    reply = content(page, digits, range=asked)
    assert reply.status == 416 and reply.headers['content-range'].endswith('/10')


@pytest.mark.parametrize('asked', ['bytes=a-b', 'bytes=5-2', 'bytes=', 'lines=1-2', 'bytes=' + '0-1,' * 2000 + '3-4'])
def test_a_malformed_range_does_no_harm(page, digits, asked):
    reply = content(page, digits, range=asked)
    assert reply.status in (200, 206, 400, 416) and len(reply.body) < 1000
    assert content(page, digits).body == b'0123456789'


def test_a_changed_file_is_sent_whole_although_a_range_of_the_old_one_is_asked(page):
    path = page.folder / 'changed.mp4'
    path.write_bytes(b'old content')
    tag = content(page, path).headers['etag']
    path.write_bytes(b'new and longer content')
    reply = content(page, path, range='bytes=4-', if_range=tag)
    assert reply.status == 200 and reply.body == b'new and longer content'


def test_the_end_of_a_file_of_gigabytes_arrives_at_once_without_memory(page):
    path = page.folder / 'long.mp4'
    with path.open('wb') as file:
        file.truncate(GIGABYTES)
        file.seek(GIGABYTES - 5)
        file.write(b'the e')
    before, started = memory_of(page), time.monotonic()
    reply = content(page, path, range='bytes=-5')
    assert (
        reply.body == b'the e'
        and reply.headers['content-range'] == f'bytes {GIGABYTES - 5}-{GIGABYTES - 1}/{GIGABYTES}'
    )
    assert time.monotonic() - started < 10 and memory_of(page) - before < 10e6


@pytest.mark.parametrize(
    'name',
    [
        'a.svg',
        'a.html',
        'a.HTM',
        'a.xhtml',
        'a.xml',
        'a.js',
        'a.pdf',
        'a.json',
        'noext',
        'a.mp4.html',
        'a.svgz',
        'a.shtml',
    ],
)
def test_files_that_can_contain_a_script_are_downloads(page, name):
    path = page.folder / name
    path.write_text('<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>')
    reply = content(page, path)
    assert reply.status == 200 and reply.headers['content-disposition'].startswith('attachment')
    assert reply.headers['content-type'] == 'application/octet-stream'


@pytest.mark.parametrize(
    'name',
    [
        'a "quoted".png',
        'line\nbreak.png',
        'tab\t\x1b[31m.png',
        "it's; rm -rf.png",
        'größe 顔.png',
        '<img src=x>.png',
        '%2e%2e.png',
    ],
)
def test_hostile_names_are_listed_and_sent(page, name):
    path = page.folder / name
    path.write_bytes(b'pixels')
    found = {entry['name']: entry for entry in page.get('/files')['entries']}
    reply = content(page, found[name]['path'])
    assert reply.status == 200 and reply.body == b'pixels' and reply.headers['content-type'] == 'image/png'
    assert '\n' not in reply.headers['content-disposition']


def test_a_name_that_is_no_text_is_left_out_and_its_neighbours_are_listed(page):
    folder = page.folder / 'bytes'
    folder.mkdir()
    (folder / 'good.png').write_bytes(b'x')
    try:
        (folder / os.fsdecode(b'bad\xff.png')).write_bytes(b'x')
    except OSError:
        pytest.skip('this file system allows only names of text')
    (folder / 'link.png').symlink_to(folder / os.fsdecode(b'bad\xff.png'))
    names = [entry['name'] for entry in page.get('/files', dir=str(folder))['entries']]
    assert names == ['good.png', 'link.png']
    assert content(page, folder / 'link.png').status == 200


def test_special_files_and_hidden_files_are_left_out_and_never_opened(page, monkeypatch):
    folder = page.folder / 'special'
    folder.mkdir()
    os.mkfifo(folder / 'pipe.mp4')
    (folder / '.hidden.png').write_bytes(b'x')
    (folder / 'broken.png').symlink_to(folder / 'nothing.png')
    (folder / 'loop.png').symlink_to(folder / 'loop.png')
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(folder)
        server.bind('sock.png')
        assert page.get('/files', dir=str(folder))['entries'] == []
        for name in ('pipe.mp4', 'sock.png'):
            for route in ('/files/content', '/media', '/media/frame'):
                reply = page.call('GET', route, path=str(folder / name))
                assert reply.status == 422 and reply.json['reference'] == 'media-not-a-file'
    for name in ('broken.png', 'loop.png', 'nothing.png', 'x' * 300 + '.png'):
        assert content(page, folder / name).status == 404


def test_a_folder_is_listed_with_folders_first_and_filtered_by_kind(page):
    folder = page.folder / 'kinds'
    (folder / 'zoo').mkdir(parents=True)
    for name in ('b.PNG', 'a.mp4', 'c.wav', 'd.txt'):
        (folder / name).write_bytes(b'12345')
    listing = page.get('/files', dir=str(folder))
    assert [(entry['name'], entry['kind']) for entry in listing['entries']] == [
        ('zoo', 'folder'),
        ('a.mp4', 'video'),
        ('b.PNG', 'image'),
        ('c.wav', 'audio'),
        ('d.txt', 'other'),
    ]
    assert listing['parent'] == str(page.folder) and listing['dir'] == str(folder) and listing['more'] == 0
    assert listing['entries'][1]['size'] == 5
    for kind, names in {
        'image': ['b.PNG'],
        'video': ['a.mp4'],
        'audio': ['c.wav'],
        'media': ['a.mp4', 'b.PNG', 'c.wav'],
    }.items():
        entries = page.get('/files', dir=str(folder), kind=kind)['entries']
        assert [entry['name'] for entry in entries] == ['zoo', *names]
    assert page.get('/files')['parent'] is None
    assert page.call('GET', '/files', dir=str(folder), kind='bad').status == 422
    assert page.call('GET', '/files', dir=str(folder / 'a.mp4')).json['reference'] == 'folder-unreadable'


def test_a_huge_folder_is_cut_and_says_how_much_is_left_out(page):
    folder = page.folder / 'huge'
    folder.mkdir()
    for number in range(MOST_ENTRIES + 7):
        (folder / f'{number}.png').touch()
    listing = page.get('/files', dir=str(folder))
    assert len(listing['entries']) == MOST_ENTRIES and listing['more'] == 7


def test_an_upload_arrives_and_can_be_used(page, clip):
    data = clip.read_bytes()
    reply = page.call('PUT', '/uploads/My clip.mp4', data)
    found = reply.json
    assert reply.status == 201 and found['kind'] == 'video' and found['size'] == len(data)
    assert found['path'].endswith('/My clip.mp4') and page.get('/media', path=found['path'])['frames'] == 60
    again = page.call('PUT', '/uploads/My clip.mp4', data).json
    assert again['path'].endswith('/My clip-1.mp4')


@pytest.mark.parametrize(
    'name', ['..', '.', '.bashrc', 'CON\x00.png', 'a\nb.png', 'x' * 400 + '.png', '\u202egnp.exe', 'a:b*c.png']
)
def test_the_name_of_an_upload_is_made_harmless(page, name):
    reply = page.call('PUT', f'/uploads/{name}', b'data')
    if reply.status == 404:
        return  # The name is a part of the path, and changes it.
    path = Path(reply.json['path'])
    base = path.name
    assert path.parent == page.folder / 'jobs' / '.gui' / 'uploads'
    assert not base.startswith('.') and base.isprintable() and len(base) <= 130 and not set(base) & set('\\:*?')


def uploads(page):
    folder = page.folder / 'jobs' / '.gui' / 'uploads'
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def head_of(page, name):
    lines = (
        f'PUT {API}/uploads/{name} HTTP/1.1',
        f'host: 127.0.0.1:{page.port}',
        f'authorization: Bearer {page.token}',
    )
    return ''.join(f'{line}\r\n' for line in lines).encode()


def test_an_empty_upload_is_refused_and_leaves_nothing(page):
    before = uploads(page)
    assert page.call('PUT', '/uploads/empty.png', b'').json['reference'] == 'upload-empty'
    assert uploads(page) == before


def test_nothing_remains_of_an_upload_whose_browser_vanishes(page):
    before = uploads(page)
    with socket.create_connection(('127.0.0.1', page.port)) as client:
        head = head_of(page, 'gone.mp4')
        client.sendall(head + b'content-length: 1000000\r\n\r\n' + b'x' * 1000)
        wait_until(lambda: any(name.endswith('.part') for name in uploads(page)), 20)
    wait_until(lambda: uploads(page) == before, 20)


def test_an_upload_above_the_limit_is_refused_and_leaves_nothing(tmp_path):
    with page_server(tmp_path, '--upload-limit', '0.000001') as page:
        assert page.call('PUT', '/uploads/a.png', b'x' * 1000).status == 201
        assert page.call('PUT', '/uploads/b.png', b'x' * 1001).json['reference'] == 'upload-too-large'
        with socket.create_connection(('127.0.0.1', page.port)) as client:
            client.sendall(
                head_of(page, 'c.png') + b'transfer-encoding: chunked\r\n\r\n3e9\r\n' + b'x' * 1001 + b'\r\n0\r\n\r\n'
            )
            assert b'upload-too-large' in client.makefile('rb').read(2000)
        assert uploads(page) == ['a.png']


@pytest.mark.skipif(sys.platform != 'linux', reason='only Linux limits the files of another process')
def test_nothing_remains_of_an_upload_that_does_not_fit_on_the_disk(tmp_path):
    import resource

    with page_server(tmp_path) as page:
        resource.prlimit(page.process.pid, resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        reply = page.call('PUT', '/uploads/a.png', b'x' * 200_000)
        assert reply.status == 507 and reply.json['reference'] == 'disk-full'
        assert uploads(page) == [] and page.call('GET', '/version').status == 200


def test_media_facts_and_exact_frames(page, clip):
    facts = page.get('/media', path=str(clip))
    assert (facts['kind'], facts['width'], facts['height'], facts['frames'], facts['fps']) == ('video', 160, 96, 60, 25)
    assert facts['seconds'] == 2.4 and facts['has_audio'] is False and facts['remarks'] == []
    cv2, np = pytest.importorskip('cv2'), pytest.importorskip('numpy')
    for number in (0, 59, 30, 31, 7):
        reply = page.call('GET', '/media/frame', path=str(clip), number=number, width=80)
        pixels = cv2.imdecode(np.frombuffer(reply.body, np.uint8), cv2.IMREAD_COLOR)
        assert pixels.shape == (48, 80, 3)
        # Luma 16 to 235 becomes 0 to 255.
        assert abs(float(pixels.mean()) - (luma_of(number) - 16) * 255 / 219) < 1.5
    crop = page.call('GET', '/media/crop', path=str(clip), number=0, x=10, y=10, width=20, height=30, side=64)
    assert cv2.imdecode(np.frombuffer(crop.body, np.uint8), cv2.IMREAD_COLOR).shape == (64, 64, 3)


def test_a_picture_is_not_sent_again_until_its_file_changes(page, clip):
    path = page.folder / 'replaced.mp4'
    path.write_bytes(clip.read_bytes())
    first = page.call('GET', '/media/frame', path=str(path), number=3)
    tag = {'if-none-match': first.headers['etag']}
    assert page.call('GET', '/media/frame', None, tag, path=str(path), number=3).status == 304
    os.utime(path, (1, 1))
    assert page.call('GET', '/media/frame', None, tag, path=str(path), number=3).status == 200


@pytest.mark.parametrize(
    ('query', 'status'),
    [
        ({'number': 60}, 422),
        ({'number': -1}, 422),
        ({'number': 'x'}, 422),
        ({'number': '1e999'}, 422),
        ({'width': -5}, 200),
    ],
)
def test_a_frame_that_does_not_exist_is_an_error(page, clip, query, status):
    assert page.call('GET', '/media/frame', path=str(clip), **query).status == status


def test_a_target_that_vanishes_or_is_no_media_is_an_error_in_words(page, clip):
    gone, text = page.folder / 'gone.mp4', page.folder / 'text.mp4'
    gone.write_bytes(clip.read_bytes())
    assert page.call('GET', '/media/frame', path=str(gone), number=1).status == 200
    gone.unlink()
    for reply in (
        page.call('GET', '/media', path=str(gone)),
        page.call('GET', '/media/frame', path=str(gone), number=1),
    ):
        assert reply.status == 404 and reply.json['reference'] == 'media-missing' and reply.json['hint']
    text.write_text('no clip')
    reply = page.call('GET', '/media', path=str(text))
    assert reply.status == 422 and reply.json['message']


def memory_of(page):
    with open(f'/proc/{page.process.pid}/status') as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith('VmRSS'))
