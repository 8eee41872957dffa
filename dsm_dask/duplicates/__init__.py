"""Duplicates: which rows say the same, and which one of them to keep."""
