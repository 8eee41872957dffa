"""``dsm``: one thin module per verb, loaded when it is called."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from dsm_dask.about import __version__

VERBS = {
    "create": "Make a dataset from Parquet files, linked where they lie.",
    "append": "Add the files that are not in the dataset yet.",
    "profile": "Statistics of every column, in one scan.",
    "check": "Hold data to a schema, or to other data.",
    "drift": "How far the columns of two tables lie apart.",
    "dedup": "Find duplicate rows, exact or near, and drop all but one.",
    "embed": "Make a column of embeddings, of texts or by a function.",
    "index": "List, verify or remove what deduplication keeps.",
    "score": "Write scores of rows: uncertainty, label quality, agreement.",
    "issues": "Rows that people should look at first, and why.",
    "drop": "Drop the rows for which a condition holds.",
    "update": "Change cells as a file of corrections says.",
    "log": "List the versions of a dataset.",
    "show": "Tell everything about one version.",
    "diff": "Rows and columns that differ between two versions.",
    "tag": "Name a version.",
    "branch": "Start a line of versions of its own.",
    "restore": "Make an older version current again.",
    "verify": "Check that sources and objects are what they were.",
    "gc": "Remove what no kept version needs.",
    "run": "Run a job file.",
    "submit": "Have the cluster run a job file, and leave.",
    "jobs": "List runs of jobs; show, follow, cancel or resume one.",
    "plan": "Estimate what a job file will take and cost.",
    "explain": "Explain an error code.",
    "demo": "The main job on real data, with an S3 server of its own.",
}


class Verbs(click.Group):
    """A group that imports a verb's module when the verb is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"dsm_dask.cli.{cmd_name}")
        return module.command  # type: ignore[no-any-return]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from dsm_dask.errors import nearest

        if args and args[0] not in VERBS and not args[0].startswith("-"):
            ctx.fail(f"There is no verb {args[0]!r}. {nearest(args[0], VERBS)}")
        return super().resolve_command(ctx, args)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dsm")
def dsm() -> None:
    """Dataset management at object-storage scale, on Dask.

    DATA is a Parquet path, folder or glob, or DATASET[@VERSION|@TAG|@BRANCH]; paths are local or
    any fsspec URL. Work runs on --scheduler, else DASK_SCHEDULER_ADDRESS, else this machine.

    Exit codes: 0 done, 1 findings, 2 usage, 3 partly done (run again to resume), 4 lost a race.
    """


dask_dsm = dsm
"""What ``dask dsm`` runs."""


def main(args: list[str] | None = None) -> Any:
    """The console script."""
    argv = sys.argv[1:] if args is None else args
    try:
        sys.exit(dsm.main(argv, prog_name="dsm", standalone_mode=False) or 0)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        from dsm_dask.cli.outcome import fail_usage

        sys.exit(fail_usage(error, as_json="--json" in argv))
    except click.exceptions.Abort:  # Ctrl-C before the verb was ready for it
        from dsm_dask.cli.outcome import fail_stopped

        sys.exit(fail_stopped(as_json="--json" in argv))
