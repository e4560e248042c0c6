"""The table of scores, column by column: averaged over runs, checked, and normalised when it is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from thresher.errors import UserError
from thresher.scores.columns import needed_columns
from thresher.scores.each_run import Found, Rows, check_rows, first_block, of_each_run, refuse_pairs
from thresher.scores.normalise import Groups, Spread, class_rank, whole_spread
from thresher.scores.read import MissingSignal
from thresher.scores.registry import FORMS, Score, scores
from thresher.scores.source import Source, refuse_more, whole
from thresher.scores.store import Numbers, Store


@dataclass(frozen=True)
class Form:
    """How a score is normalised: its spread in each class and over all rows, and whether there is a column of ranks."""

    in_class: Spread
    in_all: Spread
    ranked: bool

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The endings of its columns, "" for the score itself."""
        return ("", *(form for form in FORMS if form != "_rank" or self.ranked))


@dataclass(frozen=True)
class Scored:
    """Scores of the rows of some runs; their values are in `found.store`, in the row order of run 0."""

    runs: Sequence[Source]
    rows: Rows
    groups: Groups
    found: Found
    size: int
    forms: dict[str, Form] = field(default_factory=dict)
    about: dict[str, dict[str, Any]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        made = (f"{name}{suffix}" for name in sorted(self.forms) for suffix in self.forms[name].suffixes)
        return ["id", "label", *made]

    def blocks(self) -> Iterator[pl.DataFrame]:
        """The table, some rows at a time."""
        start = 0
        for block in self.runs[0].blocks(("id", "label"), self.size):
            made = [self.values(name, start, block.height) for name in self.columns[2:]]
            yield block.hstack(
                [pl.Series(name, one) for name, one in zip(self.columns[2:], made, strict=True)]
            )
            start += block.height

    def values(self, column: str, start: int = 0, count: int = -1) -> Numbers:
        """Values of a column of the table, all by default."""
        name, suffix = next(
            (name, suffix)
            for name, form in self.forms.items()
            for suffix in form.suffixes
            if name + suffix == column
        )
        if suffix in ("", "_rank"):
            return self.found.store.read(column, start, count)
        raw = self.found.store.read(name, start, count)
        if suffix == "_class":
            return self.forms[name].in_class.standardised(raw, self.rows.code[start : start + len(raw)])
        return self.forms[name].in_all.standardised(raw, 0)

    def add(self, entry: Score, values: Numbers, used: int, options: Mapping[str, Any]) -> None:
        """Take a score into the table.

        Raises MissingSignal: it is not finite for some row.
        """
        self._refuse_infinite(values)
        self.found.store.put(entry.name, values)
        self.forms[entry.name] = Form(
            self.groups.spread(values), whole_spread(values), entry.normalise == "rank"
        )
        if entry.normalise == "rank":
            self.found.store.put(f"{entry.name}_rank", class_rank(values, self.rows.code))
        self.about[entry.name] = {
            "hard": entry.hard,
            "normalise": entry.normalise,
            "runs_used": used,
            "options": options,
            "source": entry.source,
            "needs": list(entry.needs),
            "cost": entry.cost,
        }

    def _refuse_infinite(self, values: Numbers) -> None:
        bad = ~np.isfinite(values)
        if bad.any():
            at = int(bad.argmax())
            for block in self.runs[0].blocks(("id",), self.size):
                if at < block.height:
                    raise MissingSignal(
                        f"not a finite number for {bad.sum()} rows, first '{block['id'][at]}'; did the training diverge?"
                    )
                at -= block.height


def score_sources(
    runs: Sequence[Source],
    options: Mapping[str, Mapping[str, Any]],
    store: Store,
    size: int,
    *,
    every_run: bool = False,
) -> Scored:
    """Every score that the runs can give; `options` are those of every score, and `size` is the rows of a block."""
    rows = check_rows(runs, size)
    entries = list(scores().values())
    from_rows = [entry for entry in entries if entry.reads != "scores"]
    found = of_each_run(runs, rows, from_rows, options, store, size, every_run=every_run)
    scored = Scored(runs, rows, Groups.of(rows.code), found, size)
    # Scores that are made from other scores come last. One of them may need another, so skipped ones are tried again as
    # long as a pass adds a score.
    waiting = [*from_rows, *(entry for entry in entries if entry.reads == "scores")]
    while waiting:
        for entry in waiting:
            try:
                _add(scored, entry, options[entry.name])
            except MissingSignal as missing:
                scored.skipped[entry.name] = str(missing)
            else:
                scored.skipped.pop(entry.name, None)
        from_scores = [entry for entry in waiting if entry.reads == "scores"]
        left = [entry for entry in from_scores if entry.name in scored.skipped]
        waiting = left if len(left) < len(from_scores) else []
    if not scored.about:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in scored.skipped.items())
        raise UserError(f"no score can be computed from these signals ({reasons})")
    return scored


def _add(scored: Scored, entry: Score, options: Mapping[str, object]) -> None:
    """Take a score into the table: averaged over the runs that have its signals, or made from the scores that are in it."""
    if entry.reads == "scores":
        scored.add(entry, _from_scores(scored, entry, options), len(scored.runs), options)
        return
    found = scored.found
    last = len(scored.runs) - 1 if entry.runs == "all" else 0
    used = [run for run in found.runs.get(entry.name, []) if run <= last]
    if not used:
        raise MissingSignal(found.reasons[entry.name][last])
    values = np.zeros(len(scored.rows.code))
    for run in used:
        values += found.of_run(entry.name, run)
    values /= len(used)
    scored.add(entry, values, len(used), options)


def _from_scores(scored: Scored, entry: Score, options: Mapping[str, object]) -> Numbers:
    """A score that is made from other scores, (N,)."""
    run = scored.runs[0]
    refuse_pairs(entry, run, scored.rows)
    names = scored.columns
    if entry.made_of is not None:
        names = needed_columns(entry.made_of(**options), names)
    refuse_more(8 * len(names) * run.rows, run.rows)
    own = [name for name in names if name in ("id", "label")]
    # Of the arrays that the table is made from, none is kept.
    made = pl.DataFrame({name: scored.values(name) for name in names if name not in own})
    table = pl.concat([whole(run, own, scored.size), made], how="horizontal")
    del made
    block = first_block(entry, run, scored.size)
    if block is not None:
        entry.function(table.head(block.height), block, **options)
    values: pl.Series = entry.function(table, whole(run, entry.whole_columns, scored.size), **options)
    return values.cast(pl.Float64).to_numpy()
