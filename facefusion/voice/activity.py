"""The probability of speech in a voice over time, from the embedded voice detector."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from facefusion.media.voice import VOICE_RATE, Voice
from facefusion.stopping import StopFlag
from facefusion.voice.loudness import chunk_levels, chunks_of, usual_gains

Floats = NDArray[np.float32]

_CONTEXT = 64


class VoiceActivity:
    """Finds speech with ``silero_vad``; ``session`` is its ONNX session.

    Inputs of the network: ``input`` float32 [1,576] (64 samples of context and 512 new ones at 16 kHz), ``state``
    float32 [2,1,128], ``sr`` int64; outputs: the probability [1,1] and the new state.
    """

    def __init__(self, session: Any) -> None:
        self._session = session

    def probabilities(self, voice: Voice, stop: StopFlag | None = None) -> Floats:
        """Return the probability of speech, 0 .. 1, for each 32 ms: float32 [n]; the last one may cover silence.

        The detector misses very quiet speech, so the voice is brought to the usual level first. The network carries its
        state from each chunk to the next. Raises Interrupted.
        """
        gains = usual_gains(chunk_levels(voice))
        found: Floats = np.zeros(len(gains), np.float32)
        state = np.zeros((2, 1, 128), np.float32)
        rate = np.array(VOICE_RATE, np.int64)
        context = np.zeros(_CONTEXT, np.float32)
        number = 0
        for chunks in chunks_of(voice):
            for chunk in chunks * gains[number : number + len(chunks), None]:
                if stop is not None:
                    stop.check()
                fed = np.concatenate([context, chunk])[None]
                probability, state = self._session.run(None, {'input': fed, 'state': state, 'sr': rate})
                found[number] = np.asarray(probability).reshape(-1)[0]
                context = chunk[-_CONTEXT:]
                number += 1
        return found
