"""Confident learning as its paper and package define it, written plainly with NumPy alone: the
truth that the compiled passes are held against. That it gives what the package gives was checked,
and the benchmark checks it again."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
EPSILON = 1e-6


def thresholds(labels: Array, p: Array) -> Array:
    """The mean of p of the own class, by class; 2 for one without rows."""
    found = [
        p[labels == k, k].astype(float).mean() if (labels == k).any() else 2.0
        for k in range(p.shape[1])
    ]
    return np.maximum(found, 2 * EPSILON)


def confident(labels: Array, p: Array) -> Array:
    """The class that a row is confidently of, -1 for none."""
    reached = p >= thresholds(labels, p) - EPSILON
    one = np.where(reached.sum(axis=1) > 1, p.argmax(axis=1), reached.argmax(axis=1))
    return np.where(reached.any(axis=1), one, -1)


def joint(labels: Array, p: Array) -> Array:
    """The calibrated joint (given, true)."""
    classes, guess = p.shape[1], confident(labels, p)
    counts = np.array([(labels == k).sum() for k in range(classes)])
    raw = np.array(
        [[((labels == i) & (guess == j)).sum() for j in range(classes)] for i in range(classes)]
    )
    raw[np.diag_indices(classes)] = np.maximum(raw.diagonal(), 1)
    turned = np.ascontiguousarray(raw.T)  # the order of sums matters to the last bit
    scaled = turned / raw.sum(axis=1) * counts
    scaled = scaled / scaled.sum() * counts.sum()
    return np.array([_rounded(row) for row in scaled.T])


def _rounded(row: Array) -> Array:
    whole = row.round()
    total = row.sum().round()
    while abs(whole.sum() - total) > EPSILON:
        sign = int(np.sign(total - whole.sum()))
        order = np.argsort(row - whole)
        order = order[::-1] if sign > 0 else order
        whole[order[: int(abs(total - whole.sum()))]] += sign
    return whole.astype(int)


def likely(labels: Array, p: Array) -> Array:
    """Is the label the likeliest class, or would be with a little more?"""
    more = p.copy()
    more[np.arange(len(labels)), labels] += p.dtype.type(EPSILON)
    return more.argmax(axis=1) == labels


def issues(labels: Array, p: Array, rule: str, least: int = 1, share: float = 1.0) -> Array:
    """Bools: the labels that a filter takes for issues."""
    rows = np.arange(len(labels))
    guess = confident(labels, p)
    off = (guess >= 0) & (guess != labels) & ~likely(labels, p)
    if rule == "confident_learning":
        return off
    if rule == "predicted_neq_given":
        return (p.argmax(axis=1) != labels) & ~likely(labels, p)
    if rule.startswith("low_"):
        score = quality(labels, p, rule[4:])
        return np.isin(rows, np.argsort(score, kind="stable")[: off.sum()])
    by_rate, by_class = np.zeros(len(labels), bool), np.zeros(len(labels), bool)
    kept = _kept(joint(labels, p), least, share)
    for k in range(p.shape[1]):
        own = np.flatnonzero(labels == k)
        if len(own) <= least:
            continue
        by_class[own[np.argsort(p[own, k], kind="stable")[: len(own) - kept[k, k]]]] = True
        for j in range(p.shape[1]):
            if j != k and kept[k, j] > 0:
                margin = p[own, j] - p[own, k]
                by_rate[own[np.argsort(-margin, kind="stable")[: kept[k, j]]]] = True
    found = {"prune_by_noise_rate": by_rate, "prune_by_class": by_class, "both": by_rate & by_class}
    return found[rule] & ~likely(labels, p)


def _kept(counts: Array, least: int, share: float) -> Array:
    """The joint with at least so many on the diagonal, and a share of what is off it."""
    found = counts.astype(float)
    for k, row in enumerate(counts):
        more = max(row[k], least) - row[k]
        found[k] = np.maximum(row - more / max(np.count_nonzero(row) - 1, 1), 0)
        found[k, k] = 0
        total = found[k].sum()
        found[k] *= share
        found[k, k] = row[k] + more + total - found[k].sum()
    return np.trunc(found + 1e-9).astype(int)


def quality(labels: Array, p: Array, method: str) -> Array:
    """A score of each label, low for suspicious ones."""
    rows, classes = np.arange(len(labels)), p.shape[1]
    own = p[rows, labels]
    if method == "self_confidence":
        return own
    if method == "normalized_margin":
        others = p.copy()
        others[rows, labels] = -1
        return (own - others.max(axis=1) + 1) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.nansum(p * np.log(p), axis=1) / np.log(classes)
    weighted = entropy / np.maximum(own, EPSILON)
    return np.log(weighted + 1) / np.maximum(weighted, EPSILON)
