"""Confident learning: which labels are probably wrong, from probabilities and labels alone."""
