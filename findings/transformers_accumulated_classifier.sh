#!/usr/bin/env bash
# transformers 5.24.0 (with torch 2.13.0, accelerate 1.15.0)
#
# Behaviour: with gradient_accumulation_steps=k the Trainer does not divide the loss of transformers' own sequence classifiers by k. The
# gradients of k batches are added up, and the logged loss is k times the mean loss of the rows. A model whose forward does not take
# further keyword arguments is divided by k, as ever.
#
# Why it surprises: accumulation is meant to give the step of one large batch. Here the same 8 rows give a gradient k times as large,
# so gradient clipping, the weights after a step of SGD, and every score that is read from gradients or from the logged loss
# depend on how the batch was cut.
#
# Output seen, one step of SGD on the same 8 rows:
#   own classifier:  8 rows at once: loss 1.10, 4 x 2 rows: loss 4.39, change of the weights 4.00 times as large
#   plain forward:   8 rows at once: loss 1.10, 4 x 2 rows: loss 1.10, change of the weights 1.00 times as large
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --no-compile 'torch==2.13.0' 'transformers==5.24.0' 'accelerate==1.15.0'
export HF_HOME="$folder/hf" HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 TRANSFORMERS_VERBOSITY=error
venv/bin/python -W ignore - <<'PY'
import sys

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

shape = dict(hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1, vocab_size=20, num_labels=3)
draw = torch.Generator().manual_seed(0)
rows = [
    {"input_ids": torch.randint(1, 20, (6,), generator=draw), "attention_mask": torch.ones(6, dtype=torch.long), "labels": i % 3}
    for i in range(8)
]


class Plain(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, labels):
        return self.model(input_ids=input_ids, attention_mask=attention_mask, labels=labels)


def step(wrap, size):
    torch.manual_seed(0)
    config = BertConfig(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **shape)
    model = BertForSequenceClassification(config)
    before = model.classifier.weight.detach().clone()
    args = TrainingArguments(
        "out", per_device_train_batch_size=size, gradient_accumulation_steps=8 // size, max_steps=1, optim="sgd", learning_rate=0.1,
        lr_scheduler_type="constant", max_grad_norm=0.0, logging_steps=1, save_strategy="no", report_to=[], disable_tqdm=True,
        use_cpu=True,
    )
    trainer = Trainer(wrap(model), args, train_dataset=rows)
    trainer.train()
    return float(trainer.state.log_history[0]["loss"]), (model.classifier.weight.detach() - before).norm().item()


found = []
for name, wrap in (("own classifier", lambda model: model), ("plain forward", Plain)):
    (whole, change), (cut, other) = step(wrap, 8), step(wrap, 2)
    found += [cut / whole, other / change]
    print(f"{name}: 8 rows at once: loss {whole:.2f}, 4 x 2 rows: loss {cut:.2f}, change of the weights {other / change:.2f} times as large")
if any(abs(one - wanted) > 0.02 for one, wanted in zip(found, (4, 4, 1, 1), strict=True)):
    sys.exit(f"changed: loss and change of the weights are now {found} times as large")
PY
