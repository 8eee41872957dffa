"""Answers as matrices of numbers, and models that are learned from them by iteration."""

import numpy as np

from dsm_dask.engine import Engine
from dsm_dask.scores.annotators.answer_files import AnswerFiles, Listed, write_answers
from dsm_dask.scores.annotators.answers import Answers
from dsm_dask.scores.annotators.expectation import fitted


def answers_of(labels):
    """Zero is no answer."""
    item, annotator = np.nonzero(labels)
    starts = np.concatenate([[0], np.cumsum((labels > 0).sum(axis=1))]).astype(np.int64)
    kept = (labels[item, annotator] - 1).astype(np.int16)
    return Answers(
        starts, annotator.astype(np.int32), kept, np.arange(len(labels), dtype=np.uint64)
    )


def fit(labels, method, folder, *, pieces=1, in_one_task=10**6):
    cut = np.array_split(labels, pieces)
    files = tuple(
        write_answers(f"{folder}/answers-{pieces}-{i}", answers_of(part))
        for i, part in enumerate(cut)
    )
    source = Listed(labels.shape[1], int(labels.max()))
    with Engine(workers=0) as engine:
        return fitted(
            AnswerFiles(str(folder), files), method, source, engine, in_one_task=in_one_task
        )


def planted(items, annotators, classes, seed=0, missing=0.4):
    random = np.random.default_rng(seed)
    truth = random.integers(1, classes + 1, items)
    right = random.random((items, annotators)) < np.linspace(0.4, 0.95, annotators)
    labels = np.where(right, truth[:, None], random.integers(1, classes + 1, (items, annotators)))
    labels[random.random(labels.shape) < missing] = 0
    return labels, truth
