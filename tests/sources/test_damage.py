"""Files that are damaged, lie, or change: an error that names the file, never other values."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dsm_dask import storage
from dsm_dask.errors import CorruptFile, NotFound, SourceChanged
from dsm_dask.sources.parquet import open_parquet
from dsm_dask.table import read_all

from .conftest import parquet_bytes

Write = Callable[..., str]

TABLE = pa.table(
    {
        "n": np.arange(5_000),
        "f": np.random.default_rng(0).random(5_000),
        "t": [f"some text {n} of some length" for n in range(5_000)],
    }
)
WHOLE = parquet_bytes(TABLE, compression="zstd", row_group_size=2_000, write_page_checksum=True)


def with_footer_length(length: int) -> bytes:
    return WHOLE[:-8] + length.to_bytes(4, "little", signed=True) + b"PAR1"


DAMAGED = {
    "empty": b"",
    "tiny": b"PAR1PAR1",
    "only magic": b"PAR1\0\0\0\0PAR1",
    "text": b"a,b,c\n1,2,3\n" * 100,
    "garbage": random.Random(1).randbytes(100_000),
    "garbage between magic": b"PAR1" + random.Random(1).randbytes(100_000) + b"PAR1",
    "truncated": WHOLE[: len(WHOLE) // 2],
    "one byte short": WHOLE[:-1],
    "no magic": WHOLE[:-4] + b"XXXX",
    "footer longer than the file": with_footer_length(len(WHOLE) + 10),
    "footer of the whole file": with_footer_length(len(WHOLE) - 8),
    "footer of no bytes": with_footer_length(0),
    "negative footer": with_footer_length(-20),
    "footer cut short": with_footer_length(100),
    "zeroed footer": WHOLE[:-500] + bytes(492) + WHOLE[-8:],
}


def test_what_is_no_parquet_file_is_named(place: str, write: Write) -> None:
    write("1.parquet", TABLE)
    bad = storage.join(place, "2.parquet")
    for damage, content in DAMAGED.items():
        storage.write(bad, content)
        try:
            open_parquet(place)
        except CorruptFile as error:
            named = bad in str(error) and "1.parquet" not in str(error)
        else:
            named = False
        assert named, damage


@pytest.mark.parametrize("column", ["n", "f", "t"])
def test_a_damaged_page_is_named(place: str, column: str) -> None:
    chunk = pq.read_metadata(pa.BufferReader(WHOLE)).row_group(1).column("nft".index(column))
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    middle = start + chunk.total_compressed_size // 2
    uri = storage.join(place, "a.parquet")
    storage.write(uri, WHOLE[:middle] + os.urandom(300) + WHOLE[middle + 300 :])
    table = open_parquet(uri)
    with pytest.raises(CorruptFile) as caught:
        list(read_all(table, [column]))
    assert uri in str(caught.value)
    assert "row group" in str(caught.value)
    others = [name for name in "nft" if name != column]
    rows = pa.Table.from_batches(list(read_all(table, others)))
    assert rows.equals(TABLE.select(others))


def test_a_file_cut_in_the_middle_with_its_footer_kept(place: str) -> None:
    """As if two uploads had been mixed: the chunks that the footer tells of are not all there."""
    uri = storage.join(place, "a.parquet")
    size = int.from_bytes(WHOLE[-8:-4], "little") + 8
    storage.write(uri, WHOLE[: len(WHOLE) // 2] + WHOLE[-size:])
    table = open_parquet(uri)
    with pytest.raises(CorruptFile) as caught:
        list(read_all(table))
    assert uri in str(caught.value)


def test_flipped_bits_give_an_error_and_never_other_values(tmp_path: Path) -> None:
    """Pages with checksums of Parquet's own are checked; footers have none, so they are spared."""
    chance = random.Random(7)
    footer = len(WHOLE) - int.from_bytes(WHOLE[-8:-4], "little") - 8
    path = tmp_path / "a.parquet"
    refused = 0
    for _ in range(100):
        content = bytearray(WHOLE)
        content[chance.randrange(4, footer)] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
        try:
            found = pa.Table.from_batches(list(read_all(open_parquet(str(path)))))
            assert found.equals(TABLE)  # the bit was of no consequence
        except CorruptFile as error:
            refused += str(path) in str(error) or pytest.fail(f"not named: {error}")
    assert refused > 90


def test_a_file_overwritten_after_opening(place: str, write: Write) -> None:
    uri = write("a.parquet", TABLE)
    table = open_parquet(place)
    reader = read_all(table, ["n"])
    write("a.parquet", TABLE.slice(1))
    with pytest.raises(SourceChanged) as caught:
        list(reader)
    assert uri in str(caught.value)
    assert open_parquet(place).rows == 4_999


def test_a_file_overwritten_while_it_is_read(place: str, write: Write) -> None:
    uri = write("a.parquet", TABLE, row_group_size=500)
    reader = read_all(open_parquet(place), ["n"])
    next(reader)
    write("a.parquet", TABLE.slice(1), row_group_size=500)
    with pytest.raises(SourceChanged) as caught:
        list(reader)
    assert uri in str(caught.value)


def test_a_file_deleted_after_opening(place: str, write: Write) -> None:
    uri = write("a.parquet", TABLE)
    table = open_parquet(place)
    storage.delete(uri)
    with pytest.raises(SourceChanged) as caught:
        list(read_all(table, ["n"]))
    assert uri in str(caught.value)


def test_a_file_replaced_between_listing_and_its_footer(place: str, write: Write) -> None:
    from dsm_dask.sources.parquet import find_files, open_files

    uri = write("a.parquet", TABLE)
    listed = find_files(place)
    write("a.parquet", TABLE.slice(1))
    with pytest.raises(SourceChanged) as caught:
        open_files(listed)
    assert uri in str(caught.value)


def test_nothing_there(place: str) -> None:
    for name in ("none.parquet", "*.parquet", "none/"):
        with pytest.raises(NotFound):
            open_parquet(storage.join(place, name))
