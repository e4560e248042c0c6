#!/usr/bin/env bash
# peft 0.21.2 (with transformers 5.24.0, torch 2.13.0)
#
# Behaviour: LoraConfig without task_type leaves the classification layer, which transformers has just made at random, as it is: it is
# not trained, and save_pretrained does not write it. With task_type="SEQ_CLS" it is trained and written.
#
# Why it surprises: the training runs, the loss falls (the adapters learn towards a random layer), and nothing warns. After loading the
# adapter again on the base model the layer is another random one, so accuracy is at chance; and a score of training rows that
# reads the gradient of the classification layer has none.
#
# Output seen:
#   without task_type: trained and saved of the classifier: [] []
#   SEQ_CLS: trained and saved of the classifier: ['bias', 'weight'] ['bias', 'weight']
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --no-compile 'torch==2.13.0' 'transformers==5.24.0' 'peft==0.21.2'
export HF_HOME="$folder/hf" HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 TRANSFORMERS_VERBOSITY=error
venv/bin/python -W ignore - <<'PY'
import sys

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import BertConfig, BertForSequenceClassification

shape = dict(hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1, vocab_size=20, num_labels=3)


def of_classifier(names):
    return sorted(name.rpartition(".")[2] for name in names if "classifier" in name)


found = {}
for task in (None, "SEQ_CLS"):
    torch.manual_seed(0)
    settings = LoraConfig(task_type=task, target_modules=["query", "value"], r=2)
    model = get_peft_model(BertForSequenceClassification(BertConfig(**shape)), settings)
    trained = of_classifier(name for name, weight in model.named_parameters() if weight.requires_grad)
    model.save_pretrained("adapter")
    saved = of_classifier(load_file("adapter/adapter_model.safetensors"))
    found[task] = (trained, saved)
    print(f"{task or 'without task_type'}: trained and saved of the classifier:", trained, saved)
if found != {None: ([], []), "SEQ_CLS": (["bias", "weight"], ["bias", "weight"])}:
    sys.exit(f"changed: of the classifier are now trained and saved: {found}")
PY
