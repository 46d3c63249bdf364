"""Compare the CPU time of the media pipeline without processors and mark with that of a bare PyAV loop.

    .venv/bin/python benchmarks/passthrough_cost.py [--frames 300] [--rounds 5] [--sizes 1280x720 1920x1080]

The loop decodes and encodes every frame. Both use the same decoder threads and encoder settings (those of the plan).
The pipeline includes all steps from the probe to the published file: measuring every packet, planning, encoding the
segments, and joining them with the audio. Each runs in a separate process; the CPU time before its modules are loaded
does not count. Also reports whether every sample reaches the encoder as the decoder returned it. Prints JSON; exits
with 1 when the ratio exceeds 1.25 or a sample differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / 'tests')]
LIMIT = 1.25


def make_clip(path: Path, frames: int, width: int, height: int) -> None:
    """Write a clip with a moving, noisy texture and a tone."""
    random = np.random.default_rng(5)
    texture = np.kron(random.integers(40, 210, (height // 8 + 60, width // 8 + 60, 3), np.uint8), np.ones((8, 8, 1)))
    with av.open(str(path), 'w') as output:
        stream = output.add_stream('libx264', rate=25, options={'crf': '16', 'preset': 'veryfast'})
        stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p'
        sound = output.add_stream('aac', rate=48000, layout='mono')
        for number in range(frames):
            x = number * 3 % 400
            noise = random.normal(0, 3, (height, width, 1))
            pixels = np.clip(texture[x // 2 : x // 2 + height, x : x + width] + noise, 0, 255).astype(np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format='bgr24')))
            tone = np.sin(np.arange(1920) * 0.05 + number * 96).astype(np.float32)[None] * 0.2
            frame = av.AudioFrame.from_ndarray(tone, format='fltp', layout='mono')
            frame.sample_rate, frame.pts = 48000, number * 1920
            output.mux(sound.encode(frame))
        output.mux(stream.encode(None))
        output.mux(sound.encode(None))


def run_pipeline(source: Path, output: Path) -> float:
    """Return the CPU seconds that the media pipeline takes for a clip."""
    from fakes.pass_through import pass_through, plan_pass

    from facefusion.pipeline.plan import SEGMENT_FRAMES

    plan_pass(source, output, SEGMENT_FRAMES)
    started = time.process_time()
    pass_through(source, output, SEGMENT_FRAMES)
    return time.process_time() - started


def run_loop(source: Path, output: Path) -> float:
    """Return the CPU seconds that a loop takes to decode and encode every frame and copy the audio."""
    from fakes.pass_through import plan_pass

    settings = plan_pass(source, output.with_name('planned.mp4')).video.encoder
    started = time.process_time()
    with av.open(str(source)) as reader, av.open(str(output), 'w') as writer:
        source_stream = reader.streams.video[0]
        source_stream.thread_type, source_stream.thread_count = 'AUTO', 2
        stream = writer.add_stream(settings.codec, rate=settings.rate, options=dict(settings.options))
        stream.width, stream.height, stream.pix_fmt = source_stream.width, source_stream.height, settings.pix_fmt
        sound = writer.add_stream_from_template(reader.streams.audio[0])
        for packet in reader.demux():
            if packet.stream.type == 'video':
                for frame in packet.decode():
                    frame.pict_type = 0
                    writer.mux(stream.encode(frame))
            elif packet.size:
                packet.stream = sound
                writer.mux(packet)
        writer.mux(stream.encode(None))
    return time.process_time() - started


def has_decoder_samples(source: Path) -> bool:
    """Whether every frame of VideoReader has the samples that a plain decoder returns."""
    from facefusion.media.planes import plane_views
    from facefusion.media.probe import probe
    from facefusion.media.reader import VideoReader

    def digest(video: av.VideoFrame) -> bytes:
        return hashlib.sha256(b''.join(np.ascontiguousarray(plane) for plane in plane_views(video))).digest()

    info = probe(source)
    with av.open(str(source)) as container:
        plain = [digest(frame) for frame in container.decode(video=0)]
    return plain == [digest(frame.video) for frame in VideoReader(info).frames(0, info.frame_count)]


def measure(kind: str, source: Path, output: Path) -> float:
    """Return the CPU seconds of the pipeline or the loop (``kind``), run in a separate process."""
    command = [sys.executable, __file__, '--child', kind, str(source), str(output)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def main() -> int:
    """Print one JSON object."""
    if sys.argv[1:2] == ['--child']:
        work = run_pipeline if sys.argv[2] == 'pipeline' else run_loop
        print(work(Path(sys.argv[3]), Path(sys.argv[4])))
        return 0
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--frames', type=int, default=300)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--sizes', nargs='+', default=['1280x720', '1920x1080'])
    arguments = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as name:
        for size in arguments.sizes:
            clip = Path(name) / f'{size}.mp4'
            make_clip(clip, arguments.frames, *map(int, size.split('x')))
            loops, runs = [], []
            for _ in range(arguments.rounds):
                loops.append(measure('loop', clip, Path(name) / 'loop.mp4'))
                runs.append(measure('pipeline', clip, Path(name) / 'run.mp4'))
            loop, run = statistics.median(loops), statistics.median(runs)
            results.append(
                {
                    'size': size,
                    'loop_cpu_ms_a_frame': round(1000 * loop / arguments.frames, 2),
                    'pipeline_cpu_ms_a_frame': round(1000 * run / arguments.frames, 2),
                    'ratio': round(run / loop, 3),
                    'samples_identical': has_decoder_samples(clip),
                }
            )
    machine = {'cpu': platform.machine(), 'cores': os.cpu_count(), 'python': platform.python_version()}
    record = {'machine': machine, 'frames': arguments.frames, 'rounds': arguments.rounds, 'limit': LIMIT}
    print(json.dumps(record | {'results': results}, indent=2))
    return int(any(entry['ratio'] > LIMIT or not entry['samples_identical'] for entry in results))


if __name__ == '__main__':
    sys.exit(main())
