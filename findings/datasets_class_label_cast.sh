#!/usr/bin/env bash
# datasets 5.2.0
#
# Behaviour: cast_column to a ClassLabel with the same names in another order keeps the integers and replaces the names. Every
# label then means another class. No warning, no error. concatenate_datasets refuses the two orders ("can't be aligned ...
# expected either ClassLabel(...)"), and the type that the message asks for is the cast that swaps the labels.
# align_labels_with_mapping does what was meant.
#
# Why it surprises: two label-error or pruning rounds often export their rows with class names in a different order (sorted here,
# by first occurrence there). The cast that makes them concatenate turns one half into label noise.
#
# Output seen:
#   before                     ['greet', 'bye', 'greet']
#   cast_column                ['bye', 'greet', 'bye']
#   align_labels_with_mapping  ['greet', 'bye', 'greet']
#   concatenate_datasets       ValueError: The features can't be aligned ...
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --no-compile 'datasets==5.2.0'
export HF_HOME="$folder/hf" HF_HUB_OFFLINE=1 HF_DATASETS_DISABLE_PROGRESS_BARS=1
venv/bin/python - <<'PY'
import sys

from datasets import ClassLabel, Dataset, Features, concatenate_datasets


def rows(names):
    label = ClassLabel(names=names)
    return Dataset.from_dict({"label": label.str2int(["greet", "bye", "greet"])}, features=Features({"label": label}))


def classes(dataset):
    return dataset.features["label"].int2str(list(dataset["label"]))


ours, theirs = rows(["greet", "bye"]), rows(["bye", "greet"])
cast = classes(ours.cast_column("label", theirs.features["label"]))
aligned = classes(ours.align_labels_with_mapping({"bye": 0, "greet": 1}, "label"))
try:
    concatenate_datasets([theirs, ours])
    refused = "concatenated"
except ValueError as error:
    refused = str(error)
print("before                    ", classes(ours))
print("cast_column               ", cast)
print("align_labels_with_mapping ", aligned)
print("concatenate_datasets      ", refused)
if cast != ["bye", "greet", "bye"]:
    sys.exit(f"changed: cast_column to reordered names now gives {cast}")
if aligned != ["greet", "bye", "greet"]:
    sys.exit(f"changed: align_labels_with_mapping now gives {aligned}")
if "can't be aligned" not in refused:
    sys.exit(f"changed: concatenate_datasets of reordered names now says {refused}")
PY
