"""Record any training loop that says what each step gave."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from thresher.errors import UserError
from thresher.pipeline.own_files import clear, refuse_former, refuse_unwritable
from thresher.pipeline.recorded_run import finish_run
from thresher.run import Run
from thresher.run.layout import Layout
from thresher.run.manifest import Recorded
from thresher.run.outputs import as_place

if TYPE_CHECKING:
    import numpy as np

    from thresher.recording.loop_recorder import LoopRecorder
    from thresher.rows import Rows


def record(
    out: str | Path,
    *,
    ids: Sequence[object] | None = None,
    text: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    force: bool = False,
) -> LoopRecorder:
    """A recorder for any training loop: plain PyTorch, accelerate, Lightning. It makes a run folder that can be scored at once.

        with th.record("RUN") as recorder:
            for epoch in range(epochs):
                for batch in loader:
                    logits = model(batch["input_ids"])
                    ...
                    recorder.note(batch["row"], logits, batch["labels"], epoch)

    Then `th.score("RUN")`, `th.select("RUN", prune=0.45, by="el2n")` and `th.report("RUN")`. Scores of the logits are known:
    EL2N, forgetting, margins, AUM, cartography; those of gradients (VoG, GraNd, TracIn) are not. Without `with`, call
    `recorder.finish()` after the training. A loop that starts again after a crash is recorded anew, from its first step, which a
    warning says. With several processes each notes its own rows, and all call `finish`.

    Parameters
    ----------
    out
        the run folder to write.
    ids
        the ids of all rows of the dataset, in order; `note` is then given ids. Without them it is given numbers of rows, or
        ids, which are kept in the order in which they come.
    text
        the texts of all rows, in the order of `ids` or of the numbers, to show rows by.
    classes
        the names of the classes.
    force
        overwrite a run in that folder.

    Raises
    ------
    UserError
        a folder that holds a run or cannot be written; ids that are not unique; texts of another number than the ids.

    >>> import tempfile, torch
    >>> folder = tempfile.mkdtemp() + "/RUN"
    >>> with record(folder, ids=["a", "b"], classes=["no", "yes"]) as recorder:
    ...     recorder.note(["b", "a"], torch.tensor([[0.0, 2.0], [1.0, 0.0]]), [1, 1], epoch=0)
    >>> from thresher.api import score
    >>> score(folder)["aum"].to_list()
    [-1.0, 2.0]
    """
    from thresher.recording.loop_recorder import LoopRecorder

    run = as_place(out).absolute()
    if text is not None and ids is not None and len(text) != len(ids):
        raise UserError(f"there are {len(text):,} texts for {len(ids):,} ids")
    refuse_former(run, force)
    refuse_unwritable(run)

    def make_room() -> None:
        if force and Run.exists(run):
            clear(run, but=(Layout(run).recording.name,))

    def make_run(recorder: LoopRecorder) -> None:
        write_loop(recorder, text, classes)

    return LoopRecorder(run, ids, make_room, make_run)


def write_loop(recorder: LoopRecorder, text: Sequence[str] | None, classes: Sequence[str] | None) -> None:
    from thresher.recording.dataset_rows import TOKENS, table_rows
    from thresher.recording.table import read_recording

    recording = read_recording(recorder.folder, 0)
    ids = recorder.ids(recording.row_count)
    texts = list(text or ())
    if texts and len(texts) < len(ids):
        raise UserError(f"there are {len(texts):,} texts for rows up to number {len(ids) - 1:,}")
    texts = texts[: len(ids)] or [f"row {one}" for one in ids]

    def make_rows(numbers: np.ndarray, labels: np.ndarray | None) -> Rows:
        if labels is None:
            names: tuple[str, ...] = (TOKENS,)
        else:
            names = tuple(classes or map(str, range(int(labels.max(initial=0)) + 1)))
        return table_rows(ids, {"text": texts}, numbers, labels, names)

    about = Recorded(
        trainer="training loop",
        model="told by th.record",
        name="",
        epochs=float(recording.epochs["epoch_number"][-1] + 1),
        batch_size=recorder.batch_size,
        processes=recorder.processes,
        seed=None,
    )
    finish_run(recorder.run, recording, ids, lambda row: -1, make_rows, about)
