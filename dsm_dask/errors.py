"""Errors a person can act on: one small class per condition, each with a stable code.

Every error says *what* is wrong, *where* (a URI, a column, a YAML path), and what would be
*valid*; the class docstring is what ``dsm explain CODE`` prints.

Exit codes: 1 findings, 2 usage or input, 3 partly done and resumable, 4 lost a race.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar


class DsmError(Exception):
    """Something that dsm_dask refused or could not do."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 2

    def __init__(self, what: str, *, where: str | None = None, valid: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.valid = valid

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where and self.where not in self.what else ""
        hint = f" {self.valid}" if self.valid else ""
        return f"{place}{self.what}{hint}"

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross process boundaries: keyword-only arguments need help to be pickled.
        return _rebuild, (type(self), self.what, self.where, self.valid)

    def to_dict(self) -> dict[str, str | None]:
        return {"code": self.code, "what": self.what, "where": self.where, "valid": self.valid}


def _rebuild(kind: type[DsmError], what: str, where: str | None, valid: str | None) -> DsmError:
    return kind(what, where=where, valid=valid)


class UsageError(DsmError):
    """The command line or the call does not make sense: an option is missing, unknown, or has a
    value that cannot be used. ``dsm VERB --help`` lists the options of a verb."""

    code = "usage"


class NotFound(DsmError):
    """No such bucket, folder, file or dataset; or a glob that matches no file.

    Check the spelling of the URI, the bucket, and that your credentials may list it
    (``aws s3 ls URI`` with the same environment is a quick test)."""

    code = "not-found"


class AccessDenied(DsmError):
    """The store refused the credentials.

    dsm never stores keys: each process takes them from its own environment
    (``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_PROFILE``, or the role of the
    machine). On a cluster, the *workers* need them too."""

    code = "access-denied"


class StoreUnreachable(DsmError):
    """The object store did not answer, or kept failing until the retry budget was spent.

    Nothing was committed. Check ``AWS_ENDPOINT_URL`` (for stores other than AWS) and the network,
    then run the same command again: finished work is kept. ``DSM_RETRY_SECONDS`` sets how long
    one operation keeps trying."""

    code = "store-unreachable"
    exit_code = 3


class CannotWrite(DsmError):
    """A file could not be written: no such folder, no permission, or no space left.

    Nothing is half written; mend the cause and run the same command again."""

    code = "cannot-write"


class InternalError(DsmError):
    """Something went wrong that dsm did not foresee: most likely a bug.

    Nothing is half committed. Run with ``--debug`` for the traceback, and report it with that."""

    code = "internal"


class CorruptFile(DsmError):
    """A source file is truncated, damaged, or not of the format its name says.

    The file is named in the message. Replace it, or leave it out of the glob."""

    code = "corrupt-file"


class SchemaError(DsmError):
    """The files of one table disagree about a column in a way that cannot be resolved without
    guessing, or a column has a type that the operation does not take.

    Allowed: a column missing in some files (reads as null), integers of different widths (the
    widest is used), a column that is all null in one file. Anything else must be settled at the
    source, or by linking the files as two datasets."""

    code = "schema"


class UnknownColumn(DsmError):
    """A column was asked for that the table does not have. The message suggests the nearest."""

    code = "unknown-column"


class InvalidExpression(DsmError):
    """A ``--where`` expression does not parse, or compares things that cannot be compared.

    It is the WHERE clause of SQL over the dataset's columns: ``rating < 3 AND lang IN ('en',
    'de')``, ``text IS NULL``, ``name LIKE 'test%'``, ``NOT is_test``, arithmetic, and the
    functions ``length``, ``lower``, ``upper``, ``abs``. Rows for which it is NULL are not
    chosen."""

    code = "invalid-expression"


class NotADataset(DsmError):
    """The path holds no dsm dataset. ``dsm create DATASET SOURCE...`` makes one."""

    code = "not-a-dataset"


class DatasetExists(DsmError):
    """There is a dataset at this path already; ``create`` never overwrites one.

    Add rows with ``dsm append``, or create under another name."""

    code = "dataset-exists"


class UnknownVersion(DsmError):
    """The dataset has no such version, tag or branch. ``dsm log DATASET`` lists them."""

    code = "unknown-version"


class RefExists(DsmError):
    """A tag or branch of this name exists already, at another version.

    Choose another name, or move a tag on purpose with ``dsm tag --force``."""

    code = "ref-exists"


class InvalidName(DsmError):
    """A tag or branch name that cannot be used: names are letters, digits, ``-``, ``_`` and
    ``.``, start with a letter or digit, and are not plain numbers."""

    code = "invalid-name"


class SourceChanged(DsmError):
    """A linked source file is gone, or is no longer the file that was linked (its size or ETag
    differs), so the rows of this dataset cannot be read as they were.

    ``dsm verify DATASET`` lists all such files. Put the old file back (object versioning helps),
    or create a new dataset over the new files."""

    code = "source-changed"


class PartitionFailed(DsmError):
    """One partition of the data could not be processed; the message names the file, the row
    groups and the cause. Nothing was committed.

    Mend the file and run again (finished partitions are not repeated), or pass
    ``--on-error skip`` to go on without it; what was skipped is counted and listed."""

    code = "partition-failed"
    exit_code = 3


class BadRows(DsmError):
    """Some rows hold values that the operation cannot take: probabilities that do not sum to one, a
    label that is none of the classes. The message names the column, the first of these rows, and
    what would be valid. Nothing was committed.

    Mend the rows, or drop them (``dsm drop DATASET --where ...``), and run again."""

    code = "bad-rows"


class CommitConflict(DsmError):
    """Another writer committed a conflicting change first; nothing of yours was written.

    Run the command again: it starts from the new version."""

    code = "commit-conflict"
    exit_code = 4


class JobSpecError(DsmError):
    """A job file is not valid. The message gives the path of the key inside the YAML.

    ``docs/job.schema.json`` is the schema; editors that know JSON Schema check it as you type."""

    code = "job-spec"


class SchemaFileError(DsmError):
    """A schema file, as ``dsm check --against`` takes it, is not valid. The message gives the path
    and the line of the key inside the YAML.

    ``dsm check DATA --infer FILE.yaml`` writes one to start from; the keys are explained at its
    beginning."""

    code = "schema-file"


class StateVersion(DsmError):
    """A stored state was written by a version of dsm_dask whose format this one does not read.

    Caches are recomputed by themselves; a saved profile must be made again."""

    code = "state-version"


class NewerDataset(DsmError):
    """A dataset has a format that only later releases of dsm_dask read.

    Nothing was read or changed. Install the release that wrote it."""

    code = "newer-dataset"


class MissingExtra(DsmError):
    """An optional package is needed for this. The message gives the ``pip install`` line."""

    code = "missing-extra"


class ClusterError(DsmError):
    """The Dask cluster could not be reached or went away. Nothing was committed; run the same
    command again to go on from where it stopped."""

    code = "cluster"
    exit_code = 3


class VersionMismatch(DsmError):
    """The scheduler or the workers run another dsm-dask, Python, Dask, or another major version of
    NumPy, Arrow or Lance than this process. The message names them.

    Nothing was sent. Install the same versions on both sides: ``constraints.txt`` pins them, and
    ``cluster/Dockerfile`` makes an image of them. Smaller differences are told, not refused."""

    code = "version-mismatch"


class Interrupted(DsmError):
    """The run was stopped (Ctrl-C or a termination signal) before its commit.

    Nothing is half written. Run the same command again: finished partitions are not repeated."""

    code = "interrupted"
    exit_code = 3


class DatasetDamaged(DsmError):
    """An object of the dataset itself is missing or unreadable. ``dsm verify`` names every one;
    older versions that do not use the object can still be read."""

    code = "dataset-damaged"


def every() -> Iterator[type[DsmError]]:
    """All error classes, for ``dsm explain`` and the documentation.

    >>> "schema" in {kind.code for kind in every()}
    True
    """
    for kind in list(globals().values()):
        if inspect.isclass(kind) and issubclass(kind, DsmError):
            yield kind


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a misspelt name.

    >>> nearest("sorce", ["source", "module"])
    "Did you mean 'source'? Known: module, source."
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    guess = f"Did you mean {close[0]!r}? " if close else ""
    listed = ", ".join(names[:20]) + (f", ... ({len(names)} in all)" if len(names) > 20 else "")
    return f"{guess}Known: {listed}." if names else "There are none."
