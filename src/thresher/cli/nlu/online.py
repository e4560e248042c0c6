"""`thresher nlu ab | replay`: online evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from thresher.cli import terminal
from thresher.cli.command import Answer, command, place_argument, place_option, told
from thresher.cli.nlu.rows import Seed, SkipBad, read
from thresher.cli.nlu.stack import DomainThreshold, thresholds

LogA = Annotated[Path, place_argument("A", "log of the arm in production")]
LogB = Annotated[Path, place_argument("B", "log of the other arm")]
StackA = Annotated[Path, place_argument("STACK_A", "the stack in production")]
StackB = Annotated[Path, place_argument("STACK_B", "the other stack")]
Tests = Annotated[list[Path], place_option("--test", "FILE", "test rows that simulated users send")]
LogFolder = Annotated[Path, place_option("--out", "FOLDER", "folder for A.parquet and B.parquet")]
Threshold = Annotated[
    float,
    typer.Option("--threshold", metavar="P", min=0, max=1, help="confidence below which no domain answers"),
]
Share = Annotated[float, typer.Option("--share", metavar="P", help="planned share of users in arm A")]
Resamples = Annotated[
    int, typer.Option("--resamples", metavar="N", min=200, max=1_000_000, help="resamples of the users")
]
AB_HEAD = ("metric", "A %", "B %", "change %", "95% interval", "p")


@command()
def ab(
    a: LogA,
    b: LogB,
    threshold: Threshold = 0.0,
    share: Share = 0.5,
    resamples: Resamples = 2000,
    seed: Seed = 0,
) -> Answer:
    """Compare two arms by UER, PDR and PDR-tail: relative change, interval and p value, with users as units."""
    from thresher.nlu.ab import compare_logs, read_log
    from thresher.progress import warn

    found = compare_logs(
        read_log(a), read_log(b), threshold=threshold, share=share, resamples=resamples, seed=seed
    )
    for line in found["warnings"]:
        warn(line)
    return Answer(found, lambda: show(found))


def show(found: dict[str, Any]) -> None:
    """Print the change of every metric, and the size of the test."""
    terminal.table(AB_HEAD, [_line(name, one) for name, one in found["metrics"].items()])
    facts = found["facts"]
    terminal.line(
        f"A: {facts['users_a']:,} users, {facts['requests_a']:,} requests; B: {facts['users_b']:,} users, "
        f"{facts['requests_b']:,} requests; {facts['days']:g} days; split p {facts['split_p']:.2g}"
    )


def _line(name: str, one: dict[str, Any]) -> tuple[str, ...]:
    rates = (f"{100 * one['a']:.3f}", f"{100 * one['b']:.3f}")
    if one["change"] is None:
        return (name, *rates, "-", "-", "-")
    interval = f"[{100 * one['low']:+.2f}, {100 * one['high']:+.2f}]"
    return (name, *rates, f"{100 * one['change']:+.2f}", interval, f"{one['p']:.3f}")


@command()
def replay(
    a: StackA,
    b: StackB,
    test: Tests,
    out: LogFolder,
    users: Annotated[int, typer.Option("--users", metavar="N", min=4, max=1_000_000)] = 4000,
    domain_threshold: DomainThreshold = None,
    seed: Seed = 0,
    skip_bad: SkipBad = False,
) -> Answer:
    """Simulate the logs of two arms: long-tailed test utterances, users who rephrase or give up. Not a test with real users."""
    import polars as pl

    from thresher.nlu.ab import Traffic
    from thresher.nlu.ab import replay as simulate
    from thresher.nlu.ab.replay import judged
    from thresher.nlu.stack.evaluate import answers_for
    from thresher.nlu.stack.folder import load_stack
    from thresher.run.files import as_json, write
    from thresher.run.outputs import check_output

    logs = {name: out / name for name in ("A.parquet", "B.parquet", "replay.json")}
    for log in logs.values():
        check_output(log, test)
    rows = pl.concat(
        [read(one, None, skip_bad).with_columns(id=f"{at}:" + pl.col("id")) for at, one in enumerate(test)]
    )
    chosen = thresholds(domain_threshold)
    arms = [judged(rows, answers_for(load_stack(stack, **chosen), rows)) for stack in (a, b)]
    log_a, log_b, about = simulate(rows, arms[0], arms[1], Traffic(users=users, seed=seed))
    write(logs["A.parquet"], log_a.write_parquet)
    write(logs["B.parquet"], log_b.write_parquet)
    write(logs["replay.json"], as_json(about))
    return told(
        {"a": str(out / "A.parquet"), "b": str(out / "B.parquet"), **about},
        about["simulation"],
        f"{log_a.height + log_b.height:,} requests; next: thresher nlu ab {out / 'A.parquet'} {out / 'B.parquet'}",
    )
