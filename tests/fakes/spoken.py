"""Speech for tests, with the time of every phoneme: text spoken by espeak-ng, which the test tools install.

espeak-ng is licensed under the GPL 3. Only tests use it, in a process of its own; the program never does.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

# Three voices: their names in espeak-ng. The last one speaks German.
VOICES = ('en-us', 'en+f3', 'de+m3')
TEXTS = {
    'en': 'Bob bought a big map of Alabama. My mother plays the piano; papa makes apple pie. '
    'People in the park saw a small brown bear. We both hope to remember this summer.',
    'de': 'Papa baut am Morgen einen Baum. Meine Mama mag Blumen und Bananen. '
    'Peter nimmt beim Bäcker immer ein Brot mit Butter. Am Abend haben wir Besuch.',
}
BILABIALS = frozenset('pbm')
# Vowels with a wide jaw, as IPA.
OPEN_VOWELS = frozenset(('a', 'aː', 'æ', 'ɑ', 'ɑː', 'ɑːɹ', 'ɐ', 'aɪ', 'aʊ', 'ʌ', 'ɒ', 'ɔ', 'ɔː', 'ɛ', 'a͡ɪ', 'a͡ʊ'))
_PHONEME_EVENT = 7
_EVENTS_AS_IPA = 1 | 2
_SYNCHRONOUS = 2
_UTF8 = 1


@dataclass(frozen=True)
class Phoneme:
    """An IPA symbol, without stress marks, from ``begin`` to ``end`` in seconds; '' is a pause."""

    symbol: str
    begin: float
    end: float

    @property
    def is_bilabial(self):
        return self.symbol[:1] in BILABIALS

    @property
    def is_open_vowel(self):
        return self.symbol in OPEN_VOWELS


@dataclass(frozen=True, eq=False)
class Speech:
    """Mono samples float32 -1..1 at ``rate``, and the phonemes in them."""

    rate: int
    samples: np.ndarray
    phonemes: tuple[Phoneme, ...]


def speak(voice: str, text: str = '') -> Speech:
    """Speak a text, by default the one of the voice's language; skip the test where espeak-ng is not installed."""
    if importlib.util.find_spec('espeakng_loader') is None:
        pytest.skip('espeak-ng is not installed: run `python3 install.py test`, which installs espeakng-loader')
    return _spoken(voice, text or TEXTS[voice[:2]])


@lru_cache(maxsize=16)
def _spoken(voice: str, text: str) -> Speech:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'speech'
        # Each text gets a new process, because the synthesiser keeps a state that changes the next text.
        subprocess.run([sys.executable, __file__, str(path), voice, text], check=True, timeout=60)
        samples = np.fromfile(path, '<i2').astype(np.float32) / 32768
        record = json.loads(path.with_suffix('.json').read_text(encoding='utf-8'))
    events = [*record['events'], ['', len(samples) / record['rate']]]
    phonemes = [
        Phoneme(symbol.strip('ˈˌ'), begin, end) for (symbol, begin), (_, end) in pairwise(events) if end > begin
    ]
    return Speech(record['rate'], samples, tuple(phonemes))


class _Event(ctypes.Structure):
    """``espeak_EVENT`` of speak_lib.h; ``text`` is the union of a number, a pointer and eight characters."""

    _fields_ = (
        ('type', ctypes.c_int),
        ('identifier', ctypes.c_uint),
        ('text_position', ctypes.c_int),
        ('length', ctypes.c_int),
        ('milliseconds', ctypes.c_int),
        ('sample', ctypes.c_int),
        ('user_data', ctypes.c_void_p),
        ('text', ctypes.c_char * 8),
    )


def _synthesise(path: Path, voice: str, text: str) -> None:
    """Write 16-bit samples to ``path`` and the events to the .json file next to it."""
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = espeakng_loader.get_data_path().encode()
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, data, _EVENTS_AS_IPA)
    samples, events = bytearray(), []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
    def collect(wave, count, found):
        if wave and count > 0:
            samples.extend(ctypes.string_at(wave, 2 * count))
        index = 0
        while found[index].type:
            if found[index].type == _PHONEME_EVENT:
                events.append([found[index].text.decode('utf-8', 'ignore'), found[index].milliseconds / 1000])
            index += 1
        return 0

    library.espeak_SetSynthCallback(collect)
    if rate <= 0 or library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise SystemExit(f'espeak-ng cannot speak with the voice {voice}')
    encoded = text.encode() + b'\0'
    library.espeak_Synth(encoded, len(encoded), 0, 0, 0, _UTF8, None, None)
    library.espeak_Synchronize()
    path.write_bytes(bytes(samples))
    path.with_suffix('.json').write_text(json.dumps({'rate': rate, 'events': events}), encoding='utf-8')


if __name__ == '__main__':
    _synthesise(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
