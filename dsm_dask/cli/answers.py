"""``dsm score --answers``: a table with a row for each answer."""

from __future__ import annotations

from typing import Any

from dsm_dask.cli import annotator_text
from dsm_dask.cli.outcome import Outcome
from dsm_dask.dataset.version import open_data
from dsm_dask.errors import UsageError


def answer_verb(
    out: Outcome, data: str, answers: str, own: dict[str, Any], given: dict[str, Any]
) -> None:
    """Find the consensus and say what was found. ``given`` are the options of columns of scores,
    of which only ``consensus`` and ``classes`` are for this."""
    from dsm_dask.scores.annotators.score_answers import score_answers

    options = {name: value for name, value in own.items() if value is not None}
    method, classes = given.pop("consensus"), given.pop("classes")
    other = [name for name, value in given.items() if value]
    if other:
        shown = ", ".join(f"--{name.replace('_', '-')}" for name in other)
        raise UsageError(f"{shown}: not with --answers, which are no rows to score.")
    if method is not None:
        options["method"] = method
    if classes is not None:
        options["classes"] = tuple(name.strip() for name in classes.split(","))
    columns = [name.strip() for name in answers.split(",")]
    table = open_data(data, out.engine.map)
    found = score_answers(table, columns, engine=out.engine, **options).to_dict()
    out.say(found, lambda: annotator_text.annotators(found))
