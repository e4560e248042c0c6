"""The rows that are most likely mislabelled, with the most probable label and the reasons."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.stats import rankdata

from thresher.errors import UserError
from thresher.experiments.guesses import Guess, guesses_of, probabilities_of
from thresher.experiments.suspects_files import check_place, write_datalab, write_suspects
from thresher.experiments.suspects_length import length, lines, list_facts
from thresher.experiments.suspects_order import ordered
from thresher.experiments.suspects_texts import text_suspects
from thresher.pipeline.own_files import check_own_output
from thresher.progress import say
from thresher.row_hash import hash_ids
from thresher.rows import check_rows
from thresher.run import Run, parquet
from thresher.run.integrity import write_json
from thresher.run.lock import lock
from thresher.scores import MissingSignal, column, scores

Numbers = npt.NDArray[np.float64]
# A score is named as a reason if the row is among this share of its hardest rows.
HARDEST = 0.05
OWN = ("rank", "id", "given", "likely", "p_given", "p_likely", "p_wrong", "score", "why")


def suspects(run: Run, out: Path | None, by: str, top: int | None, format: str) -> pl.DataFrame:
    """The suspects of a run, with their texts, written to `out` if one is given; see `thresher.api.suspects`."""
    check_place(out, format)
    if out is not None:
        check_own_output(run, out)
    if top is not None and top < 1:
        raise UserError(f"top is {top}; it must be at least 1")
    key = run.require("score").key
    with lock(run.folder):
        if run.manifest.task == "text":
            return text_suspects(run, out, by, top, format)
        scored = run.scoring
        if not scored.measured():
            raise UserError(f"{run}: its signals are gone; {scored.again('measure')}")
        try:
            found = guesses_of(scored)
        except MissingSignal as error:
            raise UserError(
                f"{run}: suspects needs the logits of every row, which this run does not have (a recorded token classifier"
                " keeps none); sort the scores by one of them instead"
            ) from error
        table = run.scan_scores().select(needed(run.score_columns(), by)).collect()
        if not table["id"].equals(found.ids):
            raise UserError(
                f"{run}: scores and signals have different rows; run `thresher score {run} --force`"
            )
        texts, classes = run.config.data.text, run.manifest.classes
        every = suspects_table(table, found.guess, classes, by, found.chances)
        shown = every.head(top or length(every, table.height, found.chances))
        listed = with_texts(shown, texts_of(run, shown["id"]), texts)
        if out is not None and format == "datalab":
            write_datalab(out, found.ids, found.label, probabilities_of(scored), classes)
        elif out is not None:
            write_suspects(out, format, listed, listed.columns[2 : 2 + len(texts)])
        facts = list_facts(listed, table, by, found.learned, found.chances)
        write_json(run.suspects_file, {**facts, "score": key})
        for line in lines(facts):
            say(f"suspects: {line}")
    return listed


def needed(columns: Sequence[str], by: str) -> list[str]:
    """Those of the columns of a score table that a list of suspects reads: each score as it is and as it is told by.

    >>> needed(["id", "label", "vog", "vog_class", "vog_dataset", "aum", "aum_class", "mine"], "mine")
    ['id', 'label', 'vog', 'vog_class', 'aum', 'mine']
    """
    known = [name for name in scores() if name in columns]
    read = {"id", "label", by, *known, *(column(name, "auto", columns)[0] for name in known)}
    return [name for name in columns if name in read]


def texts_of(run: Run, ids: pl.Series) -> pl.DataFrame:
    """`id` and texts of some rows, without reading the others into memory."""
    check_rows(run.rows_file)
    among = parquet.scan(run.rows_file).filter(pl.col("id").is_in(ids.implode()))
    return among.select("id", *run.config.data.text).collect()


def suspects_table(
    table: pl.DataFrame,
    guess: Guess,
    classes: Sequence[str],
    by: str = "auto",
    chances: Numbers | None = None,
) -> pl.DataFrame:
    """The rows whose most probable label differs from their own, the most suspicious first.

    Parameters
    ----------
    table
        the score table, with the class names as `label`.
    guess
        of every row, in the order of the table.
    classes
        the K class names.
    by
        the score or column to sort by, from its hard end; "auto": see `ordered`.
    chances
        of every label to be wrong, (N,), if they are known; see `thresher.experiments.label_errors.wrong_chances`.

    Returns `rank` (from 1), `id`, `given` and `likely` (labels), `p_given` and `p_likely` (their probabilities), `p_wrong` (the
    chance), `score` (of `by`), `why` (in words). Equal scores stand in the order of p_given, then of the hash of the id.

    Raises UserError: no such score or column.

    >>> table = pl.DataFrame({"id": ["a", "b"], "label": ["on", "off"], "confidence": [0.9, 0.2], "aum": [4.0, -2.0]})
    >>> guess = Guess.of(np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.2]]))
    >>> found = suspects_table(table, guess, ["on", "off"])
    >>> found.drop("why").rows()
    [(1, 'b', 'off', 'on', 0.2, 0.8, None, -2.0)]
    >>> found["why"][0]
    "'on' had 80% on average and 'off' 20%; another label led for most of the training (aum -2)"
    """
    score, high = ordered(table, by)
    place = {name: index for index, name in enumerate(classes)}
    given = np.array([place[name] for name in table["label"].to_list()], dtype=np.int64)
    likely = guess.likely
    found = pl.DataFrame(
        {
            "id": table["id"],
            "given": table["label"],
            "likely": [classes[k] for k in likely],
            "p_given": guess.p_given,
            "p_likely": guess.p_likely,
            "p_wrong": pl.Series(chances if chances is not None else [None] * len(given), dtype=pl.Float64),
            "score": score,
        }
    )
    listed = (
        found.with_columns(pl.Series("why", _reasons(table, found, likely != given)))
        .with_columns(pl.Series("tie", hash_ids(table["id"])))
        .filter(pl.Series(likely != given))
        .sort("score", "p_given", "tie", descending=[high, False, False])
        .drop("tie")
    )
    return listed.select(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("rank"), pl.all())


def _reasons(table: pl.DataFrame, found: pl.DataFrame, listed: npt.NDArray[np.bool_]) -> list[str]:
    """Why each listed row is suspicious, in words; empty for the others."""
    hardest = _hardest(table)
    values = {name: table[name].to_list() for name in ("correctness", "aum", "pvi") if name in table.columns}
    reasons = [""] * table.height
    for i in np.flatnonzero(listed).tolist():
        row = found.row(i, named=True)
        said = [
            f"'{row['likely']}' had {row['p_likely']:.0%} on average and '{row['given']}' {row['p_given']:.0%}"
        ]
        if "correctness" in values and values["correctness"][i] == 0:
            said.append("the model was never right about it")
        if "aum" in values and values["aum"][i] < 0:
            said.append(f"another label led for most of the training (aum {values['aum'][i]:.3g})")
        if "pvi" in values and values["pvi"][i] < 0:
            said.append(f"the text speaks against the label (pvi {values['pvi'][i]:.3g} bits)")
        names = [name for name, among in hardest.items() if among[i]]
        if names:
            said.append(f"among the hardest {HARDEST:.0%} by {', '.join(names)}")
        reasons[i] = "; ".join(said)
    return reasons


def _hardest(table: pl.DataFrame) -> dict[str, npt.NDArray[np.bool_]]:
    """Per score, which rows are among the hardest: fewer than that share of the rows are as hard or harder."""
    found = {}
    for name, entry in scores().items():
        if name in table.columns:
            values = table[column(name, "auto", table.columns)[0]].to_numpy()
            as_hard = rankdata(-values if entry.hard == "high" else values, method="max")
            found[name] = as_hard <= HARDEST * table.height
    return found


def with_texts(listed: pl.DataFrame, rows: pl.DataFrame, text: Sequence[str]) -> pl.DataFrame:
    """The suspects with their texts after the id; a text column with the name of an output column gets the suffix `_text`.

    >>> listed = pl.DataFrame({"rank": [1], "id": ["b"], "given": ["on"]})
    >>> rows = pl.DataFrame({"id": ["a", "b"], "given": ["x", "lights"]})
    >>> with_texts(listed, rows, ["given"]).rows(named=True)
    [{'rank': 1, 'id': 'b', 'given_text': 'lights', 'given': 'on'}]
    """
    names = {name: f"{name}_text" if name in OWN else name for name in text}
    texts = rows.select("id", *(pl.col(old).alias(new) for old, new in names.items()))
    joined = listed.join(texts, on="id", how="left", maintain_order="left")
    return joined.select(
        "rank", "id", *names.values(), *(name for name in listed.columns if name not in OWN[:2])
    )
