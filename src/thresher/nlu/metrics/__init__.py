"""The metrics of the stack, one per file; each is a ratio of sums over test rows."""

from collections.abc import Callable

import polars as pl

from thresher.nlu.metrics.counts import Parts, counts
from thresher.nlu.metrics.dcer import dcer
from thresher.nlu.metrics.f_semer import f_semer
from thresher.nlu.metrics.icer import icer
from thresher.nlu.metrics.irer import irer
from thresher.nlu.metrics.relative import relative_error, relative_interval
from thresher.nlu.metrics.semer import semer
from thresher.nlu.metrics.sigma import sigma
from thresher.nlu.metrics.slot_f1 import slot_f1, slot_report

ERRORS: dict[str, Callable[[pl.DataFrame], Parts]] = {
    "DCER": dcer,
    "ICER": icer,
    "SEMER": semer,
    "F-SEMER": f_semer,
    "IRER": irer,
}

__all__ = [
    "ERRORS",
    "Parts",
    "counts",
    "dcer",
    "f_semer",
    "icer",
    "irer",
    "relative_error",
    "relative_interval",
    "semer",
    "sigma",
    "slot_f1",
    "slot_report",
]
