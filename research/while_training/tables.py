"""Make the tables of while-you-train.md: `python -m research.while_training.tables [WORK ...]`.

Trainings found in the WORK folders are added to while-you-train.json, and the page is made from that file. Times are
only compared within a seed, so run all arms of a seed on one machine."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from research.benchmarks.render import filled, table
from research.while_training.decision_cost import FIGURES, VOG_PASS, WAYS
from research.while_training.diets import DIETS, EPOCHS, LAYERS, PUBLISHED, RECIPE, published
from thresher.experiments.intervals import paired_interval
from thresher.run.files import as_json, write

PAGE = PUBLISHED.with_suffix(".md")
MARKS = {"tuned-3": "", "tuned-6-one": "-6"}
KEPT = (
    *("data", "split", "layers", "change", "kept", "seed", "recipe", "key"),
    *("accuracy", "cpu", "wall", "steps", "correct", "tested"),
)
Cell = dict[str, Any]


def right(cells: list[Cell]) -> np.ndarray:
    """Which test rows each training gets right, (S, n) of 0 and 1."""
    packed = [np.frombuffer(base64.b64decode(one["correct"]), dtype=np.uint8) for one in cells]
    return np.stack([np.unpackbits(one)[: cells[0]["tested"]] for one in packed]).astype(np.int64)


def against(arm: list[Cell], full: list[Cell]) -> dict[str, Any]:
    """An arm compared with full training, paired by seed: difference in points with its interval, time and steps as shares."""
    gap = paired_interval(right(arm), right(full), np.ones(full[0]["tested"], dtype=np.int64))
    return {
        "seeds": [one["seed"] for one in arm],
        "accuracy": [round(100 * one["accuracy"], 2) for one in arm],
        "difference": [round(100 * gap[name], 2) for name in ("mean", "low", "high")],
        "cpu": [one["cpu"] for one in arm],
        "time": round(sum(one["cpu"] for one in arm) / sum(one["cpu"] for one in full), 3),
        "steps": round(sum(one["steps"] for one in arm) / sum(one["steps"] for one in full), 3),
    }


def settings(cells: list[Cell]) -> dict[str, list[Cell]]:
    """The cells of today's recipe by what they have in common, under the name of their table."""
    found: dict[str, list[Cell]] = {}
    for one in cells:
        epochs = one["recipe"]["epochs"]
        if one["recipe"] == {**RECIPE, "epochs": epochs}:
            layers = "" if one["layers"] == LAYERS else f"-{one['layers']}-layers"
            longer = "" if epochs == EPOCHS[one["data"]] else f"-{epochs}-epochs"
            found.setdefault(f"{one['data']}-{one['split']}{layers}{longer}", []).append(one)
    return found


def arms(mine: list[Cell]) -> dict[str, dict[str, Any]]:
    """Every arm of DIETS that has cells, compared with full training with the same seeds."""
    by_arm = {
        arm: {one["seed"]: one for one in mine if one["change"] == change} for arm, change in DIETS.items()
    }
    found = {}
    for arm, done in by_arm.items():
        seeds = sorted(done.keys() & by_arm["full"].keys())
        if seeds:
            found[arm] = against([done[seed] for seed in seeds], [by_arm["full"][seed] for seed in seeds])
    return found


def interval(difference: list[float]) -> str:
    """A difference in points with its interval."""
    return "{:+.2f} [{:+.2f}, {:+.2f}]".format(*difference)


def shares_of(figures: dict[str, Any]) -> list[str]:
    """The shares pruned that any way has figures for."""
    return sorted(figures["ways"]["full"])


def cost_lines(figures: dict[str, Any]) -> str:
    """What a decision costs, as a share of one full training, in all and where the model is trained anyway; what it buys."""
    full = {share: 100 * np.mean(figures["ways"]["full"][share]["accuracy"]) for share in shares_of(figures)}
    lines = []
    for way, found in figures["ways"].items():
        if way == "full":
            continue
        costs, ranks = ["", ""], ["", ""]
        if way in WAYS:
            parts = WAYS[way][2]
            paid = sum(figures["costs"][part] * times for part, times in parts.items())
            share = paid / figures["costs"]["training"]
            own = any("training" in part for part in parts)
            costs = [f"{100 * share:.0f}%", f"{100 * (share - own):.0f}%"]
            ranks = [f"{value:.2f}" for value in found["rank correlation"].values()]
        bought = [interval(found[share]["less full"]) if share in found else "" for share in full]
        lines.append([way, *costs, *ranks, *bought])
    head = ["scored by", "cost", "beyond one training", "rank correlation with VoG", "with AUM"]
    head += [f"{100 * float(share):.0f}% pruned: less full ({mean:.2f}%)" for share, mean in full.items()]
    return table(head, lines)


def cost_differences(figures: dict[str, Any]) -> str:
    """The same ways less random rows, and less VoG of the measuring pass."""
    lines, shares = [], shares_of(figures)
    for way, found in figures["ways"].items():
        if way in WAYS:
            others = ("random", VOG_PASS)
            lines.append(
                [way]
                + [
                    interval(found[share][f"less {other}"]) if other != way and share in found else ""
                    for other in others
                    for share in shares
                ]
            )
    head = ["scored by", *(f"{100 * float(share):.0f}%: less random" for share in shares)]
    head += [f"{100 * float(share):.0f}%: less VoG, measured" for share in shares]
    return table(head, lines)


def diet_lines(found: dict[str, dict[str, Any]]) -> str:
    """The table of one data set."""
    lines = []
    for arm, one in found.items():
        full = arm == "full"
        lines.append(
            [
                f"`{arm}`" if " " in arm and DIETS[arm].get("diet") else arm,
                str(len(one["seeds"])),
                f"{np.mean(one['accuracy']):.2f}",
                "" if full else interval(one["difference"]),
                "" if full else f"{100 * (1 - one['steps']):.0f}%",
                "" if full else f"{100 * (1 - one['time']):.0f}%",
            ]
        )
    head = ["", "seeds", "accuracy %", "less full, points [95%]", "fewer steps", "less CPU time"]
    return table(head, lines)


def published_tables(cells: list[Cell]) -> dict[str, Any]:
    """Every table that the page has a mark for: its arms compared with full training."""
    page = PAGE.read_text(encoding="utf-8")
    named = {
        name: arms(mine) for name, mine in sorted(settings(cells).items()) if f"<!-- diets-{name} -->" in page
    }
    return {name: found for name, found in named.items() if found}


def pages() -> dict[Path, str]:
    """while-you-train.md with its tables made from while-you-train.json and decision-cost.json."""
    text = PAGE.read_text(encoding="utf-8")
    for name, found in published_tables(published()).items():
        text = filled(text, f"diets-{name}", diet_lines(found))
    if FIGURES.is_file():
        figures = json.loads(FIGURES.read_text(encoding="utf-8"))
        for deep, mark in MARKS.items():
            text = filled(text, f"decision-cost{mark}", cost_lines(figures[deep]))
            text = filled(text, f"decision-differences{mark}", cost_differences(figures[deep]))
    return {PAGE: text}


def main(folders: list[str]) -> None:
    """Add the trainings of the folders to while-you-train.json, then write the page."""
    cells = {one["key"]: one for one in published()}
    for folder in folders:
        for path in sorted((Path(folder) / "cells").glob("*.json")):
            one = json.loads(path.read_text(encoding="utf-8"))
            cells[one["key"]] = {name: one[name] for name in KEPT}
    done = list(cells.values())
    write(PUBLISHED, as_json({"tables": published_tables(done), "cells": done}))
    for place, content in pages().items():
        place.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
