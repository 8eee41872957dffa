"""Several annotators: what they agree on, how far, and how good each of them is."""
