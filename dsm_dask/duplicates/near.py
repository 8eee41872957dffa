"""Near duplicates of texts: MinHash, exact verification, clusters.

1. Each partition leaves a band file (:mod:`dsm_dask.duplicates.band_index`); a dataset keeps them,
   so only partitions that are new are hashed.
2. Rows that share a band key are candidates (:mod:`dsm_dask.duplicates.candidates`).
3. Candidates are compared by the exact Jaccard similarity of their shingles, unless that is turned
   off (:mod:`dsm_dask.duplicates.verify`).
4. What is connected is a cluster; one row of it stays (:mod:`dsm_dask.duplicates.clusters`).

Clusters and survivors are the same however the table is cut, and whatever is retried.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import uuid
from collections.abc import Sequence
from typing import Any

from dsm_dask import storage
from dsm_dask.dataset.version import Dataset, open_for_writing
from dsm_dask.duplicates.band_index import BandFile, Counts, WriteBands
from dsm_dask.duplicates.candidates import RANGE, candidates
from dsm_dask.duplicates.clusters import LARGEST, Clusters, Rule, decide, name_of
from dsm_dask.duplicates.components import LIMIT, PIECE
from dsm_dask.duplicates.conclude import COLUMNS, done_before, drop_listed, write_columns
from dsm_dask.duplicates.decisions import ChooseListed
from dsm_dask.duplicates.edges import MOST_TABLES
from dsm_dask.duplicates.indexes import describe, index_name
from dsm_dask.duplicates.largest import described
from dsm_dask.duplicates.minhash import MinHash
from dsm_dask.duplicates.places import Places, check_places, decisions_folder, places
from dsm_dask.duplicates.result import Deduplicated, IndexUse
from dsm_dask.duplicates.settled import Settled
from dsm_dask.duplicates.shingles import check_text
from dsm_dask.duplicates.verify import HOME, Verified, verify
from dsm_dask.engine import Engine
from dsm_dask.errors import SchemaError, UsageError
from dsm_dask.table import Table, check_columns

UNSPACED_SHARE = 0.1


@dataclasses.dataclass(frozen=True)
class Near:
    """What near duplicates are, and which row of a cluster stays."""

    minhash: MinHash = dataclasses.field(default_factory=MinHash)
    threshold: float = 0.8
    """Least Jaccard similarity of a pair; what verification holds candidates to."""
    verify: bool = True
    rule: Rule = dataclasses.field(default_factory=Rule)

    def to_dict(self) -> dict[str, Any]:
        """As in JSON, and in the lineage of a commit."""
        return {
            "threshold": self.threshold,
            **self.minhash.to_dict(),
            "verify": self.verify,
            "keep": self.rule.keep,
            "prefer": self.rule.prefer,
        }


@dataclasses.dataclass(frozen=True)
class Bounds:
    """What one task holds at most, about; results do not depend on it."""

    keys: int = RANGE
    """Band keys."""
    edges: int = LIMIT
    """Different edges; when there are more, components are found by rounds."""
    home: int = HOME
    """Rows whose shingles are compared."""
    piece: int = PIECE
    """Rows of clusters that are decided on."""


def dedup_near(
    table: Table,
    on: str,
    near: Near | None = None,
    *,
    engine: Engine,
    against: Sequence[Table] = (),
    drop: bool = False,
    columns: bool = False,
    out: str | None = None,
    scratch: str | None = None,
    message: str = "",
    dry_run: bool = False,
    largest: int = LARGEST,
    cut: int | None = None,
    bounds: Bounds | None = None,
) -> Deduplicated:
    """Find rows of ``table`` of which the texts in column ``on`` are nearly the same.

    ``against`` are other tables with a column of that name: rows of ``table`` that resemble one of
    theirs are duplicates, theirs are never dropped. ``drop`` commits a version without the
    duplicates, ``columns`` one with :data:`dsm_dask.duplicates.conclude.COLUMNS` next to the data
    (datasets only). ``out`` keeps a table of decisions as Parquet files in that folder. ``largest``
    clusters are described, with ``cut`` characters of each text when that is given. Plain files
    need a place for the shuffle: ``scratch``, else beside ``out``, else a temporary folder when all
    workers are on this machine.
    """
    near = near or Near()
    near = dataclasses.replace(near, rule=dataclasses.replace(near.rule, column=on))
    _check(table, on, near, against, drop, columns, out)
    if (drop or columns) and isinstance(table, Dataset):
        table = open_for_writing(table)
    spec = {
        "on": [on], "method": "minhash", **near.to_dict(),
        "against": [name_of(other) for other in against],
    }  # fmt: skip
    if drop and isinstance(table, Dataset):
        done = done_before(table, spec, (on,), "minhash", engine)
        if done is not None:
            return done
    run = uuid.uuid4().hex
    with places(table, out, scratch, engine, run, dry_run) as place:
        job = _Run((table, *against), on, near, place, run, engine, bounds or Bounds())
        decisions = None if dry_run else decisions_folder(out, drop or columns, place.run)
        found, clusters = job.found(decisions, largest, cut)
        found = dataclasses.replace(found, out=decisions if out is not None else None)
        if not isinstance(table, Dataset):
            return found
        found = dataclasses.replace(
            found, dataset=table.uri, version=table.version if drop or columns else None
        )
        if decisions is None:
            return found
        if drop and found.duplicates:
            chosen = ChooseListed(decisions, run)
            return drop_listed(table, found, chosen, clusters.records, spec, message, engine)
        if columns and found.rows:
            return write_columns(
                table, found, decisions, run, {**spec, "columns": True}, message, engine
            )
        return found


def _check(
    table: Table, on: str, near: Near, against: Sequence[Table], drop: bool, columns: bool,
    out: str | None,
) -> None:  # fmt: skip
    for one in (table, *against):
        check_columns(one, [on])
        check_text(one, on)
    near.rule.check(table)
    if not 0 < near.threshold <= 1:
        raise UsageError(
            f"A threshold of {near.threshold} is no similarity.", valid="Above 0, up to 1."
        )
    if len(against) > MOST_TABLES:
        raise UsageError(f"{len(against)} tables to hold against are too many.", valid="Up to 255.")
    if drop and columns:
        raise UsageError(
            "Rows that are dropped have no columns.", valid="Give --drop or --columns."
        )
    check_places(table, writes=drop or columns, out=out)
    for name in COLUMNS.names if columns else ():
        if name in table.schema.names:
            raise SchemaError(
                f"{table.uri} has a column {name!r} already.",
                where=table.uri,
                valid="An earlier `dsm dedup --columns` may have written it: start from a version "
                "before that, or use --out.",
            )


@dataclasses.dataclass(frozen=True)
class _Run:
    """One run: tables (the data first), what is looked for, and where things go."""

    tables: tuple[Table, ...]
    on: str
    near: Near
    place: Places
    run: str
    engine: Engine
    bounds: Bounds

    def found(
        self, decisions: str | None, largest: int, cut: int | None
    ) -> tuple[Deduplicated, Clusters]:
        files = [self._hashed(table) for table in self.tables]
        listed = list(itertools.chain(*files))
        near, work, bounds = self.near, self.place.work, self.bounds
        pairs = candidates(files, work, engine=self.engine, keys=bounds.keys)
        verified = Verified(pairs.edges)
        if near.verify:
            verified = verify(
                pairs.edges, self.tables, self.on, near.minhash.shingles, near.minhash.normalise,
                near.threshold, storage.join(work, "verify"), engine=self.engine,
                home=bounds.home, limit=bounds.edges, settled=self._settled(files),
            )  # fmt: skip
        clusters = decide(
            [*verified.edges, *pairs.copies], self.tables, rule=near.rule, reason="minhash",
            engine=self.engine, folder=storage.join(work, "clusters"), run=self.run,
            decisions=decisions, largest=largest, limit=bounds.edges, piece=bounds.piece,
        )  # fmt: skip
        made = [file for file in listed if file.made]
        found = Deduplicated(
            rows=sum(file.rows for file in files[0]),
            clusters=clusters.clusters,
            duplicates=clusters.duplicates,
            on=(self.on,),
            method="minhash",
            largest=described(clusters.largest, self.tables, (self.on,), self.engine, cut),
            key_bytes=sum(file.size for file in files[0]),
            parameters=near.to_dict(),
            sizes=clusters.sizes,
            similarities=clusters.similarities,
            against=clusters.against,
            checked=verified.checked if near.verify else None,
            accepted=verified.accepted if near.verify else None,
            index=IndexUse(
                len(listed), len(made), sum(file.size for file in listed), verified.compared
            ),
            notes=self._notes(files[0]),
        )
        return found, clusters

    def _settled(self, files: Sequence[Sequence[BandFile]]) -> Settled | None:
        """Where verified groups are kept: beside a dataset, by threshold and other tables."""
        if not isinstance(self.tables[0], Dataset):
            return None
        others = [table.uri for table in self.tables[1:]]
        about = repr((1, self.near.threshold, others)).encode()
        name = f"verified-{hashlib.blake2b(about, digest_size=6).hexdigest()}"
        index = index_name(self.near.minhash, self.on)
        return Settled(
            storage.join(self.place.kept, "index", index, name),
            self.run,
            tuple(
                f"{number}:{storage.name(file.uri)}"
                for number, some in enumerate(files)
                for file in some
            ),
        )

    def _hashed(self, table: Table) -> list[BandFile]:
        """The band files of a table: its own, kept beside it, where it is a dataset."""
        name = index_name(self.near.minhash, self.on)
        here = storage.join(self.place.kept, "index", name)
        folders: tuple[str, ...] = (here,)
        if table is not self.tables[0] and isinstance(table, Dataset):
            folders = (storage.join(table.uri, "_dsm", "index", name), here)
        if len(folders) == 1 and isinstance(table, Dataset):
            describe(here, {"method": "minhash", "on": self.on, **self.near.minhash.to_dict()})
        worker = WriteBands(self.on, self.near.minhash, folders, self.place.work)
        found = self.engine.map_partitions(worker, table.partitions(), label="Hashing")
        return [file for files in found for file in files]

    def _notes(self, files: Sequence[BandFile]) -> tuple[str, ...]:
        counts = sum((file.counts for file in files), Counts())
        minhash, found = self.near.minhash, []
        texts = sum(file.rows for file in files) - counts.empty - counts.nulls
        none = counts.empty + counts.nulls
        if none and not minhash.match_empty:
            found.append(
                f"{none:,} texts are empty or null: they are duplicates of nothing "
                "(--match-empty makes them duplicates of each other)."
            )
        if counts.short:
            found.append(
                f"{counts.short:,} texts are shorter than a shingle ({minhash.shingles}): they "
                "match only texts that are the same."
            )
        if counts.unspaced > UNSPACED_SHARE * texts:
            found.append(
                f"{counts.unspaced:,} of {texts:,} texts have next to no spaces, as in Chinese, "
                "Japanese or Thai: word shingles see few and long words there. Use --shingle "
                "char:8 or so."
            )
        return tuple(found)
