#!/usr/bin/env bash
# polars 2.1.0
#
# Behaviour: read_ndjson and scan_ndjson take the columns of a file from its first 100 rows. A key that first occurs in row 101 or
# later is no column of the frame: its values are dropped, and nothing is raised or warned of. A value of another type after row
# 100 is an error, so only whole columns vanish.
#
# Why it surprises: files of training rows grow at their end. Where newer rows have a key that older ones lack (the source of a
# synthetic row, the split, a corrected label), the frame looks as if nobody had ever written it, and every row counts as one
# without that source. pandas.read_json reads the column from the same file, and read_ndjson does with infer_schema_length=None.
#
# Output seen, 150 rows, of which 30 have the key "source"; values in the column of that name:
#   the 30 at the end: None, which is no such column (scan_ndjson too); 30 with infer_schema_length=None
#   the 30 first: 30
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --no-compile 'polars==2.1.0'
venv/bin/python - <<'PY'
import json
import sys

import polars as pl

old = [{"text": f"play song {i}", "label": "music"} for i in range(120)]
new = [{"source": "synthetic", "text": f"stop song {i}", "label": "music"} for i in range(30)]


def write(name, rows):
    with open(name, "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def values(frame):
    return frame["source"].count() if "source" in frame.columns else None


write("grown.jsonl", old + new)
write("turned.jsonl", new + old)
found = {
    "by default": values(pl.read_ndjson("grown.jsonl")),
    "scanned": values(pl.scan_ndjson("grown.jsonl").collect()),
    "infer_schema_length=None": values(pl.read_ndjson("grown.jsonl", infer_schema_length=None)),
    "new rows first": values(pl.read_ndjson("turned.jsonl")),
}
print("values of the column source:", found)
if found != {"by default": None, "scanned": None, "infer_schema_length=None": 30, "new rows first": 30}:
    sys.exit(f"changed: the column source now has {found} values")
PY
