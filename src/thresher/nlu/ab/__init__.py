"""Online evaluation: two arms' logs to error rates, their relative change, interval and p value; and a replay that makes logs."""

from thresher.nlu.ab.compare import compare_logs
from thresher.nlu.ab.logs import read_log
from thresher.nlu.ab.replay import Traffic, replay

__all__ = ["Traffic", "compare_logs", "read_log", "replay"]
