"""Ctrl-C and SIGTERM at awkward moments: no traceback, no process left behind."""

import subprocess
import sys

import pyarrow as pa
import pytest
from dsm_trials import parquet

SCRIPT = """
import os, signal, sys, threading, time
from dsm_dask.cli import main

def starting():
    while True:
        frame = sys._current_frames().get(threading.main_thread().ident)
        while frame is not None:
            if frame.f_globals.get("__name__") == "distributed.deploy.spec":
                time.sleep(0.5)
                os.kill(os.getpid(), signal.SIGTERM)
                return
            frame = frame.f_back
        time.sleep(0.01)

if __name__ == "__main__":
    threading.Thread(target=starting, daemon=True).start()
    main(sys.argv[1:])
"""


@pytest.mark.cluster
def test_while_a_local_cluster_starts(tmp_path):
    """Dask's own clean-up at the end of the process trips over half of a cluster."""
    (tmp_path / "script.py").write_text(SCRIPT)
    data = parquet(tmp_path / "a.parquet", pa.table({"x": range(9)}))
    words = [sys.executable, tmp_path / "script.py", "profile", data, "--workers", "2"]
    said = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 3
    assert "interrupted" in said.stderr
    assert "Traceback" not in said.stderr
    assert said.stdout == ""
