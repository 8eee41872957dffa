"""A ``dsm`` that dies at a chosen moment; run by the tests, which see what it leaves behind.

    python driver.py MOMENT MARKER ARGS...

MOMENT is ``before`` or ``after`` the commit with a number (``before:2``: before the second commit
of the run), or ``hang:N``: wait for ever before the Nth commit, having made the file MARKER.
"""

import os
import signal
import sys
import time
from pathlib import Path


def die(moment: str, marker: str = "") -> None:
    """From now on, this process dies at that moment."""
    when, _, number = moment.partition(":")
    import lance

    commit, made = lance.LanceDataset.commit, [0]

    def dying(*given, **named):
        made[0] += 1
        here = made[0] == int(number or 1)
        if here and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        if here and when == "hang":
            Path(marker).touch()
            time.sleep(120)
        found = commit(*given, **named)
        if here and when == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    lance.LanceDataset.commit = staticmethod(dying)


def main() -> None:
    moment, marker, *args = sys.argv[1:]
    die(moment, marker)
    from dsm_dask.cli import main as dsm

    dsm(args)


if __name__ == "__main__":
    main()
