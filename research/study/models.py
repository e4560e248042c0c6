"""The models of the study and their recipes, as settings of a run."""

from __future__ import annotations

from typing import Any

# What some of the models below measure; the others measure every signal.
MEASURED: dict[str, dict[str, Any]] = {
    "-one": {"signals": ["gradient_gram"]},
    "-folds": {"signals": []},
    "-margin": {"words": False},
}

# `frozen`: all six layers, a 3-layer head. `tuned-N`: the first N layers fine-tuned, with the recipe of
# research/while_training/diets.py. `-proxy`: a head on the frozen encoder and a linear model on words score the rows;
# `-margin`: the head alone; `-folds`: the model's own cross-validation. `-evaluated` counts forgetting events; `-evaluated-one`
# does so in a single training for scores.
MODELS: dict[str, dict[str, Any]] = {
    "frozen": {
        "model": {"freeze": True, "layers": "all"},
        "train": {"epochs": 6, "batch_size": 256, "head_lr": 5e-3, "runs": 3, "workers": 1, "threads": 1},
        "measure": {"features": True, "workers": 1},
        "sweep": {"workers": 1},
    },
    "frozen-3-one": {
        "model": {"freeze": True, "layers": 3},
        "train": {"epochs": 6, "batch_size": 256, "head_lr": 5e-3, "runs": 1, "workers": 1, "threads": 1},
        "measure": {"workers": 1},
    },
    **{
        f"tuned-{layers}{how}": {
            "model": {"layers": layers},
            "train": {
                "epochs": 1 if how == "-quick" else 4,
                "checkpoints": 4 if how == "-quick" else 10,
                "batch_size": 64,
                "encoder_lr": 3e-4,
                "head_lr": 2e-3,
                "runs": runs,
                "folds": 5 if how == "-folds" else "auto",
                "forgetting_evaluations": 10 if how.startswith("-evaluated") else 0,
                "threads": 1,
            },
            "proxy": {"encoder": "frozen" if how in ("-proxy", "-margin") else "none"},
            "measure": MEASURED.get(how, {}),
        }
        for layers, runs, how in (
            (1, 1, "-quick"),
            (1, 1, ""),
            (3, 3, ""),
            (6, 3, ""),
            (6, 1, "-one"),
            (3, 3, "-evaluated"),
            (3, 1, "-evaluated-one"),
            (3, 1, "-folds"),
            (3, 3, "-proxy"),
            (3, 3, "-margin"),
            (6, 3, "-proxy"),
        )
    },
}
