"""The tables of scale.md match the measured inputs, and the cost model computes what the page says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from research.benchmarks import scale

CHECKOUT = Path(__file__).parents[2]


def printed() -> list[str]:
    command = [sys.executable, str(CHECKOUT / "research" / "benchmarks" / "scale.py")]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().splitlines()


def test_the_tables_of_the_page_are_those_of_the_inputs():
    page = (CHECKOUT / "research" / "benchmarks" / "scale.md").read_text(encoding="utf-8")
    assert "\n".join(printed()) in page, "python -m research.benchmarks.scale --write"


def test_the_model_is_what_the_page_says():
    """The formulas again, with round numbers."""
    inputs = json.loads((CHECKOUT / "research" / "benchmarks" / "bench.json").read_text(encoding="utf-8"))[
        "scale"
    ]
    inputs["layers_3"] |= {
        "measure_rows_per_s": 10,
        "chunk_s": 0.5,
        "checkpoint_bytes": 1e8,
        "parameters": 1e7,
    }
    inputs["layers_3"] |= {"train_rows_per_s": 100, "logits_rows_per_s": 25}
    inputs["ray"]["driver_cpu_s_per_chunk"] = 0.01
    cost = scale.hours(inputs, 3, rows=1_024_000, chunk_rows=1024, nodes=4)
    assert round(cost["measure"] * 3600) == round((102_400 + 500) / 32 + 30 + 10)
    assert round(cost["driver"] * 3600) == 10
    steps = 3 * 1_024_000 / 128
    assert round(cost["train"] * 3600) == round(
        steps * (32 / 800 + 8e7 * 0.75 / 1.25e9) + 10_240_000 / (250 * 32)
    )
    # With workers without end the driver is what counts.
    assert scale.hours(inputs, 3, 1_024_000_000, 1024, nodes=100_000)["measure"] * 3600 == 10_000
