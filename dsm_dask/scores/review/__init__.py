"""The review queue: which rows people should look at first, and why."""
