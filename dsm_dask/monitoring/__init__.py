"""Drift: how far the columns of two tables lie apart, from their sketches alone."""
