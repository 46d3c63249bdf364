"""The faces of the source images."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from facefusion.errors import NoFaceError
from facefusion.events import Message
from facefusion.faces.face import Face
from facefusion.media.frame import Frame
from facefusion.media.image import read_image
from facefusion.processors.processor import ProcessorTools


class SourceFace(NamedTuple):
    """The largest face of a source image. ``users`` are the people that have this source (``Cast.users_of_images``)."""

    path: Path
    frame: Frame
    face: Face
    users: str = ''

    @property
    def name(self) -> str:
        """The path for messages, with the people of a face map."""
        return f'{self.path}{self.users}'


def find_source_faces(tools: ProcessorTools, group: int, smallest: int) -> list[SourceFace]:
    """Return the largest face of each image of a group of ``Cast.images``, in order.

    Images without a face of at least ``smallest`` pixels in height are skipped with a warning. Raises MediaError for an
    unreadable image, NoFaceError when no image remains.
    """
    faces: list[SourceFace] = []
    skipped: list[str] = []
    largest = 0.0
    images, users = tools.cast.images[group], tools.cast.users_of_images(group)
    for path in images:
        # The remarks about the file are discarded, because the content check has already reported them.
        frame = read_image(path)
        found = tools.analyser.find(frame)
        face = max(found, key=lambda face: face.size, default=None)
        if face is None:
            skipped.append(f'{path}{users} is skipped: no face was found in it')
        elif face.size < smallest:
            skipped.append(f'{path}{users} is skipped: its largest face is {face.size:.0f} pixels high')
            largest = max(largest, face.size)
        else:
            faces.append(SourceFace(path, frame, face, users))
            count = sum(other.size >= smallest for other in found)
            if count > 1:
                text = f'{path}{users} shows {count} faces: the largest is used; crop the image to choose another'
                tools.emit(Message('info', 'face_swapper', text))
    if not faces:
        raise _no_face(', '.join(str(path) for path in images) + users, largest, smallest)
    for text in skipped:
        tools.emit(Message('warn', 'face_swapper', text))
    return faces


def _no_face(names: str, largest: float, smallest: int) -> NoFaceError:
    if largest == 0:
        return NoFaceError(
            'source-no-face',
            f'no face was found in {names}',
            hint='use a sharp, upright, frontal image; --face-detector-angles 0 90 180 270 finds rotated faces',
        )
    return NoFaceError(
        'source-face-small',
        f'the largest face in {names} is {largest:.0f} pixels high',
        cause=f'a source face needs at least {smallest} pixels',
        hint='use a larger image of the face',
    )
