"""Tests of the registration of workers."""

from __future__ import annotations

import time

from fakes.waits import wait_until

from facefusion.jobs.store import JobStore
from facefusion.jobs.worker_registry import has_worker, live_workers, registered_worker
from facefusion.stopping import StopFlag


def test_a_worker_is_registered_during_its_block(tmp_path):
    store = JobStore(tmp_path / 'jobs')
    assert not has_worker(store.root)
    with registered_worker(store, StopFlag()):
        assert len(live_workers(store.root)) == 1
    assert not has_worker(store.root)


def test_a_worker_that_takes_no_other_job_is_not_registered(tmp_path):
    """Otherwise no other worker would be started, and queued jobs would wait for ever."""
    store, stop_after_current = JobStore(tmp_path / 'jobs'), StopFlag()
    with registered_worker(store, stop_after_current):
        assert has_worker(store.root)
        stop_after_current.set('the page has ended')
        wait_until(lambda: not has_worker(store.root))
        time.sleep(0.6)
        assert not has_worker(store.root)
