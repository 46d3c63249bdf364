"""Measure the page of `facefusion gui` in a real browser: start, size, previews, live events and what they cost.

    .venv/bin/python benchmarks/page.py [--rounds 5]

Needs Chromium (FACEFUSION_TEST_BROWSER, or on the PATH), and the example images and embedded models of the model
store. Nothing else may run meanwhile. Prints JSON; times are in seconds and medians of the rounds if not said
otherwise, memory is in megabytes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import psutil
from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / 'tests')]

from fakes.job_stores import make_record, make_store  # noqa: E402 - after the path is set
from fakes.page_server import PageServer, page_server  # noqa: E402
from fakes.page_visits import Visit, copied, open_browser, pixels_of, set_draft, when_changed  # noqa: E402

WEIGHTS = ROOT / 'models' / 'weights'
SCREENS = ('studio', 'people', 'queue', 'models', 'benchmark', 'settings')
CLIP_FRAMES = 250
EVENTS = 100
EVENTS_PER_SECOND = 20
IDLE_SECONDS = 20
BLURS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
FRAMES = (40, 80, 120, 160, 200, 240)
MANY_JOBS = 1000
# Note when each job appears on the board.
WATCH = """() => {
    window.seen = {};
    new MutationObserver(() => {
        for (const link of document.querySelectorAll('.job-title')) window.seen[link.textContent] ??= Date.now();
    }).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""


def main() -> None:
    """Run all measurements."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rounds', type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name, open_browser() as browser:
        folder = Path(name)
        report = {
            'start': measure_start(browser, folder / 'start', rounds),
            'idle': measure_idle(browser, folder / 'idle'),
            'preview_720p': measure_previews(browser, folder / 'preview'),
            'events': measure_events(browser, folder / 'events'),
            'many_jobs': measure_many(browser, folder / 'many'),
            'running_job': measure_running(browser, folder / 'running'),
        }
    print(json.dumps(report, indent=2))


def measure_start(browser: Browser, folder: Path, rounds: int) -> dict[str, Any]:
    """Open the empty page in new profiles, then every screen."""
    folder.mkdir()
    began = time.monotonic()
    with page_server(folder) as server:
        started = time.monotonic() - began
        rss = memory(server)
        seconds = []
        for _ in range(rounds):
            visitor = Visit(browser, server)
            began = time.monotonic()
            page = visitor.open()
            page.get_by_role('button', name='Choose a target').wait_for()
            seconds.append(time.monotonic() - began)
            visitor.context.close()
        visitor = Visit(browser, server)
        page = visitor.open()
        page.get_by_role('button', name='Choose a target').wait_for()
        first = transferred(visitor)
        for name in SCREENS:
            page.goto(f'{visitor.base}#/{name}')
            page.locator(f'ff-{name} h1').first.wait_for(state='attached')
        page.wait_for_timeout(500)
        return {
            'server_start': rounded(started),
            'server_rss': rss,
            'interactive': rounded(statistics.median(seconds)),
            'kilobytes_of_studio': first,
            'kilobytes_of_all_screens': transferred(visitor),
        }


def measure_idle(browser: Browser, folder: Path) -> dict[str, Any]:
    """Leave one page open."""
    folder.mkdir()
    with page_server(folder) as server:
        Visit(browser, server).open('queue').get_by_text('Live', exact=True).wait_for()
        time.sleep(2)
        before = cpu_seconds(server.process.pid)
        time.sleep(IDLE_SECONDS)
        share = (cpu_seconds(server.process.pid) - before) / IDLE_SECONDS
        return {'cpu_percent_of_a_core': round(100 * share, 2), 'server_rss': memory(server)}


def measure_previews(browser: Browser, folder: Path) -> dict[str, Any]:
    """Change options and frames of a swap at 1280x720, and wait for the picture in the page."""
    with page_server(material(folder)) as server:
        set_draft(server, **swap(folder))
        page = Visit(browser, server).open()
        first = when_changed(page, '', seconds=60)
        page.wait_for_timeout(2000)
        page.get_by_role('searchbox', name='Find an option').fill('mask blur')
        blur = page.locator('[data-key=face_mask_blur] input[type=number]')
        new = [timed(page, lambda value=value: blur.fill(str(value))) for value in BLURS]
        known = [timed(page, lambda value=value: blur.fill(str(value))) for value in BLURS]
        number = page.get_by_role('spinbutton', name='Frame number')
        frames = [timed(page, lambda at=at: number.fill(str(at))) for at in FRAMES]
        return {
            'first': rounded(first),
            'changed_option': summary(new),
            'value_seen_before': summary(known),
            'another_frame': summary(frames),
            'server_rss': memory(server),
        }


def measure_events(browser: Browser, folder: Path) -> dict[str, Any]:
    """Create jobs at a steady rate, and note when each of them appears on the board."""
    folder.mkdir()
    with page_server(folder) as server:
        store = make_store(folder)
        page = Visit(browser, server).open('queue')
        page.get_by_text('Live', exact=True).wait_for()
        page.evaluate(WATCH)
        before, written = cpu_seconds(server.process.pid), {}
        began = time.monotonic()
        for number in range(EVENTS):
            time.sleep(max(0.0, began + number / EVENTS_PER_SECOND - time.monotonic()))
            store.create(make_record(f'event-{number}', folder=folder))
            written[f'event-{number}'] = time.time()
        page.wait_for_function('() => Object.keys(window.seen).length >= 100')
        seconds = time.monotonic() - began
        share = (cpu_seconds(server.process.pid) - before) / seconds
        seen = page.evaluate('window.seen')
        delays = [seen[job_id] / 1e3 - at for job_id, at in written.items()]
        return {'store_to_page': summary(delays), 'server_cpu_percent_of_a_core': round(100 * share, 1)}


def measure_many(browser: Browser, folder: Path) -> dict[str, Any]:
    """Open a board of a thousand jobs."""
    folder.mkdir()
    store = make_store(folder)
    for number in range(MANY_JOBS):
        store.create(make_record(f'job-{number}', folder=folder))
    with page_server(folder) as server:
        began = time.monotonic()
        page = Visit(browser, server).open('queue')
        page.locator('.job-title:visible').first.wait_for()
        shown = time.monotonic() - began
        page.wait_for_timeout(1000)
        before = cpu_seconds(server.process.pid)
        time.sleep(IDLE_SECONDS)
        share = (cpu_seconds(server.process.pid) - before) / IDLE_SECONDS
        return {'shown': rounded(shown), 'idle_cpu_percent_of_a_core': round(100 * share, 2)}


def measure_running(browser: Browser, folder: Path) -> dict[str, Any]:
    """Run a job with the board open: the CPU time of the server beside that of the worker."""
    with page_server(material(folder)) as server:
        page = Visit(browser, server).open('queue')
        page.get_by_text('Live', exact=True).wait_for()
        before = cpu_seconds(server.process.pid)
        server.post('/jobs', {'id': 'job', 'steps': [{'args': swap(folder)}], 'run': True}, 201)
        worker = 0.0
        while server.get('/jobs/job')['state'] in ('queued', 'running'):
            # The end of the last second of the worker is missed.
            for each in server.get('/workers')['workers']:
                worker = max(worker, cpu_seconds(each['pid']))
            time.sleep(1)
        spent = cpu_seconds(server.process.pid) - before
        return {
            'server_cpu_seconds': rounded(spent),
            'worker_cpu_seconds': rounded(worker),
            'percent_more': round(100 * spent / worker, 1),
        }


def material(folder: Path) -> Path:
    """Make a media root with a portrait and a clip of 1280x720: a slow pan over the photo of a group."""
    copied(WEIGHTS / 'example_portrait.png', folder, 'portrait.png')
    photo = cv2.imread(str(WEIGHTS / 'example_group.jpg'))
    with av.open(str(folder / 'clip.mp4'), 'w') as output:
        stream = output.add_stream('libx264', rate=25, options={'crf': '16', 'preset': 'veryfast'})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, 'yuv420p'
        for number in range(CLIP_FRAMES):
            top = number * (photo.shape[0] - 720) // CLIP_FRAMES
            frame = av.VideoFrame.from_ndarray(photo[top : top + 720, :1280].copy(), format='bgr24')
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return folder


def swap(folder: Path) -> dict[str, Any]:
    """Return the arguments of a swap in the clip."""
    names = {'source_paths': 'portrait.png', 'target_path': 'clip.mp4', 'output_path': 'output.mp4'}
    paths = {key: str(folder / name) for key, name in names.items()}
    return {**paths, 'source_paths': [paths['source_paths']]}


def timed(page: Page, act: Callable[[], None]) -> float:
    """Act, and return the seconds until the result is another picture."""
    before, began = pixels_of(page), time.monotonic()
    act()
    when_changed(page, before)
    seconds = time.monotonic() - began
    page.wait_for_timeout(500)
    return seconds


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Return the median, the 95th percentile and the maximum."""
    ordered = sorted(seconds)
    return {
        'median': rounded(statistics.median(ordered)),
        'p95': rounded(ordered[int(0.95 * (len(ordered) - 1))]),
        'most': rounded(ordered[-1]),
    }


def transferred(visitor: Visit) -> float:
    """Return the kilobytes of the bodies of all replies so far, as they were sent."""
    sizes = [
        request.sizes()['responseBodySize']
        for request in visitor.requests
        if request.response() and '/events' not in request.url
    ]
    return round(sum(max(0, size) for size in sizes) / 1e3, 1)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process, 0 if it is gone."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def memory(server: PageServer) -> float:
    """Return the resident memory of the server."""
    return round(psutil.Process(server.process.pid).memory_info().rss / 1e6, 1)


def rounded(seconds: float) -> float:
    """Return seconds in whole milliseconds."""
    return round(seconds, 3)


if __name__ == '__main__':
    main()
