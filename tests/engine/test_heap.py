"""What a process has freed goes back to the system."""

import sys

import numpy as np
import pytest

from dsm_dask import heap


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's heap")
def test_a_grown_heap_shrinks(monkeypatch):
    monkeypatch.setattr(heap, "GROWN", 16 << 20)
    monkeypatch.setattr(heap, "_lowest", heap._resident())
    arrays = [np.ones(10_000) for _ in range(1000)]  # 80 MB in pieces too small to be mapped
    last = np.ones(10_000)
    grown = heap._resident()
    del arrays
    heap.trim_when_grown()
    assert heap._resident() < grown - (40 << 20)
    assert last.all()


def test_nothing_happens_before_it_has_grown(monkeypatch):
    calls = []
    monkeypatch.setattr(heap, "_trim", lambda: calls.append)
    monkeypatch.setattr(heap, "_lowest", heap._resident())
    heap.trim_when_grown()
    assert not calls
