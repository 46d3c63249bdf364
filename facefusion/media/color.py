"""The colour meaning of video samples, and the matrices that convert them to BGR and back.

The colour codes are those of ITU-T H.273 (the integers that FFmpeg and the bitstreams use).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import av

# 'rgb' has no matrix: the planes are green, blue and red.
Matrix = Literal['bt601', 'bt709', 'bt2020', 'rgb']

# Luma weights of red and blue: ITU-R BT.601-7 2.5.1, BT.709-6 3.2, BT.2020-2 table 4.
_WEIGHTS: dict[Matrix, tuple[float, float]] = {
    'bt601': (0.299, 0.114),
    'bt709': (0.2126, 0.0722),
    'bt2020': (0.2627, 0.0593),
}
# H.273 table 4, MatrixCoefficients. 240M (7) differs from BT.709 by less than a code value.
_MATRICES: dict[int, Matrix] = {1: 'bt709', 4: 'bt601', 5: 'bt601', 6: 'bt601', 7: 'bt709', 9: 'bt2020', 10: 'bt2020'}
_UNSPECIFIED = (0, 2)  # 0 is "reserved" in the primaries and transfer tables, and RGB in the matrix table
_FULL = 2  # FFmpeg's AVCOL_RANGE_JPEG
_PQ, _HLG = 16, 18
_FRACTION_BITS = 14
# This matrix changes the order green, blue, red to blue, green, red. It is its own inverse.
_SWAPPED = ((0, 1, 0, 0), (1, 0, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1))


@dataclass(frozen=True, slots=True)
class ColorSpec:
    """Matrix, range, primaries and transfer of a clip; the last two as H.273 codes."""

    matrix: Matrix
    full_range: bool
    primaries: int
    transfer: int

    @classmethod
    def from_codes(
        cls, *, matrix: int, color_range: int, primaries: int, transfer: int, height: int, pix_fmt: str
    ) -> ColorSpec:
        """Return the colours that FFmpeg's tags mean.

        If the tags specify no matrix, it is BT.709 from 720 lines upwards and BT.601 below.
        RGB, grey and palette formats are BT.709 with limited range, because the reader converts them to it.
        """
        if not pix_fmt.startswith(('yuv', 'nv', 'p0', 'p2', 'uyvy', 'yvyu')):
            return cls('bt709', False, 1, _known(transfer, 1))
        found = _MATRICES.get(matrix)
        if found is None:
            found = 'bt2020' if primaries == 9 else 'bt709' if height >= 720 else 'bt601'
        full = color_range == _FULL or pix_fmt.startswith('yuvj')
        usual = {'bt601': (5 if height == 576 else 6, 6), 'bt709': (1, 1), 'bt2020': (9, 14)}[found]
        return cls(found, full, _known(primaries, usual[0]), _known(transfer, usual[1]))

    @classmethod
    def from_frame(cls, frame: av.VideoFrame) -> ColorSpec:
        """Return the colours of one decoded frame."""
        return cls.from_codes(
            matrix=int(frame.colorspace),
            color_range=int(frame.color_range),
            primaries=int(frame.color_primaries),
            transfer=int(frame.color_trc),
            height=frame.height,
            pix_fmt=frame.format.name,
        )

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> ColorSpec:
        """Return the colours of a record made by ``as_record``."""
        return cls(**record)

    def as_record(self) -> dict[str, Any]:
        """Return the colours as plain JSON."""
        return asdict(self)

    @property
    def is_hdr(self) -> bool:
        """Whether the transfer is PQ (SMPTE ST 2084) or HLG (ARIB STD-B67)."""
        return self.transfer in (_PQ, _HLG)

    @property
    def matrix_code(self) -> int:
        """The H.273 code of the matrix, for the tag in the output."""
        if self.matrix == 'rgb':
            return 0
        if self.matrix == 'bt601':
            return 5 if self.primaries == 5 else 6
        return 1 if self.matrix == 'bt709' else 9

    @property
    def range_code(self) -> int:
        """FFmpeg's code of the range: 1 limited, 2 full."""
        return _FULL if self.full_range else 1

    def to_bgr(self, bits: int) -> NDArray[np.float32]:
        """Return the 3x4 matrix from [Y, Cb, Cr, 1] ('rgb': [G, B, R, 1]) in ``bits``-bit codes to BGR 0..255.

        Above 8 bits its coefficients are multiples of 2^-14, so that float32 sums are exact in any order of addition
        and a sample gives the same pixel at every position in a window.
        """
        return _BGR_MATRICES[self.matrix, self.full_range, bits][0]

    def to_deep_bgr(self, bits: int) -> NDArray[np.float32]:
        """Return the 3x4 matrix of ``to_bgr``, but for BGR 0..65535 and rounded to float32 only."""
        return (np.linalg.inv(_to_codes(self.matrix, self.full_range, bits))[:3] * 257).astype(np.float32)

    def from_bgr(self, bits: int) -> NDArray[np.float32]:
        """Return the 3x4 matrix from [B, G, R, 1] in 0..255 to Y, Cb, Cr ('rgb': G, B, R) in ``bits``-bit codes."""
        return _BGR_MATRICES[self.matrix, self.full_range, bits][1]


def _fixed(matrix: NDArray[Any]) -> NDArray[np.float32]:
    """Return a matrix as float32 that several callers may share, because it cannot be written to."""
    shared = matrix.astype(np.float32)
    shared.flags.writeable = False
    return shared


def _known(code: int, usual: int) -> int:
    return usual if code in _UNSPECIFIED else code


def _to_codes(matrix: Matrix, full_range: bool, bits: int) -> NDArray[np.float64]:
    """Return the homogeneous 4x4 matrix. Quantisation: ITU-R BT.709-6 3.4; full range: H.273 equations 29 to 31."""

    if matrix == 'rgb':
        swapped = np.array(_SWAPPED, np.float64)
        swapped[:3] *= ((1 << bits) - 1) / 255
        return swapped
    red, blue = _WEIGHTS[matrix]
    green = 1 - red - blue
    luma = np.array([blue, green, red])
    units = np.stack([luma, (np.eye(3)[0] - luma) / (2 - 2 * blue), (np.eye(3)[2] - luma) / (2 - 2 * red)]) / 255
    scale = float(1 << (bits - 8))
    codes = np.eye(4)
    if full_range:
        codes[:3, :3] = units * ((1 << bits) - 1)
        codes[0, 3] = 0
    else:
        codes[:3, :3] = units * np.array([[219], [224], [224]]) * scale
        codes[0, 3] = 16 * scale
    codes[1:3, 3] = 128 * scale
    return codes


def _bgr_matrices(matrix: Matrix, full_range: bool, bits: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the matrices of ``ColorSpec.to_bgr`` and ``ColorSpec.from_bgr``."""
    codes = _to_codes(matrix, full_range, bits)
    back = np.linalg.inv(codes)[:3]
    if bits > 8:
        back = np.rint(back * 2**_FRACTION_BITS) / 2**_FRACTION_BITS
    return _fixed(back), _fixed(codes[:3])


# Every frame needs these matrices several times.
_BGR_MATRICES = MappingProxyType(
    {
        (matrix, full_range, bits): _bgr_matrices(matrix, full_range, bits)
        for matrix in get_args(Matrix)
        for full_range in (False, True)
        for bits in (8, 10, 12)
    }
)
