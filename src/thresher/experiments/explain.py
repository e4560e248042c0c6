"""Explain predictions by training rows: the proponents and opponents of some rows, by TracIn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypedDict

import polars as pl

from thresher.errors import UserError
from thresher.experiments.rows_by_id import Row, rows_by_id, rows_where
from thresher.progress import say, track
from thresher.run import FIRST, Run
from thresher.run.integrity import check_table
from thresher.run.run import TRAIN_AGAIN
from thresher.run.steps import refuse_texts
from thresher.wording import did_you_mean, listed, shown

LAYERS = ("encoder", "classifier")


class Listed(TypedDict):
    """A training row and what it speaks for or against."""

    value: float
    id: str
    label: str
    text: list[str]


class Target(TypedDict):
    """A row, or a text, whose label is explained."""

    of: str
    id: str
    label: str
    text: list[str]
    proponents: list[Listed]
    opponents: list[Listed]


class Explanations(TypedDict):
    """The proponents and opponents of each target, by gradients of a layer at some checkpoints."""

    run: str
    layer: str
    checkpoints: int
    targets: list[Target]


def as_table(found: Explanations) -> pl.DataFrame:
    """The result of `explanations` as a table, one line per listed row."""
    lines, targets = [], found["targets"]
    for target in targets:
        about = {"of": target["of"], "target": target["id"], "target_label": target["label"]}
        about |= _numbered("target_text", target["text"])
        for side, listed_rows in (("proponent", target["proponents"]), ("opponent", target["opponents"])):
            for rank, row in enumerate(listed_rows, 1):
                line = {**about, "side": side, "rank": rank, **row, **_numbered("text", row["text"])}
                lines.append(line)
    texts = targets[0]["text"]
    names = ["of", "target", "target_label", *_numbered("target_text", texts), "side", "rank", "value"]
    names += ["id", "label", *_numbered("text", texts)]
    kinds = {"rank": pl.Int64(), "value": pl.Float64()}
    return pl.DataFrame(lines, schema={name: kinds.get(name, pl.String()) for name in names})


def explanations(
    run: Run,
    *,
    test_rows: str | Sequence[str] = (),
    rows: str | Sequence[str] = (),
    text: str | Sequence[str] | None = None,
    label: str | None = None,
    top: int = 10,
    layer: str = "encoder",
    workers: int | None = None,
) -> Explanations:
    run.require("train")
    refuse_texts(run, "explain")
    check_table(run.rows_file, TRAIN_AGAIN)
    if run.manifest.source == "recorded":
        raise UserError(f"{run}: was recorded and kept no checkpoints, from which explain takes gradients")
    if run.config.model.freeze:
        raise UserError(
            f"{run}: its encoder was frozen; explain needs a model that was fine-tuned as a whole"
        )
    if run.manifest.source == "proxy":
        raise UserError(
            f"{run}: its rows were scored by a proxy, so its model has no checkpoints; train without --proxy to explain"
        )
    if layer not in LAYERS:
        raise UserError(f"unknown layer '{shown(layer)}'; give {listed(LAYERS)}")
    if top < 1:
        raise UserError(f"top {top}: give at least 1 row")
    targets = [
        *rows_by_id(run, "test", test_rows),
        *rows_by_id(run, "train", rows),
        *_given(run, text, label),
    ]
    if not targets:
        raise UserError(
            "nothing to explain; give --test-row ID, --row ID (a training row), or --text TEXT --label CLASS"
        )

    from thresher.scores.read import by_index
    from thresher.scores.tracin import RATES
    from thresher.signals.influence import influence
    from thresher.training.checkpoints import checkpoint_table

    checkpoints = checkpoint_table(run.checkpoints(FIRST), hidden=0)
    n_rows = run.manifest.n_rows
    with track("explain", n_rows) as advance:
        ends = influence(
            run,
            FIRST,
            list(zip(*(target["text"] for target in targets), strict=True)),
            [target["label"] for target in targets],
            layer=layer,
            rates=by_index(checkpoints, RATES[layer]).tolist(),
            # One more than asked for: a training row comes out for itself, and is left out.
            k=top + 1,
            workers=workers,
            advance=advance,
        )
    places = {int(place) for end in ends for place in end.rows.flat}
    train = rows_where(run, "train", pl.col("place:").is_in(places))
    known = {row["place"]: row for row in train}
    explained: list[Target] = []
    for target, *tops in zip(targets, *(zip(end.values, end.rows, strict=True) for end in ends), strict=True):
        itself = target["place"] if target["of"] == "train" else None
        proponents, opponents = (
            [
                listed_row(known[place], sign * float(value))
                for value, place in zip(values, places_of_side.tolist(), strict=True)
                if value > 0 and place != itself
            ][:top]
            for sign, (values, places_of_side) in zip((1, -1), tops, strict=True)
        )
        explained.append(
            {
                "of": target["of"],
                "id": target["id"],
                "label": target["label"],
                "text": target["text"],
                "proponents": proponents,
                "opponents": opponents,
            }
        )
    say(f"explain: {n_rows:,} rows x {checkpoints.height} checkpoints, last {layer} layer")
    return {"run": str(run), "layer": layer, "checkpoints": checkpoints.height, "targets": explained}


def listed_row(row: Row, value: float) -> Listed:
    return {"value": value, "id": row["id"], "label": row["label"], "text": row["text"]}


def _given(run: Run, text: str | Sequence[str] | None, label: str | None) -> list[Row]:
    if text is None or len(text) == 0:
        if label is not None:
            raise UserError("--label is the class of --text; give both or neither")
        return []
    texts = [text] if isinstance(text, str) else list(text)
    columns, classes = run.config.data.text, run.manifest.classes
    if len(texts) != len(columns):
        raise UserError(
            f"{len(texts)} text(s) given, the rows have {len(columns)} ({listed(columns)}); give --text once for each"
        )
    if label is None or label not in classes:
        near = did_you_mean(str(label), classes) or f"; classes are {listed(classes)}"
        what = "--label is missing, the class to explain" if label is None else f"no class '{shown(label)}'"
        raise UserError(f"{what}{'' if label is None else near}")
    return [{"place": -1, "of": "text", "id": "text", "label": label, "text": texts}]


def _numbered(name: str, texts: Iterable[str]) -> dict[str, str]:
    """Texts by column: name, name_2."""
    return {name if i == 1 else f"{name}_{i}": text for i, text in enumerate(texts, 1)}
