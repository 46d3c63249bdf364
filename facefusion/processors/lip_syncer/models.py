"""The lip syncers by name; loads no array library, because ``--help`` imports it."""

from __future__ import annotations

# The lip syncer that every machine has; it needs no weights.
EMBEDDED = 'mesh_lips'
# The models from which 'auto' selects, best first; the last one is embedded.
PREFERENCE = ('wav2lip_gan_96', 'edtalk_256', 'wav2lip_96', EMBEDDED)
# The mask types of the user that apply to lip syncers.
MASK_TYPES = ('occlusion',)
# The number of frames on each side of a frame that a fade (``fade.presence``) depends on.
FADE_FRAMES = 5


def frozen_model(name: str) -> str:
    """Return the name unchanged, or the embedded lip syncer for 'auto', which occurs only before models are frozen."""
    return EMBEDDED if name == 'auto' else name


def is_edtalk(name: str) -> bool:
    """Whether a published model repaints the whole crop; the other ones, of Wav2Lip, repaint the lower half."""
    return name.startswith('edtalk')


def networks_of(name: str) -> tuple[str, ...]:
    """Return the catalogue ids of the networks of a lip syncer; none for the embedded one."""
    return () if name == EMBEDDED else (name,)
