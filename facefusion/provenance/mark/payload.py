"""The payload of the invisible mark as signs: a checksum and an error-correcting code around 48 bits.

48 bits of payload and 16 of checksum go through a tail-biting convolutional code of rate 1/4 and constraint length 9:
256 coded bits, decoded softly. docs/invisible-mark.md describes it for those who write a reader of their own.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facefusion.errors import InternalError

PAYLOAD_BYTES = 6
CHECKSUM_BYTES = 2
# Information bits and coded bits.
INFORMATION_BITS = 8 * (PAYLOAD_BYTES + CHECKSUM_BYTES)
RATE = 4
CODED_BITS = RATE * INFORMATION_BITS

# Generators of the best known code of rate 1/4 and constraint length 9, free distance 24 (Proakis, Digital
# Communications, table of rate 1/4 maximum free distance codes), octal; the highest bit meets the newest bit.
GENERATORS = (0o463, 0o535, 0o733, 0o745)
_MEMORY = 8
_STATES = 1 << _MEMORY
# Bits before and after the lap round the ring that counts: by then it matters no more where the way began.
_LEAD = 32


class Decoded(NamedTuple):
    """A payload whose checksum is right, and the 256 coded signs (int8 -1 or 1) that it stands for."""

    payload: bytes
    signs: NDArray[np.int8]


def mark_payload(job_id: str) -> bytes:
    """The payload that stands for a job: the first 6 bytes of the SHA-256 of its id in UTF-8."""
    return hashlib.sha256(job_id.encode('utf-8')).digest()[:PAYLOAD_BYTES]


def check_payload(payload: bytes) -> None:
    """Raises InternalError when ``payload`` has not 6 bytes."""
    if len(payload) != PAYLOAD_BYTES:
        raise InternalError('mark-payload', f'a payload has {PAYLOAD_BYTES} bytes, not {len(payload)}')


def checksum(payload: bytes) -> bytes:
    """CRC-16/CCITT-FALSE (polynomial 0x1021, start 0xFFFF, not reflected), high byte first."""
    value = 0xFFFF
    for byte in payload:
        value ^= byte << 8
        for _ in range(8):
            value = ((value << 1) ^ 0x1021) & 0xFFFF if value & 0x8000 else value << 1
    return value.to_bytes(CHECKSUM_BYTES, 'big')


def coded_signs(payload: bytes) -> NDArray[np.int8]:
    """The 256 coded bits of a payload, int8: 1 for a set bit, -1 for a clear one."""
    check_payload(payload)
    bits = np.unpackbits(np.frombuffer(payload + checksum(payload), np.uint8))
    # Tail-biting: before the first bit stand the last ones.
    ring = np.concatenate([bits[-_MEMORY:], bits]).astype(np.int64)
    registers = sum(ring[_MEMORY - age : len(ring) - age] << (_MEMORY - age) for age in range(_MEMORY + 1))
    return np.ascontiguousarray(_outputs()[registers].reshape(-1), np.int8)


def decode_signs(soft: NDArray[np.float32]) -> list[Decoded | None]:
    """The most likely payload for each row of ``soft`` (float32 [rows,256], positive for a set bit), or None.

    None where the checksum is wrong. The soft values need no scale.
    """
    bits = _viterbi(np.asarray(soft, np.float32))
    return [_checked(row) for row in bits]


def _checked(bits: NDArray[np.uint8]) -> Decoded | None:
    data = np.packbits(bits).tobytes()
    payload, found = data[:PAYLOAD_BYTES], data[PAYLOAD_BYTES:]
    return Decoded(payload, coded_signs(payload)) if checksum(payload) == found else None


def _outputs() -> NDArray[np.int8]:
    """The four coded signs of each register: int8 [512,4]; bit 8 of a register is the newest bit."""
    return np.array(
        [[_parity_sign(register, generator) for generator in GENERATORS] for register in range(2 * _STATES)], np.int8
    )


def _parity_sign(register: int, generator: int) -> int:
    return 1 if (register & generator).bit_count() % 2 else -1


def _viterbi(soft: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Information bits uint8 [rows,64] by maximum correlation, once round the ring and half a lap on both sides."""
    rows = len(soft)
    outputs = _outputs().T.astype(np.float32)
    steps = soft.reshape(rows, INFORMATION_BITS, RATE).transpose(1, 0, 2)
    # A register is a state (the last 8 bits) under a new bit; states that differ in their oldest bit alone lead to the
    # same next one, which is the register without that bit.
    young, old = steps @ outputs[:, 0::2], steps @ outputs[:, 1::2]
    metric = np.zeros((rows, _STATES), np.float32)
    choices = np.empty((INFORMATION_BITS + 2 * _LEAD, rows, _STATES), np.bool_)
    for step in range(len(choices)):
        window = (step - _LEAD) % INFORMATION_BITS
        clear = np.tile(metric[:, 0::2], 2) + young[window]
        settled = np.tile(metric[:, 1::2], 2) + old[window]
        np.greater(settled, clear, out=choices[step])
        metric = np.maximum(clear, settled)
    return _trace_back(choices, metric.argmax(axis=1))


def _trace_back(choices: NDArray[np.bool_], states: NDArray[np.int64]) -> NDArray[np.uint8]:
    every = np.arange(len(states))
    bits = np.empty((len(states), len(choices)), np.uint8)
    for step in range(len(choices) - 1, -1, -1):
        bits[:, step] = states >> (_MEMORY - 1)
        states = ((states << 1) | choices[step, every, states]) & (_STATES - 1)
    return bits[:, _LEAD : _LEAD + INFORMATION_BITS]
