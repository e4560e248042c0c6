"""Fill the tables of bench.md from bench.json: `python -m research.benchmarks.render`.

A table is between `<!-- NAME -->` and `<!-- /NAME -->`; the rest of the page is written by hand.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from research.benchmarks.record import BENCH, read
from research.benchmarks.self_influence.table import table as self_influence

Figures = dict[str, Any]
PAGE = BENCH.with_name("bench.md")


def table(head: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    head = list(head)
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def filled(page: str, mark: str, content: str) -> str:
    """The page with the text between two marks replaced."""
    return re.sub(
        rf"<!-- {mark} -->.*?<!-- /{mark} -->",
        lambda _: f"<!-- {mark} -->\n{content}\n<!-- /{mark} -->",
        page,
        flags=re.S,
    )


def target(value: float, reached: bool, form: str = ".2f") -> str:
    """A figure, and whether it meets its target."""
    return f"{value:{form}} {'✓' if reached else '✗ missed'}"


def measuring(figures: Figures) -> str:
    """Rows per second of every variant, and the ratios that have targets."""
    head = [
        "workload",
        "tokens a row",
        "(a) padded",
        "(b) dynamic",
        "(c) VoG only",
        "(d) all signals",
        "(e) limit",
    ]
    head += ["(c)/(a), ≥ 6", "(c)/(b), ≥ 2", "cost (d)/(c), ≤ 1.10", "(c)/(e), ≥ 0.80"]
    head += ["(c)/(e) by medians"]
    lines = []
    for name, found in figures.items():
        speed = found["rows_per_second"]
        lines.append(
            [
                name,
                f"{found['tokens_per_row']['ours']:.1f}",
                *(f"{speed[one]:.2f}" for one in ("padded", "dynamic", "vog", "all", "limit")),
                target(found["vog_over_padded"], found["vog_over_padded"] >= 6),
                target(found["vog_over_dynamic"], found["vog_over_dynamic"] >= 2),
                target(found["all_cost_over_vog"], found["all_cost_over_vog"] <= 1.10),
                target(found["vog_over_limit"], found["vog_over_limit"] >= 0.80, ".3f"),
                f"{by_medians(found):.3f}",
            ]
        )
    return table(head, lines)


def by_medians(found: Figures) -> float:
    """(c)/(e) from medians: of 24 bursts of products the least is luckier than that of three passes."""
    times = found["processor_seconds"]
    vog, products = (statistics.median(times[name]) / min(times[name]) for name in ("vog", "products"))
    return float(found["vog_over_limit"] * products / vog)


def profiles(figures: Figures) -> str:
    """The share of the time of every operation that takes one in a hundred or more, all signals."""
    names = list(figures)
    shares = {name: dict(found["profile"]) for name, found in figures.items()}
    operations = sorted(
        {one for share in shares.values() for one, part in share.items() if part >= 0.01},
        key=lambda one: -max(share.get(one, 0) for share in shares.values()),
    )
    lines = [[f"`{one}`", *(f"{100 * shares[name].get(one, 0):.1f}" for name in names)] for one in operations]
    return table(["operation, % of the time", *names], lines)


def memory(figures: Figures) -> str:
    """Peak resident size by number of rows."""
    found = sorted(figures.values(), key=lambda one: one["rows"])
    least = found[0]["peak_bytes"]
    lines = [
        [
            f"{one['rows']:,}",
            f"{one['peak_bytes'] / 2**20:,.0f}",
            target(one["peak_bytes"] / least, one["peak_bytes"] <= 1.15 * least)
            if one is not found[0]
            else "",
        ]
        for one in found
    ]
    return table(["rows", "peak, MiB", "over the smallest, ≤ 1.15"], lines)


def selection(figures: Figures) -> str:
    """Seconds and peak memory of every strategy, in memory and streamed."""
    lines = []
    for name, found in figures.items():
        gib, many = found["peak_bytes"] / 2**30, name.startswith("100,000,000")
        lines.append(
            [
                name,
                f"{found['seconds']:.1f}"
                if many
                else target(found["seconds"], found["seconds"] <= 15, ".1f"),
                target(gib, gib <= (4 if many else 2)),
                f"{found['kept']:,}",
            ]
        )
    return table(["selection", "seconds", "peak, GiB", "rows kept"], lines)


def completions(figures: Figures) -> str:
    """Rows per second of measuring completions, by thresher and by others, and how near the adapters' norms are to autograd's."""
    names = {
        "all": "thresher, all signals",
        "plain": "plain loop, all signals",
        "adapters": "thresher, adapters",
        "dattri-llm": "dattri-llm, adapters",
        "bergson": "bergson, adapters",
    }
    head = [
        "model",
        *names.values(),
        "all / plain, ≥ 2",
        "adapters / fastest other, ≥ 2",
        "largest difference",
    ]
    lines = []
    for name, found in figures.items():
        speed, differences = found["rows_per_second"], found["largest_relative_difference"]
        over_plain = speed["all"] / speed["plain"]
        others = [speed[one] for one in ("dattri-llm", "bergson") if one in speed]
        over_others = speed["adapters"] / max(others) if others else None
        lines.append(
            [
                name,
                *(f"{speed[one]:.2f}" if one in speed else "" for one in names),
                target(over_plain, over_plain >= 2),
                "" if over_others is None else target(over_others, over_others >= 2),
                f"{max(differences['all'], differences['adapters']):.1e}",
            ]
        )
    return table(head, lines)


# The tables of a benchmark, by their marks in the page.
TABLES: dict[str, dict[str, Callable[[Figures], str]]] = {
    "completions": {"completions": completions},
    "measuring": {"measuring": measuring, "profiles": profiles},
    "memory": {"memory": memory},
    "selection": {"selection": selection},
    "self_influence": {"self_influence": self_influence},
}


def pages() -> dict[Path, str]:
    """bench.md with its tables made from bench.json."""
    page, figures = PAGE.read_text(encoding="utf-8"), read()
    for benchmark, tables in TABLES.items():
        for mark, make in tables.items():
            if benchmark in figures:
                page = filled(page, mark, make(figures[benchmark]))
    return {PAGE: page}


if __name__ == "__main__":
    for place, content in pages().items():
        place.write_text(content, encoding="utf-8")
