"""States of partitions, kept beside the dataset: cache and checkpoint in one.

One object holds the states that one scan of one partition left, each named by the fingerprint of
its Fold. Asking for other columns later adds another object, so nothing is computed twice and
nothing is rewritten. Losing any of it loses only time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from typing import Any

from dsm_dask import codec, storage
from dsm_dask.errors import AccessDenied, CannotWrite, NotFound, StateVersion
from dsm_dask.fold import Fold, Product, fingerprint, update_all
from dsm_dask.table import Partition


@dataclasses.dataclass(frozen=True)
class StateStore:
    """A folder of states, by partition."""

    uri: str

    def load(self, partition: str) -> dict[str, Any]:
        """States by the fingerprint of their Fold; unreadable ones count as missing."""
        found: dict[str, Any] = {}
        for item in storage.listing(storage.join(self.uri, partition)):
            with contextlib.suppress(StateVersion, NotFound):
                found.update(codec.decode(storage.read(item.uri)))
        return found

    def save(self, partition: str, states: dict[str, Any]) -> None:
        name = hashlib.blake2b("".join(sorted(states)).encode(), digest_size=16).hexdigest()
        storage.write(storage.join(self.uri, partition, name + ".dsm"), codec.encode(states))


def fold_partition(
    folds: tuple[Fold[Any, Any], ...], partition: Partition, cache: StateStore | None
) -> tuple[Any, ...]:
    """The state of each Fold over one partition, read only for those not known yet."""
    names = [f"{fingerprint(fold)}-{partition.values_fingerprint(fold.columns)}" for fold in folds]
    known = cache.load(partition.fingerprint) if cache is not None else {}
    missing = [(name, fold) for name, fold in zip(names, folds, strict=True) if name not in known]
    if missing:
        product = Product(tuple(fold for _, fold in missing))
        states = update_all(product, partition.read(product.columns))
        fresh = {name: state for (name, _), state in zip(missing, states, strict=True)}
        if cache is not None:
            with contextlib.suppress(AccessDenied, CannotWrite):  # one may only read here
                cache.save(partition.fingerprint, fresh)
        known.update(fresh)
    return tuple(known[name] for name in names)
