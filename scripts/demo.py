"""Create example media in demo/, swap the faces in an image and in a video, and let the portrait speak a sentence.

The pictures are in the public domain: a portrait by NASA, and a group photograph from 1927. The sentence was
synthesised for this project with espeak-ng and has the licence of the code. Run this script with
``python3 install.py demo``. Existing media are reused; the three commands run every time.
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
SENTENCE = ROOT / 'scripts' / 'demo_sentence.opus'
SHEET_WIDTH, IMAGE_HEIGHT, LABEL_HEIGHT = 1920, 490, 40
SHOWN_AT = (0.12, 0.40, 0.62, 0.80)
# The image for the README: the head of the portrait beside one frame of the video, before and after.
README_FRAME, README_HEIGHT, README_HEAD, README_QUALITY = 0.31, 320, (0, 260, 95, 355), 84


def make_if_missing(path: Path, make: Callable[[Path], object]) -> None:
    """Call ``make`` if the file is missing."""
    if path.is_file():
        print(f'found    {path.relative_to(ROOT)}')
        return
    make(path)
    print(f'created  {path.relative_to(ROOT)}')


def copy_file(source: Path, path: Path) -> None:
    """Copy a file; an interrupted copy leaves no file at ``path``."""
    part = path.with_name(path.name + '.part')
    shutil.copyfile(source, part)
    part.replace(path)


def read_picture(path: Path) -> Picture:
    """Return the pixels of an image, decoded from a buffer, because OpenCV cannot open every path on Windows."""
    picture = cv2.imdecode(numpy.fromfile(path, dtype=numpy.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        sys.exit(f'{path} is not a readable image. Delete it and run the demo again.')
    return numpy.asarray(picture, dtype=numpy.uint8)


def make_media() -> None:
    """Fetch the portrait and the group photograph, copy the sentence, and create the video from the photograph."""
    DEMO.mkdir(exist_ok=True)
    bars = BarSink()
    store = ModelStore(
        load_catalog(ROOT / 'models' / 'catalog'),
        ROOT / 'models' / 'weights',
        offline=False,
        # Progress bars are shown only on a terminal.
        emit=tee([bars, LogSink('info')] if sys.stderr.isatty() else [LogSink('info')]),
    )
    target = DEMO / 'target.jpg'
    try:
        make_if_missing(DEMO / 'source.png', lambda path: copy_file(store.path('example_portrait'), path))
        make_if_missing(target, lambda path: copy_file(store.path('example_conference'), path))
    finally:
        bars.close()
    make_if_missing(DEMO / 'sentence.opus', lambda path: copy_file(SENTENCE, path))
    make_if_missing(DEMO / 'target.mp4', lambda path: write_clip(read_picture(target), path))


def run(source: str, target: str, output: str, *words: str) -> None:
    """Run the command that a user would type. Exit with its code if it fails."""
    arguments = ['facefusion.py', 'headless-run', *words]
    arguments += ['-s', f'demo/{source}', '-t', f'demo/{target}', '-o', f'demo/{output}']
    (DEMO / output).unlink(missing_ok=True)
    print('\n$ python ' + shlex.join(arguments), flush=True)
    code = subprocess.run([sys.executable, *arguments], cwd=ROOT, check=False).returncode
    if code != 0 or not (DEMO / output).is_file():
        print(f'The command failed with exit code {code} and did not write demo/{output}.', file=sys.stderr)
        sys.exit(code if 0 < code <= 255 else 1)


def frames_at(path: Path, shares: tuple[float, ...]) -> list[Picture]:
    """Return the frames of a video at ``shares`` (0 to 1, ascending) of its length."""
    with av.open(str(path)) as container:
        count = sum(1 for packet in container.demux(video=0) if packet.size)
    wanted = {min(count - 1, int(share * count)) for share in shares}
    with av.open(str(path)) as container:
        frames = enumerate(container.decode(video=0))
        return [frame.to_ndarray(format='bgr24') for index, frame in frames if index in wanted]


def labelled(picture: Picture, label: str, height: int) -> Picture:
    """Return ``picture`` scaled to ``height``, below a strip with ``label``."""
    size = (round(height * picture.shape[1] / picture.shape[0]), height)
    scaled = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    strip = numpy.full((LABEL_HEIGHT, size[0], 3), 32, dtype=numpy.uint8)
    cv2.putText(strip, label, (10, 28), cv2.FONT_HERSHEY_SIMPLEX, 0.75, (240, 240, 240), 2, cv2.LINE_AA)
    return numpy.vstack([strip, scaled])


def row(tiles: list[Picture]) -> Picture:
    """Join tiles of equal height, padded or cut to the width of the sheet."""
    joined = numpy.hstack(tiles)
    padding = numpy.full((joined.shape[0], max(0, SHEET_WIDTH - joined.shape[1]), 3), 32, dtype=numpy.uint8)
    return numpy.hstack([joined, padding])[:, :SHEET_WIDTH]


def write_sheet(path: Path) -> None:
    """Write source, target and result of the image, and four frames of the video above their results."""
    names = (('source.png', 'source'), ('target.jpg', 'target'), ('output.jpg', 'result'))
    rows = [row([labelled(read_picture(DEMO / name), label, IMAGE_HEIGHT) for name, label in names])]
    for name, label in (('target.mp4', 'target'), ('output.mp4', 'result')):
        height = SHEET_WIDTH // len(SHOWN_AT) * 9 // 16
        frames = zip(frames_at(DEMO / name, SHOWN_AT), SHOWN_AT, strict=True)
        rows.append(row([labelled(frame, f'{label}, at {share:.0%}', height) for frame, share in frames]))
    path.write_bytes(cv2.imencode('.png', numpy.vstack(rows))[1].tobytes())


def write_readme_image(path: Path) -> None:
    """Write the before-and-after image for the README, a JPEG of less than 150 kB."""
    top, bottom, left, right = README_HEAD
    tiles = [labelled(read_picture(DEMO / 'source.png')[top:bottom, left:right], 'source', README_HEIGHT)]
    for name, label in (('target.mp4', 'target'), ('output.mp4', 'result')):
        tiles.append(labelled(frames_at(DEMO / name, (README_FRAME,))[0], label, README_HEIGHT))
    quality = [cv2.IMWRITE_JPEG_QUALITY, README_QUALITY]
    path.write_bytes(cv2.imencode('.jpg', numpy.hstack(tiles), quality)[1].tobytes())


def main() -> None:
    """Create the media, run the three commands, write the sheets and list the results."""
    try:
        make_media()
    except FaceFusionError as error:
        print('\n'.join(filter(None, (f'demo: {error.message}', error.cause, error.hint))), file=sys.stderr)
        sys.exit(error.exit_code)
    run('source.png', 'target.jpg', 'output.jpg')
    run('source.png', 'target.mp4', 'output.mp4')
    run('sentence.opus', 'source.png', 'speaking.mp4', '--processors', 'lip_syncer')
    write_sheet(DEMO / 'side-by-side.png')
    write_readme_image(DEMO / 'before-and-after.jpg')
    print('\nResults:')
    for name in ('output.jpg', 'output.mp4', 'speaking.mp4', 'side-by-side.png', 'before-and-after.jpg'):
        print(f'  {DEMO / name}')


if __name__ == '__main__':
    main()
