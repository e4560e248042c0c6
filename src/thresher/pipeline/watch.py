"""Record a `Trainer` while it trains, into a run folder with signals that needs no measuring pass."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from thresher.config import DataConfig, MeasureConfig, RunConfig, ScoreConfig, SelectConfig
from thresher.errors import UserError
from thresher.pipeline.measure import measure_signals
from thresher.pipeline.own_files import clear, refuse_strange
from thresher.pipeline.start import start
from thresher.pipeline.train import Trainings, train_models
from thresher.progress import say
from thresher.run import FIRST, Run
from thresher.run.files import digest, unwritable
from thresher.run.integrity import write_table
from thresher.run.layout import Layout
from thresher.run.lock import lock
from thresher.run.manifest import Recorded
from thresher.run.outputs import as_place
from thresher.signals.plan import Plan, write_part, write_plan

if TYPE_CHECKING:
    from transformers import Trainer

    from thresher.recording.table import Recording


def watch(
    trainer: Trainer,
    out: str | Path,
    *,
    text: str | tuple[str, str] | None = None,
    id: str | None = None,
    vog: bool | int = True,
    seed: int = 0,
    force: bool = False,
) -> Path:
    """Record every row at each training step that it is part of, and leave a run folder that can be scored at once.

    Call it before `trainer.train()`. The training itself is not changed: the same weights come out, bit for bit. After it,
    `th.score(out)` gives every score that needs no separate gradients, and `th.select(out, prune=0.45, by="el2n")` the rows
    to keep; `RUN/kept.parquet` has their numbers: `dataset.select(pl.read_parquet("RUN/kept.parquet")["index"])`.

    Parameters
    ----------
    trainer
        a `transformers.Trainer`, or one derived from it, of a sequence or token classifier. A second call for the same
        trainer replaces the first.
    out
        the run folder to write. With several processes it must be on a disk that all of them can write to.
    text, id
        columns of the dataset for the texts and the ids of the rows. By default the texts are columns of strings, else the
        decoded tokens, and the ids a column `id`, else row numbers.
    vog
        also record online VoG; a number is the width of its sketch (by default 64).
    seed
        of the sketch.
    force
        overwrite a run in that folder: it is removed at the end of the first epoch, or at the first save.

    Rows with a label below 0, which the loss ignores, are not scored: they are neither kept nor dropped.

    Memory in every process: the records of an epoch, 4 K + 36 bytes per row for K classes (45 for a token classifier), and with
    VoG 4 width + 12 more; twice that for a moment when they are written.

    Raises
    ------
    UserError
        a trainer that cannot be watched, by name; a folder that holds a run or cannot be written; an unknown column. When the
        training begins: it resumes at a step before which nothing was recorded here. At its first step, before any weight has
        changed: a loss or a model whose rows cannot be recorded separately. After that nothing ends the training: a failure of
        the recording gives one warning.
    """
    from thresher.recording.dataset_rows import check_columns
    from thresher.recording.recorder import Recorder
    from thresher.recording.supported import refuse_unsupported

    run = as_place(out)
    width = 64 if vog is True else int(vog)
    if width < 0:
        raise UserError(f"vog is {vog}; it is true, false, or the width of a sketch")
    refuse_unsupported(trainer, bool(width))
    texts = (text,) if isinstance(text, str) else text
    check_columns(trainer.train_dataset, [*(texts or ()), *([id] if id else [])])
    if trainer.args.process_index == 0:
        if Run.exists(run) and not force:
            raise UserError(f"{run}: holds a run already; choose another out, or force=True to overwrite it")
        refuse_strange(run)
    refuse_unwritable(run)

    def make_room() -> None:
        if force and Run.exists(run):
            clear(run, but=(Layout(run).recording.name,))

    def finish_run() -> None:
        write_run(run, trainer, texts, id)

    Recorder(trainer, Layout(run).recording, width, seed, make_room, finish_run)
    return run


def refuse_unwritable(folder: Path) -> None:
    """Refuse a folder that cannot be written now, rather than when the first epoch ends.

    Raises
    ------
    UserError
        the folder, or the nearest one above it that exists, takes no new file.
    """
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise unwritable(folder, error) from error


def write_run(folder: Path, trainer: Trainer, texts: tuple[str, ...] | None, id: str | None) -> None:
    """Write the run folder of a finished training: rows, signals and manifest."""
    from thresher.recording import store
    from thresher.recording.dataset_rows import ids_of, label_of, rows_of
    from thresher.recording.table import read_recording

    dataset, steps, layout = trainer.train_dataset, trainer.state.global_step, Layout(folder)
    with lock(folder):
        ids = ids_of(dataset, id)
        hidden = int(getattr(getattr(trainer.model, "config", None), "hidden_size", 0) or 0)
        recording = read_recording(layout.recording, hidden)
        numbers, unrecorded = recording.labelled_rows(len(ids), lambda row: label_of(dataset, row))
        measured, labels = write_signals(layout, recording, ids, numbers, unrecorded)
        rows = rows_of(trainer, ids, texts, numbers, None if recording.per_token else labels)
        config = RunConfig(
            data=DataConfig(train="the watched dataset", text=rows.text, label=rows.label),
            # Only the gradient norms of the last layer come for free from a training.
            score=ScoreConfig(options={name: {"layer": "classifier"} for name in ("grand", "tracin")}),
            select=SelectConfig(by="vog_online" if recording.has_vog else "el2n"),
        )
        key = digest([rows.hash(), type(trainer.model).__name__, steps])
        run = start(folder, rows, None, config, key=key, source="recorded", recorded=about(trainer))
        train_models.finish(run, Trainings(), {"steps": steps}, 0.0)
        counts = {**measured, "measured_chunks": 0, "truncated": 0, "refused": {}}
        measure_signals.finish(run, MeasureConfig(), counts, 0.0)
        store.remove(layout.recording)
    say(
        f"watch: {measured['rows']:,} rows, {measured['records']:,} records in {measured['checkpoints']} epochs, in {folder}"
    )
    if len(ids) > len(numbers):
        say(
            f"watch: {len(ids) - len(numbers):,} rows have no label and are not scored; they are neither kept nor dropped"
        )
    if measured["unrecorded"]:
        say(
            f"watch: {measured['unrecorded']:,} rows were part of no training step; they count as ones the model knows"
            " nothing of"
        )


def write_signals(
    run: Layout, recording: Recording, ids: pl.Series, numbers: np.ndarray, unrecorded: np.ndarray
) -> tuple[dict[str, int | bool], np.ndarray]:
    """Write the signals of a recording as a measurement would; returns counts, and the labels (N,).

    `numbers` (N,) are the rows of the dataset, `unrecorded` (N,) the labels of those without a record.
    """
    from thresher.recording.table import CHUNK_ROWS

    made_with = digest({"rows": len(numbers), "epochs": recording.epochs.to_dicts()})
    plan = Plan(run, FIRST, len(numbers), CHUNK_ROWS, 0, "float32", (), made_with)
    labels, steps = [], []
    for chunk, part in enumerate(recording.parts(ids, numbers, unrecorded)):
        labels.append(part["label"].to_numpy())
        steps.append(part["correct"].list.len().to_numpy())
        write_part(plan, chunk, part)
    write_table(plan.folder / "checkpoints.parquet", recording.checkpoints)
    write_plan(plan, None)
    per_row = np.concatenate(steps)
    return {
        "rows": len(numbers),
        "checkpoints": recording.epochs.height,
        "records": int(per_row.sum()),
        "unrecorded": int((per_row == 0).sum()),
        "per_token": recording.per_token,
    }, np.concatenate(labels)


def about(trainer: Trainer) -> Recorded:
    """Facts about the recorded training, for `run.yaml`."""
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
