"""The payload of the invisible mark as signs: a checksum and an error-correcting code around 48 bits.

A tail-biting convolutional code of rate 1/4 and constraint length 9 turns 48 bits of payload and 16 bits of checksum
into 256 coded bits, which are decoded from soft values. docs/invisible-mark.md specifies the code for authors of other
programs that read the mark.
"""

from __future__ import annotations

import binascii
import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facefusion.errors import InternalError

PAYLOAD_BYTES = 6
_CHECKSUM_BYTES = 2
_INFORMATION_BITS = 8 * (PAYLOAD_BYTES + _CHECKSUM_BYTES)
_RATE = 4
CODED_BITS = _RATE * _INFORMATION_BITS

# Generators, in octal, of the best known code of rate 1/4 and constraint length 9, with free distance 24 (Proakis,
# Digital Communications, table of rate 1/4 maximum free distance codes). Their highest bit applies to the newest bit.
_GENERATORS = (0o463, 0o535, 0o733, 0o745)
_MEMORY = 8
_STATES = 1 << _MEMORY
# The number of steps before and after the decoded lap around the ring; after so many steps the start
# state has no effect.
_LEAD = 32


class Decoded(NamedTuple):
    """A payload with a correct checksum, and its 256 coded signs (int8 -1 or 1)."""

    payload: bytes
    signs: NDArray[np.int8]


def mark_payload(job_id: str) -> bytes:
    """Return the payload of a job: the first 6 bytes of the SHA-256 of its id in UTF-8."""
    return hashlib.sha256(job_id.encode('utf-8')).digest()[:PAYLOAD_BYTES]


def checksum(payload: bytes) -> bytes:
    """Return CRC-16/CCITT-FALSE (polynomial 0x1021, start 0xFFFF, not reflected), high byte first."""
    return binascii.crc_hqx(payload, 0xFFFF).to_bytes(_CHECKSUM_BYTES, 'big')


def coded_signs(payload: bytes) -> NDArray[np.int8]:
    """Return the 256 coded bits of a payload of 6 bytes, int8: 1 for a set bit, -1 for a clear one.

    Raises InternalError mark-payload for another length.
    """
    if len(payload) != PAYLOAD_BYTES:
        raise InternalError('mark-payload', f'a payload has {PAYLOAD_BYTES} bytes, not {len(payload)}')
    bits = np.unpackbits(np.frombuffer(payload + checksum(payload), np.uint8))
    # Tail-biting: the last bits precede the first one.
    ring = np.concatenate([bits[-_MEMORY:], bits]).astype(np.int64)
    registers = sum(ring[_MEMORY - age : len(ring) - age] << (_MEMORY - age) for age in range(_MEMORY + 1))
    return np.ascontiguousarray(_outputs()[registers].reshape(-1), np.int8)


def decode_signs(soft: NDArray[np.float32]) -> list[Decoded | None]:
    """Return the most likely payload of each row of ``soft`` (float32 [rows,256], positive for a set bit).

    A payload with a wrong checksum is None. The scale of the soft values has no effect.
    """
    decoded: list[Decoded | None] = []
    for bits in _viterbi(np.asarray(soft, np.float32)):
        data = np.packbits(bits).tobytes()
        payload = data[:PAYLOAD_BYTES]
        is_correct = checksum(payload) == data[PAYLOAD_BYTES:]
        decoded.append(Decoded(payload, coded_signs(payload)) if is_correct else None)
    return decoded


def _outputs() -> NDArray[np.int8]:
    """Return the four coded signs of each register: int8 [512,4]; bit 8 of a register is the newest bit."""
    parities = [
        [(register & generator).bit_count() % 2 for generator in _GENERATORS] for register in range(2 * _STATES)
    ]
    return 2 * np.array(parities, np.int8) - np.int8(1)


def _viterbi(soft: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the information bits uint8 [rows,64] of maximum correlation.

    The path covers one lap around the ring, and half a lap before and after it.
    """
    rows = len(soft)
    outputs = _outputs().T.astype(np.float32)
    steps = soft.reshape(rows, _INFORMATION_BITS, _RATE).transpose(1, 0, 2)
    # A register is a state (the last 8 bits) and a new bit. States that differ in their oldest bit lead to the same
    # next state, the register without that bit.
    with_clear, with_set = steps @ outputs[:, 0::2], steps @ outputs[:, 1::2]
    metric = np.zeros((rows, _STATES), np.float32)
    choices = np.empty((_INFORMATION_BITS + 2 * _LEAD, rows, _STATES), np.bool_)
    for step in range(len(choices)):
        number = (step - _LEAD) % _INFORMATION_BITS
        from_clear = np.tile(metric[:, 0::2], 2) + with_clear[number]
        from_set = np.tile(metric[:, 1::2], 2) + with_set[number]
        np.greater(from_set, from_clear, out=choices[step])
        metric = np.maximum(from_clear, from_set)
    return _trace_back(choices, metric.argmax(axis=1))


def _trace_back(choices: NDArray[np.bool_], states: NDArray[np.int64]) -> NDArray[np.uint8]:
    every = np.arange(len(states))
    bits = np.empty((len(states), len(choices)), np.uint8)
    for step in range(len(choices) - 1, -1, -1):
        bits[:, step] = states >> (_MEMORY - 1)
        states = ((states << 1) | choices[step, every, states]) & (_STATES - 1)
    return bits[:, _LEAD : _LEAD + _INFORMATION_BITS]
