"""List the rows that are most likely mislabelled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import polars.selectors as cs

from thresher import files
from thresher.errors import UserError
from thresher.progress import say
from thresher.rows import read_rows
from thresher.rows.export import export
from thresher.run_folder import RunPath, lock, read_manifest, require, scoring_run
from thresher.sealed import read_table

# What each format is written as, by the ending of the file.
ENDINGS = {
    "table": (".csv", ".jsonl", ".parquet"),
    "argilla": (".jsonl",),
    "datalab": (".npz", ".parquet"),
}


def suspects(
    run: RunPath,
    *,
    out: str | Path | None = None,
    by: str = "confidence",
    top: int | None = None,
    format: str = "table",
) -> pl.DataFrame:
    """List the rows whose most probable label is not the one they have, the most suspicious first, and write them to `out`.

    `format`: "table" (csv, jsonl or parquet by the ending of `out`) with `rank`, `id`, the texts, `given`, `likely`,
    their probabilities, `score` and `why`; "argilla" (jsonl), one record of Argilla 2 per line, for
    `rg.Record.from_dict`; "datalab" (npz or parquet): `id`, `label` and `pred_probs` of ALL rows, for cleanlab's Datalab.
    `by` is the score whose hard end comes first, `top` the most rows to list.

    The probabilities are the model's own, averaged over checkpoints and runs, on the rows that it was trained on.

    Returns the list, with the texts.

    Raises
    ------
    UserError
        nothing was scored yet, a run without the logits of every row (a watched token classifier), an unknown score or
        format, an ending that the format is not written as, or a place that cannot be written.
    """
    run, out = Path(run), Path(out) if out is not None else None
    check_format(format)
    if out is not None:
        check_place(out, format)
    require(run, "score")
    with lock(run):
        from thresher.scores import MissingSignal
        from thresher.signals.measure import measured_names, read_signals
        from thresher.study.suspects import (
            argilla_records,
            checked_top,
            mean_probabilities,
            suspects_table,
            with_texts,
        )

        most = checked_top(top)
        manifest = read_manifest(run)
        scored = scoring_run(run)
        columns = cs.by_name("id", "label", "logits", require_all=False)
        signals = [read_signals(scored, name)[0].select(columns) for name in measured_names(scored)]
        try:
            probabilities = mean_probabilities(signals)
        except MissingSignal as error:
            raise UserError(
                f"{run}: suspects needs the logits of every row, which this run has not (a watched token classifier"
                " records none); sort scores.parquet by a score instead"
            ) from error
        table = read_table(run / "scores.parquet", f"`thresher score {run}` computes it again")
        if table["id"].to_list() != signals[0]["id"].to_list():
            raise UserError(
                f"{run}: scores and signals are of other rows; run `thresher score {run} --force`"
            )
        texts = manifest["config"]["data"]["text"]
        rows = read_rows(run / "rows.parquet").table.select("id", *texts)
        listed = suspects_table(table, probabilities, manifest["classes"], by)
        listed = with_texts(listed if most is None else listed.head(most), rows, texts)
        if out is None:
            return listed
        if format == "datalab":
            write_datalab(out, signals[0], probabilities, manifest["classes"])
        elif format == "argilla":
            names = listed.columns[2 : 2 + len(texts)]
            write_lines(out, argilla_records(listed, names))
        else:
            export(listed, out)
        say(
            f"suspects: {listed.height:,} of {table.height:,} rows, by {by}; what the model thinks of rows it has seen"
        )
    return listed


def check_format(format: str) -> None:
    """Refuse a format that there is not."""
    if format not in ENDINGS:
        raise UserError(f"format is '{format}'; it is one of {', '.join(ENDINGS)}")


def check_place(out: Path, format: str) -> None:
    """Refuse a file's ending that the format does not stand for."""
    if out.suffix.lower() not in ENDINGS[format]:
        raise UserError(f"{out}: {format} is written as {', '.join(ENDINGS[format])}; choose another --out")


def write_lines(out: Path, records: list[dict[str, Any]]) -> None:
    """One JSON object per line."""
    files.write(out, "".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records))


def write_datalab(out: Path, signals: pl.DataFrame, probabilities: Any, classes: list[str]) -> None:
    """`id`, `label` (the place in `classes`), `pred_probs` (N, K) of all rows; npz has `classes`, too.

    Datalab sorts the labels that it is given; places sort like the columns of `pred_probs`, names need not.
    """
    label = signals["label"].cast(pl.Int64)
    if out.suffix.lower() == ".parquet":
        kind = pl.Array(pl.Float64, probabilities.shape[1])
        table = pl.DataFrame({"id": signals["id"], "label": label})
        table = table.with_columns(
            pl.Series("label_name", [classes[k] for k in label]),
            pl.Series("pred_probs", probabilities, dtype=kind),
        )
        files.write(out, table.write_parquet)
        return

    def fill(temporary: Path) -> None:
        with temporary.open("wb") as handle:
            np.savez(
                handle,
                id=np.array(signals["id"].to_list(), dtype=str),
                label=label.to_numpy(),
                pred_probs=probabilities,
                classes=np.array(classes, dtype=str),
            )

    files.write(out, fill)
