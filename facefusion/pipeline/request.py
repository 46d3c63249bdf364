"""The paths that are required to plan a step."""

from __future__ import annotations

from facefusion.errors import UsageError
from facefusion.pipeline.options import PathOptions


def required_paths(paths: PathOptions) -> tuple[str, str]:
    """Return target and output. Raises UsageError target-missing, output-missing."""
    if not paths.target_path:
        raise UsageError('target-missing', 'the target is missing', hint='add -t/--target-path PATH')
    if not paths.output_path:
        raise UsageError('output-missing', 'the output is missing', hint='add -o/--output-path PATH')
    return paths.target_path, paths.output_path
