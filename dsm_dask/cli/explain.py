"""``dsm explain``."""

from __future__ import annotations

import inspect

import click

from dsm_dask.cli import text
from dsm_dask.cli.outcome import Outcome, verb
from dsm_dask.errors import UsageError, every, nearest


@verb
@click.argument("code", required=False)
def command(out: Outcome, code: str | None) -> None:
    """Explain an error code; without one, list them."""
    known = {kind.code: kind for kind in every()}
    if code is None:
        rows = [[c, (inspect.getdoc(k) or "").split("\n")[0]] for c, k in sorted(known.items())]
        out.say({"codes": [row[0] for row in rows]}, lambda: text.table(["code", "meaning"], rows))
        return
    if code not in known:
        raise UsageError(f"There is no error code {code!r}.", valid=nearest(code, known))
    kind = known[code]
    explanation = inspect.getdoc(kind) or ""
    found = {"code": code, "exit_code": kind.exit_code, "explanation": explanation}
    out.say(found, lambda: f"{code} (exit code {kind.exit_code})\n\n{explanation}")
