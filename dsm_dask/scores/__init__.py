"""Scores of rows: how unsure a model is of them, how likely their labels are wrong, how annotators
disagree about them, how unlike their neighbours they are."""
