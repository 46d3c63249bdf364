"""The frame colorizers by name; loads no array library, because ``--help`` imports it."""

from __future__ import annotations

from facefusion.models.choice import NO_EMBEDDED

# The models from which 'auto' selects, best first. All licences allow commercial use. DDColor is the newer network; of
# the DeOldify models, deoldify_stable paints the fewest wrong colours. No package contains a colorizer.
PREFERENCE = ('ddcolor', 'ddcolor_artistic', 'deoldify_stable', 'deoldify', 'deoldify_artistic', NO_EMBEDDED)


def frozen_model(name: str) -> str:
    """Return the name unchanged, or the best model for 'auto', which occurs only before models are frozen."""
    return PREFERENCE[0] if name == 'auto' else name
