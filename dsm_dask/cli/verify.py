"""``dsm verify``."""

from __future__ import annotations

import click

from dsm_dask.cli.outcome import Outcome, verb
from dsm_dask.dataset.verify import Verified, verify


@verb
@click.argument("dataset")
def command(out: Outcome, dataset: str) -> None:
    """Check that source files and the dataset's own objects are what they were.

    Exit code 1 when something is damaged, gone or was overwritten.
    """
    found = verify(dataset, engine=out.engine)
    out.say(found.to_dict(), lambda: _text(found), exit_code=0 if found.ok else 1)


def _text(found: Verified) -> str:
    head = f"{found.dataset}: {found.sources:,} source files and {found.objects:,} objects checked"
    if found.unrecorded:
        head += f" ({found.unrecorded:,} without a recorded checksum)"
    if found.ok:
        return f"{head}; all as they were"
    lines = [f"  {damage.uri}: {damage.problem}" for damage in found.damaged]
    return "\n".join([f"{head}; {len(lines):,} damaged:", *lines])
