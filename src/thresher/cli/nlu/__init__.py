"""`thresher nlu`: the voice-assistant stack."""

from __future__ import annotations

import typer

from thresher.cli.nlu import online, pruning, rows, stack, study

nlu = typer.Typer(
    name="nlu",
    help="The voice-assistant stack: domain, intent and slots; its metrics, its pruning, its A/B tests.",
    no_args_is_help=True,
)
for command in (
    *(rows.convert, rows.entropy, rows.synthesise),
    *(stack.train, stack.evaluate, stack.predict, stack.demo),
    *(pruning.score, pruning.select, study.study, study.report),
    *(online.ab, online.replay),
):
    nlu.command()(command)
