"""Software of a client and of a cluster: which differences matter, before any work is sent.

Descriptions of work and states cross between processes as pickles and as Arrow data, so both sides
need the same dsm-dask, the same Python and the same Dask. Of the other packages a different major
version is refused, a different minor one is told.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

from dsm_dask.errors import VersionMismatch

PACKAGES = {"python": 2, "dask": 2, "distributed": 2, "dsm-dask": 4, "numpy": 1, "pyarrow": 1,
            "pylance": 1}  # fmt: skip
"""How many leading parts of a version must be the same: of ``2026.8.0`` all releases of a month."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """A package that is not the same everywhere."""

    package: str
    here: str
    there: str
    who: str
    """The scheduler, or the workers (some, by address)."""
    refused: bool

    def __str__(self) -> str:
        return f"{self.package} {self.here} here, {self.there} on {self.who}"


def differences(
    here: Mapping[str, str | None],
    scheduler: Mapping[str, str | None],
    workers: Mapping[str, Mapping[str, str | None]],
) -> list[Difference]:
    """What differs from ``here``: versions by package, of the scheduler and of workers by address.

    >>> mine = dict.fromkeys(PACKAGES, "3.1.0")
    >>> [str(one) for one in differences(mine, mine, {"tcp://w:1": {**mine, "numpy": "3.2.0"}})]
    ['numpy 3.1.0 here, 3.2.0 on the worker tcp://w:1']
    """
    found = []
    for package, parts in PACKAGES.items():
        mine = _plain(here.get(package))
        there: dict[str, list[str]] = {}
        for address, versions in workers.items():
            there.setdefault(_plain(versions.get(package)), []).append(address)
        pairs = [(_plain(scheduler.get(package)), "the scheduler")]
        pairs += [(version, _named(who, len(workers))) for version, who in there.items()]
        for version, who in pairs:
            if version != mine:
                refused = version.split(".")[:parts] != mine.split(".")[:parts]
                found.append(Difference(package, mine, version, who, refused))
    return found


def refuse(found: list[Difference], address: str) -> None:
    """Raise VersionMismatch when one of the differences matters."""
    refused = [one for one in found if one.refused]
    if not refused:
        return
    pins = " ".join(
        f"{one.package}=={one.here}"
        for one in {one.package: one for one in refused}.values()
        if one.package != "python" and one.here != MISSING
    )
    python = next((f"Python {o.here}" for o in refused if o.package == "python"), "")
    needed = " and ".join(part for part in (python, pins and f"`pip install {pins}`") if part)
    raise VersionMismatch(
        f"The cluster runs other software than this process: {'; '.join(map(str, refused))}.",
        where=address,
        valid=f"There: {needed or 'the same packages as here'}, and start it again; or use its "
        "versions here (constraints.txt and cluster/Dockerfile pin all of them).",
    )


@functools.cache
def software() -> str:
    """What this process runs, as far as it has to be the same everywhere: a worker leaves it in
    each of its answers.

    >>> software().split(", ")[0].startswith("python 3.")
    True
    """
    import importlib.metadata
    import platform

    found = []
    for name, parts in PACKAGES.items():
        try:
            version = platform.python_version()
            version = version if name == "python" else importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            version = MISSING
        found.append(f"{name} {'.'.join(version.split('.')[:parts])}")
    return ", ".join(found)


def refuse_other(there: str) -> None:
    """Raise VersionMismatch when ``there``, the :func:`software` of who made an answer, is not that
    of this process: a worker that joined after the rest were looked at."""
    if there == software():
        return
    pairs = zip(software().split(", "), there.split(", ") if there else [], strict=False)
    told = [f"{mine} here, {other.rpartition(' ')[2]} there" for mine, other in pairs
            if mine != other]  # fmt: skip
    raise VersionMismatch(
        "A worker that joined the cluster runs other software than this process: "
        f"{'; '.join(told) or 'another release of dsm-dask'}.",
        valid="Start all workers from the same packages (constraints.txt and cluster/Dockerfile "
        "pin all of them) and run the same command again: finished partitions are not repeated.",
    )


MISSING = "missing"


def _plain(version: str | None) -> str:
    """Python's own version comes with its release level.

    >>> _plain("3.11.9.final.0"), _plain(None)
    ('3.11.9', 'missing')
    """
    return MISSING if version is None else version.split(".final")[0]


def _named(addresses: list[str], count: int) -> str:
    if len(addresses) == count:
        return "all workers" if count > 1 else f"the worker {addresses[0]}"
    more = f" and {len(addresses) - 2} more" if len(addresses) > 2 else ""
    return f"{', '.join(sorted(addresses)[:2])}{more}"
