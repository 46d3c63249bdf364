"""Options of the face swapper."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.options import option


@dataclass(frozen=True, slots=True)
class FaceSwapperOptions:
    """Model of the face swapper."""

    face_swapper_model: str = option(
        'text',
        'auto',
        'model that swaps the face; auto selects the best one on this machine',
        section='processors',
        choices=('auto', 'mesh_warp'),
    )
