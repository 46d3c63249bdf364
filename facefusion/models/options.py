"""Options of where model files lie and whether they may be fetched."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.options import option


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """The weights folder and the network."""

    models_path: str | None = option(
        'path',
        None,
        'folder of the model files; unset: models/weights in FACEFUSION_HOME, or else in the program folder',
        section='paths',
        stored='job',
    )
    offline: bool = option('flag', False, 'never use the network', section='download', stored='job')
