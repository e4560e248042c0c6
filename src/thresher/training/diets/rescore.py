"""A pass over all rows without gradients, to score those that the training left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from transformers import Trainer

from thresher.recording import hf_compat
from thresher.recording.row_numbers import ROWS
from thresher.recording.step import Step
from thresher.recording.trainer_hooks import labels_in
from thresher.training.diets.row_scores import RowScores
from thresher.training.diets.score import RowScore


def rescore(trainer: Trainer, loader: Any, scores: RowScores, score: RowScore) -> None:
    """Score every row in eval mode with the model as it is; rows of similar length together, each process its share."""
    base, model = hf_compat.torch_loader(loader), trainer.model
    rank, world = trainer.args.process_index, trainer.args.world_size
    order = np.lexsort((np.arange(len(scores.length)), -scores.length))[rank::world]
    size = 2 * trainer.args.per_device_train_batch_size
    batches = [order[start : start + size].tolist() for start in range(0, len(order), size)]
    rows = DataLoader(
        base.dataset, batch_sampler=batches, collate_fn=base.collate_fn, num_workers=base.num_workers
    )
    training = model.training
    model.eval()
    with torch.no_grad():
        for batch in rows:
            inputs = hf_compat.prepare_inputs(trainer, batch)
            step = Step(inputs.pop(ROWS), dict(inputs), labels_in(trainer, inputs))
            with trainer.compute_loss_context_manager():
                step.output = model(**inputs)
            scores.note(row=step.rows, score=score(step))
    model.train(training)
    scores.settle()
