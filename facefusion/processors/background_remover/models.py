"""The background removers by name; loads no array library, because ``--help`` imports it."""

from __future__ import annotations

# The models that every machine has: MODNet for persons, a fast one for persons, and one for objects.
MODNET, SELFIE, OBJECTS = 'modnet', 'selfie_segmentation', 'u2netp'
# The models from which 'auto' selects, best first; the last one is embedded.
PREFERENCE = (MODNET,)
# The memory of a network while it runs, in bytes for each worker. Measured for the embedded ones: MODNet at 1920x640
# needs 550 MB, u2netp 266 MB and the selfie segmentation 7 MB. The others are estimates, 2.7 kB for each pixel of the
# input as in u2netp, because their weights were not available.
_MEASURED = {MODNET: 560 << 20, SELFIE: 10 << 20}
_BYTES_A_PIXEL = 2700
_USUAL_SIDE = 1024
_SIDES = {
    'corridor_key_2048': 2048,
    'silueta': 320,
    'u2net_cloth': 768,
    'u2net_general': 320,
    'u2net_human': 320,
    OBJECTS: 320,
}


def frozen_model(name: str) -> str:
    """Return the name unchanged, or the embedded model for 'auto', which occurs only before models are frozen."""
    return PREFERENCE[-1] if name == 'auto' else name


def working_bytes(name: str) -> int:
    """Return an estimate of the memory in bytes that a run of the network needs in addition to its weights."""
    model = frozen_model(name)
    return _MEASURED.get(model) or _SIDES.get(model, _USUAL_SIDE) ** 2 * _BYTES_A_PIXEL
