"""What the README says of media is what the program reads and writes."""

from __future__ import annotations

import re
from pathlib import Path

from facefusion.media.containers import CONTAINERS
from facefusion.media.kinds import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS

README = (Path(__file__).resolve().parents[3] / 'README.md').read_text(encoding='utf-8')


def test_every_kind_of_file_stands_in_the_readme():
    said = README[README.index('What this version has') : README.index('What it does not have yet')]
    words = set(re.findall(r'[a-z0-9]+', said))
    # Two spellings of one name count once.
    names = {extension[1:] for extension in (*IMAGE_EXTENSIONS, *VIDEO_EXTENSIONS)} - {'jpeg', 'jpe', 'tif'}
    assert names <= words


def test_what_is_written_as_a_video_can_be_read():
    assert set(CONTAINERS) < set(VIDEO_EXTENSIONS)
