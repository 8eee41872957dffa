"""Names of many classes, kept once beside the dataset rather than in the metadata of every column.

Metadata is in the manifest of every version. Up to :data:`MOST` names stand there as they are; of
more there is a digest, and an object of that name holds them.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from dsm_dask import storage
from dsm_dask.dataset.columns import COMPUTED
from dsm_dask.dataset.version import Dataset
from dsm_dask.errors import NotFound

MOST = 100
FOLDER = "_dsm/classes"
Classes = list[str | int]


def bounded(parameters: Any) -> tuple[Any, dict[str, Classes]]:
    """Parameters, as in JSON, with a digest and the first few for long lists of ``classes`` in
    them; and these lists by digest.

    >>> told, names = bounded({"on": "v", "classes": list(range(101))})
    >>> told["classes"]["count"], told["classes"]["first"], [len(one) for one in names.values()]
    (101, [0, 1, 2, 3, 4], [101])
    >>> bounded({"classes": ["a", "b"]})
    ({'classes': ['a', 'b']}, {})
    """
    if not isinstance(parameters, dict):
        return parameters, {}
    told: dict[str, Any] = {}
    lists: dict[str, Classes] = {}
    for name, value in parameters.items():
        if name == "classes" and isinstance(value, list) and len(value) > MOST:
            digest = digest_of(value)
            lists[digest] = value
            told[name] = {"count": len(value), "digest": digest, "first": value[:5]}
        else:
            told[name], inner = bounded(value)
            lists |= inner
    return told, lists


def digest_of(classes: Classes) -> str:
    """Of names in their order; the number 1 is not the text."""
    return hashlib.blake2b(_encoded(classes), digest_size=16).hexdigest()


def keep(root: str, lists: dict[str, Classes]) -> None:
    """Store lists beside a dataset, once each. Ones that are there are written again: what is old,
    and no version refers to yet, might just be removed."""
    for digest, classes in lists.items():
        storage.write(uri_of(root, digest), _encoded(classes))


def referred(dataset: Dataset) -> set[str]:
    """The digests of the lists that columns of a version refer to."""
    entries = [(field.metadata or {}).get(COMPUTED.encode()) for field in dataset.lance.schema]
    told = [json.loads(entry).get("parameters") for entry in entries if entry is not None]
    return {digest for parameters in told for digest in _digests(parameters)}


def _digests(parameters: Any) -> set[str]:
    if not isinstance(parameters, dict):
        return set()
    classes = parameters.get("classes")
    own = {str(classes["digest"])} if isinstance(classes, dict) and "digest" in classes else set()
    return own.union(*map(_digests, parameters.values()))


def kept(root: str, digest: str) -> Classes | None:
    """The names of a digest; None where they are gone, or are others."""
    try:
        data = storage.read(uri_of(root, digest))
    except NotFound:
        return None
    if hashlib.blake2b(data, digest_size=16).hexdigest() != digest:
        return None
    found: Classes = json.loads(data)
    return found


def _encoded(classes: Classes) -> bytes:
    return json.dumps(classes, ensure_ascii=False, separators=(",", ":")).encode()


def uri_of(root: str, digest: str) -> str:
    """Where the list of a digest is kept."""
    return storage.join(root, FOLDER, f"{digest}.json")
