"""Tests of image metadata: it survives in every format that supports it, and losses are reported."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from facefusion.events import Event, Message
from facefusion.media.image import read_image, write_image
from facefusion.media.planes import scaled_size
from facefusion.media.xmp import LARGEST, carried_xmp

FORMATS = ('jpeg', 'png', 'webp', 'bmp', 'tiff')
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()


def packet(attributes: str = '', inner: str = '') -> bytes:
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
        ' xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:GPano="http://ns.google.com/photos/1.0/panorama/"'
        ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:dcterms="http://purl.org/dc/terms/"'
        ' xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:GCamera="http://ns.google.com/photos/1.0/camera/"'
        f' xmp:Rating="4" GPano:ProjectionType="equirectangular" {attributes}>{inner}</rdf:Description></rdf:RDF>'
        '</x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def made(
    path: Path, kind: str, dpi: tuple[float, float] | None = None, xmp: bytes = b'', exif: Image.Exif | None = None
) -> Path:
    """Write an image, with the metadata that its format supports, using only Pillow."""
    image = Image.fromarray(np.full((8, 8, 3), 90, np.uint8))
    settings: dict[str, object] = {'dpi': dpi} if dpi and kind != 'webp' else {}
    exif = exif or Image.Exif()
    if dpi and kind == 'webp':
        exif[282], exif[283], exif[296] = *dpi, 2
    if xmp and kind == 'png':
        info = PngImagePlugin.PngInfo()
        info.add_itxt('XML:com.adobe.xmp', xmp.decode())
        settings['pnginfo'] = info
    elif xmp and kind == 'tiff':
        exif[700] = xmp
    elif xmp and kind != 'bmp':
        settings['xmp'] = xmp
    if kind != 'bmp':
        settings['icc_profile'] = ICC
        settings['exif'] = exif
    image.save(path, format=kind, **settings)
    return path


def written(path: Path, kind: str, scale: float = 1.0) -> tuple[Image.Image, list[str]]:
    """Write the image of a file as ``kind``, and return the output, opened by Pillow, and the messages."""
    heard: list[Event] = []
    out = path.with_name(f'out.{kind}')
    frame = read_image(path, heard.append)
    frame = frame.sized(*scaled_size(frame.width, frame.height, scale))
    write_image(frame, out, kind, 90, heard.append)
    with Image.open(out) as image:
        image.load()
    return image, [event.text for event in heard if isinstance(event, Message)]


def dpi_of(image: Image.Image) -> list[float]:
    told = image.info.get('dpi')
    if image.format == 'WEBP':
        told = image.getexif().get(282), image.getexif().get(283)
    return [round(float(value), 1) for value in told or () if value is not None]


@pytest.mark.parametrize('source', FORMATS)
@pytest.mark.parametrize('output', FORMATS)
def test_metadata_survives_between_all_formats(tmp_path: Path, source: str, output: str) -> None:
    path = made(tmp_path / f'in.{source}', source, (300, 150), packet())
    image, said = written(path, output)
    assert dpi_of(image) == pytest.approx([300, 150], abs=0.1)
    if 'bmp' not in (source, output):
        assert image.info['xmp'] == packet() and image.info['icc_profile'] == ICC
        assert not said
    elif output == 'bmp' and source != 'bmp':
        assert len(said) == 1
        for name in ('colour profile (bmp supports none)', 'XMP (bmp supports none)'):
            assert name in said[0]
    else:
        assert not said


@pytest.mark.parametrize('output', FORMATS)
def test_no_resolution_is_invented(tmp_path: Path, output: str) -> None:
    exif = Image.Exif()
    exif[0x010E] = 'a caption'
    image, said = written(made(tmp_path / 'in.jpg', 'jpeg', exif=exif), output)
    assert 'jfif_unit' not in image.info or image.info['jfif_unit'] == 0
    assert image.format in ('JPEG', 'TIFF') or not dpi_of(image)
    assert (len(said) == 1 and 'EXIF data' in said[0]) if output == 'bmp' else not said


@pytest.mark.parametrize('kind', ['jpeg', 'png', 'tiff'])
def test_scaling_keeps_the_resolution(tmp_path: Path, kind: str) -> None:
    image, _ = written(made(tmp_path / f'in.{kind}', kind, (240, 240)), kind, scale=2.0)
    assert image.size == (16, 16) and dpi_of(image) == pytest.approx([240, 240], abs=0.1)


def test_the_resolution_of_a_bmp_with_alpha(tmp_path: Path) -> None:
    Image.new('RGBA', (8, 8), (1, 2, 3, 4)).save(tmp_path / 'in.png', dpi=(600, 600))
    image, _ = written(tmp_path / 'in.png', 'bmp')
    assert dpi_of(image) == pytest.approx([600, 600], abs=0.1)


def test_dots_a_centimetre_and_exif_alone(tmp_path: Path) -> None:
    data = bytearray(made(tmp_path / 'cm.jpg', 'jpeg', (100, 100)).read_bytes())
    data[13] = 2
    (tmp_path / 'cm.jpg').write_bytes(data)
    assert dpi_of(written(tmp_path / 'cm.jpg', 'png')[0]) == [254, 254]
    exif = Image.Exif()
    exif[282], exif[283], exif[296] = 200, 200, 3
    assert dpi_of(written(made(tmp_path / 'exif.jpg', 'jpeg', exif=exif), 'png')[0]) == [508, 508]


@pytest.mark.parametrize('pixels', [0, 1, 4_000_000_000])
def test_an_absurd_resolution_is_left_out(tmp_path: Path, pixels: int) -> None:
    plain = made(tmp_path / 'in.png', 'png').read_bytes()
    (tmp_path / 'in.png').write_bytes(plain[:33] + chunk(b'pHYs', struct.pack('>IIB', pixels, pixels, 1)) + plain[33:])
    for output in FORMATS:
        image, said = written(tmp_path / 'in.png', output)
        assert image.info.get('jfif_unit', 0) == 0 and (output in ('jpeg', 'tiff') or not dpi_of(image))
        assert any('a print resolution of' in text for text in said) == bool(pixels)


@pytest.mark.parametrize('value', [(0, 0), (0, 1), (1_000_000_000, 1), (300, 0)])
def test_absurd_fractions_of_exif_are_left_out(tmp_path: Path, value: tuple[int, int]) -> None:
    packed = (
        struct.pack('>2sHI', b'MM', 42, 8) + struct.pack('>HHHIII', 1, 282, 5, 1, 26, 0) + struct.pack('>II', *value)
    )
    plain = made(tmp_path / 'in.jpg', 'jpeg').read_bytes()
    body = b'Exif\0\0' + packed
    marker = b'\xff\xe1' + struct.pack('>H', len(body) + 2) + body
    (tmp_path / 'in.jpg').write_bytes(plain[:2] + marker + plain[2:])
    for output in FORMATS:
        image, _ = written(tmp_path / 'in.jpg', output)
        assert 282 not in image.getexif() or output == 'tiff'


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack('>I', len(body)) + name + body + struct.pack('>I', zlib.crc32(name + body))


def test_losses_are_reported(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text('Comment', 'hello')
    Image.new('RGB', (8, 8)).save(tmp_path / 'in.png', pnginfo=info)
    assert 'text entries' in written(tmp_path / 'in.png', 'png')[1][0]
    iptc = b'Photoshop 3.0\0' + b'8BIM\x04\x04\0\0' + struct.pack('>I', 4) + b'\x1c\x02\x00\x00'
    extended = b'http://ns.adobe.com/xmp/extension/\0' + bytes(60)
    markers = b''.join(
        name + struct.pack('>H', len(body) + 2) + body for name, body in ((b'\xff\xed', iptc), (b'\xff\xe1', extended))
    )
    Image.new('RGB', (8, 8)).save(tmp_path / 'in.jpg', comment=b'hello')
    data = (tmp_path / 'in.jpg').read_bytes()
    (tmp_path / 'in.jpg').write_bytes(data[:2] + markers + data[2:])
    (said,) = written(tmp_path / 'in.jpg', 'jpeg')[1]
    assert all(name in said for name in ('a comment', 'IPTC data', 'the extended part of XMP'))


def test_metadata_too_large_for_jpeg_is_reported(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = 'long ' * 20_000
    large = packet(inner=f'<xmp:Label>{"x" * 70_000}</xmp:Label>')
    path = made(tmp_path / 'in.png', 'png', xmp=large, exif=exif)
    image, (said,) = written(path, 'jpeg')
    assert 'xmp' not in image.info and 'EXIF data (jpeg supports up to 65533 bytes)' in said and 'XMP (jpeg' in said
    image, said = written(path, 'webp')
    assert image.info['xmp'] == large and not said


@pytest.mark.parametrize(
    'bad', [b'<x:xmpmeta', b'\xff\xfe\0', b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', b'<a>' * 5000 + b'</a>' * 5000]
)
def test_xmp_that_cannot_be_read_is_left_out(tmp_path: Path, bad: bytes) -> None:
    image, said = written(made(tmp_path / 'in.jpg', 'jpeg', xmp=bad), 'jpeg')
    assert 'xmp' not in image.info or b'<a><a>' in image.info['xmp']
    assert 'xmp' in image.info or 'XMP, which is damaged' in said[0]


def test_xmp_is_bounded() -> None:
    assert carried_xmp(packet(inner=' ' * LARGEST)) == (b'', (f'XMP of more than {LARGEST} bytes',))
    assert carried_xmp(b'') == (b'', ()) == carried_xmp(b' \0')
    assert carried_xmp(packet() + b' \n' * 2000 + b'\0') == (packet(), ())


def test_a_packet_in_utf_16_becomes_utf_8() -> None:
    kept, said = carried_xmp(packet().decode().encode('utf-16'))
    assert kept == packet() and not said


@pytest.mark.parametrize(
    ('attributes', 'inner', 'told'),
    [
        (
            'Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"',
            '',
            'Digital',
        ),
        ('', '<Iptc4xmpExt:DigitalSourceType rdf:resource="x/digitalCapture"/>', 'DigitalSourceType'),
        ('dcterms:provenance="https://example.com/manifest.c2pa"', '', 'Content Credentials'),
        (
            '',
            '<Iptc4xmpExt:PersonInImage><rdf:Bag><rdf:li>Somebody</rdf:li></rdf:Bag></Iptc4xmpExt:PersonInImage>',
            'name',
        ),
        ('GCamera:MotionPhoto="1"', '', 'motion'),
        ('tiff:Orientation="6" tiff:ImageWidth="99"', '', ''),
    ],
)
def test_untrue_properties_are_left_out(attributes: str, inner: str, told: str) -> None:
    kept, said = carried_xmp(packet(attributes, inner))
    (description,) = ElementTree.fromstring(kept)[0]
    text = str(description.attrib) + ''.join(child.tag for child in description)
    for name in ('DigitalSource', 'provenance', 'Somebody', 'MotionPhoto', 'Orientation', 'ImageWidth'):
        assert name not in text
    assert 'Rating' in text and 'equirectangular' in text
    assert (told in said[0]) if told else not said


def test_generated_content_stays_declared() -> None:
    made_by_model = packet('Iptc4xmpExt:DigitalSourceType="http://x/digitalsourcetype/trainedAlgorithmicMedia"')
    assert carried_xmp(made_by_model) == (made_by_model, ())


def test_an_orientation_in_xmp_is_applied_once(tmp_path: Path) -> None:
    image = Image.new('RGB', (8, 4))
    info = PngImagePlugin.PngInfo()
    info.add_itxt('XML:com.adobe.xmp', packet('tiff:Orientation="6"').decode())
    image.save(tmp_path / 'in.png', pnginfo=info)
    after, _ = written(tmp_path / 'in.png', 'png')
    assert after.size == (4, 8) and after.getexif().get(0x0112, 1) == 1 and b'Orientation' not in after.info['xmp']


@pytest.mark.parametrize(
    ('chunks', 'kept'),
    [
        ({b'gAMA': struct.pack('>I', 100000)}, [b'gAMA']),
        ({b'gAMA': struct.pack('>I', 45455)}, []),
        ({b'cHRM': struct.pack('>8I', 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)}, [b'cHRM']),
        ({b'cICP': bytes([9, 16, 0, 1]), b'gAMA': struct.pack('>I', 100000)}, [b'cICP']),
        ({b'cICP': bytes([1, 13, 0, 1])}, []),
        ({b'sRGB': b'\0', b'gAMA': struct.pack('>I', 100000)}, []),
    ],
)
def test_colour_definitions_of_png_are_copied_or_reported(tmp_path: Path, chunks: dict, kept: list[bytes]) -> None:
    info = PngImagePlugin.PngInfo()
    for name, content in chunks.items():
        info.add(name, content)
    Image.new('RGB', (20, 16), (9, 90, 200)).save(tmp_path / 'in.png', pnginfo=info)
    frame = read_image(tmp_path / 'in.png')
    said: list[str] = []
    write_image(frame, tmp_path / 'out.png', 'png', emit=lambda event: said.append(str(event)))
    data = (tmp_path / 'out.png').read_bytes()
    assert [name for name in (b'gAMA', b'cHRM', b'cICP') if name + chunks.get(name, b'?') in data] == kept
    assert said == []
    write_image(frame, tmp_path / 'out.jpg', 'jpeg', emit=lambda event: said.append(str(event)))
    assert any('the colour definition' in text for text in said) == bool(kept)
