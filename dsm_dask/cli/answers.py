"""``dsm score --answers``: a table with a row for each answer."""

from __future__ import annotations

from typing import Any

from dsm_dask.cli import annotator_text
from dsm_dask.cli.outcome import Outcome
from dsm_dask.dataset.version import open_data
from dsm_dask.errors import UsageError

_NAMES = {
    "consensus": "method", "classes": "classes", "em_iterations": "iterations",
    "em_tolerance": "tolerance", "kappa_weights": "weights", "ordered": "ordered",
}  # fmt: skip
"""Options of the command line, and what they are called in Python."""


def answer_verb(
    out: Outcome, data: str, answers: str, own: dict[str, Any], given: dict[str, Any]
) -> None:
    """Find the consensus and say what was found. ``given`` are the options of columns of scores,
    of which :data:`_NAMES` are for this, too."""
    from dsm_dask.scores.annotators.score_answers import score_answers

    asked = {name: given.pop(option) for option, name in _NAMES.items()}
    options = {name: value for name, value in {**own, **asked}.items() if value is not None}
    other = [name for name, value in given.items() if value]
    if other:
        shown = ", ".join(f"--{name.replace('_', '-')}" for name in other)
        raise UsageError(f"{shown}: not with --answers, which are no rows to score.")
    if "classes" in options:
        options["classes"] = tuple(name.strip() for name in options["classes"].split(","))
    columns = [name.strip() for name in answers.split(",")]
    table = open_data(data, out.engine.map)
    found = score_answers(table, columns, engine=out.engine, **options).to_dict()
    out.say(found, lambda: annotator_text.annotators(found))
