#!/usr/bin/env bash
# transformers 5.24.0, tokenizers 0.23.3
#
# Behaviour: AutoTokenizer takes the class of the model type in config.json, not the class that tokenizer_config.json names. A word-level
# tokenizer that was saved beside a Qwen2 model ("tokenizer_class": "TokenizersBackend") is loaded as Qwen2Tokenizer, which splits
# texts by its own rules. Here every text becomes no token at all. PreTrainedTokenizerFast.from_pretrained reads the same folder right.
#
# Why it surprises: model and tokenizer were saved by transformers into one folder, and nothing warns. With a chat template or an end
# token around it, an empty completion still trains: a language model learns to write nothing, and every row has the same loss.
#
# Output seen:
#   AutoTokenizer           Qwen2Tokenizer     []
#   PreTrainedTokenizerFast TokenizersBackend  [1, 2, 3]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --no-compile 'torch==2.13.0' 'transformers==5.24.0' 'tokenizers==0.23.3'
export HF_HOME="$folder/hf" HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error
venv/bin/python -W ignore - <<'PY'
import json
import sys

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast, Qwen2Config

words = {"[UNK]": 0, "set": 1, "an": 2, "alarm": 3, "[END]": 4}
made = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
made.pre_tokenizer = pre_tokenizers.Whitespace()
PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]", eos_token="[END]").save_pretrained("model")
Qwen2Config(vocab_size=8).save_pretrained("model")
saved = json.load(open("model/tokenizer_config.json"))["tokenizer_class"]
found = {}
for name, loader in (("AutoTokenizer", AutoTokenizer), ("PreTrainedTokenizerFast", PreTrainedTokenizerFast)):
    tokenizer = loader.from_pretrained("model")
    found[name] = tokenizer("set an alarm")["input_ids"]
    print(f"{name:23} {type(tokenizer).__name__:18} {found[name]}")
if (saved, found) != ("TokenizersBackend", {"AutoTokenizer": [], "PreTrainedTokenizerFast": [1, 2, 3]}):
    sys.exit(f"changed: saved as {saved}, tokens are now {found}")
PY
