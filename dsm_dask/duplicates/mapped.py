"""Arrays in temporary files: for what is larger than a worker should hold."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import numpy as np
import numpy.typing as npt

from dsm_dask.errors import CannotWrite


def mapped(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """An array of zeros in a file of the temporary folder, which lives as long as it is mapped.

    Raises CannotWrite when there is no room for all of it: writing to a page that the disk has no
    room for would kill the process.

    >>> mapped((2, 3), np.float32).sum()
    np.float32(0.0)
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    with tempfile.TemporaryFile(prefix="dsm-") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            folder = tempfile.gettempdir()
            raise CannotWrite(
                f"{folder} has no room for {size:,} bytes: {error.strerror}.",
                where=folder,
                valid="Make room there, or set TMPDIR to a folder that has more.",
            ) from error
        return np.memmap(file, dtype, "r+", shape=shape)
