"""A training loop in plain PyTorch with two more lines, which record the scores of every row.

    python examples/plain_loop.py

The data are made up: two classes of points in a plane, a tenth of them with the wrong label.
"""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import thresher as th

torch.manual_seed(0)
points = torch.randn(60, 2)
labels = (points.sum(1) > 0).long()
labels[::10] = 1 - labels[::10]
# Each row carries its number, so that a shuffled batch still says which rows are in it.
rows = DataLoader(TensorDataset(torch.arange(60), points, labels), batch_size=8, shuffle=True)

model = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)

with th.record("RUN", classes=["below", "above"]) as recorder:  # <- the first line
    for epoch in range(3):
        for number, x, y in rows:
            logits = model(x)
            loss = nn.functional.cross_entropy(logits, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder.note(number, logits, y, epoch)  # <- the second line

print(th.score("RUN").sort("el2n", descending=True).select("id", "label", "el2n", "forgetting").head(8))
print(th.select("RUN", prune=0.5, by="el2n").filter("kept").height, "rows are kept")
