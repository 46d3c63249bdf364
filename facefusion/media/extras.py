"""What a clip carries beside pictures and sound: subtitles, chapters, tags, attachments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import av
import av.stream

from facefusion.media.languages import language_for

# Tags that FFmpeg writes of its own, or that say what is not true of the output.
_OWN_TAGS = (
    'encoder',
    'major_brand',
    'minor_version',
    'compatible_brands',
    'duration',
    'handler_name',
    # asf and mxf
    'wmfsdkversion',
    'wmfsdkneeded',
    'isvbr',
    'devicecoverage',
    'product_uid',
    'generation_uid',
    'uid',
)


@dataclass(frozen=True, slots=True)
class Extras:
    """What a clip carries; ``subtitles`` are index and codec of each stream, the others are counted."""

    subtitles: tuple[tuple[int, str], ...] = ()
    chapters: int = 0
    attachments: int = 0
    pictures: int = 0
    data: int = 0
    tags: tuple[tuple[str, str], ...] = ()


NO_EXTRAS = Extras()


def describe_extras(container: av.container.InputContainer) -> Extras:
    """Counts what a container holds beside its first picture and its sound; no stream may be discarded yet."""
    kinds: dict[str, list[Any]] = {}
    for stream in container.streams:
        kinds.setdefault(stream.type, []).append(stream)
    # FFmpeg reads the chapters of mov from a track of their own, and hands out nothing else of it.
    data = [stream for stream in kinds.get('data', ()) if stream.discard != av.stream.Discard.all]
    return Extras(
        subtitles=tuple((stream.index, _codec(stream)) for stream in kinds.get('subtitle', ())),
        chapters=len(container.chapters()),
        attachments=len(kinds.get('attachment', ())),
        pictures=max(len(kinds.get('video', ())) - 1, 0),
        data=len(data),
        tags=tuple(carried_tags(container.metadata).items()),
    )


def carried_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags of a clip without those that FFmpeg writes of its own."""
    return {key: value for key, value in tags.items() if key.lower() not in _OWN_TAGS}


def never_kept(extras: Extras) -> list[str]:
    """What no output has, whatever its container."""
    counts = ((extras.pictures, 'other video or cover stream'), (extras.data, 'data stream'))
    return [not_kept(count, what) for count, what in counts if count]


def describe_stream(source: av.stream.Stream, target: av.stream.Stream) -> None:
    """Hands language, title and disposition of a stream on."""
    held: Any = target.container
    if 'language' in source.metadata:
        target.metadata['language'] = language_for(held.format.name, source.metadata['language'])
    if title_of(source):
        target.metadata['title'] = title_of(source)
    if 'handler_name' in source.metadata:
        target.metadata['handler_name'] = source.metadata['handler_name']
    target.disposition = source.disposition


def title_of(stream: av.stream.Stream) -> str:
    """The title of a stream, which FFmpeg reads as its name from mp4 and mov; '' without one."""
    return stream.metadata.get('title') or stream.metadata.get('name', '')


def _codec(stream: Any) -> str:
    return '' if stream.codec_context is None else str(stream.codec_context.name)


def not_kept(count: int, what: str) -> str:
    """Says that so many things are missing in the output."""
    return f'1 {what} is not kept' if count == 1 else f'{count} {what}s are not kept'
