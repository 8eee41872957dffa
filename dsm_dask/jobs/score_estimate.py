"""What writing scores, and looking at them, moves: passes over the columns, and bytes a row.

Counts of passes follow from the methods, bytes a row were measured. Columns of scores are stored as
they are, so they often take more than what they are computed from.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

UNCERTAINTY, QUALITY, OUT_OF_FOLD, NEIGHBOURS = 25, 5, 20, 10
"""Bytes a row of the columns of each kind."""

CONSENSUS, ANNOTATOR = 15, 10
"""Bytes a row of the columns of annotators: for all, and for each."""

TRAINING = 11
"""Passes of learning probabilities out of fold."""

CELLS = 4
"""Times that vectors are written, and read again, to find neighbours."""

S = TypeVar("S", bound=Any)


def scored(scan: S, asked: Any, embedding_bytes: int) -> S:
    """Of a scan of the columns that ``asked`` (:class:`~dsm_dask.scores.scores.ScoreOptions`)
    names, what computing, writing and summing up the scores takes."""
    row, passes = 0, 1
    if asked.probs or asked.model or asked.out_of_fold:
        row += UNCERTAINTY
    if asked.label and row:
        row, passes = row + QUALITY, passes + 2
    if asked.out_of_fold:
        row, passes = row + OUT_OF_FOLD, passes + TRAINING
    if asked.annotators:
        row, passes = row + CONSENSUS + ANNOTATOR * len(asked.annotators), passes + 3
    if asked.embedding:
        row, passes = row + NEIGHBOURS, passes + 1
    written = row * scan.rows + CELLS * embedding_bytes
    return dataclasses.replace(
        scan,
        bytes_read=passes * scan.bytes_read + written,
        bytes_written=written,
        gets=(1 + passes) * scan.gets + (CELLS * scan.partitions if asked.embedding else 0),
        puts=5 + 4 * scan.partitions * (1 + bool(asked.embedding)),
        core_seconds=passes * scan.core_seconds,
    )


def looked_at(scan: S, has_scores: bool) -> S:
    """Ranking rows by their scores (of an earlier step, when the table has none yet), and fetching
    the first of them."""
    scores = 0 if has_scores else UNCERTAINTY * scan.rows
    return dataclasses.replace(
        scan, bytes_read=scan.bytes_read + scores, bytes_written=0, puts=3, gets=3 * scan.gets
    )
