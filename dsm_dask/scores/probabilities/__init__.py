"""Probabilities of classes, as columns hold them."""
