"""What finding duplicates moves, by method: what is written between the steps, and read again.

Objects and requests follow from the code, bytes of a record from the layouts of the files. How many
values are different, and how many rows are candidates, is in no footer: that is a guess.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from dsm_dask.duplicates.buckets import bucket_bits

FIRST_KEY, OTHER_KEY = 28, 12
"""Bytes that exact deduplication writes of a row: of the first of its value in a partition, which
the grouping reads, and of one that repeats it, which only a drop reads."""

FEW_BITS = 6
"""Columns that are stored in fewer bits a row than this hold few different values."""

BANDS = 21
BAND = 196
"""Bytes of the band file of near duplicates, a row."""

CANDIDATES = 0.25
"""Share of the rows that are compared with others: a guess. Of texts that are all different it is
nothing, of a crawl of the web it may be most."""

PAIRED = 280
"""Bytes of pairs, components and groups, for each row that is compared."""

SHINGLES = 4
"""Bytes of the shingles of a text, for each byte that it takes in a Parquet file."""

RANGE = 3_000_000
"""Keys of near duplicates that one task groups; each reads its part of every file of keys."""

HOME = 1 << 15
"""Rows that one task compares; each reads its part of every file of shingles."""

VECTOR = 32
"""Bytes that are kept of a vector besides its components."""

GUESTS = 4
"""Times that a vector is a guest in another cell."""

HASH = 80
"""Bytes of the hash of an image, a row: kept, and passed on to those that compare it."""

S = TypeVar("S", bound=Any)


def deduplicated(scan: S, args: Any, memory: int) -> S:
    """Of a scan of the columns that a ``dedup`` step compares, what all of the step takes; near
    duplicates take ``memory`` more."""
    if args.method == "exact":
        return _exact(scan, bool(args.on), bool(args.drop or args.columns or args.out))
    found = {"minhash": _near, "semantic": _semantic}.get(args.method, _images)(scan, args)
    return dataclasses.replace(found, worker_memory=scan.worker_memory + memory)


def _exact(scan: S, columns: bool, decides: bool) -> S:
    rows, partitions = scan.rows, scan.partitions
    bits = 8 * scan.bytes_to_read / max(1, rows)
    different = rows if bits > FEW_BITS else min(rows, int(2**bits) * partitions)
    if not columns:
        rows = different = 0
    firsts, others = FIRST_KEY * different, OTHER_KEY * (rows - different)
    buckets = 2 ** bucket_bits(rows)
    gets = 10 + 4 * partitions + buckets + 2 * buckets * partitions
    puts = 2 + partitions
    if decides:
        gets += buckets * partitions + 3 * partitions
        puts += buckets + partitions + 4
    return dataclasses.replace(
        scan,
        bytes_read=scan.bytes_read + firsts + (others if decides else 0),
        bytes_written=firsts + others,
        gets=gets,
        puts=puts,
    )


def _near(scan: S, args: Any) -> S:
    candidates = int(CANDIDATES * scan.rows)
    compared = int(CANDIDATES * SHINGLES * scan.bytes_to_read) + PAIRED * candidates
    written = BAND * scan.rows + compared
    ranges = max(2, -(-scan.rows * BANDS // RANGE))
    homes = max(1, -(-candidates // HOME))
    return dataclasses.replace(
        scan,
        bytes_read=2 * scan.bytes_read + written,  # hashing; candidates once more
        bytes_written=written,
        gets=15 + (6 + 2 * ranges + 2 * homes) * scan.partitions + 3 * homes,
        puts=5 + 2 * ranges + 2 * homes + 2 * scan.partitions,
        core_seconds=2 * scan.core_seconds,
    )


def _semantic(scan: S, args: Any) -> S:
    from dsm_dask.duplicates.kmeans import cells_for

    vectors = VECTOR * scan.rows
    if args.options.get("embed"):
        from dsm_dask.duplicates.embeddings import DIMENSION

        vectors += 4 * scan.rows * (args.options.get("dimension") or DIMENSION)
    else:
        vectors += scan.bytes_to_read
    spread, tasks = (1 + GUESTS, 8) if cells_for(scan.rows) > 1 else (1, 1)
    return dataclasses.replace(
        scan,
        bytes_read=scan.bytes_read + 14 * spread * vectors // 10,  # some for several tasks
        bytes_written=spread * vectors,
        gets=10 + (4 + 5 * tasks) * scan.partitions,
        puts=5 + 3 * scan.partitions + tasks,
        core_seconds=2 * scan.core_seconds,
    )


def _images(scan: S, args: Any) -> S:
    return dataclasses.replace(
        scan,
        bytes_read=scan.bytes_read + HASH * scan.rows,
        bytes_written=HASH * scan.rows,
        gets=15 + 8 * scan.partitions,
        puts=5 + 3 * scan.partitions,
    )
