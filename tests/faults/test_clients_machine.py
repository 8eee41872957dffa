"""Several clients, each of which goes on from the version that it looked at last, against a model
in memory: a commit stands on top of what others did meanwhile, or is a conflict that changes
nothing. No row is ever lost or doubled."""

from __future__ import annotations

import datetime as dt
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from dsm_trials import Doubled, inline, parquet, rows
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dsm_dask.api import score
from dsm_dask.dataset.columns import add_columns
from dsm_dask.dataset.drop import drop
from dsm_dask.dataset.gc import gc
from dsm_dask.dataset.naming import branch, restore, tag
from dsm_dask.dataset.update import update
from dsm_dask.dataset.verify import verify
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import append, create
from dsm_dask.errors import CommitConflict, SchemaError, UnknownVersion, UsageError

CLIENTS = st.sampled_from(["ann", "ben", "cem"])
NUMBERS = st.lists(st.integers(0, 9), min_size=1, max_size=4)
State = dict[int, dict[str, Any]]


class Clients(RuleBasedStateMachine):
    """``versions``: what each version on main holds, rows by id; None when gc has taken it."""

    def __init__(self) -> None:
        super().__init__()
        memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
        self.folder = Path(tempfile.mkdtemp(prefix="dsm-clients-", dir=memory))
        self.ds = str(self.folder / "ds")
        self.engine = inline()
        self.files = 0
        self.versions: list[State | None] = []
        self.seen: dict[str, int] = {}
        self.tags: dict[str, int] = {}
        self.branches: dict[str, State] = {}

    def teardown(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- the model -------------------------------------------------------------------------

    @property
    def head(self) -> State:
        found = self.versions[-1]
        assert found is not None
        return found

    def base(self, client: str) -> Any:
        """The dataset as a client saw it last."""
        return open_dataset(f"{self.ds}@{self.seen[client]}")

    def base_state(self, client: str) -> State:
        found = self.versions[self.seen[client] - 1]
        assert found is not None
        return found

    def file(self, numbers: list[int]) -> str:
        self.files += 1
        shares = {"p": [n / 16 for n in numbers], "q": [1 - n / 16 for n in numbers]}
        return parquet(
            self.folder / f"raw/{self.files}.parquet",
            {"a": numbers, "w": [0.0] * len(numbers), **shares},
        )

    def tried(self, client: str, work: Any, then: Any) -> None:
        """A commit by a client that may be behind: what ``then`` makes of the newest version, or a
        conflict, which nobody has who is not behind."""
        behind = self.seen[client] < len(self.versions)
        try:
            made = work()
        except (CommitConflict, UsageError, SchemaError):
            assert behind
            self.seen[client] = len(self.versions)
            return
        if made.committed:
            self.versions.append(then())
        self.seen[client] = len(self.versions)

    def columns(self) -> set[str]:
        return set().union(*(row.keys() for row in self.head.values()))

    # -- rules -----------------------------------------------------------------------------

    @initialize(numbers=NUMBERS, more=NUMBERS)
    def begin(self, numbers, more):
        create(self.ds, [self.file(numbers), self.file(more)], engine=self.engine)
        self.versions = [rows(open_dataset(self.ds))]
        assert [row["a"] for row in self.head.values()] == numbers + more
        self.seen = dict.fromkeys(["ann", "ben", "cem"], 1)

    @rule(client=CLIENTS)
    def looks(self, client):
        self.seen[client] = len(self.versions)

    @rule(client=CLIENTS, numbers=NUMBERS)
    def appends(self, client, numbers):
        file = self.file(numbers)

        def then() -> State:
            now = rows(open_dataset(self.ds))
            fresh = {i: row for i, row in now.items() if i not in self.head}
            known = {i for state in self.versions if state for i in state}
            assert not fresh.keys() & known
            assert sorted(row["a"] for row in fresh.values()) == sorted(numbers)
            assert all(fresh[i][name] is None for i in fresh for name in self.extra())
            return self.head | fresh

        self.tried(client, lambda: append(self.base(client), file, engine=self.engine), then)

    def extra(self) -> set[str]:
        return self.columns() - {"a", "w", "p", "q"}

    @rule(client=CLIENTS, chosen=st.sets(st.integers(0, 9), max_size=2))
    def drops(self, client, chosen):
        if all(row["a"] in chosen for row in self.base_state(client).values()):
            return
        where = f"a in ({', '.join(map(str, sorted(chosen | {99})))})"
        gone = {i for i, row in self.base_state(client).items() if row["a"] in chosen}

        def then() -> State:
            return {i: row for i, row in self.head.items() if i not in gone}

        self.tried(client, lambda: drop(self.base(client), where, engine=self.engine), then)

    def _computes(self, client: str, name: str, work: Any, value: Any) -> None:
        known = self.base_state(client)

        def then() -> State:
            return {
                i: row | {name: value(row) if i in known else None} for i, row in self.head.items()
            }

        self.tried(client, work, then)

    @precondition(lambda self: "doubled" not in self.columns())
    @rule(client=CLIENTS)
    def adds_a_column(self, client):
        if "doubled" in next(iter(self.base_state(client).values())):
            return
        self._computes(
            client, "doubled",
            lambda: add_columns(self.base(client), Doubled(), engine=self.engine),
            lambda row: 2 * row["a"],
        )  # fmt: skip

    @precondition(lambda self: not self.extra())
    @rule(client=CLIENTS)
    def scores(self, client):
        if self.base_state(client).keys() and "predicted_label" in next(
            iter(self.base_state(client).values())
        ):
            return
        behind = self.seen[client] < len(self.versions)
        try:
            made = score(self.base(client), probs=["p", "q"], engine=self.engine)
        except (CommitConflict, UsageError):
            assert behind
        else:
            now, known = rows(open_dataset(self.ds)), self.base_state(client)
            if not made.committed:  # somebody scored that version before, and it was undone since
                now = self.head
            assert now.keys() == self.head.keys()
            for i, row in now.items():
                assert {name: row[name] for name in ("a", "w", "p", "q")} == self.head[i]
                want = ("p" if row["p"] > row["q"] else "q") if i in known else None
                assert not made.committed or row["p"] == row["q"] or row["predicted_label"] == want
            self.versions += [now] * made.committed
        self.seen[client] = len(self.versions)

    @rule(client=CLIENTS, data=st.data())
    def corrects(self, client, data):
        row_id = data.draw(st.sampled_from(sorted(self.base_state(client))))
        self.files += 1
        told = {"_rowid": [row_id], "w": [float(self.files)]}
        file = parquet(self.folder / f"fix/{self.files}.parquet", told)

        def then() -> State:
            return {  # who dropped it meanwhile has dropped it
                i: row | ({"w": told["w"][0]} if i == row_id else {})
                for i, row in self.head.items()
            }

        self.tried(
            client, lambda: update(self.base(client), file, "_rowid", engine=self.engine), then
        )

    @rule(data=st.data())
    def restores(self, data):
        known = [n for n, state in enumerate(self.versions, 1) if state is not None]
        number = data.draw(st.sampled_from(known))
        assert restore(self.ds, str(number)).version == len(self.versions) + 1
        self.versions.append(self.versions[number - 1])

    @rule(client=CLIENTS, name=st.sampled_from(["t1", "t2"]))
    def tags_it(self, client, name):
        tag(self.base(client), name, force=True)
        self.tags[name] = self.seen[client]

    @precondition(lambda self: len(self.branches) < 2)
    @rule(client=CLIENTS)
    def branches_off(self, client):
        name = f"side-{len(self.branches)}"
        branch(self.base(client), name)
        self.branches[name] = self.base_state(client)

    @rule()
    def collects(self):
        """Versions that nobody has named go; a client that had one looks again."""
        gc(self.ds, older_than=dt.timedelta(0))
        for number, state in enumerate(self.versions[:-1], 1):
            if state is None or number in self.tags.values():
                continue
            try:
                open_dataset(f"{self.ds}@{number}")
            except UnknownVersion:
                self.versions[number - 1] = None
        for client, number in self.seen.items():
            if self.versions[number - 1] is None:
                self.seen[client] = len(self.versions)

    @rule()
    def verifies(self):
        assert verify(self.ds, engine=self.engine).damaged == ()

    @invariant()
    def the_newest_is_as_the_model(self):
        if self.versions:
            now = open_dataset(self.ds)
            assert now.version == len(self.versions)
            assert rows(now) == self.head

    @invariant()
    def what_was_named_is_as_it_was(self):
        for name, number in self.tags.items():
            assert rows(open_dataset(f"{self.ds}@{name}")) == self.versions[number - 1]
        for name, state in self.branches.items():
            assert rows(open_dataset(f"{self.ds}@{name}")) == state


# Without shrinking: it takes minutes, and what fails is printed with what repeats it.
Clients.TestCase.settings = settings(
    max_examples=12,
    stateful_step_count=18,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
TestClients = Clients.TestCase
TestClients.pytestmark = [pytest.mark.slow]
