"""What a dataset is called: ``URI``, ``URI@VERSION``, ``URI@TAG``, ``URI@BRANCH[:VERSION]``."""

from __future__ import annotations

import dataclasses
import re

from dsm_dask import storage
from dsm_dask.errors import InvalidName, UsageError

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")


@dataclasses.dataclass(frozen=True)
class Ref:
    """A place and, optionally, which of its versions.

    >>> Ref.parse("s3://lake/reviews@clean")
    Ref(uri='s3://lake/reviews', name='clean')
    >>> Ref.parse("s3://lake/reviews").name is None
    True
    """

    uri: str
    name: str | None = None

    @classmethod
    def parse(cls, text: str) -> Ref:
        head, sep, last = text.rstrip("/").rpartition("/")
        place, at, name = last.rpartition("@")
        if not at:
            return cls(storage.normalise(text))
        if not name or not place:
            raise UsageError(
                f"{text!r} does not name a version.",
                valid="Write DATASET@VERSION, DATASET@TAG or DATASET@BRANCH.",
            )
        return cls(storage.normalise(head + sep + place), name)

    def at(self, version: int, branch: str | None = None) -> Ref:
        """A version of a branch of the same dataset.

        >>> str(Ref("s3://lake/reviews").at(7, "exp"))
        's3://lake/reviews@exp:7'
        """
        return Ref(self.uri, f"{branch}:{version}" if branch else str(version))

    def __str__(self) -> str:
        return self.uri if self.name is None else f"{self.uri}@{self.name}"


def check_name(name: str, kind: str) -> str:
    """A tag's or branch's name, refused when it could be taken for something else.

    >>> check_name("clean-2026.11", "tag")
    'clean-2026.11'
    """
    if not _NAME.match(name) or name.isdigit() or ".." in name or name == "main":
        raise InvalidName(
            f"{name!r} cannot be the name of a {kind}.",
            valid="Use letters, digits, '-', '_' and '.', not a plain number and not 'main'.",
        )
    return name
