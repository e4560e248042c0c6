"""Which trainings are finished, and whether their files match their checksums."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

from thresher.errors import UserError
from thresher.run import Run, Training
from thresher.run.files import file_digest
from thresher.run.integrity import MISSING, files_problem, folder_problem, read_facts, read_json, write_json
from thresher.run.run import TRAIN_AGAIN


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoint folders of one training, in step order."""
    return sorted(path for path in folder.glob("step-*") if (path / "checkpoint.json").is_file())


def weights_digests(run: Run, training: Training) -> list[list[str]]:
    """The name of every checkpoint of a training, and the digest of its weights when they were saved."""
    facts = {path.name: checkpoint_facts(path) for path in list_checkpoints(run.checkpoints(training))}
    return [[name, found["files"]["model.safetensors"]] for name, found in facts.items()]


class CheckpointFacts(TypedDict):
    """When a checkpoint was written, the learning rates then, and the digests of its files."""

    step: int
    epoch: float
    encoder_lr: float
    head_lr: float
    files: dict[str, str]


def checkpoint_facts(folder: Path) -> CheckpointFacts:
    """The facts of a checkpoint; an error where its file is damaged, or it has no weights."""
    path = folder / "checkpoint.json"
    facts: CheckpointFacts = read_facts(path, TRAIN_AGAIN)
    if "model.safetensors" not in facts.get("files", {}):
        raise UserError(f"{path}: damaged (it names no weights); {TRAIN_AGAIN}")
    return facts


def done_file(run: Run, training: Training) -> Path:
    """The file that a training writes last."""
    return run.checkpoints(training) / "done.json"


def finished(run: Run, training: Training) -> bool:
    """Whether a training ran to its end."""
    return done_file(run, training).is_file()


def mark_finished(run: Run, training: Training, **facts: object) -> None:
    """Write `done.json`: facts about a training, and the digests of its files."""
    files = [
        *(path / "checkpoint.json" for path in list_checkpoints(run.checkpoints(training))),
        *sorted(run.evaluations(training).glob("step-*.parquet")),
    ]
    digests = {str(path.relative_to(run.home)): file_digest(path) for path in files}
    write_json(done_file(run, training), {**facts, "key": run.manifest.key, "files": digests})


def training_problem(run: Run, training: Training) -> str | None:
    """What is wrong with the files of a finished training, with the name of the first; None if nothing is."""
    done = done_file(run, training)
    try:
        facts = read_json(done)
        known = facts["files"]
    except FileNotFoundError:
        return f"{done}: {MISSING}"
    except (OSError, ValueError, KeyError) as error:
        return f"{done}: damaged ({error})"
    if facts.get("key", run.manifest.key) != run.manifest.key:
        return f"{done}: of a training on other rows, or by another recipe"
    if problem := files_problem(run.home, known):
        return problem
    checkpoints = [run.home / name for name in known if name.endswith("checkpoint.json")]
    return next((found for path in checkpoints if (found := folder_problem(path.parent, path.name))), None)


def damaged_trainings(run: Run) -> Iterator[tuple[Training, str]]:
    """The finished trainings of a run whose files are damaged or missing, and what is wrong with each."""
    for training in run.trainings():
        if finished(run, training) and (problem := training_problem(run, training)):
            yield training, problem


def check_evaluations(run: Run) -> None:
    """Refuse a run that lacks an evaluation of a training which was measured: a score would be made without it."""
    for done in (done_file(run, training) for training in run.measured()):
        # A training whose checkpoints were removed to save space tells nothing of its evaluations.
        if done.is_file():
            files = read_facts(done, TRAIN_AGAIN).get("files", {})
            known = {name: digest for name, digest in files.items() if name.endswith(".parquet")}
            if problem := files_problem(run.home, known):
                raise UserError(f"{problem}; {TRAIN_AGAIN}")


def model_problem(run: Run) -> str | None:
    """What is wrong with the architecture and tokenizer that trainings share; None if nothing is, or there are none yet."""
    return folder_problem(run.model_folder, "architecture.json") if run.model_folder.is_dir() else None


def trainings_problem(run: Run) -> str | None:
    """The first problem with the files of the trainings of a run; None if there is none."""
    damaged = next(damaged_trainings(run), None)
    return damaged[1] if damaged else model_problem(run)


def check_trainings(run: Run) -> None:
    """Verify the checksums of training artefacts."""
    if problem := trainings_problem(run):
        raise UserError(f"{problem}; {TRAIN_AGAIN}")
