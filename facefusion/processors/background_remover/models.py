"""The background removers by name; loads no array library, because ``--help`` imports it."""

from __future__ import annotations

# The models that every machine has: MODNet for persons, a fast one for persons, and one for objects.
MODNET, SELFIE, OBJECTS = 'modnet', 'selfie_segmentation', 'u2netp'
# The models from which 'auto' selects, best first; the last one is embedded.
PREFERENCE = (MODNET,)
# The models that also return the colours of the foreground.
KEYERS = ('corridor_key_1024', 'corridor_key_2048')
# The memory of a network while it runs, in bytes for each worker. benchmarks/background_remover_cost.py measures the
# embedded ones. Those of the others are estimates, 1.7 kB for each pixel of the input, because their weights were not
# available.
_LARGE_SIDES = {'corridor_key_2048': 2048, 'u2net_cloth': 768}
_SMALL = {MODNET: 900 << 20, SELFIE: 30 << 20}
_U2NETS = (OBJECTS, 'silueta', 'u2net_general', 'u2net_human')
_U2NET_BYTES = 750 << 20
_BYTES_A_PIXEL = 1700


def frozen_model(name: str) -> str:
    """Return the name unchanged, or the embedded model for 'auto', which occurs only before models are frozen."""
    return PREFERENCE[-1] if name == 'auto' else name


def working_bytes(name: str) -> int:
    """Return an estimate of the memory in bytes that a run of the network needs in addition to its weights."""
    model = frozen_model(name)
    if model in _SMALL:
        return _SMALL[model]
    return _U2NET_BYTES if model in _U2NETS else _LARGE_SIDES.get(model, 1024) ** 2 * _BYTES_A_PIXEL
