"""The only door to object storage: URLs, file systems, credentials, byte counts and retries.

Everything that dsm itself reads or writes goes through the functions here, on local paths, ``s3://``
and any other fsspec URL. (Lance does its own I/O; :func:`lance_options` gives it the same endpoint,
and its counters are added with :func:`count`.)

* **Credentials** are resolved by each process from its own environment and never leave it; what is
  sent to workers is :class:`Options`, which has no place for a secret.
* **Bytes and requests** are counted per task: ``with counting() as io: ...``.
* **One retry budget** (``DSM_RETRY_SECONDS``, 30 s by default) stands above every operation, with
  jittered exponential backoff for throttling, resets, time-outs and short answers.
"""

from dsm_dask.storage.io_count import IO, count, counting
from dsm_dask.storage.listing import ObjectInfo, check_bucket, exists, find, info, listing
from dsm_dask.storage.options import Options, current_options, lance_options, using
from dsm_dask.storage.reading import PART, read, read_ranges
from dsm_dask.storage.retry import is_transient
from dsm_dask.storage.temporary import left_behind, remove_left_behind, temporary_folder
from dsm_dask.storage.uri import is_local, join, name, normalise, parent, scheme
from dsm_dask.storage.writing import create, delete, delete_folder, upload, write

__all__ = [
    "IO",
    "ObjectInfo",
    "Options",
    "PART",
    "check_bucket",
    "count",
    "counting",
    "create",
    "current_options",
    "delete",
    "delete_folder",
    "exists",
    "find",
    "info",
    "is_local",
    "is_transient",
    "join",
    "lance_options",
    "left_behind",
    "listing",
    "name",
    "normalise",
    "parent",
    "read",
    "read_ranges",
    "remove_left_behind",
    "scheme",
    "temporary_folder",
    "upload",
    "using",
    "write",
]
