"""Measure the quality of swaps from the images of a folder onto the images and clips of that folder.

    .venv/bin/python benchmarks/quality.py MEDIA_FOLDER [--json FILE] [--sources A..] [--targets B..] [--people]
        [--clip-seconds 3] [--worst 12] [--all-rows] [--brief]

The pipeline (quality_studio.py) swaps every source image (all images of the folder, or --sources) onto every other
image and clip. With --people the part of a file name before its first hyphen is the name of the person, as in the files
of scripts/picture_variants.py, and swaps of a person onto the same person are skipped. For each face of a target of
which at least 40 % is inside the frame, these values are measured (quality_measures.py has the definitions and units):

- identity: the cosine of the dlib embeddings of source and target before and after the swap, and the gain. For clips
  it is the mean over one frame every half second. The summary excludes faces that count as the person of the source
  before the swap (cosine of at least 0.94).
- expression: the distance between the meshes found in the result and in the target, in % of the eye distance, for the
  entire mesh, the lips and the lids; and the change in the opening of mouth and eyes.
- rim: the skin tone of the result just inside the blend border minus that of the target, in code values of Y, Cb, Cr:
  the mean of the absolute differences of twelve sectors, the signed mean, and the worst sector. "inner" is the same for
  the ring further inside.
- flicker (clips): the frame-to-frame change of the unrolled face in the result divided by that in the target, and the
  worst jump.
- over: the share of covering objects (hands, hair, glasses) that the swap painted over, for targets with a mask in
  covers/, which scripts/picture_variants.py writes.
- missed: the numbers of detected faces that no linked face covers, linked faces without a swap, frames inside a track
  without a swap, and targets without any face.

Prints Markdown tables of the worst rows (of all rows with --all-rows, with fewer columns with --brief), the means for
each kind of target (the part of a name after its first hyphen) and a summary. --json writes all values to a file.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / 'benchmarks')]

from quality_measures import (  # noqa: E402
    Expression,
    FaceRuler,
    Flicker,
    Rim,
    count_holes,
    expression_kept,
    identity_gain,
    is_swapped,
    overpainted,
    own_skin,
    rim_difference,
)
from quality_studio import Covers, Shot, Studio, Target, is_picture  # noqa: E402
from quality_tables import BRIEF_HEAD, HEAD, Row, as_brief_line, as_json, as_line, by_group, mean, summarise, worst_rows  # noqa: E402

from facefusion.errors import FaceFusionError  # noqa: E402
from facefusion.faces.face import Floats, LinkedFace, box_overlap  # noqa: E402
from facefusion.media.frame import Frame  # noqa: E402
from facefusion.media.kinds import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS  # noqa: E402

# The interval at which identity and expression are measured in clips; rim and flicker are measured in every frame.
LOOK_SECONDS = 0.5
# The step in frames at which detections are compared with the linked faces.
DETECTION_STEP = 5
LEAST_INSIDE = 0.4
COVERED = 0.25

Mask = npt.NDArray[np.uint8]


class FaceLog:
    """The measurements of one track of a target, frame by frame."""

    def __init__(self) -> None:
        self.height: list[float] = []
        self.identity: list[tuple[float, float, float]] = []
        self.expression: list[Expression] = []
        self.rim: list[Rim] = []
        self.inner: list[Rim] = []
        self.overpainted: list[float] = []
        self.flicker = Flicker()
        self.swapped: list[int] = []
        self.frames = 0

    def row(self, source: str, target: str, face: int) -> Row:
        """Return the row of a face with the means over its frames."""
        before, after, gain = _mean_rows(self.identity, 3)
        return Row(
            source=source,
            target=target,
            face=face,
            height=mean(self.height),
            before=before,
            after=after,
            gain=gain,
            expression=Expression(*_mean_rows([tuple(asdict(e).values()) for e in self.expression], 5)),
            rim=_mean_rim(self.rim),
            inner=_mean_rim(self.inner),
            overpainted=mean(self.overpainted),
            flicker_target=self.flicker.target,
            flicker_result=self.flicker.result,
            flicker_ratio=self.flicker.ratio,
            worst_jump=self.flicker.worst_jump,
            unswapped=self.frames - len(self.swapped),
            holes=count_holes(self.swapped),
            frames=self.frames,
        )


class Judge:
    """Measures pairs of source and target."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._ruler = FaceRuler(studio.analyser.topology)

    def judge(self, name: str, source: Floats, target: Target, shots: Iterable[Shot]) -> list[Row]:
        """Return the rows of a source with embedding ``source`` on a target: one per track, largest face first."""
        logs: dict[int, FaceLog] = {}
        covers = Covers(target)
        look = max(round(LOOK_SECONDS * target.rate), 1)
        for shot in shots:
            for face in shot.faces:
                if inside_share(face, shot.before) >= LEAST_INSIDE:
                    log = logs.setdefault(face.track, FaceLog())
                    self._note(log, source, shot, face, covers.of(shot.number), log.frames % look == 0)
        ordered = sorted(logs.values(), key=lambda log: -mean(log.height))
        return [log.row(name, target.path.name, number) for number, log in enumerate(ordered, 1)]

    def _note(
        self, log: FaceLog, source: Floats, shot: Shot, face: LinkedFace, cover: Mask | None, looks: bool
    ) -> None:
        landmarks, ruler = face.landmarks, self._ruler
        log.frames += 1
        log.height.append(float(np.ptp(landmarks[:, 1])))
        target, result = ruler.unroll(shot.before, landmarks), ruler.unroll(shot.after, landmarks)
        seen = ruler.seen(shot.before, landmarks)
        if is_swapped(target, result, seen):
            log.swapped.append(shot.number)
        skin = own_skin(target, ruler.skin & seen, ruler.centre)
        log.rim.append(rim_difference(target, result, ruler.band & skin, ruler.sector))
        log.inner.append(rim_difference(target, result, ruler.inner_band & skin, ruler.sector))
        if cover is not None:
            covered = ruler.unroll_mask(cover, landmarks)
            log.overpainted.append(overpainted(target, result, covered & seen))
        log.flicker.add(face.track, shot.number, target[..., 0], result[..., 0], seen)
        if looks:
            embedder = self._studio.embedder
            embeddings = (embedder.embed(frame, landmarks) for frame in (shot.before, shot.after))
            log.identity.append(identity_gain(source, *embeddings))
            found = [self._studio.analyser.follow(frame, landmarks, face.score) for frame in (shot.before, shot.after)]
            if found[0] is not None and found[1] is not None:
                log.expression.append(expression_kept(found[0].landmarks, found[1].landmarks))

    def missed(self, target: Target, shots: Iterable[Shot]) -> dict[str, int]:
        """Count the detections in the given frames that no linked face covers, and the frames without faces."""
        looked = found = uncovered = empty = 0
        for shot in shots:
            detections = self._studio.analyser.detect(shot.before)
            looked += 1
            found += len(detections)
            empty += not shot.faces
            uncovered += sum(
                all(box_overlap(face.box, detection.box) < COVERED for face in shot.faces) for detection in detections
            )
        return {'frames_looked_at': looked, 'detected': found, 'not_linked': uncovered, 'frames_without_face': empty}


def inside_share(face: LinkedFace, frame: Frame) -> float:
    """Return the share of the mesh's vertices that are inside the frame."""
    x, y = face.landmarks[:, 0], face.landmarks[:, 1]
    return float(((x >= 0) & (y >= 0) & (x < frame.width) & (y < frame.height)).mean())


def _mean_rows(rows: Sequence[Sequence[float]], width: int) -> list[float]:
    return [mean([row[k] for row in rows]) for k in range(width)]


def _mean_rim(rims: Sequence[Rim]) -> Rim:
    values = _mean_rows([tuple(asdict(rim).values()) for rim in rims], 8)
    worst = max((rim.worst for rim in rims if rim.sectors), default=float('nan'))
    y, cb, cr, signed_y, signed_cb, signed_cr = values[:6]
    return Rim(y, cb, cr, signed_y, signed_cb, signed_cr, worst, round(values[7]) if rims else 0)


def media_of(folder: Path) -> list[Path]:
    """Return the images and clips of a folder, sorted by name."""
    known = IMAGE_EXTENSIONS.keys() | VIDEO_EXTENSIONS.keys()
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in known)


def person(path: Path) -> str:
    """Return the name of a file up to its first hyphen."""
    return path.stem.split('-')[0]


def measure(
    studio: Studio, sources: Sequence[Path], targets: Sequence[Path], by_person: bool, clip_seconds: float
) -> dict[str, Any]:
    """Return all rows, the missed faces of each target, and the unusable files."""
    judge, rows, missed, unusable = Judge(studio), list[Row](), dict[str, dict[str, int]](), dict[str, str]()
    linked = []
    for path in targets:
        try:
            target = studio.link(path, clip_seconds)
            missed[path.name] = judge.missed(target, studio.originals(target, DETECTION_STEP))
            linked.append(target)
        except FaceFusionError as error:
            unusable[path.name] = str(error)
    for source in sources:
        try:
            chain, embedding = studio.prepare((source,)), studio.embed((source,))
        except FaceFusionError as error:
            unusable[source.name] = str(error)
            continue
        for target in linked:
            same = person(source) == person(target.path) if by_person else source.resolve() == target.path.resolve()
            if not same:
                rows += judge.judge(source.name, embedding, target, studio.shots(target, chain))
    return {'rows': rows, 'missed': missed, 'unusable': unusable}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--json', type=Path)
    parser.add_argument('--sources', type=Path, nargs='+')
    parser.add_argument('--targets', type=Path, nargs='+')
    parser.add_argument('--people', action='store_true')
    parser.add_argument('--clip-seconds', type=float, default=3.0)
    parser.add_argument('--worst', type=int, default=12)
    parser.add_argument('--all-rows', action='store_true')
    parser.add_argument('--brief', action='store_true')
    given = parser.parse_args()
    started = time.monotonic()
    media = media_of(given.folder)
    sources = given.sources or [path for path in media if is_picture(path)]
    found = measure(Studio(), sources, given.targets or media, given.people, given.clip_seconds)
    rows = found.pop('rows')
    summary = summarise(rows, found['missed']) | {'seconds': time.monotonic() - started}
    tables = {'all': rows} if given.all_rows else worst_rows(rows, given.worst)
    head, line = (BRIEF_HEAD, as_brief_line) if given.brief else (HEAD, as_line)
    for name, part in tables.items():
        print(f'\n{name}\n\n{head}\n' + '\n'.join(line(row) for row in part))
    print(f'\n{by_group(rows)}\n\n{json.dumps(as_json(summary), indent=2)}')
    if given.json:
        record = {'summary': summary, **found, 'rows': [asdict(row) for row in rows]}
        given.json.write_text(json.dumps(as_json(record), indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
