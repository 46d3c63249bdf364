"""Compare channel layouts, and convert audio between them."""

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
# The layouts of RFC 7845, 5.1.1.2, which encoders with few layouts support; the AAC encoder supports all of them.
_COMMON = ('mono', 'stereo', '3.0', 'quad', '5.0', '5.1', '6.1', '7.1')
# Other names of the same positions. Codecs call surround channels side or back channels.
_NAMES: tuple[Mapping[str, str], ...] = (
    {},
    {'BL': 'SL', 'BR': 'SR'},
    {'SL': 'BL', 'SR': 'BR'},
    {'DL': 'FL', 'DR': 'FR'},
    {'BIL': 'FL', 'BIR': 'FR'},
)


def usual_layout(name: str, channels: int) -> str:
    """Return the layout of a stream for FFmpeg: without channel positions, the default one for the number of channels.

    If there are no positions, ``name`` is like '2 channels'; if their layout has no name, like '2 channels (FL+FC)'.
    """
    if 'channels (' in name:
        return name[name.index('(') + 1 : -1]
    return _USUAL.get(channels, name) if 'channels' in name else name


def channels_of(layout: str) -> tuple[str, ...]:
    """Return the names of a layout's channels in their order."""
    return tuple(channel.name for channel in av.AudioLayout(layout).channels)


def keeps_all(source: str, target: str) -> bool:
    """Whether every channel of a layout has a position of its own in another layout."""
    return _kept(source, target) == len(channels_of(source))


def is_common(layout: str) -> bool:
    """Whether encoders that support many channels, such as AAC, keep every channel of a layout."""
    return any(keeps_all(layout, name) for name in _COMMON)


def nearest_layouts(layout: str, prefers_common: bool = False) -> list[str]:
    """Return the layouts to try for a stream, the best first: its own, those with every channel, then downmixes.

    With ``prefers_common`` a common layout with the same channels comes before the stream's own layout.
    """

    limit = min(len(channels_of(layout)), 2)

    def rank(name: str) -> tuple[int, bool, int]:
        count = len(channels_of(name))
        # Mono comes last for sources with more channels.
        return -_kept(layout, name), count < limit, count

    equal = [name for name in _COMMON if keeps_all(layout, name) and keeps_all(name, layout)]
    return list(dict.fromkeys((*(equal if prefers_common else ()), layout, *sorted(_COMMON, key=rank))))


def why_not_mixed(source: str, target: str) -> str:
    """Return why audio cannot be converted between two layouts; '' when it can."""
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
    """Return the filter that renames channels to those of another layout, if every channel has a position there.

    FFmpeg's mixer would mix side and back channels, because it treats them as different. It mixes no channels whose
    names are equal.
    """
    names = renamed(source, target)
    if names == channels_of(source) or not keeps_all(source, target):
        return []
    order = [name for name in channels_of(target) if name in names]
    routes = '|'.join(str(names.index(name)) for name in order)
    return [graph.add('channelmap', f'map={routes}:channel_layout={"+".join(order)}')]


def mixing(target: str) -> str:
    """Return the options of aresample for a layout.

    A downmix is divided by the sum of its coefficients, so it never clips; without ``rematrix_maxval`` FFmpeg divides
    only integer samples.
    """
    return f'out_chlayout={target}:rematrix_maxval=1'


def link(chain: list[Any]) -> None:
    """Link filters in a chain."""
    for first, second in pairwise(chain):
        first.link_to(second)


def renamed(source: str, target: str) -> tuple[str, ...]:
    """Return the channels of ``source`` under the names that give most of them a position in ``target``."""
    found, places = channels_of(source), channels_of(target)
    if source == target or len(found) == len(places) == 1:
        return places
    names = [tuple(other.get(name, name) for name in found) for other in _NAMES]
    # Two channels must not share a position.
    return max(
        (option for option in names if len({*option}) == len({*found})), key=lambda option: len({*option} & {*places})
    )


def _kept(source: str, target: str) -> int:
    if source == target:
        return len(channels_of(source))
    return len({*renamed(source, target)} & {*channels_of(target)})
