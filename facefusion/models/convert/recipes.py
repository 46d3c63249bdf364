"""Convert model files with the recipe that their catalogue entry names."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from facefusion.errors import ModelError

# The recipe dlib-resnet calls the function convert_dlib_resnet of the module dlib_resnet; other names are analogous.
RECIPES = ('centerface', 'dlib-resnet', 'ncnn', 'tflite')


def convert(recipe: str, source: Path, target: Path, companion: Path | None = None) -> None:
    """Convert ``source`` to ``target``; raises ModelError when that is impossible.

    A recipe that needs two source files gets ``companion`` as its third argument. The converters are imported on
    demand because onnx takes half a second to load.
    """
    if recipe not in RECIPES:
        raise ModelError('convert-unknown', f'unknown conversion {recipe!r}', hint=f'use one of: {", ".join(RECIPES)}')
    name = recipe.replace('-', '_')
    run: Callable[..., None] = getattr(import_module(f'facefusion.models.convert.{name}'), f'convert_{name}')
    if companion is None:
        run(source, target)
    else:
        run(source, target, companion)
