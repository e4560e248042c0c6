#!/usr/bin/env bash
# safetensors 0.8.0 (with numpy 2.4.1)
#
# Behaviour: save_file creates a file that only its owner may read (mode 600), whatever the umask. Files of numpy.save, open() and the
# JSON files beside the weights follow the umask.
#
# Why it surprises: a model that is saved into a folder of a team can be listed by everybody, and its config.json be read, but another
# user, or a job that runs as another one, gets "Permission denied" at model.safetensors alone. Scoring and pruning often run as
# another user than the training.
#
# Output seen, with umask 022:
#   save_file 600, numpy.save 644, open 644; save_file over a file of mode 644: 600; serialize and write: 644
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --no-compile 'safetensors==0.8.0' 'numpy==2.4.1'
umask 022
venv/bin/python - <<'PY'
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save, save_file

weights = {"weight": np.zeros(4, dtype=np.float32)}


def mode(name):
    return f"{Path(name).stat().st_mode & 0o777:o}"


save_file(weights, "saved.safetensors")
np.save("array.npy", weights["weight"])
Path("config.json").write_text("{}")
Path("again.safetensors").write_bytes(b"")
save_file(weights, "again.safetensors")
Path("written.safetensors").write_bytes(save(weights))
found = [mode(name) for name in ("saved.safetensors", "array.npy", "config.json", "again.safetensors", "written.safetensors")]
print("save_file {}, numpy.save {}, open {}; save_file over a file of mode 644: {}; serialize and write: {}".format(*found))
if found != ["600", "644", "644", "600", "644"]:
    sys.exit(f"changed: the modes are now {found}")
if Path("saved.safetensors").read_bytes() != Path("written.safetensors").read_bytes():
    sys.exit("changed: save_file and save give different bytes")
PY
