"""The step engine: a step is a function of a run and settings, and everything around it is done here.

The engine asks for the steps before, takes the lock, skips what is done, redoes what is damaged, and leaves a record. The key
of a record is a digest of the settings that count, of further inputs, and of the keys of the steps before: what is stale
follows from the keys.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from thresher.errors import UserError
from thresher.progress import say
from thresher.run.files import digest
from thresher.run.integrity import ROWS_HASH, check_table, made_of, write_json
from thresher.run.lock import lock
from thresher.run.run import Record, Run, RunLike, command

Facts = dict[str, Any]
S = TypeVar("S", bound=BaseModel)


@dataclass(frozen=True)
class Step(Generic[S]):
    """A step, which is called with a run and its settings and returns the facts that it recorded.

    See `step` for the fields.
    """

    name: str
    after: str | None
    work: Callable[[Run, S], Facts]
    ignore: frozenset[str]
    inputs: Callable[[Run, S], Mapping[str, object]]
    check: Callable[[Run, S], object]
    problem: Callable[[Run, Facts], str | None]
    clear: Callable[[Run, S], None]
    own: bool
    labels: bool

    def __call__(self, run: RunLike, settings: S, *, force: bool = False) -> Facts:
        """Do the step, or return what it recorded where it is done already.

        Raises UserError: a step before it is not finished, another process works on the folder, or what the step itself
        refuses.
        """
        run = Run.open(run)
        if self.after:
            run.require(self.after)
        if self.own and run.manifest.source == "recorded":
            raise UserError(f"{run}: {RECORDED}")
        if self.labels:
            refuse_texts(run, command(self.name))
        with lock(run.folder):
            key = self.key(run, settings)
            record = run.record(self.name)
            if record and record.key == key and not force:
                problem = self.problem(run, record.facts)
                if problem is None:
                    say(f"{command(self.name)}: already done in {run}; --force redoes it")
                    return record.facts
                say(f"{command(self.name)}: {problem}; doing it again")
            self.check(run, settings)
            forget(run, self.name)
            if force:
                self.clear(run, settings)
            started = time.monotonic()
            facts = self.work(run, settings)
            self.finish(run, settings, facts, time.monotonic() - started)
        return facts

    def key(self, run: Run, settings: S) -> str:
        """The digest of what the facts follow from."""
        return digest([self.settings(settings), dict(self.inputs(run, settings)), self.before(run)])

    def settings(self, settings: S) -> dict[str, object]:
        """The settings that count."""
        return settings.model_dump(mode="json", exclude=set(self.ignore))

    def before(self, run: Run) -> dict[str, str]:
        """The key of the step before, by its name."""
        return {self.after: run.require(self.after).key} if self.after else {}

    def finish(self, run: Run, settings: S, facts: Facts, seconds: float) -> None:
        content = {
            "key": self.key(run, settings),
            "after": self.before(run),
            "settings": settings.model_dump(mode="json"),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "seconds": round(seconds, 1),
            "facts": facts,
        }
        record = run.record_file(self.name)
        write_json(record, content)
        _set_aside(record).unlink(missing_ok=True)


RECORDED = (
    "was recorded from someone else's training, which cannot be repeated from here; it is measured, so go on with `thresher"
    " score`, and to prove a selection train on dataset.select(kept rows) and on as many random ones"
)


def step(
    name: str,
    *,
    after: str | None = None,
    ignore: tuple[str, ...] = (),
    inputs: Callable[[Run, S], Mapping[str, object]] = lambda run, settings: {},
    check: Callable[[Run, S], object] = lambda run, settings: None,
    problem: Callable[[Run, Facts], str | None] = lambda run, facts: None,
    clear: Callable[[Run, S], None] = lambda run, settings: None,
    own: bool = False,
    labels: bool = False,
) -> Callable[[Callable[[Run, S], Facts]], Step[S]]:
    """Make a step of a function `(run, settings) -> facts`.

    Parameters
    ----------
    name
        of the step; its folder is `.thresher/NAME`.
    after
        the step that must be finished before it, and whose result it reads.
    ignore
        settings that change no result, such as the number of workers.
    inputs
        what else the result follows from: a digest of the test rows, for instance.
    check
        refuses what cannot be done, before anything of the former result is removed.
    problem
        what is wrong with the files of a finished step, given its facts; None if nothing is. The step is then done again.
    clear
        removes what `--force` is to do again.
    own
        whether it trains, which a run recorded from someone else's training cannot.
    labels
        whether it is for rows with labels alone.

    >>> from thresher.config import ScoreConfig
    >>> @step("count", after="train")
    ... def count(run: Run, settings: ScoreConfig) -> Facts:
    ...     return {"rows": run.manifest.n_rows}
    >>> count.name, count.after
    ('count', 'train')
    """

    def make(work: Callable[[Run, S], Facts]) -> Step[S]:
        return Step(name, after, work, frozenset(ignore), inputs, check, problem, clear, own, labels)

    return make


def refuse_texts(run: Run, what: str) -> None:
    """Refuse a run whose rows have a text for a target."""
    if run.manifest.task == "text":
        raise UserError(
            f"{run}: its rows have a text for a target, which `thresher {what}` is not made for; select a share with --prune, and"
            f" `thresher compare {run}` proves it"
        )


def forget(run: Run, name: str) -> None:
    """Set the record of a step aside before its files change: one that is killed halfway is not finished.

    It keeps its room on the disk until the new record is written, so that a full disk fails before it changes a result.
    """
    record = run.record_file(name)
    if record.is_dir():
        raise UserError(
            f"{record}: a folder in place of a file; remove it, and `thresher {command(name)} {run}` makes the file again"
        )
    if record.exists():
        record.replace(_set_aside(record))


def _set_aside(record: Path) -> Path:
    return record.with_suffix(".former")


def remove_step(run: Run, name: str) -> None:
    shutil.rmtree(run.step_folder(name), ignore_errors=True)


def test_hash(run: Run, _: BaseModel) -> dict[str, object]:
    """The test rows, as an input of a step."""
    return {"test": run.manifest.test_hash}


def require_test(run: Run) -> None:
    """Refuse a run without test rows.

    Raises UserError: it has none, or others than its own.
    """
    if not run.has_test:
        raise UserError(
            f"{run}: no test rows to compare on; add them with `thresher compare {run} --test FILE`"
        )
    check_table(run.test_file, f"`thresher compare {run} --test FILE` makes it again")
    if made_of(run.test_file, ROWS_HASH) not in (None, run.manifest.test_hash):
        raise UserError(
            f"{run.test_file}: other test rows than those that run.yaml names; give --test FILE again"
        )


__all__ = ["Facts", "Record", "Step", "forget", "remove_step", "require_test", "step", "test_hash"]
