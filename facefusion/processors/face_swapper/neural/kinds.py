"""The kinds of published swappers: the form of the source and the range of the output colours.

The contracts come from peer-models.md section 12.1, with the corrections of real-models.md section 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

SourceForm = Literal['embedding', 'unit embedding', 'converted', 'converted unit', 'matrix', 'image']


@dataclass(frozen=True, slots=True)
class SwapKind:
    """The input and output formats of one kind of swapper.

    ``source``: 'unit embedding' is the ArcFace embedding normalised to length 1; 'converted' is the embedding after
    the converter; 'converted unit' is also normalised to length 1; 'matrix' is the embedding multiplied by the last
    initializer of the graph; 'image' is an aligned crop of the source face, with ``source_template`` and
    ``source_size``. If ``is_signed``, the output is normalised like the input; otherwise its range is 0..1.
    """

    source: SourceForm
    is_signed: bool
    source_template: str = ''
    source_size: int = 0

    @property
    def takes_embedding(self) -> bool:
        """Whether the source is an embedding, which a weight can mix with the embedding of the target."""
        return self.source != 'image'


KINDS = MappingProxyType(
    {
        'blendswap': SwapKind('image', False, 'arcface_112_v2', 112),
        'ghost': SwapKind('converted', True),
        'hififace': SwapKind('converted unit', True),
        'hyperswap': SwapKind('unit embedding', True),
        'inswapper': SwapKind('matrix', False),
        'simswap': SwapKind('converted unit', False),
        'uniface': SwapKind('image', True, 'ffhq_512', 256),
    }
)
