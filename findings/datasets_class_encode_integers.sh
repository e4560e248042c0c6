#!/usr/bin/env bash
# datasets 5.2.0
#
# Behaviour: class_encode_column on a column of integers sorts the values as strings and numbers them again. Labels 0 to 11
# become classes '0', '1', '10', '11', '2', ...: label 2 is stored as 4 and label 10 as 2. A -1 that marks an unlabelled row
# becomes class 0, and all other labels move up.
#
# Why it surprises: train_test_split(stratify_by_column=...) asks for a ClassLabel, so the call is the usual step before a held-out
# split. The integers in the file after it no longer match the logits, scores and checkpoints of the training before it, and the
# unlabelled rows take part in a stratified split as a class of their own.
#
# Output seen:
#   0..11 became          [0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 2, 3]
#   [-1, 0, 1] became     [0, 1, 2], classes ['-1', '0', '1']
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --no-compile 'datasets==5.2.0'
export HF_HOME="$folder/hf" HF_HUB_OFFLINE=1 HF_DATASETS_DISABLE_PROGRESS_BARS=1
venv/bin/python - <<'PY'
import sys

from datasets import Dataset


def encoded(labels):
    dataset = Dataset.from_dict({"label": labels}).class_encode_column("label")
    return list(dataset["label"]), dataset.features["label"].names


twelve, _ = encoded(list(range(12)))
unlabelled, names = encoded([-1, 0, 1])
print("0..11 became         ", twelve)
print("[-1, 0, 1] became    ", unlabelled, "classes", names)
if twelve != [0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 2, 3]:
    sys.exit(f"changed: labels 0 to 11 are now encoded as {twelve}")
if (unlabelled, names) != ([0, 1, 2], ["-1", "0", "1"]):
    sys.exit(f"changed: [-1, 0, 1] is now encoded as {unlabelled} of {names}")
PY
