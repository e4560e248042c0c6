"""The files that suspects are written as: a table, records for Argilla, or arrays for cleanlab's Datalab."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from thresher.errors import UserError
from thresher.rows.export import export
from thresher.run.files import write

# What each format is written as, by the ending of the file.
ENDINGS = {
    "table": (".csv", ".jsonl", ".parquet"),
    "argilla": (".jsonl",),
    "datalab": (".npz", ".parquet"),
}


def check_place(out: Path | None, format: str) -> None:
    """Refuse an unknown format, and a file's ending that the format does not have."""
    if format not in ENDINGS:
        raise UserError(f"format is '{format}'; it is one of {', '.join(ENDINGS)}")
    if out is not None and out.suffix.lower() not in ENDINGS[format]:
        raise UserError(f"{out}: {format} is written as {', '.join(ENDINGS[format])}; choose another --out")


def write_suspects(out: Path, format: str, listed: pl.DataFrame, texts: Sequence[str]) -> None:
    """Write the suspects, whose text columns are `texts`, as a table or for Argilla."""
    if format == "argilla":
        write_lines(out, argilla_records(listed, texts))
    else:
        export(listed, out)


def argilla_records(listed: pl.DataFrame, text: Sequence[str]) -> list[dict[str, object]]:
    """The suspects as Argilla's records (version 2): what `rg.Record.from_dict` reads.

    The texts are the fields, the likely label a suggestion to the question `label`, the rest is metadata. `listed` as
    `with_texts` gives it, `text` its text columns.

    >>> row = {"rank": 1, "id": "b", "text": "lights", "given": "on", "likely": "off", "p_given": 0.25, "p_likely": 0.5}
    >>> argilla_records(pl.DataFrame([{**row, "score": -1.0, "why": "because"}]), ["text"])[0]["suggestions"]
    {'label': {'value': 'off', 'score': 0.5, 'agent': 'thresher'}}
    """
    return [
        {
            "id": str(row["id"]),
            "fields": {name: row[name] for name in text},
            "suggestions": {
                "label": {"value": row["likely"], "score": round(row["p_likely"], 4), "agent": "thresher"}
            },
            "metadata": {name: row[name] for name in ("given", "rank", "score", "p_given", "why")},
            "responses": {},
            "vectors": {},
        }
        for row in listed.iter_rows(named=True)
    ]


def write_lines(out: Path, records: list[dict[str, object]]) -> None:
    write(out, "".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records))


def write_datalab(
    out: Path,
    ids: pl.Series,
    label: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    classes: Sequence[str],
) -> None:
    """Write `id`, `label` (the place in `classes`) and `pred_probs` (N, K) of all rows; npz has `classes` too.

    Datalab sorts the labels that it is given; places sort like the columns of `pred_probs`, names need not.
    """
    if out.suffix.lower() == ".parquet":
        kind = pl.Array(pl.Float64, probabilities.shape[1])
        table = pl.DataFrame({"id": ids, "label": label})
        table = table.with_columns(
            pl.Series("label_name", [classes[k] for k in label.tolist()]),
            pl.Series("pred_probs", probabilities, dtype=kind),
        )
        write(out, table.write_parquet)
        return

    def fill(temporary: Path) -> None:
        with temporary.open("wb") as handle:
            np.savez(
                handle,
                id=np.array(ids.to_list(), dtype=str),
                label=label,
                pred_probs=probabilities,
                classes=np.array(classes, dtype=str),
            )

    write(out, fill)
