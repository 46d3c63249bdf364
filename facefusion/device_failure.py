"""Recognise errors of onnxruntime about an accelerator: a device that failed or was lost, or whose memory is full.

Only this module contains the words of these errors.
"""

from __future__ import annotations

import re

from facefusion.errors import FaceFusionError, InternalError, ProviderError

# The words of the CUDA, TensorRT, ROCm, MIGraphX, DirectML (DXGI_ERROR_DEVICE_REMOVED, _HUNG, _RESET), OpenVINO, CoreML
# and QNN providers of onnxruntime.
_FAILURE = re.compile(
    r'CUDA failure|CUDA error|CUDNN failure|CUBLAS failure|CUFFT failure|HIP failure|MIOPEN failure|TensorRT EP|'
    r'libcudnn|EP_FAIL|887A000[567]|CL_OUT_OF_RESOURCES|CL_DEVICE_NOT_AVAILABLE|'
    r'CoreML.*(?:fail|error)|QNN.*(?:fail|error)',
    re.IGNORECASE,
)
# The words of onnxruntime's arena, of CUDA, of cuBLAS and cuDNN, of TensorRT, and of Direct3D.
_MEMORY = re.compile(
    r'failed to allocate memory for requested buffer|CUDA failure 2:|CUDA_ERROR_OUT_OF_MEMORY|out of memory|'
    r'CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED|CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED|'
    r'OutOfMemory|E_OUTOFMEMORY|8007000E',
    re.IGNORECASE,
)


def as_device_failure(error: BaseException) -> ProviderError | None:
    """Return the failure of an accelerator that an exception reports; None for an exception of another kind.

    A device whose memory is full is of another kind.
    """
    if isinstance(error, FaceFusionError) and not isinstance(error, InternalError):
        return None
    each: BaseException | None = error
    while each is not None:
        if not isinstance(each, FaceFusionError) and is_device_failure(str(each)):
            return _device_failed(str(each))
        each = each.__cause__
    return None


def is_device_failure(text: str) -> bool:
    """Whether a message of onnxruntime reports a failed accelerator; one whose memory is full has not failed."""
    return _FAILURE.search(text) is not None and _MEMORY.search(text) is None


def is_device_memory_error(error: BaseException) -> bool:
    """Whether an error of onnxruntime on an accelerator means that its memory is full."""
    return _MEMORY.search(str(error)) is not None


def _device_failed(text: str) -> ProviderError:
    return ProviderError(
        'device-failed',
        'the accelerator failed while it ran a model',
        cause=' '.join(text.split())[:300],
        hint='run the same command again, which continues after the finished parts; if it fails again, check the '
        'device (nvidia-smi) and its driver, or use --execution-providers cpu',
    )
