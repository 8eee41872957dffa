"""How the agreement of annotators is to be measured."""

from __future__ import annotations

import dataclasses

from dsm_dask.errors import UsageError
from dsm_dask.scores.annotators.cohen import WEIGHTS, Weights
from dsm_dask.scores.labels import Class


@dataclasses.dataclass(frozen=True)
class Asked:
    """``weights`` of Cohen's kappa. ``ordered``: the classes stand in their order, so that
    there is an ordinal alpha (numbers always do). Raises UsageError for unknown weights.

    >>> Asked("linear").check("integer", None)
    """

    weights: Weights = "none"
    ordered: bool = False

    def __post_init__(self) -> None:
        if self.weights not in WEIGHTS:
            raise UsageError(
                f"There are no weights {self.weights!r}.", valid=f"One of {', '.join(WEIGHTS)}."
            )

    def check(self, kind: str, classes: tuple[Class, ...] | None) -> None:
        """Raise UsageError when an order is needed that nobody has told: texts of which the classes
        are learned stand by code point, "high" before "low"."""
        if classes is None and kind == "text" and (self.ordered or self.weights != "none"):
            what = "Ordered classes" if self.ordered else f"{self.weights.capitalize()} weights"
            raise UsageError(
                f"{what} need an order, and the labels are texts.",
                valid="--classes LOW,MIDDLE,HIGH names them in their order.",
            )
