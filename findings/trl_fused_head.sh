#!/usr/bin/env bash
# trl 1.16.0 (with transformers 5.24.0, torch 2.13.0)
#
# Behaviour: SFTTrainer computes its loss from the last hidden states and the weight of the output layer, in pieces. The output layer
# itself is never called in training, and the model's output has no attribute logits. Nothing about it is set by the user: it is
# the default loss.
#
# Why it surprises: tools that record training rows hang a forward hook on the output layer, or read outputs.logits. With SFTTrainer the
# hook is never called, while loss, entropy and token accuracy are logged as ever. A hook that records nothing raises nothing
# either, and the table of scores stays empty.
#
# Output seen, two training steps:
#   decoder called 2 times, output layer called 0 times, output with logits: False, False
#   model(**batch) called directly: output layer called once, output with logits: True
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --no-compile 'torch==2.13.0' 'transformers==5.24.0' 'accelerate==1.15.0' 'trl==1.16.0'
export HF_HOME="$folder/hf" HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 TRANSFORMERS_VERBOSITY=error HF_DATASETS_DISABLE_PROGRESS_BARS=1
venv/bin/python -W ignore - <<'PY'
import sys

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

words = "[PAD] [UNK] [EOS] turn the kitchen light on off play some music".split()
backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
backend.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", eos_token="[EOS]")
shape = dict(hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1, max_position_embeddings=32)
model = LlamaForCausalLM(LlamaConfig(vocab_size=len(words), pad_token_id=0, bos_token_id=None, eos_token_id=2, **shape))
calls = {"decoder": 0, "output layer": 0}
with_logits = []


def counted(name):
    def hook(*_):
        calls[name] += 1

    return hook


model.model.register_forward_hook(counted("decoder"))
model.lm_head.register_forward_hook(counted("output layer"))
model.register_forward_hook(lambda module, given, output: with_logits.append(hasattr(output, "logits")))
rows = Dataset.from_dict({"text": ["turn the kitchen light on", "turn the light off", "play some music", "play music"]})
settings = SFTConfig(
    output_dir="out", max_steps=2, per_device_train_batch_size=2, save_strategy="no", report_to=[], disable_tqdm=True,
    use_cpu=True, bf16=False, gradient_checkpointing=False,
)
SFTTrainer(model=model, args=settings, train_dataset=rows, processing_class=tokenizer).train()
print("in training:", calls, "output with logits:", with_logits)
if calls != {"decoder": 2, "output layer": 0} or with_logits != [False, False]:
    sys.exit(f"changed: in two steps there are now {calls}, and outputs with logits: {with_logits}")
model(input_ids=torch.tensor([[3, 4, 5]]))
print("called directly:", calls, "output with logits:", with_logits[2:])
if calls["output layer"] != 1 or with_logits[2:] != [True]:
    sys.exit("changed: the model called directly no longer uses its output layer")
PY
