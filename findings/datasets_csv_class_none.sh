#!/usr/bin/env bash
# datasets 5.2.0 (with pandas 3.1.1)
#
# Behaviour: Dataset.from_csv reads the cells None, NA, null, nan and n/a as missing, in columns of strings too. A class of that name
# is gone: its labels are None, class_encode_column gives them no number and no name, and the same rows from JSON lines keep it.
#
# Why it surprises: "None" is the name of a real class. LUIS and its successor CLU put an intent None into every project, for utterances
# that belong to no other; it is often the largest. Exported as CSV and loaded for a classifier, these rows have no label, and the
# number of classes is one less than in the file. keep_default_na=False reads them.
#
# Output seen, four rows with the labels None, PlayMusic, None, PlayMusic:
#   from_csv [None, 'PlayMusic', None, 'PlayMusic'], encoded [None, 0, None, 0] with the names ['PlayMusic']
#   from_csv with keep_default_na=False and from_json ['None', 'PlayMusic', 'None', 'PlayMusic']
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --no-compile 'datasets==5.2.0' 'pandas==3.1.1'
export HF_HOME="$folder/hf" HF_HUB_OFFLINE=1 HF_DATASETS_DISABLE_PROGRESS_BARS=1
venv/bin/python -W ignore - <<'PY'
import json
import sys

from datasets import Dataset

rows = [("what is the weather on mars", "None"), ("play jazz", "PlayMusic"), ("tell me a joke", "None"), ("play it", "PlayMusic")]
with open("rows.csv", "w") as file:
    file.write("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
with open("rows.jsonl", "w") as file:
    file.writelines(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows)
csv = Dataset.from_csv("rows.csv")
encoded = csv.class_encode_column("label")
kept = Dataset.from_csv("rows.csv", keep_default_na=False)
typed = Dataset.from_json("rows.jsonl")
print("from_csv:", csv["label"][:], "encoded:", encoded["label"][:], encoded.features["label"].names)
print("keep_default_na=False:", kept["label"][:], "from_json:", typed["label"][:])
written = [label for _, label in rows]
if csv["label"][:] != [None, "PlayMusic", None, "PlayMusic"]:
    sys.exit(f"changed: from_csv now reads the labels {csv['label'][:]}")
if (encoded["label"][:], encoded.features["label"].names) != ([None, 0, None, 0], ["PlayMusic"]):
    sys.exit(f"changed: encoded they are now {encoded['label'][:]} with the names {encoded.features['label'].names}")
if kept["label"][:] != written or typed["label"][:] != written:
    sys.exit(f"changed: keep_default_na=False gives {kept['label'][:]} and from_json {typed['label'][:]}")
PY
