"""The run folder of a recorded training: rows, signals, and what describes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from thresher.config import DataConfig, MeasureConfig, RunConfig, ScoreConfig, SelectConfig
from thresher.pipeline.measure import measure_signals
from thresher.pipeline.start import start
from thresher.pipeline.train import Trainings, train_models
from thresher.progress import say
from thresher.run import FIRST
from thresher.run.files import digest
from thresher.run.integrity import write_table
from thresher.run.layout import Layout
from thresher.run.lock import lock
from thresher.run.manifest import Recorded
from thresher.signals.plan import Plan, write_part, write_plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import Trainer

    from thresher.recording.table import Recording
    from thresher.rows import Rows


def write_run(folder: Path, trainer: Trainer, texts: tuple[str, ...] | None, id: str | None) -> None:
    """The run folder of a training of a Trainer that has ended."""
    from thresher.recording.completion_rows import completion_rows, places_of
    from thresher.recording.dataset_rows import ids_of, label_of, rows_of
    from thresher.recording.table import read_recording

    dataset = trainer.train_dataset
    hidden = int(getattr(getattr(trainer.model, "config", None), "hidden_size", 0) or 0)
    recording = read_recording(Layout(folder).recording, hidden)
    places, _ = places_of(trainer)
    ids = ids_of(dataset, id, places.tolist())

    def make_rows(numbers: np.ndarray, labels: np.ndarray | None) -> Rows:
        if recording.task == "text":
            return completion_rows(trainer, ids, places, numbers)
        return rows_of(trainer, ids, texts, numbers, labels)

    finish_run(
        folder, recording, ids, lambda row: label_of(trainer, row), make_rows, about(trainer, recording)
    )


def finish_run(
    folder: Path,
    recording: Recording,
    ids: pl.Series,
    label_of: Callable[[int], int],
    make_rows: Callable[[np.ndarray, np.ndarray | None], Rows],
    about: Recorded,
) -> None:
    """Write the run of a recording, and remove what the recorder left.

    `ids` are those of all rows of the dataset, `label_of` gives the label of a row without a record, -1 if it has none, and
    `make_rows` the rows with these numbers and labels (None for rows with a label per token, or a text for a target).
    """
    from thresher.recording import store

    layout = Layout(folder)
    with lock(folder):
        numbers, unrecorded = recording.labelled_rows(len(ids), label_of)
        measured, labels = write_signals(layout, recording, ids, numbers, unrecorded)
        rows = make_rows(numbers, labels if recording.task == "label" else None)
        config = RunConfig(
            data=DataConfig(train="the watched dataset", text=rows.text, label=rows.label),
            # The gradient norms that a training gives for nothing are those of its last layer.
            score=ScoreConfig(options={name: {"layer": "classifier"} for name in ("grand", "tracin")}),
            select=default_selection(recording),
        )
        steps = recording.steps
        key = digest([rows.hash(), about.model, steps])
        run = start(folder, rows, None, config, key=key, source="recorded", recorded=about)
        train_models.finish(run, Trainings(), {"steps": steps}, 0.0)
        counts = {**measured, "measured_chunks": 0, "truncated": 0, "refused": {}}
        measure_signals.finish(run, MeasureConfig(), counts, 0.0)
        store.remove(layout.recording)
    say(
        f"watch: {measured['rows']:,} rows, {measured['records']:,} records in {measured['checkpoints']} epochs, in {folder}"
    )
    if len(ids) > len(numbers):
        why = "no label" if recording.task == "label" else "no completion token in any training step"
        say(
            f"watch: {len(ids) - len(numbers):,} rows have {why} and are not scored; they are neither kept nor dropped"
        )
    if measured["unrecorded"]:
        say(
            f"watch: {measured['unrecorded']:,} rows were part of no training step; they count as ones the model knows"
            " nothing of"
        )


def default_selection(recording: Recording) -> SelectConfig:
    """The selection settings of a recorded run: the best choice that its records allow.

    Online VoG, ranked within the class, keeps rows that are as good as those of the measuring pass
    (research/while_training/while-you-train.md). Without it the recommended rule reads AUM and correctness, where rows have one
    label each. Rows with a label per token, or a text for a target, are cut off by EL2N, or else by their loss.
    """
    if recording.has_vog:
        return SelectConfig(by="vog_online")
    names = recording.records.collect_schema().names()
    if recording.task == "label" and "logits" in names:
        return SelectConfig(strategy="recommended")
    return SelectConfig(by="el2n" if "logits" in names or "error_norm" in names else "loss")


def write_signals(
    run: Layout,
    recording: Recording,
    ids: pl.Series,
    numbers: np.ndarray,
    unrecorded: np.ndarray,
    more: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> tuple[dict[str, object], np.ndarray]:
    """Write the signals of a recording as a measurement would; returns counts, and the labels (N,).

    `numbers` (N,) are the rows of the dataset, `unrecorded` (N,) the labels of those without a record; `more` are signals
    (N, ...) that were measured beside it.
    """
    from thresher.recording.table import CHUNK_ROWS

    made_with = digest({"rows": len(numbers), "epochs": recording.epochs.to_dicts()})
    plan = Plan(run, FIRST, len(numbers), CHUNK_ROWS, 0, "float32", (), made_with)
    labels, steps = [], []
    for chunk, part in enumerate(recording.parts(ids, numbers, unrecorded)):
        labels.append(part["label"].to_numpy())
        steps.append(part["correct"].list.len().to_numpy())
        own = slice(chunk * CHUNK_ROWS, (chunk + 1) * CHUNK_ROWS)
        write_part(
            plan, chunk, part.with_columns(pl.Series(name, values[own]) for name, values in more.items())
        )
    write_table(plan.folder / "checkpoints.parquet", recording.checkpoints)
    write_plan(plan, None)
    per_row = np.concatenate(steps)
    return {
        "rows": len(numbers),
        "checkpoints": recording.epochs.height,
        "records": int(per_row.sum()),
        "unrecorded": int((per_row == 0).sum()),
        "task": recording.task,
    }, np.concatenate(labels)


def about(trainer: Trainer, recording: Recording) -> Recorded:
    """What was recorded, for `run.yaml`."""
    args = trainer.args
    return Recorded(
        trainer=type(trainer).__name__,
        model=type(trainer.model).__name__,
        name=str(getattr(getattr(trainer.model, "config", None), "name_or_path", "")),
        epochs=float(trainer.state.epoch or recording.epochs["epoch_number"][-1] + 1),
        batch_size=args.per_device_train_batch_size,
        processes=args.world_size,
        seed=args.seed,
    )
