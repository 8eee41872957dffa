"""Edges that are kept beside a dataset, with a checksum of each file."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import xxhash

from dsm_dask import storage
from dsm_dask.duplicates.edges import EDGE, EdgeFile
from dsm_dask.errors import NotFound


@dataclasses.dataclass(frozen=True)
class SummedEdges(EdgeFile):
    """An :class:`~dsm_dask.duplicates.edges.EdgeFile`, and the XXH3-128 of the object."""

    xxh3: str

    def verified(self) -> npt.NDArray[np.void] | None:
        """The edges; None when they are gone, or not what was written."""
        try:
            data = storage.read(self.uri)
        except NotFound:
            return None
        if xxhash.xxh3_128_hexdigest(data) != self.xxh3:
            return None
        return np.frombuffer(data, EDGE)


def write_summed(uri: str, edges: npt.NDArray[np.void]) -> SummedEdges:
    """Store edges as an object of their own."""
    data = edges.tobytes()
    storage.write(uri, data, durable=False)
    return SummedEdges(uri, len(edges), xxhash.xxh3_128_hexdigest(data))
