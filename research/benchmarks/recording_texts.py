"""What recording a language model's training costs, beside the same training unwatched, in turns.

    python -m research.benchmarks.recording_texts MODEL

The first layers of a pretrained model are fine-tuned on command parses with a plain `Trainer` or trl's `SFTTrainer`, LoRA or
whole, with and without `th.watch`, by turns, each in a process of its own with one thread. Figures: processor seconds of
`trainer.train()` and the peak memory of the process; the ratio is that of the medians."""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from research.benchmarks.record import machine, missing, record
from research.places import DATA

ROWS, STEPS, BATCH, TURNS, LAYERS = 240, 30, 8, 3, 6
KINDS = ("plain, LoRA", "plain, whole", "SFTTrainer, LoRA", "SFTTrainer, whole")


def trainer_of(kind: str, model: Any, tokenizer: Any, rows: list[dict[str, str]], out: str) -> Any:
    """A trainer of one kind on prompts and completions."""
    from datasets import Dataset

    settings: dict[str, Any] = {
        "output_dir": out,
        "max_steps": STEPS,
        "per_device_train_batch_size": BATCH,
        "learning_rate": 5e-4,
        "report_to": "none",
        "save_strategy": "no",
        "logging_strategy": "no",
        "use_cpu": True,
        "bf16": False,
        "disable_tqdm": True,
    }
    if kind.startswith("SFTTrainer"):
        from trl import SFTConfig, SFTTrainer

        config = SFTConfig(**settings, max_length=256, gradient_checkpointing=False)
        return SFTTrainer(model, config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    def tokens(row: dict[str, str]) -> dict[str, list[int]]:
        prompt = tokenizer(row["prompt"])["input_ids"]
        completion = [*tokenizer(row["completion"])["input_ids"], tokenizer.eos_token_id]
        return {"input_ids": prompt + completion, "labels": [-100] * len(prompt) + completion}

    dataset = Dataset.from_list([{"id": row["id"], **tokens(row)} for row in rows])
    collator = DataCollatorForSeq2Seq(tokenizer)
    return Trainer(model, TrainingArguments(**settings), train_dataset=dataset, data_collator=collator)


def one(kind: str, watched: bool, name: str) -> dict[str, float]:
    """One training in this process."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    import thresher as th

    torch.set_num_threads(1)
    torch.manual_seed(0)
    lines = (DATA / "sft" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["source"] == "parse"][:ROWS]
    rows = [{name: row[name] for name in ("id", "prompt", "completion")} for row in rows]
    tokenizer = AutoTokenizer.from_pretrained(name)
    model = AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32)
    model.model.layers = model.model.layers[:LAYERS]
    model.config.num_hidden_layers = LAYERS
    if kind.endswith("LoRA"):
        lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
        model = get_peft_model(model, lora)
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(kind, model, tokenizer, rows, folder)
        if watched:
            th.watch(trainer, out=Path(folder) / "RUN", id="id")
        started = time.process_time()
        trainer.train()
        seconds = time.process_time() - started
    return {"cpu_seconds": seconds, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def main() -> None:
    """Measure every kind that has no figure yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--again", action="store_true", help="repeat what is in bench.json")
    parser.add_argument("--one", nargs=2, metavar=("KIND", "WATCHED"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one(given.one[0], given.one[1] == "True", given.model)))
        return
    for kind in KINDS:
        if not missing("recording_texts", kind, given.again):
            continue
        found: dict[bool, list[dict[str, float]]] = {False: [], True: []}
        for _ in range(TURNS):
            for watched, runs in found.items():
                command = [sys.executable, "-m", "research.benchmarks.recording_texts", given.model]
                command += ["--one", kind, str(watched)]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                runs.append(json.loads(done.stdout.splitlines()[-1]))
        median = {
            (watched, name): statistics.median(run[name] for run in runs)
            for watched, runs in found.items()
            for name in ("cpu_seconds", "peak_mib")
        }
        ratios = {
            name: round(median[True, name] / median[False, name], 3) for name in ("cpu_seconds", "peak_mib")
        }
        figures = {"unwatched": found[False], "watched": found[True], "ratio": ratios, "machine": machine()}
        record("recording_texts", kind, figures)
        print(kind, ratios, flush=True)


if __name__ == "__main__":
    main()
