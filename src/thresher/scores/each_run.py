"""The score of every row in every run, computed block by block and kept in files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

import numpy as np
import numpy.typing as npt
import polars as pl

from thresher.errors import UserError
from thresher.scores.neighbours import check_pairs
from thresher.scores.read import LABEL_SHARE, MissingSignal, labels
from thresher.scores.registry import Score
from thresher.scores.source import Source, whole
from thresher.scores.store import Numbers, Store

Codes = npt.NDArray[np.int32]


@dataclass
class Classes:
    """Class indices as numbers from 0 on, in the order in which they first occur."""

    known: dict[int, int] = field(default_factory=dict)

    def codes(self, block: pl.DataFrame) -> Codes:
        """The numbers of the labels of some rows, (n,)."""
        found, place = np.unique(labels(block), return_inverse=True)
        return np.array([self.known.setdefault(one, len(self.known)) for one in found.tolist()], np.int32)[
            place
        ]


@dataclass(frozen=True)
class Rows:
    """The rows of all runs: the class of each, (N,), and for every run where the rows of run 0 stand in it, (N,), or None if in
    the same order."""

    code: Codes
    classes: Classes
    places: tuple[npt.NDArray[np.int64] | None, ...]


@dataclass(frozen=True)
class Found:
    """What the store holds: the runs that gave each score, and why the others did not."""

    store: Store
    runs: dict[str, list[int]] = field(default_factory=dict)
    reasons: dict[str, dict[int, str]] = field(default_factory=dict)

    def add(self, name: str, run: int) -> None:
        self.runs.setdefault(name, []).append(run)

    def leave_out(self, name: str, run: int, reason: str) -> None:
        self.reasons.setdefault(name, {})[run] = reason

    def of_run(self, name: str, run: int) -> Numbers:
        """The score of every row in one run, in the row order of run 0; (N,)."""
        return self.store.read(key(name, run))


def key(name: str, run: int) -> str:
    """The column of the store that holds a score of one run."""
    return f"{name} of run {run}"


def check_rows(runs: Sequence[Source], size: int) -> Rows:
    """The rows of the runs, which must be the same ones.

    Raises UserError: no runs, a repeated id, or rows that differ from those of run 0.
    """
    if not runs:
        raise UserError("no signals to score; run `thresher measure` first")
    names, classes = ("id", "label"), Classes()
    code, hashes, same = [], [], [True] * len(runs)
    for blocks in zip_longest(*(run.blocks(names, size) for run in runs)):
        first = blocks[0]
        same = [
            kept and first is not None and block is not None and block.equals(first)
            for kept, block in zip(same, blocks, strict=True)
        ]
        if first is not None:
            code.append(classes.codes(first))
            hashes.append(first["id"].hash().to_numpy())
    refuse_repeated(runs[0], np.concatenate(hashes), size)
    del hashes
    places = [None if kept else _places(runs, index, size) for index, kept in enumerate(same)]
    return Rows(np.concatenate(code), classes, tuple(places))


def refuse_repeated(run: Source, hashes: npt.NDArray[np.uint64], size: int) -> None:
    """Refuse signals in which an id occurs twice; only ids of equal hash are compared."""
    hashes.sort()
    repeated = pl.Series(np.unique(hashes[1:][hashes[1:] == hashes[:-1]]))
    if len(repeated):
        blocks = (block["id"] for block in run.blocks(("id",), size))
        suspects = pl.concat([ids.filter(ids.hash().is_in(repeated.implode())) for ids in blocks])
        if suspects.n_unique() < len(suspects):
            raise UserError("signals of run 0: an id is repeated; measure again with --force")


def _places(runs: Sequence[Source], index: int, size: int) -> npt.NDArray[np.int64]:
    """Where the rows of run 0 stand in another run."""
    first, other = (pl.concat(runs[one].blocks(("id", "label"), size)) for one in (0, index))
    if not first.sort("id").equals(other.sort("id")):
        raise UserError(
            f"signals of run {index} have other rows than those of run 0; measure again with --force"
        )
    numbered = other.select("id", place=pl.int_range(pl.len()))
    found = first.select("id").join(numbered, on="id", how="left", maintain_order="left", validate="1:1")
    return found["place"].to_numpy()


def of_each_run(
    runs: Sequence[Source],
    rows: Rows,
    entries: Sequence[Score],
    options: Mapping[str, Mapping[str, object]],
    store: Store,
    size: int,
    *,
    every_run: bool,
) -> Found:
    """Compute scores that are not made from others, in run 0, and where it counts in the other runs.

    It counts for scores that are averaged over runs; with `every_run` for all that depend on the training.
    """
    found = Found(store)
    for index, run in enumerate(runs):
        wanted = [
            entry
            for entry in entries
            if index == 0 or entry.runs == "all" or (every_run and not entry.of_no_run)
        ]
        _of_single_rows(index, run, rows, [one for one in wanted if one.reads == "row"], options, found, size)
        for entry in (one for one in wanted if one.reads == "rows"):
            try:
                values = _of_other_rows(entry, run, rows, options[entry.name], size)
            except MissingSignal as missing:
                found.leave_out(entry.name, index, str(missing))
            else:
                store.put(key(entry.name, index), values)
                found.add(entry.name, index)
        place = rows.places[index]
        for name in (name for name, own in found.runs.items() if place is not None and index in own):
            store.put(key(name, index), found.of_run(name, index)[place])
    return found


def _of_single_rows(
    index: int,
    run: Source,
    rows: Rows,
    entries: Sequence[Score],
    options: Mapping[str, Mapping[str, object]],
    found: Found,
    size: int,
) -> None:
    """Scores of a row from that row alone, while the signals are read."""
    left = {entry.name: entry for entry in entries}
    named = {name for entry in entries for name in entry.needs}
    columns = [name for name in run.schema if name != "features" or name in named]
    share = np.bincount(rows.code) / max(1, len(rows.code))  # (K,)
    for block in run.blocks(columns, size) if left else ():
        given = block.with_columns(pl.Series(LABEL_SHARE, share[rows.classes.codes(block)], pl.Float64))
        for name, entry in list(left.items()):
            try:
                values = entry.function(given, run.checkpoints, **options[name]).cast(pl.Float64)
            except MissingSignal as missing:
                found.leave_out(name, index, str(missing))
                found.store.remove(key(name, index))
                del left[name]
            else:
                found.store.append(key(name, index), values.to_numpy())
    for name in left:
        found.add(name, index)


def _of_other_rows(
    entry: Score, run: Source, rows: Rows, options: Mapping[str, object], size: int
) -> Numbers:
    """A score that depends on other rows, (N,)."""
    if entry.by_blocks is not None:
        return entry.by_blocks(run, **options)
    refuse_pairs(entry, run, rows)
    block = first_block(entry, run, size)
    if block is not None:
        entry.function(block, run.checkpoints, **options)
    values = entry.function(whole(run, entry.whole_columns, size), run.checkpoints, **options)
    return values.cast(pl.Float64).to_numpy()


def first_block(entry: Score, run: Source, size: int) -> pl.DataFrame | None:
    """Some rows for a score that lacks a signal, which it says before all rows are read for it; None for others."""
    columns = [name for name in entry.whole_columns if name in run.schema]
    if len(columns) == len(entry.whole_columns):
        return None
    return next(iter(run.blocks(columns, size)), None)


def refuse_pairs(entry: Score, run: Source, rows: Rows) -> None:
    """Refuse to compare too many pairs, before anything is read for it; a signal that is missing is told first.

    Raises MissingSignal: too many pairs.
    """
    if entry.pairs is not None and all(name in run.schema for name in entry.whole_columns):
        count = [len(rows.code)] if entry.pairs == "all" else np.bincount(rows.code).tolist()
        check_pairs(sum(one**2 for one in count))
