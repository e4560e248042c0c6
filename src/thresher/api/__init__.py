"""The public functions: the steps of a run, and the questions about it.

rows = th.load("train.jsonl", text="text", label="label")
run = th.train(rows, out="RUN", test="test.jsonl")
th.measure(run); th.score(run); th.select(run, prune=0.45, by="vog"); th.compare(run); th.report(run)

rows of prompts and completions, for a language model: rows = th.load_texts("chats.jsonl", messages="messages")

or all of them in one call, with a share that is searched for and a decision: th.run(rows, out="RUN", test="test.jsonl")

A setting that is not given is that of `run.yaml`; no call remembers what another one was given.
"""

from thresher.api.job import plan, run
from thresher.api.questions import how_much, noise, sweep
from thresher.api.rows import explain, map_rows, suspects, tokens
from thresher.api.start import train
from thresher.api.steps import compare, measure, report, score, select
from thresher.pipeline.diet import prune_while_training
from thresher.pipeline.record import record
from thresher.pipeline.watch import finish_recording, watch
from thresher.progress import be_quiet
from thresher.rows import load, load_texts

__all__ = [
    "be_quiet",
    "compare",
    "explain",
    "finish_recording",
    "how_much",
    "load",
    "load_texts",
    "map_rows",
    "measure",
    "noise",
    "plan",
    "prune_while_training",
    "record",
    "report",
    "run",
    "score",
    "select",
    "suspects",
    "sweep",
    "tokens",
    "train",
    "watch",
]
