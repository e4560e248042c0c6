"""This machine: one process per core; where there are GPUs, the first one alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from thresher.config import MeasureConfig
from thresher.signals.engines.registry import Say, engine
from thresher.signals.plan import Plan


@engine("local")
def local(plan: Plan, chunks: Sequence[int], settings: MeasureConfig, say: Say) -> Iterator[int]:
    """Measure chunks in `settings.workers` processes of one thread each; yields the rows of each finished chunk."""
    # Here, for a look at the settings should not wait for torch.
    from thresher.signals.chunk import measure_chunk
    from thresher.training.parallel import run_jobs, share_cores

    workers = share_cores(plan.n_rows, settings.workers)[0]
    for _, rows in run_jobs(measure_chunk, [(plan, chunk) for chunk in chunks], workers):
        yield rows
