"""Channel layouts: which hold the same channels, and how sound goes from one into another."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from itertools import pairwise
from typing import Any

import av
import av.error
import av.filter

from facefusion.shortage import raise_shortage

# FFmpeg's default positions (av_channel_layout_default).
_USUAL = dict(enumerate(('mono', 'stereo', '2.1', '4.0', '5.0', '5.1', '6.1', '7.1'), 1))
# What encoders take that do not take every layout (those of RFC 7845, 5.1.1.2), each one a part of the AAC encoder's.
_COMMON = ('mono', 'stereo', '3.0', 'quad', '5.0', '5.1', '6.1', '7.1')
# Other names of the same places. Surround channels are called side or back ones by the codec that they come from.
_NAMES: tuple[Mapping[str, str], ...] = (
    {},
    {'BL': 'SL', 'BR': 'SR'},
    {'SL': 'BL', 'SR': 'BR'},
    {'DL': 'FL', 'DR': 'FR'},
    {'BIL': 'FL', 'BIR': 'FR'},
)


def usual_layout(name: str, channels: int) -> str:
    """The layout of a stream as FFmpeg takes it; the usual one of so many channels where it has no positions.

    Without positions its name is '2 channels'; with some that have no name of their own '2 channels (FL+FC)'.
    """
    if 'channels (' in name:
        return name[name.index('(') + 1 : -1]
    return _USUAL.get(channels, name) if 'channels' in name else name


def channels_of(layout: str) -> tuple[str, ...]:
    """The names of a layout's channels in their order."""
    return tuple(channel.name for channel in av.AudioLayout(layout).channels)


def keeps_all(source: str, target: str) -> bool:
    """Whether every channel of a layout has a place of its own in another one."""
    return _kept(source, target) == len(channels_of(source))


def is_common(layout: str) -> bool:
    """Whether the encoders that take many channels, AAC among them, keep all of a layout."""
    return any(keeps_all(layout, name) for name in _COMMON)


def nearest_layouts(layout: str, prefers_common: bool = False) -> list[str]:
    """The layouts to try for a stream, the best first: its own, those that keep every channel, then downmixes.

    With ``prefers_common`` a common one of the same channels comes before its own.
    """

    most = len(channels_of(layout))

    def rank(name: str) -> tuple[int, bool, int]:
        count = len(channels_of(name))
        # Mono comes last where there is more.
        return -_kept(layout, name), count < min(most, 2), count

    equal = [name for name in _COMMON if keeps_all(layout, name) and keeps_all(name, layout)]
    return list(dict.fromkeys((*(equal if prefers_common else ()), layout, *sorted(_COMMON, key=rank))))


def why_not_mixed(source: str, target: str) -> str:
    """Why sound of one layout cannot be written in another; '' when it can."""
    try:
        graph = av.filter.Graph()
        begin = graph.add_abuffer(sample_rate=48000, format='fltp', layout=source, time_base=Fraction(1, 48000))
        mix = graph.add('aresample', f'48000:{mixing(target)}')
        link([begin, *placing(graph, source, target), mix, graph.add('abuffersink')])
        graph.configure()
    except (av.error.FFmpegError, ValueError) as error:
        raise_shortage(error)
        return getattr(error, 'strerror', None) or str(error)
    return ''


def placing(graph: av.filter.Graph, source: str, target: str) -> list[Any]:
    """The filter that gives channels the names that they have in another layout, where every one has a place there.

    FFmpeg's mixer takes side and back channels for different ones; once the names fit it mixes nothing.
    """
    names = renamed(source, target)
    if names == channels_of(source) or not keeps_all(source, target):
        return []
    order = [name for name in channels_of(target) if name in names]
    routes = '|'.join(str(names.index(name)) for name in order)
    return [graph.add('channelmap', f'map={routes}:channel_layout={"+".join(order)}')]


def mixing(target: str) -> str:
    """The options of aresample for a layout. It divides a downmix by the sum of its parts, so that it never clips;
    without ``rematrix_maxval`` it does so only where samples are integers.
    """
    return f'out_chlayout={target}:rematrix_maxval=1'


def link(chain: list[Any]) -> None:
    """Links filters one behind the other."""
    for first, second in pairwise(chain):
        first.link_to(second)


def renamed(source: str, target: str) -> tuple[str, ...]:
    """The channels of ``source`` by the names under which most of them stand in ``target``."""
    found, places = channels_of(source), channels_of(target)
    if source == target or len(found) == len(places) == 1:
        return places
    names = [tuple(other.get(name, name) for name in found) for other in _NAMES]
    # One place is not given to two channels.
    return max(
        (given for given in names if len({*given}) == len({*found})), key=lambda given: len({*given} & {*places})
    )


def _kept(source: str, target: str) -> int:
    if source == target:
        return len(channels_of(source))
    return len({*renamed(source, target)} & {*channels_of(target)})
