"""Columns in files of their own: new ones of any type, of some fragments, replaced, taken away."""

import dataclasses

import lance
import pyarrow as pa
import pytest
from dsm_trials import Doubled, inline, objects, parquet, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from dsm_dask.dataset.column_commit import NewColumns, commit_columns
from dsm_dask.dataset.column_files import write_column_file
from dsm_dask.dataset.columns import add_columns
from dsm_dask.dataset.commit import Change
from dsm_dask.dataset.drop import drop
from dsm_dask.dataset.lance_fields import (
    greatest_id,
    leaves,
    with_columns,
    with_metadata,
    without_columns,
)
from dsm_dask.dataset.verify import verify
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import append, create
from dsm_dask.errors import CommitConflict, PartitionFailed

TYPES = {
    "flag": pa.bool_(),
    "text": pa.string(),
    "vector": pa.list_(pa.float32(), 3),
    "tags": pa.list_(pa.string()),
    "box": pa.struct(
        {"x": pa.int16(), "y": pa.list_(pa.struct({"z": pa.int8(), "w": pa.string()}))}
    ),
    "pairs": pa.map_(pa.string(), pa.int8()),
    "kind": pa.dictionary(pa.int32(), pa.string()),
    "at": pa.timestamp("us", "UTC"),
    "price": pa.decimal128(9, 2),
}  # fmt: skip


def ids(schema):
    """The ids of all fields of a Lance schema, and the names that lead to each."""

    def walk(field, path):
        yield field.id(), (*path, field.name())
        for child in field.children():
            yield from walk(child, (*path, field.name()))

    return dict(pair for top in schema.fields() for pair in walk(top, ()))


@settings(max_examples=25)
@given(st.permutations(sorted(TYPES)), st.integers(0, 9), st.integers(0, 300))
def test_law_of_fields(names, some, above):
    """Ids are never shared nor changed; what is inside a column follows it; types stay."""
    from lance.schema import LanceSchema

    first = pa.schema([pa.field(name, TYPES[name]) for name in names[:some]])
    rest = pa.schema([pa.field(name, TYPES[name]) for name in names[some:]])
    base = LanceSchema.from_pyarrow(pa.schema([("id", pa.int64()), *first]))
    above += greatest_id(base, [])
    made = with_columns(base, rest, above)
    assert made.to_pyarrow() == pa.schema([("id", pa.int64()), *first, *rest])
    assert ids(base).items() <= ids(made).items()
    assert len(ids(made)) == len(ids(LanceSchema.from_pyarrow(made.to_pyarrow())))
    assert all(number > above for number in ids(made).keys() - ids(base).keys())
    told = with_metadata(made, {name: {"k": name, "ü": "é" * 200} for name in names})
    again = with_metadata(told, {name: {"k": "new"} for name in names[:3]})
    assert ids(again) == ids(made)
    for place, name in enumerate(names):
        expected = {
            b"k": b"new" if place < 3 else name.encode(),
            "ü".encode(): ("é" * 200).encode(),
        }
        assert again.to_pyarrow().field(name).metadata == expected
    left = without_columns(again, first.names)
    assert left.to_pyarrow().names == ["id", *rest.names]
    assert ids(left).items() <= ids(again).items()
    assert set(leaves(left, rest.names)) <= ids(left).keys()


@dataclasses.dataclass(frozen=True)
class Made:
    """A column of some type, of which row ``a`` holds the same whatever the batches."""

    kind: pa.DataType
    columns = ("a",)

    @property
    def schema(self):
        return pa.schema({"made": self.kind})

    def apply(self, batch):
        values = [value(self.kind, a) for a in batch.column("a").to_pylist()]
        return pa.record_batch([pa.array(values, self.kind)], schema=self.schema)


def value(kind, a):
    """Something of a type, and now and then null."""
    if a % 5 == 3:
        return None
    if pa.types.is_struct(kind):
        return {field.name: value(field.type, a + 1) for field in kind}
    if pa.types.is_map(kind):
        return [(str(a), a % 100)]
    if pa.types.is_nested(kind):
        size = getattr(kind, "list_size", a % 4)
        return [value(kind.value_type, 5 * (a + i)) for i in range(size)]
    if pa.types.is_dictionary(kind):
        return f"k{a % 3}"
    if pa.types.is_decimal(kind) or pa.types.is_timestamp(kind):
        return (
            pa.scalar(a, pa.int64())
            .cast(pa.decimal128(19) if pa.types.is_decimal(kind) else kind)
            .as_py()
        )
    if pa.types.is_boolean(kind):
        return a % 2 == 0
    return f"text {a}" if pa.types.is_string(kind) else a % 100


@pytest.mark.parametrize("copy", [False, True], ids=["linked", "copied"])
@pytest.mark.parametrize("name", sorted(TYPES))
def test_new_columns_of_any_type(tmp_path, name, copy):
    for number in range(2):
        parquet(tmp_path / f"raw/{number}.parquet", {"a": range(number * 20, number * 20 + 20)})
    ds, kind = str(tmp_path / "ds"), TYPES[name]
    with inline() as engine:
        create(ds, str(tmp_path / "raw"), engine=engine, copy=copy)
        drop(ds, "a IN (0, 1, 7, 39) OR a BETWEEN 20 AND 25", engine=engine)
        add_columns(ds, Made(kind), engine=engine)
        parquet(tmp_path / "more.parquet", {"a": [100]})
        append(ds, str(tmp_path / "more.parquet"), engine=engine)
        drop(ds, "a = 8", engine=engine)
        found = open_dataset(ds)
        assert found.schema.field("made").type == kind
        for row in rows(found).values():
            assert row["made"] == (None if row["a"] == 100 else value(kind, row["a"]))
        assert verify(ds, engine=engine).ok
    # ... and a reader that knows nothing of dsm finds the column
    plain = lance.dataset(ds).to_table(columns=["made"])
    assert plain.num_rows == found.rows


@dataclasses.dataclass(frozen=True)
class _Write:
    """One fragment's column, for a commit by hand."""

    fragment: int
    numbers: tuple[int, ...]

    def __call__(self, partition):
        for fragment in partition.fragments:
            if fragment.id == self.fragment:
                schema = pa.schema({"n": pa.int64()})
                batch = pa.record_batch([pa.array(self.numbers, pa.int64())], schema=schema)
                name = f"by-hand-{self.numbers[0]}.lance"
                return write_column_file(partition, fragment, iter([batch]), schema, "data/", name)
        return None


@pytest.fixture
def linked(tmp_path, engine):
    for number in range(3):
        parquet(tmp_path / f"raw/{number}.parquet", {"a": [10 * number, 10 * number + 1]})
    create(str(tmp_path / "ds"), str(tmp_path / "raw"), engine=engine)
    return str(tmp_path / "ds")


def fill(ds, engine, fragment, numbers, **told):
    base = open_dataset(ds)
    made = engine.map_partitions(_Write(fragment, numbers), base.partitions())
    files = [file for file in made if file is not None]
    records = tuple(file.record for file in files)
    change = Change("fill", {"numbers": numbers}, f"{fragment}{numbers}", objects=records)
    return commit_columns(base, NewColumns(files, **told), change)


def numbers_of(ds):
    return open_dataset(ds).to_table(["n"])["n"].to_pylist()


def test_fragments_are_filled_one_by_one(linked, engine):
    new = pa.schema({"n": pa.int64()})
    fill(linked, engine, 1, (1, 2), added=new, metadata={"n": {"note": "first"}})
    assert numbers_of(linked) == [None, None, 1, 2, None, None]
    before = objects(linked)
    fill(linked, engine, 0, (3, 4))
    fill(linked, engine, 1, (5, 6), metadata={"n": {"more": "second"}})
    assert numbers_of(linked) == [3, 4, 5, 6, None, None]
    fill(linked, engine, 2, (7, 8), cleared={0: ("n",)})
    assert numbers_of(linked) == [None, None, 5, 6, 7, 8]
    told = open_dataset(linked).lance.schema.field("n").metadata
    assert told == {b"note": b"first", b"more": b"second"}
    kept = {u: t for u, t in objects(linked).items() if u in before}
    changed = {u for u in before if kept[u] != before[u]}
    assert all(uri.endswith("latest_version_hint.json") for uri in changed)
    assert verify(linked, engine=engine).ok


def test_another_type_needs_all_rows(linked, engine):
    fill(linked, engine, 0, (1, 2), added=pa.schema({"n": pa.int64()}))
    with pytest.raises(CommitConflict, match="not all rows"):
        fill(linked, engine, 0, (3, 4), added=pa.schema({"n": pa.int64()}), removed=("n",))
    assert numbers_of(linked) == [1, 2, None, None, None, None]


@pytest.mark.parametrize("numbers", [(1,), (1, 2, 3)])
@pytest.mark.parametrize("dropped", [False, True])
def test_the_wrong_number_of_rows_is_not_written(linked, engine, numbers, dropped):
    if dropped:
        parquet(f"{linked}/../four.parquet", {"a": [90, 91, 92]})
        append(linked, f"{linked}/../four.parquet", engine=engine)
        drop(linked, "a = 91", engine=engine)
    with pytest.raises(PartitionFailed, match="of 2"):
        fill(linked, engine, 3 if dropped else 0, numbers, added=pa.schema({"n": pa.int64()}))
    assert "n" not in open_dataset(linked).schema.names


def test_ids_of_columns_that_went_are_not_used_again(linked, engine):
    """Else a file of the old column would be read as the new one."""
    add_columns(linked, Doubled("n"), engine=engine)
    lance.dataset(linked).drop_columns(["n"])
    add_columns(linked, Doubled("other"), engine=engine)
    found = open_dataset(linked).to_table()
    assert found["other"].to_pylist() == [2 * a for a in found["a"].to_pylist()]
