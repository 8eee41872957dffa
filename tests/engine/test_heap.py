"""What a process has freed goes back to the system, but not all the time."""

import sys
import time

import numpy as np
import pytest

from dsm_dask import heap


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's heap")
def test_what_is_free_goes_back(monkeypatch):
    monkeypatch.setattr(heap, "_next", 0.0)
    arrays = [np.ones(10_000) for _ in range(1000)]  # 80 MB in pieces too small to be mapped
    last = np.ones(10_000)
    grown = heap._resident()
    del arrays
    heap.trim_now_and_then()
    assert heap._resident() < grown - (40 << 20)
    assert last.all()


def test_not_again_before_it_is_paid_for(monkeypatch):
    calls, resident = [], iter([300 << 20, 100 << 20])
    monkeypatch.setattr(heap, "_trim", lambda: calls.append)
    monkeypatch.setattr(heap, "_resident", lambda: next(resident))
    monkeypatch.setattr(heap, "_next", 0.0)
    began = time.process_time()
    heap.trim_now_and_then()
    heap.trim_now_and_then()
    assert len(calls) == 1
    assert heap._next >= began + (200 << 20) * heap.SECONDS / heap.SHARE


def test_nothing_without_glibc(monkeypatch):
    monkeypatch.setattr(heap, "_trim", lambda: None)
    monkeypatch.setattr(heap, "_next", 0.0)
    heap.trim_now_and_then()
    assert heap._next == 0
