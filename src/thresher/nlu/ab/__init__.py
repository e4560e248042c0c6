"""Online evaluation: error rates from the logs of two arms, with relative change, interval and p value; and simulated logs."""

from thresher.nlu.ab.compare import compare_logs
from thresher.nlu.ab.logs import read_log
from thresher.nlu.ab.replay import Traffic, replay

__all__ = ["Traffic", "compare_logs", "read_log", "replay"]
