"""Everything in any order, against a model of a few dictionaries."""

import shutil
import tempfile
from pathlib import Path

import pytest
from dsm_trials import Doubled, inline, parquet, rows
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from dsm_dask.dataset.columns import add_columns
from dsm_dask.dataset.drop import drop
from dsm_dask.dataset.history import diff, log
from dsm_dask.dataset.naming import branch, restore, tag
from dsm_dask.dataset.verify import verify
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import append, create
from dsm_dask.errors import RefExists, SchemaError
from dsm_dask.stats.profile import profile

NUMBERS = st.lists(st.integers(0, 9), min_size=1, max_size=6)


class Datasets(RuleBasedStateMachine):
    """``lines``: for each branch its versions (None before it began); a version is rows by id."""

    copy = False
    tags_made = Bundle("tags_made")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="dsm-machine-"))
        self.ds = str(self.folder / "ds")
        self.engine = inline()
        self.files = 0
        self.lines: dict[str, list[dict | None]] = {}
        self.jobs: dict[str, list[str | None]] = {}
        self.seen: dict[str, set[int]] = {}
        self.tags: dict[str, tuple[str, int]] = {}
        self.at = "main"

    def teardown(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- the model -------------------------------------------------------------------------

    @property
    def here(self) -> dict:
        return self.lines[self.at][-1]

    @property
    def name(self) -> str:
        return f"{self.ds}@{self.at}"

    def version(self, number: int, line: str | None = None) -> str:
        return f"{self.ds}@{line or self.at}:{number}"

    def known(self, line: str | None = None) -> list[int]:
        """Numbers of the versions of a branch since its beginning."""
        found = self.lines[line or self.at]
        return [number for number, state in enumerate(found, 1) if state is not None]

    def committed(self, job: str, state: dict, version: int) -> None:
        self.lines[self.at].append(state)
        self.jobs[self.at].append(job)
        assert version == len(self.lines[self.at])

    def file(self, numbers: list[int]) -> str:
        self.files += 1
        return parquet(self.folder / f"raw/{self.files}.parquet", {"a": numbers}, row_group_size=2)

    # -- rules -----------------------------------------------------------------------------

    @initialize(numbers=NUMBERS, more=NUMBERS)
    def begin(self, numbers, more):
        sources = [self.file(numbers), self.file(more)]
        made = create(self.ds, sources, engine=self.engine, copy=self.copy)
        self.lines["main"] = [{i: {"a": a} for i, a in enumerate(numbers + more)}]
        self.jobs["main"] = ["create"]
        self.seen["main"] = set(self.lines["main"][0])
        assert (made.version, made.rows) == (1, len(numbers) + len(more))

    @precondition(lambda self: self.at == "main" or not self.copy)  # see test_append
    @rule(numbers=NUMBERS)
    def appended(self, numbers):
        made = append(self.name, self.file(numbers), engine=self.engine)
        now = rows(open_dataset(self.name))
        fresh = [i for i in now if i not in self.here]
        assert not set(fresh) & self.seen[self.at]
        self.seen[self.at] |= set(fresh)
        columns = ["a", *self.columns()]
        given = [dict.fromkeys(columns) | {"a": a} for a in numbers]
        self.committed("append", self.here | dict(zip(fresh, given, strict=True)), made.version)

    def columns(self) -> list[str]:
        return [name for row in self.here.values() for name in row if name != "a"][:1]

    @rule(chosen=st.sets(st.integers(0, 9), max_size=5))
    def dropped(self, chosen):
        left = {i: row for i, row in self.here.items() if row["a"] not in chosen}
        if not left:  # see test_drop
            return
        where = f"a in ({', '.join(map(str, sorted(chosen | {99})))})"
        made = drop(self.name, where, engine=self.engine)
        assert made.changed == {"dropped": len(self.here) - len(left)}
        assert made.committed == (len(left) < len(self.here))
        if made.committed:
            self.committed("drop", left, made.version)

    @rule()
    def columned(self):
        if self.columns():
            with pytest.raises(SchemaError):
                add_columns(self.name, Doubled(), engine=self.engine)
            return
        made = add_columns(self.name, Doubled(), engine=self.engine)
        state = {i: row | {"doubled": 2 * row["a"]} for i, row in self.here.items()}
        self.committed("columns", state, made.version)

    @rule(data=st.data())
    def restored(self, data):
        number = data.draw(st.sampled_from(self.known()))
        made = restore(self.name, str(number))
        self.committed("restore", self.lines[self.at][number - 1], made.version)

    @rule(target=tags_made, name=st.sampled_from(["t1", "t2", "t3"]), force=st.booleans())
    def tagged(self, name, force):
        here = (self.at, len(self.lines[self.at]))
        if not force and self.tags.get(name, here) != here:
            with pytest.raises(RefExists):
                tag(self.name, name)
        else:
            tag(self.name, name, force=force)
            self.tags[name] = here
        return name

    @rule(name=consumes(tags_made))
    def tag_reads(self, name):
        line, number = self.tags[name]
        assert rows(open_dataset(f"{self.ds}@{name}")) == self.lines[line][number - 1]

    @precondition(lambda self: len(self.lines) < 3)
    @rule(data=st.data())
    def branched(self, data):
        number = data.draw(st.sampled_from(self.known()))
        name = f"side-{len(self.lines)}"
        made = branch(self.version(number), name)
        assert made.version == number
        self.lines[name] = [None] * (number - 1) + [self.lines[self.at][number - 1]]
        self.jobs[name] = [None] * number
        self.seen[name] = set(self.seen[self.at])

    @rule(data=st.data())
    def went_to(self, data):
        self.at = data.draw(st.sampled_from(sorted(self.lines)))

    @rule(data=st.data())
    def differ(self, data):
        before, after = (data.draw(st.sampled_from(self.known())) for _ in range(2))
        was, now = self.lines[self.at][before - 1], self.lines[self.at][after - 1]
        found = diff(self.version(before), self.version(after))
        assert found.added == len(now.keys() - was.keys())
        assert found.removed == len(was.keys() - now.keys())
        assert found.updated == 0
        had, has = (set(next(iter(state.values()))) for state in (was, now))
        assert set(found.columns_added) == has - had
        assert set(found.columns_removed) == had - has

    @rule()
    def logged(self):
        versions = log(self.name).versions
        assert [v.version for v in versions] == self.known()[::-1]
        assert [v.rows for v in versions] == [
            len(self.lines[self.at][n - 1]) for n in self.known()[::-1]
        ]
        for v in versions:
            want = self.jobs[self.at][v.version - 1]
            assert want is None or v.job == want
            named = {t for t, where in self.tags.items() if where == (self.at, v.version)}
            assert set(v.tags) == named

    @rule()
    def verified(self):
        found = verify(self.name, engine=self.engine)
        # nobody takes the checksums of the two objects with which Lance starts a branch
        started = self.at != "main" and len(self.known()) == 1
        assert (found.damaged, found.unrecorded) == ((), 2 if started else 0)

    @rule()
    def profiled(self):
        """Through the cached states: as right as from nothing."""
        found = profile(open_dataset(self.name), ["a"], engine=self.engine).to_dict()
        values = [row["a"] for row in self.here.values()]
        column = found["columns"]["a"]
        assert found["rows"] == len(values)
        assert (column["min"], column["max"]) == (min(values), max(values))
        assert column["distinct"] == len(set(values))
        assert column["mean"] == pytest.approx(sum(values) / len(values))

    @rule(data=st.data())
    def old_versions_read_as_they_were(self, data):
        number = data.draw(st.sampled_from(self.known()))
        assert rows(open_dataset(self.version(number))) == self.lines[self.at][number - 1]

    @invariant()
    def reads_as_the_model(self):
        if self.lines:
            assert rows(open_dataset(self.name)) == self.here


class Copies(Datasets):
    copy = True


# Without shrinking: it takes minutes, and what fails is printed with what repeats it.
SETTINGS = settings(
    max_examples=15,
    stateful_step_count=20,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
TestLinked = Datasets.TestCase
TestLinked.settings = SETTINGS
TestCopied = Copies.TestCase
TestCopied.settings = SETTINGS
TestLinked.pytestmark = TestCopied.pytestmark = [pytest.mark.slow]
