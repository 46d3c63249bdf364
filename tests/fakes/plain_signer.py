"""A signer that copies the file without signing it, for tests of the stages before signing."""

from __future__ import annotations

import shutil
from pathlib import Path

from facefusion.pipeline.signing import WorkDone
from facefusion.provenance.credentials_writer import Signed


class PlainSigner:
    """A signer that copies the file; ``signed_work`` lists the ``WorkDone`` of each call."""

    def __init__(self) -> None:
        self.signed_work: list[WorkDone] = []

    def sign(self, unsigned: Path, signed: Path, done: WorkDone) -> Signed:
        self.signed_work.append(done)
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
