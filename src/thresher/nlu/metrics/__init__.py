"""The metrics of the stack; each is a ratio of sums over test rows."""

from thresher.nlu.metrics.counts import Parts, counts
from thresher.nlu.metrics.error_rates import ERRORS, dcer, f_semer, icer, irer, semer
from thresher.nlu.metrics.relative import relative_error, relative_interval, sigma
from thresher.nlu.metrics.slot_f1 import slot_f1, slot_report

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
