"""Schema: what the columns of a table are held to."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from dsm_dask.validation.types import read_type

Normalised = Literal["0..1", "-1..1", "standard"]


def _text(value: Any) -> Any:
    return value if isinstance(value, (list, dict)) else str(value)


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _mapping(value: Any) -> Any:
    return {} if value in ("", None) else value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_text)]
Key = Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rows(_Model):
    """How many rows a table may have."""

    min: int | None = Field(default=None, ge=0, description="The fewest.")
    max: int | None = Field(default=None, ge=0, description="The most.")


class ColumnSchema(_Model):
    """What a column is held to. What is not said is not checked."""

    type: Annotated[str, AfterValidator(read_type)] | None = Field(
        default=None, description="Logical type: int64, float32, string, timestamp[us, tz=UTC], ..."
    )
    optional: bool = Field(default=False, description="The column may be missing.")
    nulls: float | None = Field(default=None, ge=0, le=1, description="Largest share of nulls.")
    nan: bool | None = Field(default=None, description="Whether NaN may occur.")
    infinite: bool | None = Field(default=None, description="Whether infinities may occur.")
    min: Text | None = Field(default=None, description="Smallest number or time.")
    max: Text | None = Field(default=None, description="Largest number or time.")
    normalised: Normalised | None = Field(
        default=None, description="0..1, -1..1, or standard: mean 0 and standard deviation 1."
    )
    categories: tuple[Text, ...] | None = Field(
        default=None, description="All values that may occur."
    )
    min_length: int | None = Field(default=None, ge=0, description="In characters, bytes or items.")
    max_length: int | None = Field(default=None, ge=0, description="In characters, bytes or items.")
    empty: bool | None = Field(default=None, description="Whether empty strings may occur.")
    unique: bool = Field(default=False, description="No value occurs twice; nulls are no values.")
    unit_norm: bool = Field(default=False, description="Vectors are of length 1.")


Column = Annotated[ColumnSchema, BeforeValidator(_mapping)]


class Schema(_Model):
    """What a table is held to, column by column, in the order of the table.

    >>> Schema(columns={"id": {"type": "int64", "nulls": 0, "unique": True}}).columns["id"].nulls
    0.0
    """

    version: Annotated[Literal[1], BeforeValidator(_whole)] = Field(
        default=1, description="Version of this format."
    )
    rows: Annotated[Rows, BeforeValidator(_mapping)] | None = None
    new_columns: bool = Field(default=False, description="Whether there may be other columns.")
    keys: tuple[Key, ...] = Field(
        default=(), description="Lists of columns, which together are different in every row."
    )
    columns: Annotated[dict[str, Column], BeforeValidator(_mapping)] = {}
