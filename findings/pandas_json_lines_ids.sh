#!/usr/bin/env bash
# pandas 3.1.1
#
# Behaviour: read_json(..., lines=True) turns JSON strings into numbers where all strings of a column look like numbers. The ids
# "007" and "7" are both 7 afterwards, the labels "01" and "1" one class, and the text "1e3" is 1000.0. One string that is no
# number keeps the whole column as it stands, so a part of a file can be read in another way than the file.
#
# Why it surprises: JSON has types, and a string with quotation marks was written as one. Scores or kept rows that are joined by such
# an id hit several rows or none, and classes merge without a word. dtype=False reads the strings as they are.
#
# Output seen, three rows with the ids "007", "7" and "12", the labels "01", "1" and "2", and the texts "10", "1e3" and "9":
#   by default ids [7, 7, 12], labels [1, 1, 2], texts [10.0, 1000.0, 9.0]
#   dtype=False ids ['007', '7', '12']; with a fourth row of id "x1": ['007', '7', '12', 'x1']
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --no-compile 'pandas==3.1.1'
venv/bin/python - <<'PY'
import json
import sys

import pandas as pd

rows = [
    {"id": "007", "label": "01", "text": "10"},
    {"id": "7", "label": "1", "text": "1e3"},
    {"id": "12", "label": "2", "text": "9"},
]


def write(name, rows):
    with open(name, "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


write("rows.jsonl", rows)
write("more.jsonl", [*rows, {"id": "x1", "label": "2", "text": "stop"}])
by_default = pd.read_json("rows.jsonl", lines=True).to_dict("list")
as_written = pd.read_json("rows.jsonl", lines=True, dtype=False).to_dict("list")
more = pd.read_json("more.jsonl", lines=True)["id"].tolist()
print("by default:", by_default)
print("dtype=False:", as_written)
print("ids with one more row:", more)
if by_default != {"id": [7, 7, 12], "label": [1, 1, 2], "text": [10.0, 1000.0, 9.0]}:
    sys.exit(f"changed: strings of digits are now read as {by_default}")
if as_written["id"] != ["007", "7", "12"] or more != ["007", "7", "12", "x1"]:
    sys.exit(f"changed: dtype=False gives the ids {as_written['id']}, and a fourth row {more}")
PY
