"""A Lightning callback of a few lines that records the scores of every row.

    pip install lightning
    python examples/lightning_callback.py

The module returns its logits from `training_step`, and each row carries its number.
"""

from typing import Any

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import thresher as th


class Record(lightning.Callback):
    """Records what `training_step` returns as `logits`, and makes a run of it when the training ends."""

    def __init__(self, out: str) -> None:
        self.recorder = th.record(out)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        number, _, labels = batch
        self.recorder.note(number, outputs["logits"], labels, trainer.current_epoch)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self.recorder.finish()


class Points(lightning.LightningModule):
    """A small classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))

    def training_step(self, batch: Any, batch_idx: int) -> dict[str, torch.Tensor]:
        _, points, labels = batch
        logits = self.model(points)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits.detach()}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=0.01)


if __name__ == "__main__":
    lightning.seed_everything(0)
    points = torch.randn(60, 2)
    rows = TensorDataset(torch.arange(60), points, (points.sum(1) > 0).long())
    trainer = lightning.Trainer(
        max_epochs=3,
        accelerator="cpu",
        callbacks=[Record("RUN")],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    trainer.fit(Points(), DataLoader(rows, batch_size=8, shuffle=True))
    th.score("RUN")
    print(th.select("RUN", prune=0.5, by="el2n").filter("kept").height, "rows are kept")
