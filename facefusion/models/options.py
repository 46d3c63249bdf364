"""Options of the model files and their download."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.options import option


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Folder of the model files, and use of the network.

    A value of ``download_providers`` is one label of a host name, such as github.
    """

    models_path: str | None = option(
        'path',
        None,
        'folder of the model files; default: models/weights in FACEFUSION_HOME or the program folder',
        section='paths',
        metavar='FOLDER',
        stored='job',
    )
    download_providers: tuple[str, ...] = option(
        'text',
        ('github', 'huggingface'),
        'preferred publishers of models with several sources; the other sources are tried after them',
        section='download',
        is_list=True,
        choices=('github', 'huggingface'),
        stored='job',
    )
    download_scope: str = option(
        'text',
        'lite',
        'models of named people that force-download fetches',
        section='download',
        choices=('lite', 'full'),
        stored='job',
        no_effect='this version has no models of named people and fetches all others',
    )
    offline: bool = option('flag', False, 'never use the network', section='download', stored='job')
