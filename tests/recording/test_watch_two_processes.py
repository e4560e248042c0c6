"""Recording under torchrun with two processes on CPU."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np

import tiny_trainers as make


def test_two_processes_record_every_row_of_their_steps_and_share_a_diet(tmp_path):
    script = Path(__file__).with_name("in_two_processes.py")
    paths = [str(Path(__file__).parents[1]), str(script.parent), *sys.path]
    command = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        str(script),
        str(tmp_path),
    ]
    done = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    ranks = [pickle.loads((tmp_path / f"noted-{rank}").read_bytes()) for rank in (0, 1)]
    signals, checkpoints = make.signals_of(tmp_path / "run")
    assert checkpoints.height == 2
    visits = {row: [*ranks[0].get(row, []), *ranks[1].get(row, [])] for row in range(make.ROWS)}
    # 21 rows in batches of 4 for 2 processes: padding brings 3 rows a second time in each epoch.
    assert sum(map(len, visits.values())) == 2 * 24
    for row, noted in visits.items():
        line = signals.row(row, named=True)
        assert sorted(line["correct"]) == sorted(visit["correct"] for visit in noted)
        squares = np.mean([(visit["gradient"] ** 2).sum() for visit in noted])
        np.testing.assert_allclose(line["gradient_sq_mean"], squares, rtol=2e-3)
        if len(noted) == 2:
            losses = sorted(visit["loss"] for visit in noted)
            np.testing.assert_allclose(sorted(line["loss"]), losses, rtol=2e-3)

    for same_steps in (False, True):
        places = [tmp_path / f"diet-{same_steps}-{rank}" for rank in (0, 1)]
        (keep, *first), (other, *second) = (pickle.loads(place.read_bytes()) for place in places)
        assert np.array_equal(keep, other)
        assert 0 < keep.sum() < make.ROWS
        batches = [*first[0], *second[0]]
        assert {row for batch in batches for row in batch} == set(np.flatnonzero(keep).tolist())
        assert first[1] == second[1]
        left = int(keep.sum())
        size = -(-4 * left // make.ROWS) if same_steps else min(4, left)
        assert max(map(len, batches)) == size
        # As many batches for each of the two processes.
        assert len(batches) == 2 * -(-left // (2 * size))
