"""The voice-assistant stack: rows with slots, a hierarchical model, its metrics, and pruning by source and domain.

>>> import thresher.nlu
>>> sorted(thresher.nlu.__all__)[:3]
['answer', 'choose', 'compare_logs']
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thresher.nlu.ab import compare_logs, read_log, replay
    from thresher.nlu.entropy import domain_entropy, trail_entropy
    from thresher.nlu.page.write import write_page
    from thresher.nlu.pruning.choose import choose
    from thresher.nlu.pruning.score import read_scores, score_rows
    from thresher.nlu.pruning.synthetic import swapped
    from thresher.nlu.rows import load_utterances, save_utterances
    from thresher.nlu.stack.answer import answer
    from thresher.nlu.stack.build import train_stack
    from thresher.nlu.stack.config import stack_config
    from thresher.nlu.stack.evaluate import evaluate
    from thresher.nlu.stack.folder import load_stack
    from thresher.nlu.study.run import run_study

_PLACES = {
    "ab": ("compare_logs", "read_log", "replay"),
    "entropy": ("domain_entropy", "trail_entropy"),
    "page.write": ("write_page",),
    "pruning.choose": ("choose",),
    "pruning.score": ("read_scores", "score_rows"),
    "pruning.synthetic": ("swapped",),
    "rows": ("load_utterances", "save_utterances"),
    "stack.answer": ("answer",),
    "stack.build": ("train_stack",),
    "stack.config": ("stack_config",),
    "stack.evaluate": ("evaluate",),
    "stack.folder": ("load_stack",),
    "study.run": ("run_study",),
}
__all__ = [
    "answer",
    "choose",
    "compare_logs",
    "domain_entropy",
    "evaluate",
    "load_stack",
    "load_utterances",
    "read_log",
    "read_scores",
    "replay",
    "run_study",
    "save_utterances",
    "score_rows",
    "stack_config",
    "swapped",
    "trail_entropy",
    "train_stack",
    "write_page",
]


def __getattr__(name: str) -> Any:
    """The functions, imported on first use: torch is not loaded to read a file."""
    for module, names in _PLACES.items():
        if name in names:
            return getattr(import_module(f"thresher.nlu.{module}"), name)
    raise AttributeError(f"module 'thresher.nlu' has no attribute '{name}'")
