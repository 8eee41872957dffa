"""What deduplication finds among real texts: the licences and notices of this machine's software.

Gathers the licence texts of installed packages (``/usr/share/common-licenses``, the ``copyright``
files of ``/usr/share/doc``, licences and notices of Python packages, and below every ``--root``),
looks for exact and near duplicates in them, and prints the ten largest clusters of each, and random
pairs on either side of the threshold for a person to read. Beside that every pair of different
texts is compared in plain Python (exact Jaccard similarity of the sets of shingles), which tells
the share of true pairs that were found and the pairs that should not have been.

    python benchmarks/real_text.py --root ~/envs --pairs 20
"""

from __future__ import annotations

import argparse
import itertools
import random
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dsm_dask.duplicates.dedup import dedup
from dsm_dask.duplicates.result import Deduplicated
from dsm_dask.engine import Engine
from dsm_dask.report.differences import differences
from dsm_dask.sources.parquet import open_parquet

SYSTEM = ("/usr/share/common-licenses", "/usr/share/doc")
NAMES = re.compile(r"(licen[cs]e|notice|copying|copyright|authors)[^/]*", re.IGNORECASE)
NO_TEXT = (".py", ".pyc", ".so", ".gz", ".html", ".json", ".rst.txt")
MOST = 200_000
"""Bytes of a file that counts as a text."""
SHINGLE = 5
CONTEXT = 160
"""Characters shown of a difference."""

Pairs = list[tuple[float, int, int]]


def gather(roots: Sequence[str]) -> dict[str, str]:
    """Texts by path, each path once, sorted."""
    found = {}
    for path in sorted({path for root in roots for path in _files(Path(root))}):
        data = path.read_bytes()
        if 0 < len(data) <= MOST and b"\0" not in data:
            found[str(path)] = data.decode("utf-8", "replace")
    return found


def _files(root: Path) -> Iterator[Path]:
    for path in root.rglob("*") if root.is_dir() else ():
        in_licenses = root.name == "common-licenses" or NAMES.fullmatch(path.name)
        if in_licenses and path.is_file() and not path.name.endswith(NO_TEXT):
            yield path.resolve()


def shingles(text: str) -> frozenset[int]:
    words = text.split()
    runs = range(max(1, len(words) - SHINGLE + 1))
    return frozenset(hash(tuple(words[i : i + SHINGLE])) for i in runs)


def true_pairs(texts: Sequence[str], least: float) -> Pairs:
    """Pairs of different texts that are at least so similar, by comparing all with all."""
    sets = [shingles(text) for text in texts]
    order = sorted(range(len(texts)), key=lambda i: len(sets[i]))
    found = []
    for place, i in enumerate(order):
        for j in itertools.islice(order, place + 1, None):
            if len(sets[i]) < least * len(sets[j]):
                break  # the others are larger still
            shared = len(sets[i] & sets[j])
            alike = shared / (len(sets[i]) + len(sets[j]) - shared)
            if alike >= least:
                found.append((alike, min(i, j), max(i, j)))
    return sorted(found)


def clusters_of(folder: str) -> dict[int, int]:
    """The kept row of each row in a cluster, that row included."""
    table = pq.read_table(folder, columns=["row_id", "cluster"])
    told = dict(zip(table["row_id"].to_pylist(), table["cluster"].to_pylist(), strict=True))
    return told | {kept: kept for kept in told.values()}


def report_clusters(found: Deduplicated, paths: Sequence[str]) -> None:
    print(f"\n{found.method}: {found.rows:,} texts, {found.duplicates:,} duplicates in "
          f"{found.clusters:,} clusters")  # fmt: skip
    for number, one in enumerate(found.largest[:10], 1):
        print(f"{number:3}. {one.size:5,} texts  {_brief(one.values['text'])}")
        print(f"            kept: {paths[one.survivor]}")


def _brief(text: str, most: int = 90) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def report_pairs(pairs: Pairs, texts: Sequence[str], paths: Sequence[str], joined: bool) -> None:
    print(f"\nPairs that {'are' if joined else 'are not'} duplicates:")
    for number, (alike, i, j) in enumerate(pairs, 1):
        print(f"{number:3}. {alike:.3f}  {paths[i]}\n            {paths[j]}")
        parts = [part for part in differences(texts[i], texts[j]) if part[0] != "same"]
        for kind in ("removed", "added"):
            words = " | ".join(_brief(part, 60) for what, part in parts if what == kind)
            print(f"       {'-' if kind == 'removed' else '+'} {_brief(words, CONTEXT)}")


def compare(texts: Sequence[str], told: dict[int, int], threshold: float) -> Pairs:
    """Print how what was found compares with all pairs; those within 0.1 of the threshold."""
    distinct = {text: row for row, text in reversed(list(enumerate(texts)))}
    rows = sorted(distinct.values())
    began = time.process_time()
    pairs = [
        (alike, rows[i], rows[j])
        for alike, i, j in true_pairs([texts[row] for row in rows], threshold - 0.1)
    ]
    above = [one for one in pairs if one[0] >= threshold]
    together = sum(told.get(i, -1) == told.get(j, -2) for _, i, j in above)
    print(f"\n{len(rows):,} different texts, {len(above):,} pairs of {threshold} or more by "
          f"comparing all ({time.process_time() - began:.0f} s): {together:,} of them share a "
          f"cluster ({together / max(1, len(above)):.4f})")  # fmt: skip
    connected = _connected(above, texts, rows)
    apart = {row: told.get(row, row) for row in rows}
    wrong = sum(connected[row] != connected.get(kept, kept) for row, kept in apart.items())
    print(f"Texts in a cluster that no chain of such pairs leads to: {wrong}")
    return [one for one in pairs if one[0] < threshold + 0.1]


def _connected(pairs: Pairs, texts: Sequence[str], rows: Sequence[int]) -> dict[int, int]:
    """The first row of each row's component, of copies of it too."""
    parent = {row: row for row in rows}

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = row = parent[parent[row]]
        return row

    for _, i, j in pairs:
        left, right = sorted((root(i), root(j)))
        parent[right] = left
    first = {texts[row]: row for row in rows}
    return {row: root(first[text]) for row, text in enumerate(texts)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--root", action="append", default=[], help="also look here; repeatable")
    parser.add_argument("--threshold", type=float, default=0.8)
    parser.add_argument("--pairs", type=int, default=20, help="pairs shown on either side")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    packages = [path for path in sys.path if path.endswith("-packages")]
    named = gather([*SYSTEM, *packages, *given.root])
    paths, texts = list(named), list(named.values())
    size = sum(map(len, texts))
    print(f"{len(texts):,} texts, {size / 1e6:.1f} million characters, median of words "
          f"{np.median([len(text.split()) for text in texts]):.0f}")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, Engine(workers=0) as engine:
        pq.write_table(pa.table({"text": texts}), f"{folder}/texts.parquet", row_group_size=500)
        table = open_parquet(f"{folder}/texts.parquet")
        for method, options in (("exact", {}), ("minhash", {"threshold": given.threshold})):
            began = time.process_time()
            found = dedup(
                table, ["text"], method, engine=engine, options=options,
                ends={"out": f"{folder}/{method}"},
            )  # fmt: skip
            report_clusters(found, paths)
            print(f"     {time.process_time() - began:.2f} s of processor time")
        told = clusters_of(f"{folder}/minhash")
    near = compare(texts, told, given.threshold)
    chosen = random.Random(given.seed)
    for joined in (True, False):
        side = [one for one in near if (one[0] >= given.threshold) is joined]
        some = sorted(chosen.sample(side, min(given.pairs, len(side))))
        report_pairs(some, texts, paths, joined)


if __name__ == "__main__":
    main()
