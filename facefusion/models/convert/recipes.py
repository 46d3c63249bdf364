"""The table of conversions: the name that a catalogue entry gives, and the code that does it."""

from __future__ import annotations

import os
from pathlib import Path

from facefusion.errors import ModelError

RECIPES = ('centerface', 'dlib-resnet', 'tflite')


def convert(recipe: str, source: Path, target: Path) -> None:
    """Makes ``target`` from ``source`` and forces it to disk; raises ModelError for what cannot be converted.

    The converters load onnx, which takes half a second: they are imported here, when one is needed.
    """
    if recipe == 'centerface':
        from facefusion.models.convert.centerface import convert_centerface as run
    elif recipe == 'dlib-resnet':
        from facefusion.models.convert.dlib_resnet import convert_dlib_resnet as run
    elif recipe == 'tflite':
        from facefusion.models.convert.tflite import convert_tflite as run
    else:
        raise ModelError('convert-unknown', f'there is no conversion {recipe!r}', hint=f'one of: {", ".join(RECIPES)}')
    run(source, target)
    with target.open('rb+') as stream:
        os.fsync(stream.fileno())
