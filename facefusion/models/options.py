"""Options of where model files lie and whether they may be fetched."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.options import option


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """The weights folder and the network; the values of ``download_providers`` are names within those of hosts."""

    models_path: str | None = option(
        'path',
        None,
        'folder of the model files; unset: models/weights in FACEFUSION_HOME, or else in the program folder',
        section='paths',
        stored='job',
    )
    download_providers: tuple[str, ...] = option(
        'text',
        ('github', 'huggingface'),
        'which publishers to ask first for a model that several of them have; the others are asked after them',
        section='download',
        is_list=True,
        choices=('github', 'huggingface'),
        stored='job',
    )
    download_scope: str = option(
        'text',
        'lite',
        'how much force-download fetches of the models of named people',
        section='download',
        choices=('lite', 'full'),
        stored='job',
        no_effect='there are no models of named people here, and all others are fetched',
    )
    offline: bool = option('flag', False, 'never use the network', section='download', stored='job')
