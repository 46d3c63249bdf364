"""The memory of sessions on an accelerator: how long they live, and whether one fits into the user's limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from facefusion.errors import ResourceError
from facefusion.inference.options import ExecutionOptions

# Bytes of a session on a device: a share of the size of its file for the weights, their copies in another layout and
# the values between layers, and a fixed part for the workspace of the libraries.
WEIGHTS_SHARE = 2
WORKSPACE_BYTES = 64 << 20


class Lifetime(NamedTuple):
    """When sessions on an accelerator are freed; ``limit`` is their memory in bytes, None without a limit.

    strict: when the stage that uses them has ended. moderate: when the step has ended. tolerant: when the process has
    ended, or when others need the memory within the limit.
    """

    strategy: str = 'strict'
    limit: int | None = None

    @classmethod
    def of(cls, options: ExecutionOptions) -> Lifetime:
        """Return the lifetime that the options state."""
        return cls(options.video_memory_strategy, int(options.video_memory_limit * 1e9) or None)


def session_bytes(file_bytes: int) -> int:
    """Return an estimate of the bytes that a session needs on a device, from the size of its file."""
    return file_bytes * WEIGHTS_SHARE + WORKSPACE_BYTES


def check_video_memory(lifetime: Lifetime, file_bytes: Mapping[str, int]) -> None:
    """Raise ResourceError video-memory-limit if one session needs more than the limit.

    ``file_bytes`` are the sizes of the files by model id.
    """
    if lifetime.limit is None or not file_bytes:
        return
    largest = max(file_bytes, key=lambda model_id: file_bytes[model_id])
    needs = session_bytes(file_bytes[largest])
    if needs > lifetime.limit:
        raise ResourceError(
            'video-memory-limit',
            f'the model {largest} would need about {needs / 1e6:.0f} MB of device memory, and --video-memory-limit '
            f'allows {lifetime.limit / 1e6:.0f} MB',
            cause=f'its file has {file_bytes[largest] / 1e6:.0f} MB, and at least one session must fit',
            hint=f'raise --video-memory-limit to {_rounded_up(needs):g}, or choose a smaller model',
        )


def _rounded_up(needed: int) -> float:
    """Return bytes as gigabytes, rounded up to two decimals."""
    return -(-needed // 10_000_000) / 100
