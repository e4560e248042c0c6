"""The self-influence benchmark as Markdown."""

from __future__ import annotations

from typing import Any

HEAD = (
    "library",
    "rank correlation with ours",
    "largest relative difference",
    "batch size",
    "rows/s (CPU time)",
    "times our CPU time [least, most]",
    "times our wall time",
)
TITLES = {
    "encoder": "Last encoder layer, all its parameters",
    "linear maps": "Last encoder layer, its linear maps only (for libraries without a rule for norms)",
    "classifier": "Last classifier layer",
}


def table(found: dict[str, Any]) -> str:
    """One table per layer from the key "self_influence" of `docs/bench.json`."""
    lines = [
        f"Self-influence (TracIn) of {found['rows']:,} rows of {found['data']} at 10 checkpoints of the bundled encoder, "
        f"3 layers, with a head, trained on {found['train_rows']:,} rows. {found['machine']}; {found['repetitions']} "
        "repetitions, alternating; medians.",
    ]
    for layer, entries in found["layers"].items():
        rule = "|---|" + "---:|" * (len(HEAD) - 1)
        lines += ["", f"**{TITLES[layer]}**", "", f"| {' | '.join(HEAD)} |", rule]
        lines += [f"| {' | '.join(cells(name, entry))} |" for name, entry in entries.items()]
        peers = {
            name: entry["times_ours_cpu"]["median"]
            for name, entry in entries.items()
            if not name.startswith("thresher") and "times_ours_cpu" in entry
        }
        if peers:
            fastest = min(peers, key=peers.__getitem__)
            lines += ["", f"Fastest of the others: {fastest}, {peers[fastest]:.2f} times our CPU time."]
    return "\n".join(lines)


def cells(name: str, entry: dict[str, Any]) -> list[str]:
    """One library's line; what could not be run shows its error."""
    if "error" in entry:
        reason = entry["error"].replace("|", "/")
        return [f"{name}: not run ({reason})", *[""] * (len(HEAD) - 1)]
    cpu = entry["times_ours_cpu"]
    # Our own batches are made by tokens, not by rows.
    batch = "by tokens" if name.startswith("thresher") else str(entry["batch_size"])
    return [
        f"{name} {entry['version']}",
        f"{entry['rank_correlation']:.6f}",
        f"{entry['largest_relative_difference']:.1e}",
        batch,
        f"{entry['rows_per_second_cpu']:,.1f}",
        f"{cpu['median']:.2f} [{cpu['least']:.2f}, {cpu['most']:.2f}]",
        f"{entry['times_ours_wall']['median']:.2f}",
    ]
