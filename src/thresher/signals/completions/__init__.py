"""The measuring pass of rows whose target is a text: what `signals/` does for classifiers, for causal language models."""

from thresher.signals.completions.empty_prompt import empty_prompt
from thresher.signals.completions.measure import ON_DEMAND, measure_completions
from thresher.signals.completions.rows import CompletionTokensOfRows
from thresher.signals.completions.table import signal_frame, token_frame
from thresher.signals.completions.tokens import token_losses
from thresher.signals.completions.weights import swap_to

__all__ = [
    "ON_DEMAND",
    "CompletionTokensOfRows",
    "empty_prompt",
    "measure_completions",
    "signal_frame",
    "swap_to",
    "token_frame",
    "token_losses",
]
