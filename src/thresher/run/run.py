"""A run: its manifest, the places of its files, and the records of its finished steps."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from thresher.config import RunConfig
from thresher.errors import UserError
from thresher.run import parquet
from thresher.run.integrity import ROWS_HASH, check_table, made_of, read_json, table_problem
from thresher.run.layout import Layout
from thresher.run.manifest import FILE, Manifest, read_manifest, write_manifest
from thresher.run.outputs import as_place

# The steps that a proxy does in the place of the run.
BY_PROXY = ("train", "measure", "score")
# The job in order; the questions (how_much, sweep, noise, map) are beside it.
JOB = ("train", "measure", "score", "select", "compare", "report")


@dataclass(frozen=True)
class Record:
    """What a finished step left: the key of its settings and inputs, the keys of the steps before, when, and its facts."""

    key: str
    after: dict[str, str]
    settings: dict[str, Any]
    finished: str
    seconds: float
    facts: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Run(Layout):
    """A run: a folder whose manifest has been read.

    >>> Run.open("there-is-none")
    Traceback (most recent call last):
    ...
    thresher.errors.UserError: there-is-none: not a run folder (no run.yaml); make one with `thresher run` or `thresher train`
    """

    manifest: Manifest = field(repr=False, hash=False)

    @staticmethod
    def open(run: RunLike) -> Run:
        """The run in a folder; a run that was opened before as it is.

        Raises
        ------
        UserError
            not a run folder, one of another format, or a damaged `run.yaml`.
        """
        if isinstance(run, Run):
            return run
        folder = as_place(run)
        return Run(folder, read_manifest(folder))

    @staticmethod
    def exists(folder: Path) -> bool:
        """Whether a folder holds a run."""
        return (folder / FILE).is_file()

    def __str__(self) -> str:
        return str(self.folder)

    def __fspath__(self) -> str:
        return str(self.folder)

    def __truediv__(self, name: str) -> Path:
        """A file of the run's folder, `run / "report.html"`."""
        return self.folder / name

    def _repr_html_(self) -> str:
        from thresher.run.summary import run_html

        return run_html(self)

    @property
    def config(self) -> RunConfig:
        """The settings of the run, as `run.yaml` holds them."""
        return self.manifest.config

    def with_manifest(self, **changes: Any) -> Run:
        """The run with some fields of its manifest changed, and written if they differ."""
        changed = self.manifest.model_copy(update=changes)
        if changed != self.manifest:
            write_manifest(self.folder, changed)
        return replace(self, manifest=changed)

    @cached_property
    def scoring(self) -> Run:
        """The run whose model scores the rows: the proxy's, or this one."""
        return Run.open(self.proxy_folder) if self.manifest.source == "proxy" else self

    @property
    def scores_file(self) -> Path:
        """The table of scores; of a run that a proxy scores, the proxy's."""
        return self.scoring.home / "score" / "scores.parquet"

    @property
    def has_test(self) -> bool:
        """Whether it has test rows."""
        return self.manifest.test_hash is not None and self.test_file.is_file()

    @property
    def tests_held_out(self) -> bool:
        """Whether its test rows are those that were held out of the training rows."""
        return self.has_test and self.manifest.held_out is not None and self.config.data.test is None

    def scores(self) -> pl.DataFrame:
        """The table of scores.

        Raises
        ------
        UserError
            nothing was scored yet, or the file is damaged.
        """
        return self.scan_scores().collect()

    def scan_scores(self) -> pl.LazyFrame:
        """The table of scores, of which only the columns that are collected are read; see `scores`."""
        self.require("score")
        self.check_scores()
        return parquet.scan(self.scores_file)

    def score_columns(self) -> list[str]:
        """The columns of the table of scores; see `scores`."""
        return list(self.scan_scores().collect_schema())

    def check_scores(self) -> None:
        """Refuse a table of scores that is missing, damaged or of other rows."""
        if problem := self.scores_problem():
            raise UserError(
                f"{self.scores_file}: {problem}; `thresher score {self} --force` computes it again"
            )

    def scores_problem(self) -> str | None:
        """What is wrong with the table of scores; None if nothing is. Another program may have added columns to it."""
        if problem := table_problem(self.scores_file, sealed=False):
            return problem
        scored, made = self.record("score"), made_of(self.scores_file)
        if scored and made is not None:
            return None if made == scored.after.get("measure") else "it was made of other signals"
        found = parquet.scan(self.scores_file).collect_schema()
        if found.get("id") != pl.String or found.get("label") != pl.String:
            return "damaged (it has no texts 'id' and 'label')"
        check_table(self.rows_file, TRAIN_AGAIN)
        ids, theirs = (parquet.read(path, ["id"])["id"].sort() for path in (self.rows_file, self.scores_file))
        return None if ids.equals(theirs) else "it is of other rows"

    def record(self, step: str) -> Record | None:
        """The record that a finished step left; None if there is none, or if it is damaged: the step is done again."""
        if self.manifest.source == "proxy" and step in BY_PROXY:
            return self.scoring.record(step) if Run.exists(self.proxy_folder) else None
        try:
            return Record(**read_json(self.record_file(step)))
        except (OSError, ValueError, TypeError):
            return None

    def outdated(self, step: str) -> str | None:
        """The step before a finished one that was run again since, with another result; None if there is none."""
        record = self.record(step)
        for before, key in (record.after if record else {}).items():
            if found := self.outdated(before):
                return found
            now = self.record(before)
            if now is None or now.key != key:
                return before
        return None

    def require(self, step: str) -> Record:
        """The record of a step that must be finished, with every step before it.

        Raises
        ------
        UserError
            it is not, or a step before it was done again since.
        """
        if made_of(self.rows_file, ROWS_HASH) not in (None, self.manifest.rows_hash):
            raise UserError(f"{self.rows_file}: holds the rows of another run; {TRAIN_AGAIN}")
        record = self.record(step)
        if record is None:
            if self.is_recorded(step):
                raise UserError(f"{self.record_file(step)}: missing or damaged; {self.again(step)}")
            raise UserError(f"{self}: `{command(step)}` has not been run; {self.again(step)}")
        if changed := self.outdated(step):
            if self.record(changed) is None:
                raise UserError(f"{self.record_file(changed)}: missing or damaged; {self.again(changed)}")
            raise UserError(
                f"{self}: `{command(changed)}` was run again after `{command(step)}`, with another result; run `thresher"
                f" {command(step)} {self}` first"
            )
        return record

    def is_recorded(self, step: str) -> bool:
        """Whether the result of a step comes from someone else's training, which no command repeats."""
        return self.manifest.source == "recorded" and step in ("train", "measure")

    def again(self, step: str) -> str:
        """What makes the result of a step again, in words: its command, or another recording."""
        if self.is_recorded(step):
            return "record the training again with thresher.watch"
        if step == "train":
            return TRAIN_AGAIN
        return f"run `thresher {command(step)} {self}` first"

    def current(self, step: str) -> Record | None:
        """The record of a finished step; None if a step before it was done again since."""
        return None if self.outdated(step) else self.record(step)


TRAIN_AGAIN = (
    "rerun the `thresher run` or `thresher train` command that made it, or record the training again"
)
RunLike = str | Path | Run


def command(step: str) -> str:
    """The command of a step.

    >>> command("how_much")
    'how-much'
    """
    return step.replace("_", "-")


def as_folder(run: RunLike) -> Path:
    """The folder of a run, opened or not."""
    return run.folder if isinstance(run, Run) else Path(run)
