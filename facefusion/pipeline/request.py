"""What a step must name before anything can be planned."""

from __future__ import annotations

from facefusion.errors import UsageError
from facefusion.pipeline.options import PathOptions


def required_paths(paths: PathOptions) -> tuple[str, str]:
    """Target and output. Raises UsageError target-missing, output-missing."""
    if not paths.target_path:
        raise UsageError('target-missing', 'no target was given', hint='give one with -t/--target-path')
    if not paths.output_path:
        raise UsageError('output-missing', 'no output was given', hint='give one with -o/--output-path')
    return paths.target_path, paths.output_path
