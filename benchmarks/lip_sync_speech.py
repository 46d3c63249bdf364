"""Measure the mouths that ``mesh_lips`` renders for speech of espeak-ng, with the face mesh on the result.

    .venv/bin/python benchmarks/lip_sync_speech.py [--frames 250] [--picture FILE]

Needs the test tools (espeak-ng). Three voices in two languages move the mouth of a still face, of a moving face, and of
a moving face whose own mouth moves; the clips are those of lip_sync_quality.py. Prints JSON for each voice and clip:

envelope: correlation of the loudness of 250-3500 Hz with the gap between the lips found in the result, at the best lag;
delay: that lag in seconds, positive if the mouth is late. command: correlation of the commanded and the found gap.
pause_gap: the 90th percentile of the found gap in pauses, in eye distances. met, shut: the shares of p, b and m, and of
open vowels, at which the found gap is below 0.03. above_nose: as in lip_sync_quality.py.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / 'tests'), str(ROOT / 'benchmarks')]

from fakes.mouth_scores import best_lag, pauses, share_met, share_shut  # noqa: E402 - after the path is set
from fakes.spoken import VOICES, Speech, speak  # noqa: E402
from fakes.voices import make_voice, resampled  # noqa: E402
from lip_sync_quality import RATE, Bench, Clip  # noqa: E402

from facefusion.media.voice import VOICE_RATE  # noqa: E402
from facefusion.processors.lip_syncer.mesh_lips.articulation import LARGEST_GAP  # noqa: E402
from facefusion.voice.activity import VoiceActivity  # noqa: E402
from facefusion.voice.mouth_curves import MouthCurves, measure_curves  # noqa: E402

# Lips that are closer than this share of the eye distance count as closed.
CLOSED_GAP = 0.03


def main() -> None:
    """Print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--frames', type=int, default=250)
    parser.add_argument('--picture', type=Path, default=ROOT / 'models/weights/example_portrait.png')
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    bench = Bench()
    clips = bench.clips(arguments.picture, arguments.frames, (1280, 720), 250)
    with tempfile.TemporaryDirectory() as folder:
        for name in VOICES:
            spoken = speak(name)
            voice = make_voice(resampled(spoken), Path(folder))
            curves = measure_curves(voice, VoiceActivity(bench.sessions.session('silero_vad')))
            for kind, clip in clips.items():
                count = min(arguments.frames, int(len(spoken.samples) / spoken.rate * RATE))
                print(
                    json.dumps({'voice': name, 'clip': kind, **measure(bench, clip, curves, spoken, count)}), flush=True
                )


def measure(bench: Bench, clip: Clip, curves: MouthCurves, spoken: Speech, count: int) -> dict[str, float]:
    """Render the speech, find the gap between the lips in each frame, and score it."""
    said, found, above = [], [], []
    for number in range(count):
        source = number % clip.count
        (face, *_), frame = clip.faces[source], clip.frame(source)
        mouth, before = curves.at(Fraction(number, RATE)), frame.pixels.copy()
        bench.renderer.render(frame, face, mouth)
        said.append(0.0 if mouth.is_closed else LARGEST_GAP * mouth.opening)
        found.append(bench.gap(frame, face))
        above.append(bench.above_nose(before, frame.pixels, face))
    gaps, times = np.array(found), np.arange(count) / RATE
    correlation, delay = best_lag(resampled(spoken)[: count * VOICE_RATE // RATE], gaps, RATE)
    is_pause = np.any([(times >= begin) & (times < end) for begin, end in pauses(spoken.phonemes)], axis=0)
    heard = [each for each in spoken.phonemes if each.end < count / RATE]
    return {
        'frames': count,
        'envelope': round(correlation, 3),
        'delay': delay,
        'command': round(float(np.corrcoef(said, gaps)[0, 1]), 3),
        'pause_gap': round(float(np.percentile(gaps[is_pause], 90)), 4) if np.any(is_pause) else 0.0,
        'met': round(share_met(heard, gaps, RATE, CLOSED_GAP), 3),
        'shut': round(share_shut(heard, gaps, RATE, CLOSED_GAP), 3),
        'above_nose': round(max(above), 3),
    }


if __name__ == '__main__':
    main()
