"""The index of near duplicates: what it saves, and that it never tells other duplicates."""

import errno
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dsm_trials import objects, parquet
from near_corpus import corpus, cut, decided, pairs_of, run

from dsm_dask.dataset.drop import drop
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import append, create
from dsm_dask.duplicates import band_index, set_files
from dsm_dask.duplicates.near import dedup_near
from dsm_dask.errors import CannotWrite
from dsm_dask.sources.parquet import open_parquet
from dsm_dask.table import ROW_ID

pytestmark = pytest.mark.usefixtures("small_partitions")


def test_partitions_of_many_blocks(tmp_path, engine, monkeypatch):
    """Several band files a partition, several objects of sets, and homes in temporary files."""
    texts = [*corpus(250, seed=18), *["one page of a few words that some share"] * 30]
    _, want = run(tmp_path / "one", texts, engine)
    monkeypatch.setattr("dsm_dask.sources.parquet.PARTITION_BYTES", (1 << 20, 64 << 20))
    monkeypatch.setattr(band_index, "BLOCK", 50)
    monkeypatch.setattr(set_files, "FLUSH", 2000)
    monkeypatch.setattr(set_files, "IN_MEMORY", 100)
    table = pa.table({"text": texts, "n": range(280)})
    for index in range(2):
        part = table.slice(index * 140, 140)
        parquet(f"{tmp_path}/raw/{index}.parquet", part, row_group_size=20)
    create(f"{tmp_path}/ds", f"{tmp_path}/raw", engine=engine)
    data = open_dataset(f"{tmp_path}/ds")
    found = dedup_near(data, "text", engine=engine, out=f"{tmp_path}/out")
    assert decided(tmp_path / "out") == want
    assert found.index.files > len(data.partitions())
    drop(f"{tmp_path}/ds", "n >= 40 and n < 110", engine=engine)
    left = [i for i in range(280) if not 40 <= i < 110]
    _, want = run(tmp_path / "left", [texts[i] for i in left], engine)
    found = dedup_near(
        open_dataset(f"{tmp_path}/ds"), "text", engine=engine, out=f"{tmp_path}/out2"
    )
    assert (found.index.hashed, found.rows) == (0, 210)
    assert decided(tmp_path / "out2") == {
        left[row]: (left[kept], *rest) for row, (kept, *rest) in want.items()
    }


def test_no_room_for_a_temporary_file(tmp_path, engine, monkeypatch):
    """Is an error: without room, writing to the mapped file kills the process."""

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    raw = cut(tmp_path / "raw", corpus(60, seed=3), 1)
    monkeypatch.setattr(set_files, "IN_MEMORY", 100)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(CannotWrite, match="has no room"):
        dedup_near(open_parquet(raw), "text", engine=engine)


def test_an_older_version_does_not_replace_the_index(tmp_path, engine):
    """Rows that a file does not know are hashed into a file of their own."""
    texts = corpus(120, seed=19)
    ds = f"{tmp_path}/ds"
    create(ds, cut(tmp_path / "raw", texts, 1, n=pa.array(range(120))), engine=engine)
    drop(ds, "n < 30", engine=engine)
    dedup_near(open_dataset(ds), "text", engine=engine)
    (first,) = [uri for uri in objects(ds) if uri.endswith(".bands")]
    before = objects(ds)[first]
    whole = dedup_near(open_dataset(f"{ds}@1"), "text", engine=engine, out=f"{tmp_path}/out")
    assert (whole.rows, whole.index.hashed) == (120, 1)
    assert objects(ds)[first] == before
    assert decided(tmp_path / "out") == run(tmp_path / "plain", texts, engine)[1]
    for name in (ds, f"{ds}@1"):
        assert dedup_near(open_dataset(name), "text", engine=engine).index.hashed == 0


def test_against_another_dataset(tmp_path, engine):
    """Rows of the other table are never dropped, and what is found there is told apart."""
    texts, other = corpus(120, seed=10), corpus(120, seed=11)
    other[5], other[6] = texts[7], texts[7] + " and a tail"
    unlike = [f"row {i} " + "x " * i for i in range(5)]
    ds, against = str(tmp_path / "ds"), str(tmp_path / "other")
    create(ds, cut(tmp_path / "raw", texts, 3), engine=engine)
    create(against, cut(tmp_path / "others", other, 2), engine=engine)
    third = open_parquet(cut(tmp_path / "third", unlike, 1))
    tables = [open_dataset(against), third]
    found = dedup_near(
        open_dataset(ds), "text", engine=engine, against=tables, out=f"{tmp_path}/out"
    )
    listed = decided(tmp_path / "out")
    first, second = found.against
    truth = pairs_of([*texts, *other], 0.8)
    leaked = {a for a, b in truth if a < 120 <= b}
    assert leaked <= set(listed)
    assert first.against == open_dataset(against).name
    assert first.rows >= len(leaked) > 0
    assert first.other_rows >= 2
    assert (second.rows, second.clusters, second.other_rows) == (0, 0, 0)
    table = pq.read_table(f"{tmp_path}/out").to_pylist()
    told = {row["row_id"]: row for row in table}
    assert told[7]["role"] == "duplicate"
    assert told[7]["against"] == first.against
    assert told[7]["cluster"] == 5
    dedup_near(open_dataset(ds), "text", engine=engine, against=tables[:1], drop=True)
    left = open_dataset(ds).to_table([ROW_ID])[ROW_ID].to_pylist()
    assert not leaked & set(left)
    assert open_dataset(against).rows == 120
    index = [uri for uri in objects(against) if "_dsm/index" in uri and uri.endswith(".bands")]
    assert index
    reused = dedup_near(open_dataset(against), "text", engine=engine)
    assert reused.index.hashed == 0


def test_an_append_hashes_only_what_is_new(tmp_path, engine):
    texts = corpus(300, seed=12)
    ds = str(tmp_path / "ds")
    create(ds, cut(tmp_path / "raw", texts[:240], 4), engine=engine)
    first = dedup_near(open_dataset(ds), "text", engine=engine)
    append(ds, cut(tmp_path / "more", texts[240:], 1), engine=engine)
    found = dedup_near(open_dataset(ds), "text", engine=engine, out=f"{tmp_path}/out")
    assert found.index.files == first.index.files + 1
    assert found.index.hashed == 1
    again = dedup_near(open_dataset(ds), "text", engine=engine)
    assert (again.index.hashed, again.index.compared) == (0, 0)
    assert 0 < found.index.compared < first.index.compared
    assert (again.sizes, again.checked, again.accepted, again.similarities) == (
        found.sizes, found.checked, found.accepted, found.similarities,
    )  # fmt: skip
    scratch, want = run(tmp_path / "plain", texts, engine)
    assert decided(tmp_path / "out") == want
    assert (found.sizes, found.checked) == (scratch.sizes, scratch.checked)


def test_an_index_outlives_dropped_rows(tmp_path, engine):
    """Rows that are gone take no part, and their partitions are not hashed again."""
    texts = [*corpus(200, seed=13), *["a page that some rows share, word by word"] * 6]
    ds = str(tmp_path / "ds")
    create(ds, cut(tmp_path / "raw", texts, 2, n=pa.array(range(206))), engine=engine)
    dedup_near(open_dataset(ds), "text", engine=engine)
    drop(ds, "n < 20 or n >= 70 and n < 140 or n = 200", engine=engine)
    left = [i for i in range(206) if 20 <= i < 70 or 140 <= i != 200]
    found = dedup_near(open_dataset(ds), "text", engine=engine, out=f"{tmp_path}/out")
    assert (found.rows, found.index.hashed) == (len(left), 0)
    scratch, want = run(tmp_path / "plain", [texts[i] for i in left], engine)
    names = {left[row]: (left[kept], *rest) for row, (kept, *rest) in want.items()}
    assert decided(tmp_path / "out") == names
    assert found.sizes == scratch.sizes
