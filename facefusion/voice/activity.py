"""Where a voice speaks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from facefusion.media.voice import Voice


class VoiceActivity:
    """Probabilities of speech."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def probabilities(self, voice: Voice) -> npt.NDArray[np.float32]:
        """Return float32 [n], 32 ms each."""
        count = -(-voice.sample_count // 512)
        loud = [float(np.abs(voice.window(k * 0.032, 0.032)).max()) for k in range(count)]
        return (np.array(loud) > 0.02).astype(np.float32)
