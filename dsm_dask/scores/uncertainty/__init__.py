"""How unsure a model is of a row."""
