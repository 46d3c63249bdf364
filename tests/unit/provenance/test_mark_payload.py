from __future__ import annotations

import hashlib

import numpy as np
import pytest

from facefusion.errors import InternalError
from facefusion.provenance.mark.payload import CODED_BITS, checksum, coded_signs, decode_signs, mark_payload


def test_the_payload_of_a_job_never_changes() -> None:
    assert mark_payload('job-1').hex() == hashlib.sha256(b'job-1').hexdigest()[:12]


def test_the_checksum_has_its_published_check_value() -> None:
    # This is the check value of CRC-16/CCITT-FALSE for the digits 1 to 9.
    assert checksum(b'123456789') == bytes.fromhex('29b1')


def test_the_code_matches_its_documentation() -> None:
    # A register has the newest bit and the eight bits before it; the bits form a ring. The code is the register's
    # parity in four masks.
    payload = mark_payload('by hand')
    data = payload + checksum(payload)
    bits = [byte >> window & 1 for byte in data for window in range(7, -1, -1)]
    expected = []
    for step in range(64):
        register = [bits[(step - age) % 64] for age in range(9)]
        for mask in ('100110011', '101011101', '111011011', '111100101'):
            expected.append(sum(bit for bit, taken in zip(register, mask, strict=True) if taken == '1') % 2)
    assert coded_signs(payload).tolist() == [2 * bit - 1 for bit in expected]


@pytest.mark.parametrize('job', ['a', 'b', 'c'])
def test_one_in_seven_wrong_signs_is_corrected(job: str) -> None:
    signs = coded_signs(mark_payload(job)).astype(np.float32)
    random = np.random.default_rng(1)
    signs[random.permutation(CODED_BITS)[: CODED_BITS // 7]] *= -1
    decoded = decode_signs(signs[None])[0]
    assert decoded is not None
    assert decoded.payload == mark_payload(job)


def test_soft_values_are_weights() -> None:
    signs = coded_signs(mark_payload('soft')).astype(np.float32)
    turned = np.random.default_rng(2).permutation(CODED_BITS)[:110]
    signs[turned] *= -0.2
    decoded = decode_signs(signs[None])[0]
    assert decoded is not None
    assert decoded.payload == mark_payload('soft')


def test_noise_almost_never_decodes_to_a_payload() -> None:
    noise = np.random.default_rng(3).standard_normal((2000, CODED_BITS), np.float32)
    # The checksum alone accepts one random payload in 65,536.
    assert sum(decoded is not None for decoded in decode_signs(noise)) <= 2


def test_a_payload_of_another_length_is_refused() -> None:
    with pytest.raises(InternalError):
        coded_signs(b'12345')
