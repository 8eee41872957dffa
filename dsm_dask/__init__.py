"""Dataset management at object-storage scale, on Dask.

>>> import dsm_dask as dsm
>>> sorted(name for name in dir(dsm) if not name.startswith("_"))[:4]
['Dataset', 'Engine', 'add_columns', 'append']
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from dsm_dask.about import __version__ as __version__

if TYPE_CHECKING:
    from dsm_dask.api import add_columns as add_columns
    from dsm_dask.api import append as append
    from dsm_dask.api import branch as branch
    from dsm_dask.api import check as check
    from dsm_dask.api import create as create
    from dsm_dask.api import dedup as dedup
    from dsm_dask.api import diff as diff
    from dsm_dask.api import drift as drift
    from dsm_dask.api import drift_by as drift_by
    from dsm_dask.api import drift_over as drift_over
    from dsm_dask.api import drop as drop
    from dsm_dask.api import embed as embed
    from dsm_dask.api import gc as gc
    from dsm_dask.api import infer_schema as infer_schema
    from dsm_dask.api import issues as issues
    from dsm_dask.api import log as log
    from dsm_dask.api import open as open
    from dsm_dask.api import profile as profile
    from dsm_dask.api import profile_by as profile_by
    from dsm_dask.api import restore as restore
    from dsm_dask.api import run as run
    from dsm_dask.api import score as score
    from dsm_dask.api import score_answers as score_answers
    from dsm_dask.api import show as show
    from dsm_dask.api import storage_options as storage_options
    from dsm_dask.api import tag as tag
    from dsm_dask.api import update as update
    from dsm_dask.api import verify as verify
    from dsm_dask.dataset.version import Dataset as Dataset
    from dsm_dask.engine import Engine as Engine

_PLACES = {"Dataset": "dsm_dask.dataset.version", "Engine": "dsm_dask.engine"}
_VERBS = (
    "add_columns", "append", "branch", "check", "create", "dedup", "diff", "drift", "drift_by",
    "drift_over", "drop", "embed", "gc", "infer_schema", "issues", "log", "open", "profile",
    "profile_by", "restore", "run", "score", "score_answers", "show", "storage_options", "tag",
    "update", "verify",
)  # fmt: skip

__all__ = ["Dataset", "Engine", *_VERBS]


def __getattr__(name: str) -> Any:
    # Importing the package stays cheap: Dask and Lance come in when a verb is used.
    if name in _PLACES or name in _VERBS:
        return getattr(importlib.import_module(_PLACES.get(name, "dsm_dask.api")), name)
    raise AttributeError(f"module 'dsm_dask' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
