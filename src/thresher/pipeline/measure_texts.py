"""The signals of a fine-tuned language model: what was recorded while it trained, and its loss without the prompts."""

from __future__ import annotations

from typing import Any

import numpy as np

from thresher.config import MeasureConfig
from thresher.errors import UserError
from thresher.execution.cores import cores
from thresher.execution.engines import run_tasks
from thresher.models.language_model import adapted, put_weights
from thresher.pipeline.recorded_run import write_signals
from thresher.progress import say
from thresher.recording.table import read_recording
from thresher.rows import read_rows
from thresher.run import FIRST, Run
from thresher.run.layout import Layout
from thresher.run.steps import Facts
from thresher.signals.completions.of_tokens import rows_to_measure
from thresher.training.checkpoints import load_weights
from thresher.training.finished import TRAIN_AGAIN, list_checkpoints
from thresher.training.language_runs import prepared

# The loss of the completions without their prompts, for PVI and IFD.
ALONE = "loss_alone"


def measure_texts(run: Run, settings: MeasureConfig) -> Facts:
    """Write the signals of the rows; returns what `measure_run` does.

    Losses, EL2N and the like are those that the training recorded, a value per epoch. `loss_alone` is of the last checkpoint.
    """
    layout = Layout(run.folder)
    ids = read_rows(run.rows_file).table["id"]
    try:
        recording = read_recording(layout.recording, 0)
    except (UserError, OSError) as error:
        raise UserError(f"{layout.recording}: what the training recorded is gone; {TRAIN_AGAIN}") from error
    numbers, unrecorded = recording.labelled_rows(len(ids), lambda row: -1)
    if len(numbers) < len(ids):
        raise UserError(f"{layout.recording}: is not of all rows; {TRAIN_AGAIN}")
    found: dict[str, np.ndarray] = {}
    for _, values in run_tasks(texts_job, [(run,)], 1, run.config.train.threads or cores()):
        found |= values
    truncated = found.pop("truncated")
    write_signals(layout, recording, ids, numbers, unrecorded, found)
    say(
        f"measure: {len(ids):,} rows x {recording.epochs.height} epochs, and their completions without the prompts"
    )
    return {
        "rows": len(ids),
        "checkpoints": recording.epochs.height,
        "truncated": int(truncated.sum()),
        "measured_chunks": 1,
        "refused": {},
    }


def texts_job(run: Run) -> dict[str, Any]:
    """What the model of the last checkpoint gives for each row; each (N, ...)."""
    from thresher.signals.completions import measure_completions

    config = run.config
    model, tokenizer, tokens = prepared(config, read_rows(run.rows_file))
    model = adapted(model, config.generate, config.train.seed)
    put_weights(model, load_weights(list_checkpoints(run.checkpoints(FIRST))[-1]))
    rows = rows_to_measure(tokens, tokenizer)
    found = measure_completions(
        model, rows, [lambda: None], (ALONE,), batch_tokens=config.measure.batch_tokens
    )
    return {ALONE: found[ALONE], "truncated": tokens.truncated}
