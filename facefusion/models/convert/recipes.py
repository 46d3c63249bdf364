"""The conversions by the recipe that a catalogue entry names."""

from __future__ import annotations

from pathlib import Path

from facefusion.errors import ModelError

RECIPES = ('centerface', 'dlib-resnet', 'tflite')


def convert(recipe: str, source: Path, target: Path) -> None:
    """Convert ``source`` to ``target``; raises ModelError when that is impossible.

    The converters are imported on demand because onnx takes half a second to load.
    """
    if recipe == 'centerface':
        from facefusion.models.convert.centerface import convert_centerface as run
    elif recipe == 'dlib-resnet':
        from facefusion.models.convert.dlib_resnet import convert_dlib_resnet as run
    elif recipe == 'tflite':
        from facefusion.models.convert.tflite import convert_tflite as run
    else:
        raise ModelError('convert-unknown', f'unknown conversion {recipe!r}', hint=f'one of: {", ".join(RECIPES)}')
    run(source, target)
