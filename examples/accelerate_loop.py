"""A training loop with accelerate with two more lines, which record the scores of every row.

    python examples/accelerate_loop.py

With `accelerate launch` each process notes its own rows, and the first one makes the run.
"""

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import thresher as th

accelerator = Accelerator(cpu=True)
torch.manual_seed(0)
points = torch.randn(60, 2)
labels = (points.sum(1) > 0).long()
loader = DataLoader(TensorDataset(torch.arange(60), points, labels), batch_size=8, shuffle=True)
model = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)

with th.record("RUN") as recorder:  # <- the first line
    for epoch in range(3):
        for number, x, y in loader:
            logits = model(x)
            accelerator.backward(nn.functional.cross_entropy(logits, y))
            optimizer.step()
            optimizer.zero_grad()
            recorder.note(number, logits, y, epoch)  # <- the second line

if accelerator.is_main_process:
    th.score("RUN")
    print(th.select("RUN", prune=0.5, by="el2n").filter("kept").height, "rows are kept")
