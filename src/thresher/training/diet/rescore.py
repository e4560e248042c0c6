"""A pass over all rows without gradients, to score those that the training left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from thresher.training.diet.ledger import Ledger
from thresher.training.diet.score import RowScore
from thresher.training.watch.identity import ROWS
from thresher.training.watch.tap import Step, labels_in


def rescore(trainer: Any, model: nn.Module, loader: Any, ledger: Ledger, score: RowScore) -> None:
    """Score every row in eval mode with the model as it is; rows of similar length together, each process its share."""
    base = getattr(loader, "base_dataloader", loader)
    rank, world = trainer.args.process_index, trainer.args.world_size
    order = np.lexsort((np.arange(len(ledger.length)), -ledger.length))[rank::world]
    size = 2 * trainer.args.per_device_train_batch_size
    batches = [order[start : start + size].tolist() for start in range(0, len(order), size)]
    rows = DataLoader(
        base.dataset, batch_sampler=batches, collate_fn=base.collate_fn, num_workers=base.num_workers
    )
    training = model.training
    model.eval()
    with torch.no_grad():
        for batch in rows:
            inputs = trainer._prepare_inputs(batch)
            step = Step(inputs.pop(ROWS), dict(inputs), labels_in(trainer, inputs))
            with trainer.compute_loss_context_manager():
                step.output = model(**inputs)
            ledger.note(step.rows, score(step), None, None)
    model.train(training)
    ledger.settle()
