"""The self-influence benchmark as Markdown."""

from __future__ import annotations

from typing import Any

HEAD = (
    "library",
    "batch",
    "rows/s",
    "CPU time over ours [least, most]",
    "wall time over ours",
    "rank correlation with ours",
    "largest relative difference",
)
TITLES = {
    "encoder": "last encoder layer, all its parameters",
    "linear maps": "last encoder layer, its linear maps alone, for libraries without a rule for norms",
    "classifier": "last classifier layer",
}
TARGET = 2


def table(found: dict[str, Any]) -> str:
    """One table per layer from the figures under "self_influence" in `bench.json`."""
    return "\n\n".join(part(layer, figures) for layer, figures in found.items())


def part(layer: str, figures: dict[str, Any]) -> str:
    """What was measured, the libraries, and the fastest of the others against the target."""
    libraries = figures["libraries"]
    lines = [
        f"**{TITLES[layer].capitalize()}**: {figures['rows']:,} rows, model trained on {figures['train_rows']:,}; medians of "
        f"{figures['repetitions']} repetitions, rows per second of CPU time.",
        "",
        f"| {' | '.join(HEAD)} |",
        "|---|" + "---:|" * (len(HEAD) - 1),
        *(f"| {' | '.join(cells(name, entry))} |" for name, entry in libraries.items()),
    ]
    others = {
        name: entry["cpu"]["over_ours"]["median"]
        for name, entry in libraries.items()
        if not name.startswith("thresher") and "error" not in entry
    }
    if others:
        fastest = min(others, key=others.__getitem__)
        mark = "✓" if others[fastest] >= TARGET else "✗ missed"
        lines += [
            "",
            f"The fastest of the others, {fastest}: {others[fastest]:.2f} x our time (≥ {TARGET} {mark}).",
        ]
    return "\n".join(lines)


def cells(name: str, entry: dict[str, Any]) -> list[str]:
    """One library's line; what could not be run shows its error."""
    if "error" in entry:
        return [f"{name}: not run ({entry['error'].replace('|', '/')})", *[""] * (len(HEAD) - 1)]
    cpu, over = entry["cpu"], entry["cpu"]["over_ours"]
    return [
        f"{name} {entry['version']}",
        f"{entry['batch_size']} rows" if entry["batch_size"] else "by tokens",
        f"{cpu['rows_per_second']:,.1f}",
        f"{over['median']:.2f} [{over['least']:.2f}, {over['most']:.2f}]",
        f"{entry['wall']['over_ours']['median']:.2f}",
        f"{entry['rank_correlation']:.6f}",
        f"{entry['largest_relative_difference']:.1e}",
    ]
