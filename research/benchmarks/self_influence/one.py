"""One library in a process of its own: `python one.py RUN PEER LAYER ROWS BATCH_SIZE OUT.npy` prints its seconds as JSON."""

from __future__ import annotations

import json
import sys
import time
import warnings
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import numpy as np
from problem import load


def main() -> None:
    run, peer, layer, rows, batch_size, out = sys.argv[1:]
    warnings.filterwarnings("ignore")
    module = import_module(f"peers.{peer}")
    problem = load(Path(run), layer, int(rows), int(batch_size))
    wall, cpu = time.perf_counter(), time.process_time()
    values = module.self_influence(problem)
    seconds = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    np.save(out, np.asarray(values, np.float64))
    print(json.dumps({**seconds, "version": version(module.PACKAGE)}))


if __name__ == "__main__":
    main()
