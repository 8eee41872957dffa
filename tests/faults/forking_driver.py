"""A process that has loaded everything, and forks a ``dsm`` for each command line that it is given.

A line of JSON, ``{"runs": [[stderr, args...], ...], "env": {}, "moment": "", "signal": 0,
"seconds": 0}``, starts all its runs at once, with that environment; each dies at the moment, if one
is told (see ``driver.py``); the signal (none when it is 0) is sent to each after so many seconds;
their exit statuses are printed. Fifty runs cost fifty forks instead of fifty times all imports.
"""

import json
import os
import sys
import time
from typing import Any

from driver import die


def run(env: dict[str, str], moment: str, stderr: str, *args: str) -> None:
    os.environ.update(env)
    with open(stderr, "w") as told, open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(told.fileno(), 2)
    from dsm_dask.cli import main as dsm

    code = 1
    try:
        if moment:
            die(moment)
        dsm(list(args))
    except SystemExit as done:
        code = int(done.code or 0)
    finally:
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    import importlib

    import lance.file
    import lance.fragment  # noqa: F401

    from dsm_dask.cli import VERBS
    from dsm_dask.dataset import lease

    for verb in VERBS:
        importlib.import_module(f"dsm_dask.cli.{verb}")
    lease.SECONDS = 0.2  # who died while it held it is not waited for
    print("ready", flush=True)
    for line in sys.stdin:
        told = json.loads(line)
        children = [start(told["env"], told["moment"], *words) for words in told["runs"]]
        if told["signal"]:
            time.sleep(told["seconds"])
            for child in children:
                os.kill(child, told["signal"])
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        print(json.dumps(codes), flush=True)


def start(*how: Any) -> int:
    child = os.fork()
    if not child:
        run(*how)
    return child


if __name__ == "__main__":
    main()
