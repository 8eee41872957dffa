"""Probabilities where there are none: each row's by a model that has not seen it."""
