"""Distances between two distributions, one a file: pure functions of the summaries of both sides.

Each gives a :class:`~dsm_dask.distances.distance.Distance`: the value, and how far at most that on
all rows may be from it, which follows from the errors that the sketches state.
"""
