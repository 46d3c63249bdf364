"""Tests of the tools that measure swaps, on small images and through the pipeline."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from facefusion.faces.topology import INNER_LIPS, load_topology


def drawn_face():
    """Return an image of plain skin, 260x260, and the landmarks of a frontal mean face with an eye distance of 60."""
    landmarks = load_topology().mean_shape * 60
    landmarks[:, :2] += 130 - (landmarks[:, :2].min(0) + landmarks[:, :2].max(0)) / 2
    return np.full((260, 260, 3), (140, 165, 205), np.uint8), landmarks.astype(np.float32)


def test_painted_covers_are_on_the_face_and_deterministic():
    from picture_paint import fringe, glasses, hand, strands

    picture, landmarks = drawn_face()
    eyes = landmarks[[33, 263], 1].mean()
    painted = {
        'glasses': glasses(picture, landmarks, is_thin=False),
        'thin': glasses(picture, landmarks, is_thin=True),
        'hand': hand(picture, landmarks, (140, 165, 205)),
        'fringe': fringe(picture, landmarks, (20, 20, 25)),
        'strands': strands(picture, landmarks, (20, 20, 25)),
    }
    rows = {name: np.nonzero((result.picture != picture).any(-1))[0] for name, result in painted.items()}
    assert all(len(found) > 200 for found in rows.values())
    assert abs(rows['glasses'].mean() - eyes) < 15
    assert rows['fringe'].mean() < eyes < rows['hand'].mean()
    assert (hand(picture, landmarks, (140, 165, 205)).picture == painted['hand'].picture).all()
    # The lenses are transparent, so they do not cover the face, but the hand does.
    middle = tuple(np.round(landmarks[[33, 133], :2].mean(0)).astype(int)[::-1])
    assert painted['glasses'].cover[middle] == 0 and painted['glasses'].cover.any()
    x, y = np.round(landmarks[291, :2]).astype(int)
    assert painted['hand'].cover[y, x] == 255


def test_closing_eyes_moves_only_the_lids():
    from picture_warp import close_eyes

    picture, landmarks = drawn_face()
    random = np.random.default_rng(0)
    picture = cv2.GaussianBlur(random.integers(0, 255, picture.shape, np.uint8), (0, 0), 2)
    landmarks[[160, 159, 158, 157, 173, 161, 246], 1] -= 4
    closed = close_eyes(picture, landmarks, load_topology(), 1.0)
    changed = (np.abs(closed.astype(int) - picture).max(-1) > 8).nonzero()
    assert len(changed[0]) > 50
    assert changed[0].max() < landmarks[4, 1]


def test_open_mouth_is_dark_inside():
    from picture_warp import open_mouth

    picture, landmarks = drawn_face()
    opened = open_mouth(picture, landmarks, load_topology())
    x, y = landmarks[list(INNER_LIPS), :2].mean(0)
    assert opened[round(float(y)) + 10, round(float(x))].mean() < 90
    assert (opened[:60] == picture[:60]).all()


def test_sheets_are_split_into_pages(tmp_path):
    from contact_sheet import write_pages

    rows = [np.full((20, 30 + k, 3), 10 * k, np.uint8) for k in range(5)]
    paths = write_pages(iter(rows), tmp_path / 'sheet.png', 2)
    assert [path.name for path in paths] == ['sheet-01.png', 'sheet-02.png', 'sheet-03.png']
    assert cv2.imread(str(paths[0])).shape == (40, 31, 3)
    assert [path.name for path in write_pages(iter(rows), tmp_path / 'one.png', 9)] == ['one.png']


@pytest.fixture(scope='module')
def pair(example_portrait, example_group, tmp_path_factory) -> Path:
    """A folder of two images with one face each, and one image without a face."""
    folder = tmp_path_factory.mktemp('pair')
    cv2.imwrite(str(folder / 'anna-1.png'), cv2.imread(str(example_portrait))[20:240, 110:350])
    cv2.imwrite(str(folder / 'bert-1.png'), cv2.imread(str(example_group))[320:520, 700:900])
    cv2.imwrite(str(folder / 'wall-1.png'), np.full((120, 120, 3), 128, np.uint8))
    return folder


@pytest.mark.network
def test_a_contact_sheet_of_a_pair(store, pair, tmp_path, monkeypatch, capsys):
    import contact_sheet

    sources = [str(pair / 'anna-1.png'), str(pair / 'wall-1.png')]
    command = ['contact_sheet', '--sources', *sources, '--targets', str(pair / 'bert-1.png'), '--size', '96']
    monkeypatch.setattr(sys, 'argv', [*command, '--output', str(tmp_path / 'sheet.png')])
    contact_sheet.main()
    printed = capsys.readouterr()
    assert printed.out.split() == [str(tmp_path / 'sheet.png')]
    assert 'wall-1.png' in printed.err
    sheet = cv2.imread(str(tmp_path / 'sheet.png')).astype(int)
    step = 96 + contact_sheet.GAP
    target, result = (sheet[:96, k * step : k * step + 96] for k in (3, 4))
    assert np.abs(target - result).mean() > 1.5
    monkeypatch.setattr(sys, 'argv', [*command, '--grid', '--output', str(tmp_path / 'grid.png')])
    contact_sheet.main()
    assert cv2.imread(str(tmp_path / 'grid.png')).shape[1] == 2 * step


@pytest.mark.network
def test_quality_of_a_folder(store, pair, tmp_path, monkeypatch, capsys):
    import quality

    monkeypatch.setattr(sys, 'argv', ['quality', str(pair), '--people', '--json', str(tmp_path / 'q.json')])
    quality.main()
    found = json.loads((tmp_path / 'q.json').read_text(encoding='utf-8'))
    rows = {(row['source'], row['target']): row for row in found['rows']}
    assert set(rows) == {('anna-1.png', 'bert-1.png'), ('bert-1.png', 'anna-1.png')}
    assert all(row['gain'] > 0 and row['unswapped'] == 0 for row in rows.values())
    assert all(0 < row['rim']['y'] < 20 and row['flicker_ratio'] is None for row in rows.values())
    assert found['summary']['targets_without_face'] == ['wall-1.png']
    assert 'wall-1.png' in found['unusable']
    assert '| anna-1.png | bert-1.png |' in capsys.readouterr().out


@pytest.mark.network
def test_quality_of_a_clip(store, pair, face_clip):
    from quality import Judge
    from quality_studio import Studio

    studio = Studio()
    source = (pair / 'anna-1.png',)
    clip = studio.link(face_clip, 0.4)
    assert clip.frame_count == 10
    judge = Judge(studio)
    rows = judge.judge('anna', studio.embed(source), clip, studio.shots(clip, studio.prepare(source)))
    assert rows and all(row.frames == 10 for row in rows[:2])
    assert 0.3 < rows[0].flicker_ratio < 3 and rows[0].holes == 0
    still = judge.judge('anna', studio.embed(source), clip, studio.originals(clip))
    assert still[0].flicker_ratio == pytest.approx(1) and still[0].gain == pytest.approx(0, abs=1e-5)
    assert still[0].rim.y == 0 and still[0].expression.all == 0
    # The original frames are reported as unswapped.
    assert still[0].unswapped == 10
