"""How a peer measures itself: seconds of its work, and the most memory of its processes.

It runs in environments that have nothing but the peer, so it needs only the standard library.
"""

import contextlib
import json
import os
import sys
import time

LISTS = ("paths", "reference", "current")
"""What of a task is a list of files."""


def run(prepare, warm=True):
    """Do the task of the command line, and print what it took as one line of JSON.

    ``prepare`` imports the peer and gives the work: a function of a task that returns a dictionary
    of findings. Unless ``warm`` is false it is done on the first of the files before, so that what
    happens once in the life of a process does not count.
    """
    with contextlib.redirect_stdout(sys.stderr):  # the answer is all that goes to stdout
        answer = _answer(json.loads(sys.argv[1]), prepare, warm)
    print(json.dumps(answer, default=str))


def _answer(task, prepare, warm):
    try:
        work = prepare(task)
    except ImportError as error:
        return {"unavailable": f"{type(error).__name__}: {error}"}
    if warm:
        work({**task, **{name: task[name][:1] for name in LISTS if name in task}})
    began = time.perf_counter()
    found = work(task)
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "peak": _peak(), "found": found}


def _peak():
    """Bytes that this process and those below it had resident at most, each at its own time."""
    family = {os.getpid()}
    parents = {int(pid): _parent(pid) for pid in os.listdir("/proc") if pid.isdigit()}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(map(_most_resident, family))


def _parent(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:  # it has ended since
        return 0


def _most_resident(pid):
    try:
        with open(f"/proc/{pid}/status") as file:
            lines = [line for line in file if line.startswith("VmHWM:")]
    except OSError:
        return 0
    return int(lines[0].split()[1]) * 1024 if lines else 0
