"""The options of each execution provider.

Sources: the pages of ONNX Runtime on its execution providers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

# Options of TensorRT: the files of the engine and of the measured times lie in the same folder.
_TENSORRT_CACHE = ('trt_engine_cache', 'trt_timing_cache')


def provider_settings(name: str, device_id: int, folder: Path | None, half: bool) -> dict[str, Any]:
    """Return the options of an execution provider.

    ``folder`` is that of its compiled engines, None without one. With ``half`` TensorRT may compute in half precision.
    """
    if name == 'cpu':
        return {}
    if name == 'cuda':
        # The arena grows by the requested size only, because doubling it exhausts the memory of the device when shapes
        # vary. EXHAUSTIVE would measure every algorithm, with its work space, again for each new shape.
        return {
            'device_id': device_id,
            'arena_extend_strategy': 'kSameAsRequested',
            'cudnn_conv_algo_search': 'HEURISTIC',
        }
    if name == 'tensorrt':
        settings: dict[str, Any] = {'device_id': device_id, 'trt_fp16_enable': half}
        if folder is not None:
            for kind in _TENSORRT_CACHE:
                settings |= {f'{kind}_enable': True, f'{kind}_path': str(folder)}
        return settings
    if name == 'openvino':
        return {'device_type': f'GPU.{device_id}' if device_id else 'GPU', 'precision': 'FP32'}
    if name == 'coreml':
        cache = {'ModelCacheDirectory': str(folder)} if folder is not None else {}
        return {'SpecializationStrategy': 'FastPrediction'} | cache
    if name == 'migraphx':
        cache = {'migraphx_model_cache_dir': str(folder)} if folder is not None else {}
        return {'device_id': device_id} | cache
    if name == 'qnn':
        return {'device_id': device_id, 'backend_type': 'htp'}
    return {'device_id': device_id}
