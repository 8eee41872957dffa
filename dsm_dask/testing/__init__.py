"""Property-based suites for those who write their own Folds. Needs ``pip install hypothesis``."""
