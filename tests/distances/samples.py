"""Columns and their states, as drift gets them; and the figures on all rows, by NumPy and SciPy."""

import numpy as np
import pyarrow as pa
import scipy.stats

from dsm_dask.fold import Product, merge_all, update_all
from dsm_dask.stats.covariance import Covariance
from dsm_dask.stats.profile import FOLDS, folds_for
from dsm_dask.stats.random_features import RandomFeatures
from dsm_dask.stats.vector_sample import VectorSample

VECTOR = {Covariance: "covariance", RandomFeatures: "features", VectorSample: "vectors"}


def states(values, dtype=None, pieces=7):
    """The states of a column whose rows came in so many pieces."""
    array = values if isinstance(values, pa.Array) else pa.array(values, dtype)
    step = max(1, -(-len(array) // pieces))
    cut = [array.slice(i, step) for i in range(0, len(array), step)] or [array]
    folds = [f for f in folds_for(pa.field("x", array.type)) if type(f) in FOLDS]
    folds += [kind("x") for kind in VECTOR if kind.accepts(array.type)]
    product = Product(tuple(folds))
    found = merge_all(product, [update_all(product, [pa.record_batch({"x": p})]) for p in cut])
    names = {**FOLDS, **VECTOR}
    return {names[type(f)]: s for f, s in zip(folds, found, strict=True)}


def vectors(rows):
    """A column of embeddings."""
    rows = np.asarray(rows, np.float32)
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])


def exact(a, b, edges):
    """Distances of all values of two arrays; ``edges`` are the inner edges of bins."""
    p, q = (
        np.bincount(np.searchsorted(edges, x, "left"), minlength=len(edges) + 1) / len(x)
        for x in (a, b)
    )
    return {"ks": scipy.stats.ks_2samp(a, b, method="asymp").statistic, **of_shares(p, q)}


def of_shares(p, q):
    m = (p + q) / 2
    floored = np.maximum(p, 1e-4), np.maximum(q, 1e-4)
    js = (scipy.stats.entropy(p, m, 2) + scipy.stats.entropy(q, m, 2)) / 2
    return {
        "psi": float(np.sum((floored[1] - floored[0]) * np.log(floored[1] / floored[0]))),
        "js": float(np.sqrt(max(js, 0))),
        "hellinger": float(np.sqrt(np.sum((np.sqrt(p) - np.sqrt(q)) ** 2) / 2)),
        "linf": float(np.max(np.abs(p - q))),
    }
