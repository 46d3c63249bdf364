"""Check the origin of a file with the roots and the jobs of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from facefusion.engines.process_settings import tune_process
from facefusion.provenance.options import ProvenanceOptions
from facefusion.services.workplace import Workplace
from facefusion.stopping import StopFlag

if TYPE_CHECKING:
    from facefusion.provenance.verify import Verdict


def verified(workplace: Workplace, path: Path, sidecar: Path | None = None, flag: StopFlag | None = None) -> Verdict:
    """Return the verdict on a file; raises MediaError, ProvenanceError and Interrupted."""
    tune_process()
    from facefusion.jobs.claim import CERTIFICATE_FOLDER
    from facefusion.provenance.trust import trusted_roots
    from facefusion.provenance.verify import verify

    jobs = workplace.jobs_path()
    roots = trusted_roots(workplace.settings[ProvenanceOptions], workplace.environ, jobs / CERTIFICATE_FOLDER)
    return verify(path, roots, sidecar, flag or StopFlag(), job_ids(jobs))


def job_ids(folder: Path) -> Iterator[str]:
    """Yield the ids of the jobs of a store; none when the store is missing or unreadable."""
    from facefusion.errors import FaceFusionError
    from facefusion.jobs.store import JobStore

    if folder.is_dir():
        with suppress(FaceFusionError, OSError):
            yield from JobStore(folder).job_files()
