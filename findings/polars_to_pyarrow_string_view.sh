#!/usr/bin/env bash
# polars 2.1.0 with pyarrow 26.0.1
#
# Behaviour: the two documented ways from a polars frame to pyarrow give different string types. frame.to_arrow() gives
# large_string; pyarrow.table(frame), through the PyCapsule interface, gives string_view. pyarrow can build and store a
# string_view column, and has no kernel for it in take, filter, equal, is_in, sort_by and join: each raises.
#
# Why it surprises: keeping rows is take or filter. A table that prints, slices, saves and loads like any other cannot be pruned, and
# Parquet keeps the type in its Arrow schema, so the error comes up in another program that never saw polars.
#
# Output seen:
#   to_arrow        large_string   filter 2 rows
#   pyarrow.table   string_view    filter, take, equal, is_in: ArrowNotImplementedError; sort_by: ArrowTypeError; join: ArrowInvalid
#   read back from Parquet: string_view; after cast to string, filter 2 rows
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --no-compile 'polars==2.1.0' 'pyarrow==26.0.1'
venv/bin/python - <<'PY'
import sys

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

frame = pl.DataFrame({"text": ["lights on", "lights off", "play"], "label": ["on", "off", "on"]})
keep = pa.array([True, False, True])
copied, shared = frame.to_arrow(), pa.table(frame)
pq.write_table(shared, "rows.parquet")
stored = pq.read_table("rows.parquet")
cast = stored.cast(pa.schema([(name, pa.string()) for name in stored.column_names]))
tried = {
    "filter": lambda: stored.filter(keep),
    "take": lambda: stored.take([0, 2]),
    "equal": lambda: pc.equal(stored["label"], "on"),
    "is_in": lambda: pc.is_in(stored["label"], pa.array(["on"], pa.string_view())),
    "sort_by": lambda: stored.sort_by("label"),
    "join": lambda: stored.join(shared, "text"),
}
raised = {}
for name, attempt in tried.items():
    try:
        attempt()
        raised[name] = None
    except pa.ArrowException as error:
        raised[name] = type(error).__name__
types = [str(table.schema.field("text").type) for table in (copied, shared, stored)]
print("to_arrow, pyarrow.table, read back:", types)
print("string_view:", raised)
print("rows kept from large_string:", copied.filter(keep).num_rows, "after a cast:", cast.filter(keep).num_rows)
if types != ["large_string", "string_view", "string_view"]:
    sys.exit(f"changed: the string types are now {types}")
expected = dict.fromkeys(("filter", "take", "equal", "is_in"), "ArrowNotImplementedError")
if raised != expected | {"sort_by": "ArrowTypeError", "join": "ArrowInvalid"}:
    sys.exit(f"changed: on string_view columns there is now {raised}")
if (copied.filter(keep).num_rows, cast.filter(keep).num_rows) != (2, 2):
    sys.exit("changed: large_string or the cast table can no longer be filtered")
PY
