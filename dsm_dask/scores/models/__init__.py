"""Models that the user has, applied by the workers."""
