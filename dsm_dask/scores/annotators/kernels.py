"""Compiled loops over answers: who said what of which item.

Answers are three arrays: ``starts`` (items + 1: where the answers of each item begin), and for
each answer its ``annotators`` and ``labels``, as numbers. Sums are integers, multiples of a small
unit: they are the same in whatever order they are added up.

Numba (https://numba.pydata.org), compiled at first use and kept on disk. Import this module only
where a batch is at hand.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from dsm_dask.text_bytes import mixed

_compiled = numba.njit(cache=True, nogil=True, error_model="numpy")

# ---------------------------------------------------------------------------------------------
# Reading


@_compiled
def listed(codes: Any, starts: Any, annotators: Any, labels: Any) -> None:
    """The answers of a matrix of labels (items, annotators), -1 where there is none."""
    place = 0
    for i in range(codes.shape[0]):
        starts[i] = place
        for j in range(codes.shape[1]):
            if codes[i, j] >= 0:
                annotators[place] = j
                labels[place] = codes[i, j]
                place += 1
    starts[codes.shape[0]] = place


@_compiled
def groups_of(keys: Any, groups: int) -> Any:
    """A group for each key, evenly: the high bits of its mix, scaled."""
    found = np.empty(len(keys), np.int32)
    for i in range(len(keys)):
        high = mixed(keys[i]) >> np.uint64(32)
        found[i] = np.int32((high * np.uint64(groups)) >> np.uint64(32))
    return found


# ---------------------------------------------------------------------------------------------
# Posteriors: the probability of each class, for each item; NaN where there is no answer


@_compiled
def vote_shares(starts: Any, labels: Any, found: Any) -> None:
    for i in range(len(starts) - 1):
        count = starts[i + 1] - starts[i]
        found[i, :] = 0.0 if count else np.nan
        for j in range(starts[i], starts[i + 1]):
            found[i, labels[j]] += 1.0
        if count:
            for k in range(found.shape[1]):
                found[i, k] /= count


@_compiled
def dawid_skene(
    starts: Any, annotators: Any, labels: Any, log_confusion: Any, log_prior: Any, found: Any
) -> None:
    """``log_confusion`` is of shape (annotators, answers, true classes)."""
    classes = found.shape[1]
    for i in range(len(starts) - 1):
        if starts[i] == starts[i + 1]:
            found[i, :] = np.nan
            continue
        for k in range(classes):
            found[i, k] = log_prior[k]
        for j in range(starts[i], starts[i + 1]):
            row = log_confusion[annotators[j], labels[j]]
            for k in range(classes):
                found[i, k] += row[k]
        _softmax(found[i])


@_compiled
def mace(
    starts: Any, annotators: Any, labels: Any, log_spam: Any, gain: Any, scale: float, found: Any
) -> Any:
    """``log_spam`` (annotators, classes): of giving a label by spamming; ``gain``: how much more
    likely it is when it is the true one, as a logarithm. Gives the log-likelihood, in units of
    1 / ``scale``."""
    classes, total = found.shape[1], np.int64(0)
    for i in range(len(starts) - 1):
        if starts[i] == starts[i + 1]:
            found[i, :] = np.nan
            continue
        found[i, :] = 0.0
        shared = -math.log(classes)
        for j in range(starts[i], starts[i + 1]):
            shared += log_spam[annotators[j], labels[j]]
            found[i, labels[j]] += gain[annotators[j], labels[j]]
        total += np.int64(np.rint((shared + _softmax(found[i])) * scale))
    return total


@_compiled
def _softmax(row: Any) -> Any:
    """exp(row) / sum(exp(row)), in place; gives the logarithm of the sum."""
    most = row[0]
    for k in range(1, len(row)):
        most = max(most, row[k])
    total = 0.0
    for k in range(len(row)):
        row[k] = math.exp(row[k] - most)
        total += row[k]
    for k in range(len(row)):
        row[k] /= total
    return most + math.log(total)


# ---------------------------------------------------------------------------------------------
# Expected counts


@_compiled
def add_classes(posteriors: Any, scale: float, sums: Any) -> None:
    """Posteriors summed up, in units of 1 / ``scale``."""
    for i in range(posteriors.shape[0]):
        if posteriors[i, 0] == posteriors[i, 0]:
            for k in range(posteriors.shape[1]):
                sums[k] += np.int64(np.rint(posteriors[i, k] * scale))


@_compiled
def add_confusions(
    starts: Any, annotators: Any, labels: Any, posteriors: Any, scale: float, counts: Any
) -> None:
    """What each annotator says of items of each class: ``counts`` (annotators, answers, true)."""
    classes = posteriors.shape[1]
    units = np.empty(classes, np.int64)
    for i in range(len(starts) - 1):
        if starts[i] == starts[i + 1]:
            continue
        for k in range(classes):
            units[k] = np.int64(np.rint(posteriors[i, k] * scale))
        for j in range(starts[i], starts[i + 1]):
            row = counts[annotators[j], labels[j]]
            for k in range(classes):
                row[k] += units[k]


@_compiled
def add_expected(
    starts: Any, annotators: Any, labels: Any, log_confusion: Any, log_prior: Any, least: float,
    scale: float, entropy_scale: float, counts: Any, sums: Any,
) -> Any:  # fmt: skip
    """What :func:`add_confusions` and :func:`add_classes` add of the posteriors of
    :func:`dawid_skene`, which are used item by item and not kept. Gives their entropy,
    -sum(p log p), p at least ``least``, in units of 1 / ``entropy_scale``, rounded item by item."""
    classes, total = len(log_prior), np.int64(0)
    small = -least * math.log(least)
    logs, weights, units = np.empty(classes), np.empty(classes), np.empty(classes, np.int64)
    for i in range(len(starts) - 1):
        first, last = starts[i], starts[i + 1]
        if first == last:
            continue
        logs[:] = log_prior
        for j in range(first, last):
            row = log_confusion[annotators[j], labels[j]]
            for k in range(classes):
                logs[k] += row[k]
        most = logs[0]
        for k in range(1, classes):
            most = max(most, logs[k])
        weight = 0.0
        for k in range(classes):
            logs[k] -= most
            weights[k] = math.exp(logs[k])
            weight += weights[k]
        entropy, whole = 0.0, math.log(weight)
        for k in range(classes):
            p = weights[k] / weight
            units[k] = np.int64(np.rint(p * scale))
            sums[k] += units[k]
            entropy += small if p <= least else p * (whole - logs[k])
        total += np.int64(np.rint(entropy * entropy_scale))
        for j in range(first, last):
            given = counts[annotators[j], labels[j]]
            for k in range(classes):
                given[k] += units[k]
    return total


@_compiled
def add_spamming(
    starts: Any, annotators: Any, labels: Any, posteriors: Any, knows: Any, scale: float,
    spamming: Any, knowing: Any,
) -> None:  # fmt: skip
    """How often each annotator spams, by the label given, and how often not. ``knows``
    (annotators, classes): the probability that a true answer was not given by spamming."""
    for i in range(len(starts) - 1):
        for j in range(starts[i], starts[i + 1]):
            a, g = annotators[j], labels[j]
            known = np.int64(np.rint(posteriors[i, g] * knows[a, g] * scale))
            knowing[a] += known
            spamming[a, g] += np.int64(scale) - known


# ---------------------------------------------------------------------------------------------
# Agreement


@_compiled
def disagreement(starts: Any, labels: Any, classes: int, found: Any) -> None:
    """The share of the pairs of answers to each item that differ; NaN for fewer than two."""
    votes = np.zeros(classes, np.int64)
    for i in range(len(starts) - 1):
        count = starts[i + 1] - starts[i]
        same = np.int64(0)
        for j in range(starts[i], starts[i + 1]):
            same += votes[labels[j]]
            votes[labels[j]] += 1
        for j in range(starts[i], starts[i + 1]):
            votes[labels[j]] = 0
        pairs = count * (count - 1) // 2
        found[i] = (pairs - same) / pairs if pairs else np.nan


@_compiled
def add_coincidences(
    starts: Any, labels: Any, group: Any, unit: int, coincidences: Any, shares: Any, counters: Any
) -> None:
    """For each group of items: pairs of labels given to the same item (each pair of answers counts
    1 / (answers - 1)); the share of each class; ``counters``: share of pairs that agree, items
    with two answers or more, items with any. In units of 1 / ``unit``."""
    classes = shares.shape[1]
    votes, seen = np.zeros(classes, np.int64), np.empty(classes, np.int64)
    for i in range(len(starts) - 1):
        count = starts[i + 1] - starts[i]
        if count == 0:
            continue
        own, known = group[i], 0
        for j in range(starts[i], starts[i + 1]):
            if votes[labels[j]] == 0:
                seen[known] = labels[j]
                known += 1
            votes[labels[j]] += 1
        counters[own, 2] += 1
        agreeing = np.int64(0)
        for one in range(known):
            c = seen[one]
            shares[own, c] += (votes[c] * unit + count // 2) // count
            agreeing += votes[c] * (votes[c] - 1)
            for other in range(known if count > 1 else 0):
                k = seen[other]
                pairs = votes[c] * (votes[k] - (c == k))
                coincidences[own, c, k] += (pairs * unit + (count - 1) // 2) // (count - 1)
        if count > 1:
            pairs = count * (count - 1)
            counters[own, 0] += (agreeing * unit + pairs // 2) // pairs
            counters[own, 1] += 1
        for one in range(known):
            votes[seen[one]] = 0


@_compiled
def add_pairs(
    starts: Any, annotators: Any, labels: Any, group: Any, number: int, counts: Any
) -> None:
    """For each group of items and pair of ``number`` annotators, how often one said this and the
    other that: ``counts`` (groups, pairs, classes, classes), pairs as in ``np.triu_indices``."""
    for i in range(len(starts) - 1):
        for j in range(starts[i], starts[i + 1]):
            a = np.int64(annotators[j])
            before = a * number - a * (a + 1) // 2 - a - 1
            for k in range(j + 1, starts[i + 1]):
                counts[group[i], before + annotators[k], labels[j], labels[k]] += 1


@_compiled
def add_company(starts: Any, annotators: Any, labels: Any, classes: int, counts: Any) -> None:
    """For each annotator: answers; answers of others to the same items; those that are the same;
    items that others answered, too."""
    votes = np.zeros(classes, np.int64)
    for i in range(len(starts) - 1):
        count = starts[i + 1] - starts[i]
        for j in range(starts[i], starts[i + 1]):
            votes[labels[j]] += 1
        for j in range(starts[i], starts[i + 1]):
            row = counts[annotators[j]]
            row[0] += 1
            row[1] += count - 1
            row[2] += votes[labels[j]] - 1
            row[3] += count > 1
        for j in range(starts[i], starts[i + 1]):
            votes[labels[j]] = 0


@_compiled
def add_right(starts: Any, annotators: Any, labels: Any, consensus: Any, counts: Any) -> None:
    """How often each annotator's answer is the consensus."""
    for i in range(len(starts) - 1):
        for j in range(starts[i], starts[i + 1]):
            counts[annotators[j]] += labels[j] == consensus[i]


# ---------------------------------------------------------------------------------------------
# With a model


@_compiled
def add_cross_entropies(
    starts: Any, labels: Any, probabilities: Any, known: Any, temperatures: Any, least: float,
    unit: int, whole: Any, rest: Any,
) -> Any:  # fmt: skip
    """For each temperature the cross-entropy of the answers to an item and the model's scaled
    probabilities: the whole part, and the rest in units of 1 / ``unit``. Gives the items."""
    classes, items = probabilities.shape[1], 0
    logs, least_log = np.empty(classes), math.log(least)
    for i in range(len(starts) - 1):
        if not known[i] or starts[i] == starts[i + 1]:
            continue
        items += 1
        for k in range(classes):
            p = np.float64(probabilities[i, k])
            logs[k] = math.log(p) if p > 0 else -np.inf
        most = logs.max()
        for t in range(len(temperatures)):
            total, found = 0.0, 0.0
            for k in range(classes):
                total += math.exp((logs[k] - most) / temperatures[t])
            for j in range(starts[i], starts[i + 1]):
                log_p = (logs[labels[j]] - most) / temperatures[t] - math.log(total)
                found -= max(log_p, least_log)
            found /= starts[i + 1] - starts[i]
            whole[t] += np.int64(math.floor(found))
            rest[t] += np.int64(np.rint((found - math.floor(found)) * unit))
    return items


@_compiled
def best_votes(starts: Any, labels: Any, probabilities: Any, known: Any, found: Any) -> None:
    """The label most often given; among equals the one that the model thinks likeliest, then the
    first. -1 where there is no answer."""
    classes = probabilities.shape[1]
    votes = np.zeros(classes, np.int64)
    for i in range(len(starts) - 1):
        best = -1
        for j in range(starts[i], starts[i + 1]):
            votes[labels[j]] += 1
        for k in range(classes if starts[i] < starts[i + 1] else 0):
            if best < 0 or votes[k] > votes[best]:
                best = k
            elif votes[k] == votes[best] and known[i]:
                best = k if probabilities[i, k] > probabilities[i, best] else best
        for j in range(starts[i], starts[i + 1]):
            votes[labels[j]] = 0
        found[i] = best


@_compiled
def weighted(
    starts: Any, annotators: Any, labels: Any, probabilities: Any, known: Any, weights: Any,
    model_weight: float, right: float, found: Any,
) -> None:  # fmt: skip
    """The average of the model's probabilities and of those that each answer stands for (``right``
    for its own class, the others alike), by weight."""
    classes = found.shape[1]
    wrong = (1 - right) / (classes - 1)
    for i in range(len(starts) - 1):
        if starts[i] == starts[i + 1]:
            found[i, :] = np.nan
            continue
        total = model_weight if known[i] else 0.0
        shared = 0.0
        for k in range(classes):
            found[i, k] = probabilities[i, k] * model_weight if known[i] else 0.0
        for j in range(starts[i], starts[i + 1]):
            weight = weights[annotators[j]]
            total += weight
            shared += weight * wrong
            found[i, labels[j]] += weight * (right - wrong)
        for k in range(classes):
            found[i, k] = (found[i, k] + shared) / total
