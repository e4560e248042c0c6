"""Watch a `Trainer` while it trains: a run folder with signals, without a measuring pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from thresher.config import DataConfig, MeasureConfig, RunConfig, ScoreConfig, SelectConfig
from thresher.errors import UserError
from thresher.pipeline.measure import measure_signals
from thresher.pipeline.own_files import clear, refuse_strange
from thresher.pipeline.start import start
from thresher.pipeline.train import Trainings, train_models
from thresher.progress import say
from thresher.rows import Rows
from thresher.rows.table import Source
from thresher.run import Run
from thresher.run.files import digest
from thresher.run.layout import Layout
from thresher.run.lock import lock
from thresher.run.manifest import Recorded

TOKENS = "tokens"
LABELS = ("labels", "label", "label_ids")


def watch(
    trainer: Any,
    out: str | Path,
    *,
    text: str | tuple[str, str] | None = None,
    id: str | None = None,
    vog: bool | int = True,
    seed: int = 0,
    force: bool = False,
) -> Path:
    """Record every row at each visit of a training, and leave a run folder that can be scored at once.

    Call it before `trainer.train()`. The training itself is not changed: the same weights come out, bit for bit. After it,
    `th.score(out)` gives every score that needs no separate gradients, and `th.select(out, prune=0.45, by="el2n")` the rows
    to keep; `RUN/kept.parquet` has their numbers: `dataset.select(pl.read_parquet("RUN/kept.parquet")["index"])`.

    Parameters
    ----------
    trainer
        a `transformers.Trainer`, or one derived from it, of a sequence or token classifier.
    out
        the run folder to write. With several processes it stands where all of them can write.
    text, id
        columns of the dataset to show rows by and to name them by. By default columns of strings, else the decoded tokens;
        and a column `id`, else the number of the row.
    vog
        record online VoG, too; a number is the width of its sketch (by default 64).
    seed
        of the sketch.
    force
        write over a run that stands there: it goes when the first epoch, or the first save, is through.

    Memory: an epoch's visits, 4 K + 36 bytes per row for K classes (a token classifier: 45), and with VoG 4 width + 12 more, in
    every process; for a moment twice that, when they are written.

    Raises
    ------
    UserError
        a trainer that cannot be watched, by name; a folder that holds a run; an unknown column. When the training begins:
        it resumes at a step before which nothing was recorded here. At its first step, before any weight has changed, or
        in one of its first 64, where only they tell: a loss or a model from which rows cannot be told.
    """
    from thresher.training.watch.recorder import Recorder
    from thresher.training.watch.supported import refuse_unsupported
    from thresher.training.watch.tap import tap

    run = Path(out)
    width = 64 if vog is True else int(vog)
    if width < 0:
        raise UserError(f"vog is {vog}; it is true, false, or the width of a sketch")
    refuse_unsupported(trainer, bool(width))
    texts = (text,) if isinstance(text, str) else text
    check_columns(trainer.train_dataset, *(texts or ()), *([id] if id else []))
    if trainer.args.process_index == 0:
        if Run.exists(run) and not force:
            raise UserError(f"{run}: holds a run already; choose another out, or force=True to write over it")
        refuse_strange(run)

    def make_room() -> None:
        if force and Run.exists(run):
            clear(run, but=("watch",))

    Recorder(
        tap(trainer),
        Layout(run).home,
        width,
        seed,
        make_room,
        lambda: write_run(run, trainer, texts, id, bool(width)),
    )
    return run


def write_run(folder: Path, trainer: Any, texts: tuple[str, ...] | None, id: str | None, vog: bool) -> None:
    """The run folder of a training that has ended: rows, signals, and what describes them."""
    from thresher.signals.watched import write_signals
    from thresher.training.watch import store

    dataset, state = trainer.train_dataset, trainer.state
    with lock(folder):
        ids = ids_of(dataset, id)
        facts = write_signals(
            Layout(folder), ids, hidden_of(trainer.model), lambda row: label_of(dataset, row)
        )
        labels = None if facts["per_token"] else facts.pop("label")
        rows = rows_of(trainer, ids, texts, labels)
        data = DataConfig(train="the watched dataset", text=rows.text, label=rows.label)
        select = SelectConfig(by="vog_online" if vog else "el2n")
        # The gradient norms that a training gives for nothing are those of its last layer.
        scores: dict[str, dict[str, Any]] = {name: {"layer": "classifier"} for name in ("grand", "tracin")}
        key = digest([rows.hash(), type(trainer.model).__name__, state.global_step])
        config = RunConfig(data=data, score=ScoreConfig(options=scores), select=select)
        run = start(folder, rows, None, config, key=key, source="recorded", recorded=about(trainer))
        train_models.finish(run, Trainings(), {"steps": state.global_step}, 0.0)
        counts = {**facts, "measured_chunks": 0, "truncated": 0, "refused": {}}
        measure_signals.finish(run, MeasureConfig(), counts, 0.0)
        store.remove(run.home)
    say(
        f"watch: {facts['rows']:,} rows, {facts['visits']:,} visits in {facts['checkpoints']} epochs, in {folder}"
    )
    if facts["unvisited"]:
        say(
            f"watch: {facts['unvisited']:,} rows were never visited; they count as ones the model knows nothing of"
        )


def about(trainer: Any) -> Recorded:
    """What was watched, for `run.yaml`."""
    args = trainer.args
    return Recorded(
        trainer=type(trainer).__name__,
        model=type(trainer.model).__name__,
        name=str(getattr(getattr(trainer.model, "config", None), "name_or_path", "")),
        epochs=float(trainer.state.epoch or 0),
        batch_size=args.per_device_train_batch_size,
        processes=args.world_size,
        seed=args.seed,
    )


def check_columns(dataset: Any, *columns: str) -> None:
    """Refuse columns that the dataset does not have."""
    known = getattr(dataset, "column_names", None)
    for column in columns:
        if not known or column not in known:
            has = f"it has {', '.join(known)}" if known else f"{type(dataset).__name__} has no named columns"
            raise UserError(f"the train_dataset has no column '{column}'; {has}")


def ids_of(dataset: Any, id: str | None) -> pl.Series:
    """The ids of the rows, their numbers where there are none or not one for each."""
    column = id or ("id" if "id" in (getattr(dataset, "column_names", None) or ()) else None)
    numbers = pl.Series("id", [str(row) for row in range(len(dataset))], dtype=pl.String)
    if column is None:
        return numbers
    found = pl.Series("id", values_of(dataset, column), dtype=pl.String)
    if found.n_unique() == len(found):
        return found
    say(f"watch: column '{column}' names some rows twice; rows are named by their numbers instead")
    return numbers


def values_of(dataset: Any, column: str) -> list[str]:
    """A column's values as text, those of a dataset that gives tensors too."""
    plain = dataset.with_format(None) if hasattr(dataset, "with_format") else dataset
    return [str(value) for value in plain[column]]


def label_of(dataset: Any, row: int) -> int:
    """The label of a row that no visit told of, 0 where it cannot be read."""
    item = dataset[row]
    found = next((item[name] for name in LABELS if name in item), 0)
    return int(np.asarray(found).reshape(-1)[0])


def hidden_of(model: Any) -> int:
    """The width of the embeddings, 0 where the configuration does not say."""
    return int(getattr(getattr(model, "config", None), "hidden_size", 0) or 0)


def class_names(trainer: Any, labels: np.ndarray) -> tuple[str, ...]:
    """The names of the classes: the model's, or the dataset's where the model only numbers them."""
    count = int(labels.max(initial=0)) + 1
    named = getattr(getattr(trainer.model, "config", None), "id2label", None) or {}
    names = [str(named.get(index, index)) for index in range(max(count, len(named)))]
    features = getattr(trainer.train_dataset, "features", None) or {}
    for column in LABELS:
        known = getattr(features.get(column), "names", None)
        if known and len(known) >= count and all(name == f"LABEL_{i}" for i, name in enumerate(names)):
            names = list(known)
    return tuple(names) if len(set(names)) == len(names) else tuple(map(str, range(len(names))))


def rows_of(trainer: Any, ids: pl.Series, texts: tuple[str, ...] | None, labels: np.ndarray | None) -> Rows:
    """The rows as a run folder holds them: id, text, label; and the number in the table that selection writes back.

    Rows with a label per token are all of one class.
    """
    classes = (TOKENS,) if labels is None else class_names(trainer, labels)
    labels = np.zeros(len(ids), np.int32) if labels is None else labels
    columns = texts_of(trainer, texts)
    taken = {"id", "index", *columns}
    label = next(name for name in ("label", "class", "thresher_label") if name not in taken)
    named = pl.Series(label, [classes[index] for index in labels], dtype=pl.String)
    table = pl.DataFrame(
        [ids, *(pl.Series(name, values, dtype=pl.String) for name, values in columns.items()), named]
    )
    memory = table.with_row_index("index").to_arrow(compat_level=pl.CompatLevel.oldest())
    return Rows(table, tuple(columns), label, (), classes, Source("frame", memory=memory), False)


def texts_of(trainer: Any, texts: tuple[str, ...] | None) -> dict[str, list[str]]:
    """One or two columns of text: those asked for, those there are, the decoded tokens, or the numbers of the rows."""
    dataset = trainer.train_dataset
    features = getattr(dataset, "features", None) or {}
    strings = [
        name
        for name, kind in features.items()
        if getattr(kind, "dtype", "") == "string" and name not in ("id", *LABELS)
    ]
    chosen = texts or tuple(strings[:2])
    if chosen:
        return {("text" if name in ("id", "index") else name): values_of(dataset, name) for name in chosen}
    tokenizer = trainer.processing_class or getattr(trainer.data_collator, "tokenizer", None)
    if tokenizer is not None and hasattr(tokenizer, "batch_decode"):
        try:
            tokens = [dataset[row]["input_ids"] for row in range(len(dataset))]
            return {"text": tokenizer.batch_decode(tokens, skip_special_tokens=True)}
        except (KeyError, TypeError, IndexError):
            pass
    return {"text": [f"row {row}" for row in range(len(dataset))]}
