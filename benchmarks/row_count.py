"""The emptiest Fold that still reads: its columns are decoded, and only their rows counted."""

from __future__ import annotations

import dataclasses

import pyarrow as pa


@dataclasses.dataclass(frozen=True)
class RowCount:
    """How many rows there are, whatever the columns hold. The state is the number itself."""

    columns: tuple[str, ...]

    def init(self) -> int:
        return 0

    def update(self, state: int, batch: pa.RecordBatch) -> int:
        return state + int(batch.num_rows)

    def merge(self, left: int, right: int) -> int:
        return left + right

    def finish(self, state: int) -> int:
        return state
