"""Rows chosen by a frozen encoder's scores, for a fine-tuned model: `python benchmarks/while_training_proxy.py RUN WORK`.

RUN is the run folder of the frozen encoder on the same training rows (`study.py ROWS OUT --stages score`); the rule
(`--strategy recommended`) chooses rows of it, and the model of `while_training.py` is fine-tuned on them, and on as many random
rows, for as many steps as on all rows. Cells go into WORK; `while_training_tables.py` makes the table.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import polars as pl
import torch
from while_training import COLUMNS, LAYERS, cell, read, same_steps

from study import recommended
from thresher.rows import read_rows
from thresher.study.arms import Arm, kept_by, scores_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--data", choices=sorted(COLUMNS), default="clinc150")
    parser.add_argument("--pruned", type=float, nargs="+", default=[0.45])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rows = read_rows(asked.run / "rows.parquet").table
    texts, _ = read(asked.data, "train")
    for mine, theirs in zip(COLUMNS[asked.data][0], texts, strict=True):
        assert rows[mine].equals(pl.Series(mine, theirs)), "RUN has other rows, or another order"
    scores = scores_of(asked.run, rows["id"])
    arms = {"rule": recommended(asked.run)[0], "random": Arm(None, "high", "random", "random")}
    base = {"data": asked.data, "split": "test", "layers": LAYERS}
    for seed in asked.seeds:
        cell(asked.work, {**base, "change": {}, "kept": "all", "seed": seed})
        for pruned in asked.pruned:
            for name, arm in arms.items():
                made_of = {**base, "change": same_steps(pruned), "kept": f"{name} {pruned:g}"}
                cell(asked.work, {**made_of, "seed": seed}, kept_by(arm, scores, pruned, seed))


if __name__ == "__main__":
    main()
