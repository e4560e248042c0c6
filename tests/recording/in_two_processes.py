"""Run by torchrun: the same training with and without recording; writes the expected records of this process."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import torch

import thresher as th
import tiny_trainers as make
from thresher.recording import store
from thresher.recording.trainer_hooks import Observer, hooks_of
from thresher.run.layout import Layout


def main(folder: Path) -> None:
    trained = []
    for watched in (False, True):
        rows, model = make.sequence_rows("bert"), make.sequence_model("bert")
        trainer = make.trainer_of(
            model, rows, folder / "t", gradient_accumulation_steps=2, num_train_epochs=2
        )
        if watched:
            if trainer.args.process_index == 0:
                # As an earlier attempt with a third process left it.
                records = {"row": np.array([0], np.int32), "step": np.array([0], np.int32)}
                store.write_records(store.rank_folder(Layout(folder / "run").recording, 2), records)
            th.watch(trainer, folder / "run", vog=16)
            noted = make.note_steps(trainer)
        trainer.train()
        trained.append(model.state_dict())
    assert all(torch.equal(trained[0][name], trained[1][name]) for name in trained[0])
    (folder / f"noted-{trainer.args.process_index}").write_bytes(pickle.dumps(dict(noted)))

    for same_steps in (False, True):
        found = pickle.dumps(dieted(folder / "t", same_steps))
        (folder / f"diet-{same_steps}-{trainer.args.process_index}").write_bytes(found)


def dieted(folder: Path, same_steps: bool) -> tuple[np.ndarray, list[list[int]], float]:
    """The rows that a diet left in its second epoch, those of each batch in this process, and the sum of the weights."""
    rows, model = make.sequence_rows("bert"), make.sequence_model("bert")
    trainer = make.trainer_of(model, rows, folder, num_train_epochs=2)
    diet = th.prune_while_training(
        trainer, "infobatch", options={"r": 0.9, "full": 0.0, "same_steps": same_steps}
    )
    batches: list[list[int]] = []
    of_second = Observer(lambda step: batches.extend([step.rows.tolist()] * (diet.epoch == 1)))
    hooks_of(trainer).attach("test", of_second)
    trainer.train()
    weights = torch.cat([value.flatten() for value in model.state_dict().values()]).double().sum().item()
    return diet.keep, batches, weights


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    torch.distributed.destroy_process_group()
