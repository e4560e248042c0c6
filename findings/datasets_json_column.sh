#!/usr/bin/env bash
# datasets 5.2.0 with pyarrow 26.0.1
#
# Behaviour: one number among the string labels of a JSON Lines file changes the type of the whole column. load_dataset gives
# it the feature Json. Rows read through the Dataset look normal ('greet'). The Arrow table, the CSV file and the Parquet file
# hold JSON source text, so every string has quotation marks inside ('"greet"').
#
# Why it surprises: a scoring pass that iterates the Dataset and a selection that reads the Parquet file see different labels
# for the same row. A filter on the Parquet file (label == 'greet') keeps nothing, and class names gain a pair of quotation marks.
#
# Output seen:
#   all strings:  Value('string')   rows ['greet', 'bye', 'greet']    parquet ['greet', 'bye', 'greet']
#   one number:   Json(decode=True) rows ['greet', 'bye', 7]          parquet ['"greet"', '"bye"', '7']
#   csv of the second:  """greet"""  """bye"""  7
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --no-compile 'datasets==5.2.0' 'pyarrow==26.0.1'
export HF_HOME="$folder/hf" HF_HUB_OFFLINE=1 HF_DATASETS_DISABLE_PROGRESS_BARS=1
venv/bin/python - <<'PY'
import json
import sys
from pathlib import Path

import pyarrow.parquet as pq
from datasets import load_dataset


def read(name, labels):
    lines = (json.dumps({"text": f"utterance {i}", "label": label}) for i, label in enumerate(labels))
    Path(f"{name}.jsonl").write_text("\n".join(lines))
    rows = load_dataset("json", data_files=f"{name}.jsonl", split="train")
    rows.to_parquet(f"{name}.parquet")
    rows.to_csv(f"{name}.csv")
    stored = pq.read_table(f"{name}.parquet").column("label").to_pylist()
    written = [line.split(",")[1] for line in Path(f"{name}.csv").read_text().splitlines()[1:]]
    print(f"{name}: {rows.features['label']!r} rows {rows['label'][:]} parquet {stored} csv {written}")
    return repr(rows.features["label"]), list(rows["label"]), stored, written


plain = read("strings", ["greet", "bye", "greet"])
mixed = read("one_number", ["greet", "bye", 7])
expected_plain = ("Value('string')", ["greet", "bye", "greet"], ["greet", "bye", "greet"], ["greet", "bye", "greet"])
expected_mixed = ("Json(decode=True)", ["greet", "bye", 7], ['"greet"', '"bye"', "7"], ['"""greet"""', '"""bye"""', "7"])
if plain != expected_plain:
    sys.exit(f"changed: a column of strings is now {plain}")
if mixed != expected_mixed:
    sys.exit(f"changed: a column with one number among strings is now {mixed}")
PY
