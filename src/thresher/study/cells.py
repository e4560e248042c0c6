"""Cells: one training on one choice of rows with one seed, tested once, kept by what it was made of."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from thresher.config import TrainConfig
from thresher.model.tokens import tokenise
from thresher.progress import track
from thresher.rows import read_rows
from thresher.run_folder import digest, read_manifest, read_results, update_results
from thresher.sealed import fault, write_table
from thresher.study.metrics import accuracy, macro_f1
from thresher.training.checkpoints import build_classifier, list_checkpoints, load_weights
from thresher.training.fit import fit, predict_logits, progress_file, steps_of
from thresher.training.parallel import run_jobs, share_cores, steps_watched
from thresher.training.sound import finished
from thresher.training.train import configs, new_classifier

Cell = dict[str, Any]


def cell_key(manifest: dict[str, Any], cell: Cell) -> str:
    """The name of a cell: a hash of rows, test rows, model, recipe, choice of rows, steps and seed."""
    config = manifest["config"]
    recipe = {
        name: value
        for name, value in config["train"].items()
        if name not in ("runs", "seed", "report_to", "workers")
    }
    made_of = {
        "rows": manifest["rows_hash"],
        "test": manifest["test_hash"],
        "model": config["model"],
        "train": recipe,
    }
    chosen = {name: cell[name] for name in ("kept", "seed", "max_steps")}
    return digest({**made_of, **chosen})


def run_cells(run: Path, cells: Sequence[Cell], workers: int | None) -> list[dict[str, Any]]:
    """The results of cells, training those that `results.json` does not hold yet; each is written as it finishes.

    A cell is {"arm", "selection", "seed", "max_steps", "kept": hash of the kept ids or "all", "ids": kept ids or
    None, "n": number of rows}.
    """
    manifest = read_manifest(run)
    keys = [cell_key(manifest, cell) for cell in cells]
    known = read_results(run).get("cells", {})
    left = {
        key: cell
        for key, cell in zip(keys, cells, strict=True)
        if key not in known or fault(run / "cells" / f"{key}.parquet")
    }
    jobs = [(run, key, cell) for key, cell in left.items()]
    _, config = configs(manifest)
    at_a_time, threads = share_cores(len(cells), workers)
    total = sum(
        steps_of(config.model_copy(update={"max_steps": cell["max_steps"]}), cell["n"])
        for cell in left.values()
    )
    files = [progress_file(run / "training" / key) for key in left]
    with track("retrain", total, "steps") as advance, steps_watched(files, advance):
        for _, result in run_jobs(cell_job, jobs, at_a_time, config.threads or threads):
            key = result.pop("key")
            known[key] = {**result, "predictions": f"cells/{key}.parquet"}
            update_results(run, cells=known)
    return [{"key": key, **known[key], "arm": cell["arm"]} for key, cell in zip(keys, cells, strict=True)]


def cell_job(run: Path, key: str, cell: Cell) -> dict[str, Any]:
    """Train (or take from the scored run, where it is the same training) and test one cell."""
    manifest = read_manifest(run)
    model_config, config = configs(manifest)
    rows, test = read_rows(run / "rows.parquet"), read_rows(run / "test.parquet")
    started = time.monotonic()
    scored = scored_run(run, config, cell)
    if scored:
        model, tokenizer = build_classifier(run / "checkpoints" / "model")
        last = list_checkpoints(run / "checkpoints" / scored)[-1]
        model.load_state_dict(load_weights(last))
        n_train, steps = len(rows), steps_of(config, len(rows))
    else:
        keep = (
            np.arange(len(rows))
            if cell["ids"] is None
            else np.flatnonzero(rows.table["id"].is_in(cell["ids"]).to_numpy())
        )
        model, tokenizer = new_classifier(model_config, len(rows.classes), cell["seed"])
        tokens = tokenise(
            [rows.table[column].gather(keep).to_list() for column in rows.text],
            tokenizer,
            model_config.max_length,
        )
        config = config.model_copy(update={"max_steps": cell["max_steps"]})
        folder = run / "training" / key
        steps = fit(model, tokens, rows.labels()[keep], config, cell["seed"], folder)
        shutil.rmtree(folder, ignore_errors=True)
        n_train = len(keep)
    tokens = tokenise(
        [test.table[column].to_list() for column in test.text], tokenizer, model_config.max_length
    )
    predicted = predict_logits(model, tokens).argmax(1).astype(np.int32)
    frame = pl.DataFrame({"id": test.table["id"], "predicted": predicted})
    write_table(run / "cells" / f"{key}.parquet", frame)
    truth = test.labels()
    return {
        "key": key,
        "arm": cell["arm"],
        "selection": cell["selection"],
        "seed": cell["seed"],
        "n_train": n_train,
        "steps": steps,
        "epochs": round(steps / -(-n_train // config.batch_size), 2),
        "seconds": round(time.monotonic() - started, 1),
        "accuracy": accuracy(truth, predicted),
        "macro_f1": macro_f1(truth, predicted),
    }


def scored_run(run: Path, config: TrainConfig, cell: Cell) -> str | None:
    """The finished training on full data that is the very one a cell asks for, if there is one."""
    if cell["ids"] is not None or cell["max_steps"] != config.max_steps:
        return None
    number = cell["seed"] - config.seed
    return next((name for name in (f"run-{number}", f"full-{number}") if finished(run, name)), None)


def predictions(run: Path, results: Sequence[dict[str, Any]]) -> np.ndarray:
    """Predicted classes (seeds, test rows) of some cells."""
    return np.stack(
        [
            pl.read_parquet(run / "cells" / f"{result['key']}.parquet")["predicted"].to_numpy()
            for result in results
        ]
    )
