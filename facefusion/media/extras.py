"""Contents of a clip other than video and audio: subtitles, chapters, tags and attachments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import av
import av.stream

from facefusion.media.languages import language_for

# Tags that FFmpeg writes itself, or that would be wrong for the output.
_OWN_TAGS = {
    *('encoder', 'major_brand', 'minor_version', 'compatible_brands', 'duration', 'handler_name'),
    # asf and mxf
    *('wmfsdkversion', 'wmfsdkneeded', 'isvbr', 'devicecoverage', 'product_uid', 'generation_uid', 'uid'),
}


@dataclass(frozen=True, slots=True)
class Extras:
    """The contents of a clip other than video and audio; ``subtitles`` are the index and codec of each stream."""

    subtitles: tuple[tuple[int, str], ...] = ()
    chapters: int = 0
    attachments: int = 0
    pictures: int = 0
    data: int = 0
    tags: tuple[tuple[str, str], ...] = ()


NO_EXTRAS = Extras()


def describe_extras(container: av.container.InputContainer) -> Extras:
    """Count the streams other than the first video and the audio; call this before any stream is discarded."""
    kinds: dict[str, list[Any]] = {}
    for stream in container.streams:
        kinds.setdefault(stream.type, []).append(stream)
    # FFmpeg reads the chapters of mov from a data track, and discards the track.
    data = [stream for stream in kinds.get('data', ()) if stream.discard != av.stream.Discard.all]
    return Extras(
        subtitles=tuple(
            (stream.index, stream.codec_context.name if stream.codec_context else '')
            for stream in kinds.get('subtitle', ())
        ),
        chapters=len(container.chapters()),
        attachments=len(kinds.get('attachment', ())),
        pictures=max(len(kinds.get('video', ())) - 1, 0),
        data=len(data),
        tags=tuple(carried_tags(container.metadata).items()),
    )


def carried_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a clip without those that FFmpeg writes itself."""
    return {key: value for key, value in tags.items() if key.lower() not in _OWN_TAGS}


def never_kept(extras: Extras) -> list[str]:
    """Return remarks on the streams that are lost in every container."""
    counts = ((extras.pictures, 'other video or cover stream'), (extras.data, 'data stream'))
    return [not_kept(count, noun) for count, noun in counts if count]


def describe_stream(source: av.stream.Stream, target: av.stream.Stream) -> None:
    """Copy language, title and disposition of a stream."""
    container: Any = target.container
    if 'language' in source.metadata:
        target.metadata['language'] = language_for(container.format.name, source.metadata['language'])
    if title_of(source):
        target.metadata['title'] = title_of(source)
    if 'handler_name' in source.metadata:
        target.metadata['handler_name'] = source.metadata['handler_name']
    target.disposition = source.disposition


def title_of(stream: av.stream.Stream) -> str:
    """Return the title of a stream, which FFmpeg reads as its name from mp4 and mov; '' without one."""
    return stream.metadata.get('title') or stream.metadata.get('name', '')


def not_kept(count: int, noun: str) -> str:
    """Return a remark on ``count`` items that the output lacks."""
    return f'1 {noun} is not kept' if count == 1 else f'{count} {noun}s are not kept'
