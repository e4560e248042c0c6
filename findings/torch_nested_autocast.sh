#!/usr/bin/env bash
# torch 2.13.0
#
# Behaviour: only the outermost autocast forgets, on its exit, the low-precision copies of the weights that it has made. If the loop of a
# training is inside another autocast, even one with enabled=False, the autocast of each step is not the outermost, and every
# forward pass computes with the weights of the first step.
#
# Why it surprises: code that guards a training against the caller's autocast with `torch.autocast(..., enabled=False)` looks safe. The
# weights still move, as gradients are applied to them, but no step sees the steps before it; the loss stays where it was, and
# so do all scores that are recorded in the forward pass. Nothing warns. torch.is_autocast_enabled() is False outside the steps.
#
# Output seen:
#   losses, no outer autocast:          [16.0, 0.641, 0.0253]
#   losses, inside one that is off:     [16.0, 16.0, 16.0]
#   the same, copies forgotten by hand: [16.0, 0.641, 0.0253]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --no-compile 'torch==2.13.0' 'numpy'
venv/bin/python -W ignore - <<'PY'
import sys

import torch


def train(forget=False):
    weight = torch.nn.Parameter(torch.ones(4, 1))
    losses = []
    for _ in range(3):
        with torch.autocast("cpu", torch.bfloat16):
            loss = (torch.ones(2, 4) @ weight).float().square().mean()
        loss.backward()
        losses.append(float(f"{loss.item():.3g}"))
        with torch.no_grad():
            weight -= 0.1 * weight.grad
        weight.grad = None
        if forget:
            torch.clear_autocast_cache()
    return losses


plain = train()
with torch.autocast("cpu", enabled=False):
    inside = train()
    by_hand = train(forget=True)
print("losses, no outer autocast:         ", plain)
print("losses, inside one that is off:    ", inside)
print("the same, copies forgotten by hand:", by_hand)
if not (inside == [plain[0]] * 3 and by_hand == plain and plain[2] < plain[1] < plain[0]):
    sys.exit("changed: an inner autocast forgets its copies of the weights now")
PY
