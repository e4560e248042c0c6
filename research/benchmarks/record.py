"""bench.json: each figure is written as soon as it is measured, under its benchmark and its own name."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

import torch

BENCH = Path(__file__).parent / "bench.json"


def read() -> dict[str, Any]:
    """All figures: {benchmark: {figure: value}}."""
    return json.loads(BENCH.read_text(encoding="utf-8")) if BENCH.is_file() else {}


def record(benchmark: str, figure: str, value: Any) -> None:
    """Set one figure of one benchmark; the others are unchanged."""
    figures = read()
    figures.setdefault(benchmark, {})[figure] = value
    temporary = BENCH.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(BENCH)


def missing(benchmark: str, figure: str, again: bool) -> bool:
    """Whether a figure has not been measured yet."""
    return again or figure not in read().get(benchmark, {})


def machine() -> dict[str, Any]:
    """The environment that the figures depend on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    model = next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
