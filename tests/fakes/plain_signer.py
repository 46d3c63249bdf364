"""A seal that signs nothing: the file as it is, for tests of what comes before."""

from __future__ import annotations

import shutil
from pathlib import Path

from facefusion.pipeline.signing import WorkDone
from facefusion.provenance.credentials_writer import Signed


class PlainSigner:
    """Copies the file; ``sealed`` notes what it was told of each."""

    def __init__(self) -> None:
        self.signed_part: list[WorkDone] = []

    def sign(self, unsigned: Path, signed: Path, worked: WorkDone) -> Signed:
        self.signed_part.append(worked)
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
