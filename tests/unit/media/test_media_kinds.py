"""Tests of kinds: the content of a file decides its kind, and an unsupported kind is refused with specific advice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from clips import make_clip
from fakes.tiff_files import tiff_bytes
from PIL import Image

from facefusion.errors import MediaError, OutputError
from facefusion.media.image import probe_image, read_image
from facefusion.media.kinds import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS, find_kind, sniff
from facefusion.pipeline.output import check_output
from facefusion.provenance import media_types
from facefusion.steps.arguments import absolute


def refused(path: Path | str) -> MediaError:
    with pytest.raises(MediaError) as caught:
        find_kind(Path(path))
    return caught.value


@pytest.mark.parametrize('kind', ['jpeg', 'png', 'webp', 'bmp', 'tiff'])
def test_an_image_of_any_name_is_read(tmp_path: Path, kind: str) -> None:
    Image.new('RGB', (8, 8), (9, 9, 9)).save(tmp_path / 'a', format=kind)
    data = (tmp_path / 'a').read_bytes()
    for name in ('a', 'a.mp4', 'a.bin', 'a.gif', f'a.{kind}'):
        (tmp_path / name).write_bytes(data)
        found = find_kind(tmp_path / name)
        assert (found.family, found.content) == ('image', kind)
        assert bool(found.remark) == (name != f'a.{kind}')
        assert probe_image(tmp_path / name).format == kind and read_image(tmp_path / name).width == 8
        assert media_types.file_type(tmp_path / name) == f'image/{kind}'
        assert media_types.may_hold_credentials(tmp_path / name) == (kind != 'bmp')


def test_the_remark_names_the_content(tmp_path: Path) -> None:
    Image.new('RGB', (8, 8)).save(tmp_path / 'a.jpg', format='png')
    assert find_kind(tmp_path / 'a.jpg').remark == (
        'a.jpg is read as png because of its content, but its name ends in .jpg'
    )
    for name in ('a.jfif', 'a.jpe', 'a.JPG'):
        Image.new('RGB', (8, 8)).save(tmp_path / name, format='jpeg')
        assert not find_kind(tmp_path / name).remark


@pytest.mark.parametrize(
    ('head', 'word', 'advice'),
    [
        (b'GIF89a' + bytes(60), 'gif', 'FILE.mp4'),
        (b'\0\0\0\x18ftypheic\0\0\0\0mif1heic', 'heic', 'heif-convert'),
        (b'\0\0\0\x18ftypmif1\0\0\0\0mif1avif', 'avif', 'FILE.avif'),
        (b'\0\0\0\x18ftypcrx \0\0\0\1crx isom', 'raw', 'raw converter'),
        (b'II*\0\x10\0\0\0CR\2\0' + bytes(40), 'raw', 'raw converter'),
        (b'\0\0\0\x0cjP  \r\n\x87\n' + bytes(40), 'jpeg 2000', 'FILE.jp2'),
        (b'8BPS\0\1' + bytes(40), 'psd', 'tiff'),
        (b'OggS' + bytes(40), 'ogg', 'FILE.mkv'),
        (b'fLaC' + bytes(40), 'flac', 'this version reads'),
    ],
)
@pytest.mark.parametrize('name', ['a.jpg', 'a.own'])
def test_an_unsupported_kind_is_refused_with_advice(
    tmp_path: Path, name: str, head: bytes, word: str, advice: str
) -> None:
    (tmp_path / name).write_bytes(head)
    error = refused(tmp_path / name)
    assert error.reference == 'media-kind-unsupported'
    assert error.message.endswith(f'its content is {word}') and advice in error.hint


def test_a_raw_image_is_not_tiff(tmp_path: Path) -> None:
    plain = tiff_bytes(np.zeros((4, 4, 3), np.uint8))
    (tmp_path / 'a.nef').write_bytes(plain)
    assert 'raw converter' in refused(tmp_path / 'a.nef').hint
    image = Image.new('RGB', (8, 8))
    image.save(tmp_path / 'dng.tif', tiffinfo={50706: b'\1\4\0\0'})
    image.save(tmp_path / 'thumbnail.tif', tiffinfo={254: 1, 330: 8})
    for name in ('dng.tif', 'thumbnail.tif'):
        with pytest.raises(MediaError) as caught:
            probe_image(tmp_path / name)
        assert caught.value.reference == 'media-kind-unsupported' and 'raw converter' in caught.value.hint


@pytest.mark.parametrize('extension', [*IMAGE_EXTENSIONS, *VIDEO_EXTENSIONS, '.bin', ''])
def test_empty_files_text_and_folders_of_every_name(tmp_path: Path, extension: str) -> None:
    (tmp_path / f'empty{extension}').touch()
    (tmp_path / f'text{extension}').write_text('BM: the free word\n')
    (tmp_path / f'folder{extension}').mkdir()
    assert refused(tmp_path / f'empty{extension}').reference == 'media-empty'
    error = refused(tmp_path / f'text{extension}')
    assert error.reference == 'media-content-unknown' and 'its content is text' in error.message
    assert refused(tmp_path / f'folder{extension}').reference == 'media-directory'


@pytest.mark.parametrize('text', ['BMW is no picture', 'I am free to go', 'FLV, GIF and others', 'the free software'])
def test_text_is_not_media(text: str) -> None:
    assert sniff(text.encode()) == ''


@pytest.mark.parametrize(
    ('address', 'hint'),
    [
        ('file:///home/a%20b.jpg', '/home/a b.jpg'),
        ('file://localhost/home/a.jpg', '/home/a.jpg'),
        ('file:///C:/pictures/a.jpg', 'C:/pictures/a.jpg'),
        ('https://example.com/a.mp4', 'download it first'),
        ('HTTP://example.com/a.mp4', 'download it first'),
        ('data:image/png;base64,' + 'A' * 5000, 'save it as a file'),
    ],
)
def test_a_url_is_refused(tmp_path: Path, address: str, hint: str) -> None:
    assert absolute(address) == address and absolute('data:1.png') != 'data:1.png'
    error = refused(address)
    assert error.reference == 'media-address' and hint in error.hint and len(error.message) < 100
    assert error.message.startswith(address[:80])
    with pytest.raises(OutputError) as caught:
        check_output(Path(address), tmp_path / 'a.jpg', [], 'image')
    assert caught.value.reference == 'output-address'


@pytest.mark.parametrize(
    ('name', 'hint'),
    [
        ('"a.png"', 'quotation marks'),
        ('"b c/a.png', 'quotation marks'),
        ('$HOME/a.png', 'variables'),
        ('%USERPROFILE%/a.png', 'variables'),
        ('C:\\pictures\\a.png', 'Windows'),
    ],
)
def test_a_mistyped_path_gets_advice(tmp_path: Path, name: str, hint: str) -> None:
    error = refused(str(tmp_path / name))
    assert error.reference == 'media-missing' and hint in error.hint


@pytest.mark.parametrize(
    ('name', 'hint'),
    [
        ('a.3gp', 'a.mp4'),
        ('a.flv', 'a.mp4'),
        ('a.MTS', 'a.ts'),
        ('a.m2ts', 'a.ts'),
        ('a.vob', 'a.mpg'),
        ('a.asf', 'a.wmv'),
    ],
)
def test_an_output_of_a_read_only_kind_gets_an_alternative(tmp_path: Path, name: str, hint: str) -> None:
    with pytest.raises(OutputError) as caught:
        check_output(tmp_path / name, tmp_path / 'clip.jpg', [], 'video')
    assert caught.value.hint == f'name it {hint}'
    assert 'does not specify an output format for video' in caught.value.cause


def test_jfif_is_written_as_jpeg_and_signed_within(tmp_path: Path) -> None:
    check_output(tmp_path / 'a.jfif', tmp_path / 'a.jpg', [], 'image')
    assert (
        media_types.holds_credentials(tmp_path / 'a.jfif')
        and media_types.signing_type(tmp_path / 'a.jpe') == 'image/jpeg'
    )


def test_the_usual_extension_of_each_content_maps_back(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / 'a.mp4', frames=2)
    (tmp_path / 'a.jpg').write_bytes(clip.read_bytes())
    assert find_kind(tmp_path / 'a.jpg').name == 'mp4'
    assert media_types.file_type(tmp_path / 'a.jpg') == 'video/mp4'
