"""A seal that signs nothing: the file as it is, for tests of what comes before."""

from __future__ import annotations

import shutil
from pathlib import Path

from facefusion.pipeline.seal import Worked
from facefusion.provenance.credentials import Signed


class PlainSeal:
    """Copies the file; ``sealed`` notes what it was told of each."""

    def __init__(self) -> None:
        self.sealed: list[Worked] = []

    def sign(self, unsigned: Path, signed: Path, worked: Worked) -> Signed:
        self.sealed.append(worked)
        shutil.copyfile(unsigned, signed)
        return Signed(
            media=signed,
            sidecar=None,
            manifest_id='none',
            signer='nobody',
            is_local=True,
            time_stamp=None,
            inherited=(),
            credentials_size=0,
        )
