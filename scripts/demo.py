"""Makes example media in demo/, swaps the face in a picture and in a clip, and lays the results side by side.

Needs the environment that install.py makes: python3 install.py demo. Media that are there are kept; the two commands
are run anew every time.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy
from demo_media import Picture, write_clip

from facefusion.errors import FaceFusionError
from facefusion.events import BarSink, LogSink, tee
from facefusion.models.catalog import load_catalog
from facefusion.models.store import ModelStore

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / 'demo'
SHEET_WIDTH, STILL_HEIGHT, LABEL_HEIGHT = 1920, 490, 40
SHOWN_AT = (0.12, 0.40, 0.62, 0.80)


def make_if_missing(path: Path, make: Callable[[Path], object]) -> None:
    """Calls ``make`` for a file that is not there yet."""
    if path.is_file():
        print(f'kept  {path.relative_to(ROOT)}')
        return
    make(path)
    print(f'made  {path.relative_to(ROOT)}')


def copy_whole(source: Path, path: Path) -> None:
    """Copies a file so that an interrupted run leaves none at ``path``."""
    part = path.with_name(path.name + '.part')
    shutil.copyfile(source, part)
    part.replace(path)


def read_picture(path: Path) -> Picture:
    """The pixels of a picture file, through a buffer, since OpenCV cannot open every path on Windows."""
    picture = cv2.imdecode(numpy.fromfile(path, dtype=numpy.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        sys.exit(f'{path} cannot be read as a picture. Remove it and run the demo again.')
    return numpy.asarray(picture, dtype=numpy.uint8)


def make_media() -> None:
    """Fetches the source portrait and the group picture, and makes the clip from the latter."""
    DEMO.mkdir(exist_ok=True)
    bars = BarSink()
    store = ModelStore(
        load_catalog(ROOT / 'models' / 'catalog'),
        ROOT / 'models' / 'weights',
        offline=False,
        # Bars only where somebody can see them move.
        emit=tee([bars, LogSink('info')] if sys.stderr.isatty() else [LogSink('info')]),
    )
    target = DEMO / 'target.jpg'
    try:
        make_if_missing(DEMO / 'source.png', lambda path: copy_whole(store.path('example_portrait'), path))
        make_if_missing(target, lambda path: copy_whole(store.path('example_group'), path))
    finally:
        bars.close()
    make_if_missing(DEMO / 'target.mp4', lambda path: write_clip(read_picture(target), path))


def swap(target: str, output: str) -> None:
    """Runs the program as a user would; ends the demo with its exit code when it fails."""
    arguments = [
        'facefusion.py',
        'headless-run',
        '-s',
        'demo/source.png',
        '-t',
        f'demo/{target}',
        '-o',
        f'demo/{output}',
    ]
    (DEMO / output).unlink(missing_ok=True)
    print('\n$ python ' + shlex.join(arguments), flush=True)
    code = subprocess.run([sys.executable, *arguments], cwd=ROOT, check=False).returncode
    if code != 0 or not (DEMO / output).is_file():
        print(f'The demo stops: the command ended with exit code {code} and made no demo/{output}.', file=sys.stderr)
        sys.exit(code if 0 < code <= 255 else 1)


def frames_at(path: Path, shares: tuple[float, ...]) -> list[Picture]:
    """The frames of a clip that lie at ``shares`` (0 to 1, rising) of its frames."""
    with av.open(str(path)) as container:
        count = sum(1 for packet in container.demux(video=0) if packet.size)
    wanted = {min(count - 1, int(share * count)) for share in shares}
    with av.open(str(path)) as container:
        frames = enumerate(container.decode(video=0))
        return [frame.to_ndarray(format='bgr24') for index, frame in frames if index in wanted]


def labelled(picture: Picture, label: str, size: tuple[int, int]) -> Picture:
    """``picture`` scaled to ``size`` (width, height) under a strip with ``label``."""
    scaled = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    strip = numpy.full((LABEL_HEIGHT, size[0], 3), 32, dtype=numpy.uint8)
    cv2.putText(strip, label, (10, 28), cv2.FONT_HERSHEY_SIMPLEX, 0.75, (240, 240, 240), 2, cv2.LINE_AA)
    return numpy.vstack([strip, scaled])


def row(tiles: list[Picture]) -> Picture:
    """Tiles of equal height side by side, filled up to the sheet's width."""
    joined = numpy.hstack(tiles)
    fill = numpy.full((joined.shape[0], max(0, SHEET_WIDTH - joined.shape[1]), 3), 32, dtype=numpy.uint8)
    return numpy.hstack([joined, fill])[:, :SHEET_WIDTH]


def write_sheet(path: Path) -> None:
    """Lays source, target and result of the picture, and four frames of the clip above their results."""
    stills = []
    for name, label in (('source.png', 'source'), ('target.jpg', 'target'), ('output.jpg', 'result')):
        picture = read_picture(DEMO / name)
        width = round(picture.shape[1] * STILL_HEIGHT / picture.shape[0])
        stills.append(labelled(picture, label, (width, STILL_HEIGHT)))
    rows = [row(stills)]
    for name, label in (('target.mp4', 'target clip'), ('output.mp4', 'result clip')):
        frames = frames_at(DEMO / name, SHOWN_AT)
        width = SHEET_WIDTH // len(SHOWN_AT)
        texts = [f'{label}, at {share:.0%}' for share in SHOWN_AT]
        sizes = [(width, round(width * frame.shape[0] / frame.shape[1])) for frame in frames]
        rows.append(row([labelled(*tile) for tile in zip(frames, texts, sizes, strict=True)]))
    encoded = cv2.imencode('.png', numpy.vstack(rows))[1]
    path.write_bytes(encoded.tobytes())


def main() -> None:
    """Makes the media, runs the two commands, writes the sheet and says where everything is."""
    try:
        make_media()
    except FaceFusionError as error:
        print('\n'.join(filter(None, (f'demo: {error.message}', error.cause, error.hint))), file=sys.stderr)
        sys.exit(error.exit_code)
    swap('target.jpg', 'output.jpg')
    swap('target.mp4', 'output.mp4')
    write_sheet(DEMO / 'side-by-side.png')
    print('\nThe results:')
    for name in ('output.jpg', 'output.mp4', 'side-by-side.png'):
        print(f'  {DEMO / name}')


if __name__ == '__main__':
    main()
