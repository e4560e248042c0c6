"""Record a `Trainer` while it trains, into a run folder with signals that needs no measuring pass."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from thresher.errors import UserError
from thresher.pipeline.own_files import clear, refuse_former, refuse_unwritable
from thresher.pipeline.recorded_run import write_run
from thresher.progress import say
from thresher.rows.given_names import names_given
from thresher.run import Run
from thresher.run.layout import Layout
from thresher.run.outputs import as_place

if TYPE_CHECKING:
    from transformers import Trainer

# Numbers per row in the sketch of online VoG.
WIDTH = 64
WIDEST = 1 << 14


def watch(
    trainer: Trainer,
    out: str | Path,
    *,
    text: str | tuple[str, str] | None = None,
    id: str | None = None,
    vog: bool | int | Literal["auto"] = "auto",
    seed: int = 0,
    force: bool = False,
) -> Path:
    """Record every row at each training step that it is part of, and leave a run folder that can be scored at once.

    Call it before `trainer.train()`. The training itself is not changed: the same weights come out, bit for bit. After it,
    `th.score(out)` gives every score that needs no separate gradients, and `th.select(out, prune=0.45, by="el2n")` the rows
    to keep; `RUN/kept.parquet` has their numbers: `dataset.select(pl.read_parquet("RUN/kept.parquet")["index"])`.

    A further `trainer.train()`, and each trial of `trainer.hyperparameter_search`, is recorded in a folder of its own: OUT-2,
    OUT-3 and so on.

    Parameters
    ----------
    trainer
        a `transformers.Trainer`, or one derived from it, of a sequence or token classifier or of a causal language model; also
        trl's `SFTTrainer`. A second call for the same trainer replaces the first.
    out
        the run folder to write. With several processes it must be on a disk that all of them can write to.
    text, id
        columns of the dataset to show rows by and to name them by. By default the columns of strings that the tokens of the
        rows are made from, else the decoded tokens; and a column `id`, else the number of the row.
    vog
        also record online VoG. "auto": where the gradients of single rows can be known; where they cannot, VoG is left out,
        which is said once. True, or a number, the width of its sketch (by default 64): they must be known. False: without.
    seed
        of the sketch.
    force
        overwrite a run in that folder: it is removed at the end of the first epoch, or at the first save.

    Rows with a label below 0, which the loss ignores, are not scored: they are neither kept nor dropped. Of a language model the
    completion tokens of a row are recorded, those with a label, and no gradients.

    Memory in every process: the records of an epoch, 4 K + 36 bytes per row for K classes (45 for a token classifier, about 100
    and one bit per completion token for a language model), and with VoG 4 width + 12 more; twice that for a moment when they
    are written.

    Raises
    ------
    UserError
        a trainer that cannot be watched, by name; a folder that holds a run or cannot be written; an unknown column. When the
        training begins: it resumes at a step before which nothing was recorded here. At its first step, before any weight has
        changed: a loss or a model from which rows cannot be told. Nothing ends the training after that: a failure of the
        recording is warned of once, and `th.finish_recording(trainer)` makes a run of what was recorded.
    """
    from thresher.recording.completion_recorder import CompletionRecorder
    from thresher.recording.completion_rows import left_out
    from thresher.recording.dataset_rows import check_columns
    from thresher.recording.datasets import column_names
    from thresher.recording.language_models import language_model
    from thresher.recording.recorder import Recorder
    from thresher.recording.run_folders import RunFolders
    from thresher.recording.supported import refuse_unsupported

    # A training may change the working folder.
    run, texts = as_place(out).absolute(), names_given(text, "text") or None
    if not isinstance(seed, int) or seed < 0:
        raise UserError(f"seed is {seed!r}; it is a whole number from 0")
    refuse_unsupported(trainer)
    width = sketch_width(trainer, vog)
    check_columns(trainer.train_dataset, [*(texts or ()), *([id] if id else [])])
    if trainer.args.process_index == 0:
        refuse_former(run, force)
    refuse_unwritable(run)

    def is_free(folder: Path) -> bool:
        return not folder.exists() or (force and Run.exists(folder))

    def make_room(folder: Path) -> None:
        if force and Run.exists(folder):
            clear(folder, but=(Layout(folder).recording.name,))

    folders = RunFolders(run, is_free, make_room, lambda folder: write_run(folder, trainer, texts, id))
    if language_model(trainer.model):
        named = id is not None or "id" in column_names(trainer.train_dataset)
        if told := left_out(trainer, named):
            say(f"watch: {told}")
        CompletionRecorder(trainer, folders, 0, seed)
    else:
        Recorder(trainer, folders, width, seed, strict=vog != "auto")
    return run


def finish_recording(
    trainer: Trainer,
    out: str | Path | None = None,
    *,
    text: str | tuple[str, str] | None = None,
    id: str | None = None,
) -> Path:
    """Make a run of what was recorded, where a recording failed or its training ended before its time.

    In the process of the training, `trainer` is enough: what could not be written is still in memory. In another one, give a
    Trainer with the same train_dataset and model, and the folder `out` that `th.watch` was given; `text` and `id` are those of
    `th.watch`. Rows that were part of no step count as ones the model knows nothing of.

    Raises
    ------
    UserError
        nothing was recorded, or the run is finished already; a folder that cannot be written.
    """
    from thresher.recording.recorder import recorder_of

    recorder = recorder_of(trainer)
    run = None if out is None else as_place(out).absolute()
    if recorder is not None and recorder.pending and run in (None, recorder.run):
        recorder.write_rest()
        trainer.accelerator.wait_for_everyone()
        if trainer.args.process_index == 0:
            recorder.finish()
        trainer.accelerator.wait_for_everyone()
        return recorder.run
    if run is None:
        raise UserError(
            "nothing is left to finish of the recordings of this Trainer; give `out`, the folder of another one"
        )
    if Run.exists(run):
        raise UserError(f"{run}: holds a finished run; score it with th.score")
    write_run(run, trainer, names_given(text, "text") or None, id)
    return run


def sketch_width(trainer: Trainer, vog: bool | int | Literal["auto"]) -> int:
    """The width of the sketch of online VoG, 0 without it.

    Raises UserError: not a width, or VoG was asked for and cannot be known.
    """
    from thresher.recording.supported import loss_reason, vog_reason

    known = vog == "auto" or (isinstance(vog, int) and 0 <= vog <= WIDEST)
    if not known:
        raise UserError(
            f'vog is {vog!r}; it is "auto", true, false, or the width of a sketch, at most {WIDEST:,}'
        )
    width = WIDTH if vog is True or vog == "auto" else int(vog)
    if width and vog != "auto" and (reason := loss_reason(trainer) or vog_reason(trainer)):
        raise UserError(f"this Trainer cannot be watched: {reason}; watch with vog=False")
    if width and (reason := vog_reason(trainer)):
        say(f"watch: {reason}; VoG is left out")
        return 0
    return width
