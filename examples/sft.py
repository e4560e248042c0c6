"""Supervised fine-tuning with trl's SFTTrainer and one more line, which records the scores of every row.

    python examples/sft.py train.jsonl --model HuggingFaceTB/SmolLM2-135M-Instruct --out RUN

It follows the quick start of trl (https://huggingface.co/docs/trl/sft_trainer): a JSON-lines file with the columns `prompt` and
`completion`, or `messages`, and an SFTTrainer with LoRA. The line marked below is added. After training the script prints the
rows whose completion fits its prompt least, and keeps the harder half, as a file that the same script takes.
"""

import argparse

import torch
from datasets import load_dataset
from peft import LoraConfig
from trl import SFTConfig, SFTTrainer

import thresher as th

parser = argparse.ArgumentParser()
parser.add_argument("file")
parser.add_argument("--model", default="HuggingFaceTB/SmolLM2-135M-Instruct")
parser.add_argument("--epochs", type=float, default=3)
parser.add_argument("--out", default="sft-run")
given = parser.parse_args()

kind = "parquet" if given.file.endswith(".parquet") else "json"
dataset = load_dataset(kind, data_files=given.file, split="train")
trainer = SFTTrainer(
    model=given.model,
    args=SFTConfig(
        output_dir="my_model",
        per_device_train_batch_size=8,
        num_train_epochs=given.epochs,
        learning_rate=2e-4,
        bf16=torch.cuda.is_available(),  # trl's default is True, which some machines without a GPU refuse
        save_strategy="no",
        report_to="none",
    ),
    train_dataset=dataset,
    peft_config=LoraConfig(r=16, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"),
)
run = th.watch(trainer, out=given.out)  # <- the line
trainer.train()

scores = th.score(run)
print(scores.select("id", "loss", "el2n", "forgetting", "entropy", "token_accuracy").head(5))

# Completions to read: those that the model expected least.
print(th.suspects(run, out=f"{given.out}/suspects.csv", top=5))

# The harder half; RUN/kept.parquet has the rows as they were given.
kept = th.select(run, prune=0.5, by="el2n").filter("kept")
print(f"{kept.height} rows kept: {run / 'kept.parquet'}")
