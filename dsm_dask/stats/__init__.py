"""Column statistics: one Fold per file, named as in the literature; and :mod:`profile` of a table.

Nulls, and NaN among floats, are left out of every statistic; :class:`~dsm_dask.stats.count.Count`
counts them.
"""
