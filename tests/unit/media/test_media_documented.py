"""Tests that the README lists the supported media formats."""

from __future__ import annotations

import re
from pathlib import Path

from facefusion.media.containers import CONTAINERS
from facefusion.media.kinds import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS

README = (Path(__file__).resolve().parents[3] / 'README.md').read_text(encoding='utf-8')


def test_the_readme_lists_every_extension():
    said = README[README.index('**Files.**') : README.index('## Numbers')]
    words = set(re.findall(r'[a-z0-9]+', said))
    # The README need not list other spellings of the same extension.
    names = {extension[1:] for extension in (*IMAGE_EXTENSIONS, *VIDEO_EXTENSIONS)} - {'jpeg', 'jpe', 'tif'}
    assert names <= words


def test_every_output_container_can_be_read():
    assert set(CONTAINERS) < set(VIDEO_EXTENSIONS)
