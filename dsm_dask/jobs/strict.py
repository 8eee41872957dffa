"""What all parts of a job spec are: strict, closed, and never changed."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Strings = Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]
"""A list of strings; one alone does for a list of one."""


class Strict(BaseModel):
    """No unknown keys, and no value of another type than its own."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
