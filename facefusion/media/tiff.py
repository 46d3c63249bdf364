"""Reading TIFF: what Pillow does not read whole (deep colours, floats) is decoded by OpenCV's libtiff.

Tags and their values: TIFF 6.0 (1992); BigTIFF as Pillow reads it.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from facefusion.errors import MediaError
from facefusion.media.kinds import ADVICE

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _CMYK = 0, 1, 2, 5
_UNSIGNED, _FLOAT = 1, 3
_PREMULTIPLIED, _ALPHA = 1, 2
_ORIENTATION, _XMP, _ICC, _REDUCED, _PLANAR = 274, 700, 34675, 1, 2
# Description, maker, model, resolution and its unit, software, date, artist, copyright.
_CARRIED = (270, 271, 272, 282, 283, 296, 305, 306, 315, 33432)
_DIRECTORIES = (0x8769, 0x8825)
# A raw picture is a TIFF with these: the sensor's own colours (photometric), or a thumbnail first.
_OF_SENSORS = (32803, 34892)
_DNG_VERSION, _OTHER_PICTURES = 50706, 330
_MAXIMUM_PAGES = 64
# Beyond 1 by what resampling makes of an edge, and no more.
_OVERSHOOT = 1.05


class TiffLayout(NamedTuple):
    """How the samples of the first picture are stored; width and height as stored."""

    width: int
    height: int
    bits: int
    kind: int
    photometric: int
    channels: int
    extra: tuple[int, ...]
    orientation: int
    icc: bytes
    is_planar: bool

    @property
    def is_deep(self) -> bool:
        """Whether a sample has more than 8 bits."""
        return self.bits > 8

    @property
    def has_alpha(self) -> bool:
        """Whether one of the channels is alpha: a fourth one that nothing is said of is taken for it, as others do."""
        is_untold = not self.extra and self.photometric == _RGB and self.channels == 4
        return is_untold or bool(set(self.extra) & {_PREMULTIPLIED, _ALPHA})

    @property
    def left_out(self) -> int:
        """How many channels are neither colour nor alpha."""
        return len([meaning for meaning in self.extra if meaning not in (_PREMULTIPLIED, _ALPHA)])

    @property
    def displayed_size(self) -> tuple[int, int]:
        """Width and height as the picture is shown."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)

    @property
    def is_for_opencv(self) -> bool:
        """Whether OpenCV reads the samples as they are, where Pillow cuts them or does not."""
        colours = (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB)
        depths = {_UNSIGNED: (16, 32), _FLOAT: (32, 64)}.get(self.kind, ())
        return self.bits in depths and self.photometric in colours and self.channels in (1, 3, 4)

    @property
    def is_for_pillow(self) -> bool:
        """Whether Pillow reads it, at 8 bits a sample."""
        return not self.is_deep or (self.bits == 16 and self.kind == _UNSIGNED and self.photometric == _CMYK)


def read_layout(data: bytes) -> TiffLayout:
    """The layout of the first picture of a file.

    Raises MediaError image-variant, media-kind-unsupported for a raw picture; on damage what Pillow raises.
    """
    if data[:4] == b'MM\0+':
        # Pillow takes the number behind the letters for little-endian.
        raise _not_read('it is a big-endian BigTIFF')
    with _quiet():
        tags = _first_directory(data)
        wanted = (256, 257, 258, 262, 274, 277, 284, 338, 339, _ICC)
        found = {number: tags[number] for number in wanted if number in tags}
        is_thumbnail = bool(int(tags.get(254, 0)) & _REDUCED) and _OTHER_PICTURES in tags
    if _DNG_VERSION in tags or is_thumbnail or found.get(262) in _OF_SENSORS:
        raise MediaError(
            'media-kind-unsupported',
            'its content is raw',
            cause='raw is not read by this version: its first picture is a thumbnail, or what the sensor has measured',
            hint=ADVICE['raw'],
        )
    bits, kinds = found.get(258, (1,)), found.get(339, (_UNSIGNED,))
    orientation = int(found.get(_ORIENTATION, 1))
    return TiffLayout(
        width=int(found[256]),
        height=int(found[257]),
        bits=max(bits) if isinstance(bits, tuple) else int(bits),
        kind=max(kinds) if isinstance(kinds, tuple) else int(kinds),
        photometric=int(found.get(262, _BLACK_IS_ZERO)),
        channels=int(found.get(277, 1)),
        extra=tuple(found.get(338, ())),
        orientation=orientation if 1 <= orientation <= 8 else 1,
        icc=bytes(found.get(_ICC, b'')),
        is_planar=int(found.get(284, 1)) == _PLANAR,
    )


def _directories(data: bytes) -> tuple[Any, io.BytesIO]:
    """The directories of a file, none of them loaded yet, and what they are loaded from."""
    file = io.BytesIO(data)
    head = file.read(8)
    if head[2:3] == b'+':
        head += file.read(8)
    return TiffImagePlugin.ImageFileDirectory_v2(head), file


def first_tags(data: bytes) -> Mapping[int, Any]:
    """The tags of the first picture of a file. Raises what Pillow raises on damage."""
    with _quiet():
        return cast('Mapping[int, Any]', _first_directory(data))


def _first_directory(data: bytes) -> Any:
    tags, file = _directories(data)
    file.seek(tags.next)
    tags.load(file)
    return tags


def with_tags(data: bytes, changes: Mapping[int, Sequence[int] | None]) -> bytes:
    """A file with whole numbers in place of some tags of its first directory; None drops one.

    The new directory stands behind everything else, which stays where it was. Other pictures are dropped.
    """
    order: Literal['little', 'big'] = 'little' if data[:2] == b'II' else 'big'
    is_big = data[2:3] == b'+' or data[3:4] == b'+'
    # Bytes of an offset, of a directory's length and of an entry; where the first directory is told.
    word, counter, size, at = (8, 8, 20, 8) if is_big else (4, 2, 12, 4)
    begin = int.from_bytes(data[at : at + word], order)
    count = int.from_bytes(data[begin : begin + counter], order)
    raw = [data[begin + counter + k * size :][:size] for k in range(count)]
    entries = {int.from_bytes(entry[:2], order): entry for entry in raw if len(entry) == size}
    start = len(data) + len(data) % 2
    behind = start + counter + (len(entries) + len(changes)) * size + word
    values = b''
    for tag, numbers in changes.items():
        entries.pop(tag, None)
        if numbers is None:
            continue
        packed = b''.join(number.to_bytes(4, order) for number in numbers)
        value = packed.ljust(word, b'\0')
        if len(packed) > word:
            value = (behind + len(values)).to_bytes(word, order)
            values += packed
        long = 4
        entries[tag] = b''.join(
            [tag.to_bytes(2, order), long.to_bytes(2, order), len(numbers).to_bytes(word, order), value]
        )
    directory = b''.join([len(entries).to_bytes(counter, order), *(entries[tag] for tag in sorted(entries))])
    pointed = data[:at] + start.to_bytes(word, order) + data[at + word :]
    return pointed + bytes(start - len(data)) + directory.ljust(behind - start, b'\0') + values


def count_pages(data: bytes) -> int:
    """The pictures of a file, without those that are smaller copies of others; at most ``_MAXIMUM_PAGES`` are told."""
    tags, file = _directories(data)
    count, seen = 0, set[int]()
    with _quiet():
        while tags.next and tags.next not in seen and len(seen) < _MAXIMUM_PAGES:
            seen.add(tags.next)
            file.seek(tags.next)
            tags.load(file)
            count += not int(tags.get(254, 0)) & _REDUCED
    return count


def decode(data: bytes, layout: TiffLayout) -> tuple[Image.Image, str]:
    """The first picture, upright, with 8 bits a sample, and what was done to its samples ('' for nothing).

    Raises MediaError image-variant, image-hdr; on damage what Pillow and NumPy raise.
    """
    if layout.is_for_opencv:
        return _decode_deep(data, layout)
    if not layout.is_for_pillow:
        raise _not_read(f'its samples have {layout.bits} bits of a kind that is not read')
    with _quiet():
        image = TiffImagePlugin.TiffImageFile(io.BytesIO(data))
        # Turned by Pillow itself.
        image.load()
    return image, f'{layout.bits}-bit samples are rounded to 8 bits' if layout.is_deep else ''


def carried_exif(data: bytes) -> Image.Exif:
    """What of a file's tags describes the picture, and not how it is stored."""
    kept = Image.Exif()
    with _quiet():
        try:
            tags = TiffImagePlugin.TiffImageFile(io.BytesIO(data)).getexif()
        except SyntaxError:
            # Pillow opens no file whose samples it does not read.
            return kept
        for number in _CARRIED:
            if number in tags:
                kept[number] = tags[number]
        for number in _DIRECTORIES:
            if number in tags:
                kept.get_ifd(number).update(tags.get_ifd(number))
    return kept


def with_exif(data: bytes, exif: Image.Exif) -> bytes:
    """A file with the directories of EXIF data, which Pillow writes into no compressed file."""
    places: dict[int, Sequence[int]] = {}
    for number in _DIRECTORIES:
        found = exif.get_ifd(number)
        if found:
            data += bytes(len(data) % 2)
            directory: Any = TiffImagePlugin.ImageFileDirectory_v2(data[:8])
            directory.update({tag: value for tag, value in found.items() if not isinstance(value, dict)})
            places[number] = [len(data)]
            data += cast(bytes, directory.tobytes(len(data)))
    return with_tags(data, places) if places else data


def without_directories(exif: Image.Exif) -> Image.Exif:
    """The tags of EXIF data that stand in a file's own directory."""
    kept = Image.Exif()
    for number in (*_CARRIED, _XMP):
        if number in exif:
            kept[number] = exif[number]
    return kept


def _decode_deep(data: bytes, layout: TiffLayout) -> tuple[Image.Image, str]:
    found = _samples(data, layout)
    samples, remark = _unit(found, layout)
    if layout.photometric == _WHITE_IS_ZERO:
        samples = 1 - samples
    if samples.ndim == 3 and samples.shape[2] == 4:
        samples = _with_alpha(samples, layout)
    pixels = np.rint(np.clip(samples, 0, 1) * 255).astype(np.uint8)
    if pixels.ndim == 3:
        code = cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB
        pixels = cast('NDArray[np.uint8]', cv2.cvtColor(pixels, code))
    return _turned(Image.fromarray(pixels), layout.orientation), remark


def _samples(data: bytes, layout: TiffLayout) -> NDArray[Any]:
    """The samples as stored, [height, width] or [height, width, B G R and perhaps a fourth].

    OpenCV turns some kinds of pictures by their orientation whatever it is told, and takes planes for pixels.
    """
    if not layout.is_planar or layout.channels == 1:
        return _decoded(with_tags(data, {_ORIENTATION: None}), layout)
    planes = [_decoded(_plane(data, layout, k), layout) for k in range(layout.channels)]
    order = [2, 1, 0, *range(3, layout.channels)]
    return np.dstack([planes[k] for k in order])


def _plane(data: bytes, layout: TiffLayout, number: int) -> bytes:
    """A file whose first picture is one plane of it, in grey."""
    tags = _first_directory(data)
    changes: dict[int, Sequence[int] | None] = {258: [layout.bits], 262: [_BLACK_IS_ZERO], 277: [1], 284: [1]}
    changes |= {339: [layout.kind], _ORIENTATION: None, 338: None, _ICC: None}
    for places in (273, 279, 324, 325):
        if places in tags:
            count = len(tags[places]) // layout.channels
            changes[places] = tags[places][number * count : (number + 1) * count]
    return with_tags(data, changes)


def _decoded(data: bytes, layout: TiffLayout) -> NDArray[Any]:
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None or found.dtype.itemsize * 8 != layout.bits or found.shape[:2] != (layout.height, layout.width):
        raise ValueError(f'its {layout.bits}-bit samples cannot be read')
    return found


def _unit(found: NDArray[Any], layout: TiffLayout) -> tuple[NDArray[np.float32], str]:
    """The samples as 0 to 1. Floats are that already, or whole numbers of 8 or 16 bits. Raises MediaError image-hdr."""
    if layout.kind != _FLOAT:
        scaled = np.divide(found, float(2**layout.bits - 1), dtype=np.float64)
        return scaled.astype(np.float32), f'{layout.bits}-bit samples are rounded to 8 bits'
    with np.errstate(over='ignore'):
        samples = np.nan_to_num(found.astype(np.float32), nan=0.0, posinf=np.inf, neginf=0.0)
    largest = float(samples.max(initial=0))
    top = next((top for top in (255, 65535) if largest <= top), 0)
    if largest <= _OVERSHOOT:
        top = 1
    elif not top or not bool((samples == np.rint(samples)).all()):
        raise MediaError(
            'image-hdr',
            'its samples go beyond white, which is not processed',
            cause=f'the largest is {largest:g}, white is 1',
            hint='convert it to 8 or 16 bits a sample with a tone mapping of your choice first',
        )
    return samples / np.float32(top), f'float samples of 0 to {top} are rounded to 8 bits'


def _with_alpha(samples: NDArray[np.float32], layout: TiffLayout) -> NDArray[np.float32]:
    """Colours that were multiplied by alpha are divided by it; a fourth channel that is no alpha goes."""
    if not layout.has_alpha:
        return samples[..., :3]
    if _PREMULTIPLIED in layout.extra:
        alpha = samples[..., 3:]
        samples = samples.copy()
        samples[..., :3] = np.divide(samples[..., :3], alpha, out=np.zeros_like(samples[..., :3]), where=alpha > 0)
    return samples


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    """The picture upright (TIFF 6.0, page 36)."""
    way = Image.Transpose
    turns = {
        2: way.FLIP_LEFT_RIGHT,
        3: way.ROTATE_180,
        4: way.FLIP_TOP_BOTTOM,
        5: way.TRANSPOSE,
        6: way.ROTATE_270,
        7: way.TRANSVERSE,
        8: way.ROTATE_90,
    }
    return image.transpose(turns[orientation]) if orientation in turns else image


def _not_read(cause: str) -> MediaError:
    return MediaError(
        'image-variant',
        'this kind of TIFF is not read',
        cause=cause,
        hint='save it as TIFF with 8 or 16 bits a sample in RGB or grey, or as PNG',
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Pillow warns of tags that it does not understand, and of damage that it then raises for."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield
