"""States of partitions, kept beside the dataset: cache and checkpoint in one.

One object holds the states that one scan of one partition left, each named by the fingerprint of
its Fold. Asking for other columns later adds another object, so nothing is computed twice and
nothing is rewritten. Losing any of it loses only time.

Merged states of runs of partitions are kept alike. Runs are aligned: n partitions are cut into
runs as long as the powers of two that n is the sum of, longest first. So after an append the long
runs are those of before, and how states are merged depends on the partitions alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from dsm_dask import codec, storage
from dsm_dask.errors import AccessDenied, BadRows, CannotWrite, NotFound, StateVersion
from dsm_dask.fold import Fold, Product, fingerprint, update_all
from dsm_dask.table import ROW_ID, Partition

_SHORT, _FEW = 8, 8
"""Digits of a name in an object's, and so many names at most."""


@dataclasses.dataclass(frozen=True)
class StateStore:
    """A folder of states, by partition."""

    uri: str

    def load(self, partition: str, names: Iterable[str]) -> dict[str, Any]:
        """States by the fingerprint of their Fold, those of ``names`` and perhaps others;
        unreadable ones count as missing."""
        wanted = {_digest([name])[:_SHORT] for name in names}
        found: dict[str, Any] = {}
        for item in storage.listing(storage.join(self.uri, partition)):
            _, *held = storage.name(item.uri).removesuffix(".dsm").split("-")
            if held and not wanted.intersection(held):
                continue
            with contextlib.suppress(StateVersion, NotFound):
                states = codec.decode(_unpacked(storage.read(item.uri)))
                found.update(states if isinstance(states, dict) else {})
        return found

    def holds(self, partition: str, names: Iterable[str]) -> bool:
        """Is there one object with just these states?"""
        return storage.exists(self._place(partition, names))

    def save(self, partition: str, states: dict[str, Any]) -> None:
        place = self._place(partition, states)
        with contextlib.suppress(AccessDenied, CannotWrite):  # one may only read here
            storage.write(place, _packed(codec.encode(states)), durable=False)

    def _place(self, partition: str, names: Iterable[str]) -> str:
        """What an object is called tells, where they are few, which states it holds."""
        names = sorted(names)
        held = [_digest([name])[:_SHORT] for name in names] if len(names) <= _FEW else []
        return storage.join(self.uri, partition, "-".join([_digest(names), *held]) + ".dsm")


@dataclasses.dataclass(frozen=True)
class Kept:
    """Where the merged states of some partitions are kept: one name for each member of a scan."""

    store: StateStore
    run: str
    names: tuple[str, ...]

    def is_known(self) -> bool:
        """Can all states be loaded? Mostly told by a look for the one object that has them."""
        return self.store.holds(self.run, self.names) or self.load() is not None

    def load(self) -> tuple[Any, ...] | None:
        """The states, or None when not all of them are known."""
        known = self.store.load(self.run, self.names)
        if any(name not in known for name in self.names):
            return None
        return tuple(known[name] for name in self.names)

    def save(self, states: Sequence[Any]) -> None:
        self.store.save(self.run, dict(zip(self.names, states, strict=True)))


def keeping(store: StateStore, members: Sequence[Any], partitions: Sequence[Partition]) -> Kept:
    """Where the merged states of ``partitions`` are kept. A member without columns of its own (a
    fold over partitions) goes by what all others read."""
    every = tuple(dict.fromkeys(c for m in members for c in getattr(m, "columns", ())))
    read = [tuple(getattr(member, "columns", every)) for member in members]
    values = {
        columns: _digest(partition.values_fingerprint(columns) for partition in partitions)
        for columns in set(read)
    }
    names = [
        f"{fingerprint(m)}-{values[columns]}" for m, columns in zip(members, read, strict=True)
    ]
    return Kept(store, "merged-" + _digest(p.fingerprint for p in partitions), tuple(names))


def aligned(count: int) -> list[range]:
    """Runs of 2^k, largest first, that make up ``count``.

    >>> aligned(13)
    [range(0, 8), range(8, 12), range(12, 13)]
    """
    found, start = [], 0
    for power in reversed(range(count.bit_length())):
        if count >> power & 1:
            found.append(range(start, start + (1 << power)))
            start += 1 << power
    return found


def fold_partition(
    folds: tuple[Fold[Any, Any], ...], partition: Partition, cache: StateStore | None
) -> tuple[Any, ...]:
    """The state of each Fold over one partition, read only for those not known yet."""
    names = [f"{fingerprint(fold)}-{partition.values_fingerprint(fold.columns)}" for fold in folds]
    known = cache.load(partition.fingerprint, names) if cache is not None else {}
    missing = [(name, fold) for name, fold in zip(names, folds, strict=True) if name not in known]
    if missing:
        product = Product(tuple(fold for _, fold in missing))
        try:
            states = product.seal(update_all(product, _batches(product, partition)))
        except BadRows:
            _name_bad_rows(product, partition)
            raise
        fresh = {name: state for (name, _), state in zip(missing, states, strict=True)}
        if cache is not None:
            cache.save(partition.fingerprint, fresh)
        known.update(fresh)
    return tuple(known[name] for name in names)


def _batches(product: Product, partition: Partition) -> Iterator[pa.RecordBatch]:
    """Texts as they are stored, where no Fold minds and the partition can."""
    parts = (partition, *product.folds)
    if all(getattr(part, "takes_encoded", False) for part in parts):
        return partition.read(product.columns, encoded=True)  # type: ignore[call-arg]
    return partition.read(product.columns)


def _name_bad_rows(product: Product, partition: Partition) -> None:
    """Raise the error again, about rows with their ids: these are not read otherwise."""
    columns = [*dict.fromkeys([*product.columns, ROW_ID])]
    for batch in partition.read(columns):
        product.update(product.init(), batch)


_MAGIC = b"dsmz"


def _packed(data: bytes) -> bytes:
    size = len(data).to_bytes(8, "little")
    return _MAGIC + size + bytes(pa.compress(data, codec="zstd", asbytes=True))


def _unpacked(data: bytes) -> bytes:
    if data[:4] != _MAGIC or len(data) < 12:
        raise StateVersion("This is not a file of states of this version of dsm_dask.")
    size = int.from_bytes(data[4:12], "little")
    try:
        return bytes(pa.decompress(data[12:], size, codec="zstd", asbytes=True))
    except (OSError, MemoryError, OverflowError) as error:
        raise StateVersion(f"The states cannot be unpacked: {error}.") from error


def _digest(texts: Iterable[str]) -> str:
    return hashlib.blake2b("\n".join(texts).encode(), digest_size=16).hexdigest()
