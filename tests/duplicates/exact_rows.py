"""Rows with exact duplicates, and what DuckDB makes of them."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from dsm_trials import parquet, sql


def cut(folder, table: pa.Table, files: int, group: int = 1000) -> str:
    """The same rows over this many files."""
    edges = np.linspace(0, table.num_rows, files + 1).astype(int)
    for index in range(files):
        piece = table.slice(edges[index], edges[index + 1] - edges[index])
        parquet(f"{folder}/{index:03}.parquet", piece, row_group_size=group)
    return str(folder)


def survivors(dataset) -> list[int]:
    return dataset.to_table(["_rowid"])["_rowid"].to_pylist()


def by_duckdb(table: pa.Table, on: list[str]) -> list[int]:
    """Grouping NULL with NULL and NaN with NaN, as SQL does, and -0.0 with 0.0."""
    numbered = table.append_column("rid", pa.array(np.arange(table.num_rows)))
    names = ", ".join(f'"{name}"' for name in on)
    return sorted(row[0] for row in sql(f"select min(rid) from t group by {names}", t=numbered))


def sample(rows: int, seed: int = 1) -> pa.Table:
    random = np.random.default_rng(seed)

    def some(values: list) -> list:
        return [values[i] for i in random.integers(0, len(values), rows)]

    return pa.table(
        {
            "n": pa.array(some([None, 0, 1, -1, 2**62]), pa.int64()),
            "u": pa.array(some([None, 0, 1, 2**64 - 1]), pa.uint64()),
            "f": pa.array(
                some([None, 0.0, -0.0, math.nan, -math.nan, math.inf, 1.5]), pa.float64()
            ),
            "s": pa.array(some([None, "", "a", "A", "naïve", "a\x00b"]), pa.string()),
            "kind": pa.array(some([None, "red", "blue"])).dictionary_encode(),
            "items": pa.array(
                some([None, [], [1], [1, None], [None], [1, 2]]), pa.list_(pa.int32())
            ),
            "deep": pa.array(
                some([None, {"x": 1, "y": None}, {"x": 1, "y": "a"}, {"x": None, "y": None}]),
                pa.struct({"x": pa.int64(), "y": pa.string()}),
            ),
            "t": pa.array(some([None, 0, 1]), pa.timestamp("us", "UTC")),
            "b": pa.array(some([None, True, False]), pa.bool_()),
            "none": pa.nulls(rows),
            "key": random.integers(0, rows // 2, rows),
        }
    )


def decisions(folder) -> dict[int, int]:
    """Row id of each duplicate: row id of what it repeats. Every one once."""
    if not Path(folder).exists():
        return {}
    table = pq.read_table(folder)
    if table.num_rows:
        assert set(table["role"].to_pylist()) == {"duplicate"}
        assert set(table["reason"].to_pylist()) == {"exact"}
        assert set(table["similarity"].to_pylist()) == {1.0}
    found = dict(zip(table["row_id"].to_pylist(), table["cluster"].to_pylist(), strict=True))
    assert len(found) == table.num_rows
    return found


@dataclasses.dataclass(frozen=True, eq=False)
class Given:
    """A partition of these values, with these row ids."""

    x: np.ndarray
    ids: np.ndarray
    size = 1 << 20
    label = "given"

    @property
    def rows(self) -> int:
        return len(self.x)

    @property
    def fingerprint(self) -> str:
        return repr((self.x.tolist(), self.ids.tolist()))

    def values_fingerprint(self, columns) -> str:
        return ""

    def read(self, columns):
        arrays = {"x": pa.array(self.x), "_rowid": pa.array(self.ids, pa.uint64())}
        yield pa.record_batch([arrays[name] for name in columns], names=list(columns))


@dataclasses.dataclass(frozen=True, eq=False)
class GivenTable:
    parts: tuple[Given, ...]
    uri = "given"
    schema = pa.schema({"x": pa.int64()})

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    def partitions(self):
        return self.parts
