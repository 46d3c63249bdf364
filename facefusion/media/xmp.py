"""XMP packets (ISO 16684-1): copied from an image to its output, except for properties that would be untrue."""

from __future__ import annotations

from xml.dom import minidom
from xml.parsers.expat import ExpatError

# A packet has a few KB, or a few hundred KB after a long editing history.
LARGEST = 1 << 20
_RDF = 'http://www.w3.org/1999/02/22-rdf-syntax-ns#'
_IPTC = 'http://iptc.org/std/Iptc4xmpExt/2008-02-29/'
_ADOBE = 'http://ns.adobe.com/'
_SOURCE_TYPE = (_IPTC, 'DigitalSourceType')
# Properties by namespace and name, and their names for the user. Those named '' are not reported, because the output
# has a different value or needs none (it is upright, and its size may differ).
_UNTRUE = {
    _SOURCE_TYPE: 'DigitalSourceType',
    ('http://purl.org/dc/terms/', 'provenance'): 'the address of Content Credentials',
    (_IPTC, 'PersonInImage'): 'names of people',
    (_IPTC, 'PersonInImageWDetails'): 'names of people',
    (_IPTC, 'ImageRegion'): 'regions of faces',
    (f'{_ADOBE}xap/1.0/', 'Thumbnails'): 'thumbnails',
    (f'{_ADOBE}xap/1.0/mm/', 'InstanceID'): '',
    (f'{_ADOBE}xmp/note/', 'HasExtendedXMP'): '',
    (f'{_ADOBE}tiff/1.0/', 'Orientation'): '',
    (f'{_ADOBE}tiff/1.0/', 'ImageWidth'): '',
    (f'{_ADOBE}tiff/1.0/', 'ImageLength'): '',
    (f'{_ADOBE}exif/1.0/', 'PixelXDimension'): '',
    (f'{_ADOBE}exif/1.0/', 'PixelYDimension'): '',
}
# Namespaces that are dropped completely. They describe people at the positions of their faces, and parts of the file
# that no output has.
_UNTRUE_NAMESPACES = {
    'http://www.metadataworkinggroup.com/schemas/regions/': 'regions of faces',
    'http://ns.microsoft.com/photo/1.2/': 'regions of faces',
    'http://ns.google.com/photos/1.0/camera/': 'motion',
    'http://ns.google.com/photos/1.0/container/': 'motion',
    'http://ns.google.com/photos/1.0/image/': 'a second image',
    'http://ns.google.com/photos/1.0/depthmap/': 'depth',
    'http://ns.google.com/photos/dd/1.0/device/': 'depth',
    f'{_ADOBE}hdr-gain-map/1.0/': 'a gain map',
    'http://ns.apple.com/HDRGainMap/1.0/': 'a gain map',
}
_WRAPPED = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n{}\n<?xpacket end="w"?>'


def carried_xmp(packet: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return a packet for the output, in UTF-8, and remarks on dropped properties.

    A packet without dropped properties stays unchanged; the result is b'' if it cannot be read.
    """
    if not packet.strip(b'\0 \r\n\t'):
        return b'', ()
    if len(packet) > LARGEST:
        return b'', (f'XMP of more than {LARGEST} bytes',)
    try:
        text = packet.decode('utf-16' if packet[:2] in (b'\xff\xfe', b'\xfe\xff') else 'utf-8-sig')
        text = text.rstrip('\0 \r\n\t')
        if '<!DOCTYPE' in text:
            # A valid packet has no document type, and entities defined in a document type may expand to gigabytes.
            raise ValueError('it has a document type')
        document = minidom.parseString(text.encode())
        dropped = _drop_untrue(document)
        if dropped and document.documentElement is not None:
            text = _WRAPPED.format(document.documentElement.toxml())
    except (ExpatError, ValueError, RecursionError):
        return b'', ('XMP, which is damaged',)
    names = sorted({name for name in dropped if name})
    return text.encode(), (f'XMP properties ({", ".join(names)})',) if names else ()


def _drop_untrue(document: minidom.Document) -> list[str]:
    """Remove the properties that would be untrue; return the name of each, or ''."""
    dropped = []
    for description in document.getElementsByTagNameNS(_RDF, 'Description'):
        children = [child for child in description.childNodes if isinstance(child, minidom.Element)]
        for attribute in list(description.attributes.values()):
            name = _untrue(attribute.namespaceURI, attribute.localName, attribute.value)
            if name is not None:
                description.removeAttributeNode(attribute)
                dropped.append(name)
        for child in children:
            name = _untrue(child.namespaceURI, child.localName, child.toxml())
            if name is not None:
                description.removeChild(child)
                dropped.append(name)
    return dropped


def _untrue(namespace: str | None, name: str | None, value: str) -> str | None:
    """Return the name of a property that would be untrue of an output; None for other properties."""
    key = (namespace or '', name or '')
    if key == _SOURCE_TYPE and 'trainedalgorithmicmedia' in value.lower():
        # The output of an edit to generated content is still generated.
        return None
    return _UNTRUE.get(key, _UNTRUE_NAMESPACES.get(key[0]))
