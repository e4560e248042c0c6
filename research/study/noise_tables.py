"""Tables of planted label noise: which scores detect it, and the effect of removing rows."""

from __future__ import annotations

from typing import Any

from research.benchmarks.render import table


def noise_table(found: list[dict[str, Any]]) -> str:
    """Per level: precision at the planted number, of the best scores and of cleanlab."""
    head = [
        "redrawn",
        "wrong",
        "best of ours",
        "confidence",
        "AUM",
        "held-out margin",
        "VoG, better end",
        "cleanlab, self-confidence",
        "cleanlab, margin",
        "VoG, hard end: similarity (chance)",
        "share of the wrong under PVI < 0",
    ]
    lines = []
    for one in found:
        by = {line["score"]: line for line in one["scores"]}
        best = max(one["scores"], key=lambda line: line["precision"])
        peer = one["cleanlab"]
        vog = by.get("vog_class", by.get("vog"))
        cells = [
            f"{one['level']:.0%}",
            f"{one['share']:.2%}",
            f"{best['precision']:.1%} ({best['score']})",
            *(
                f"{by[name]['precision']:.1%}" if name in by else ""
                for name in ("confidence", "aum", "held_out_margin")
            ),
            f"{vog['precision']:.1%}" if vog else "",
            *(f"{peer[name]['precision']:.1%}" for name in ("self_confidence", "normalized_margin")),
            f"{one['vog_similarity']:.2f} ({one['chance_similarity']:.2f})"
            if "vog_similarity" in one
            else "",
            f"{one['negative_pvi']['recall']:.1%}" if "negative_pvi" in one else "",
        ]
        lines.append(cells)
    return table(head, lines)


def cleaning_table(found: list[dict[str, Any]]) -> str:
    """Per level: accuracy on all noisy rows, and its change when some are removed, compared with as many random rows."""
    have = [one for one in found if "pruning" in one]
    if not have:
        return ""
    head = ["removed", *(f"{one['level']:.0%} redrawn" for one in have)]
    full = [f"{100 * one['pruning']['full']['accuracy']['mean']:.2f}%" for one in have]
    lines = [["nothing (accuracy)", *full]]
    tables = [one["pruning"]["table"] for one in have]
    wrong = [one["share"] for one in have]
    for at, line in enumerate(tables[0]):
        if line["score"] is None:
            continue
        planted = line["score"] == "aum"
        share = "as many as are wrong" if planted else f"{line['fraction']:.0%}"
        cells = []
        for drawn, count in zip(tables, wrong, strict=True):
            one = drawn[at]
            assert one["score"] == line["score"] and (not planted or abs(one["fraction"] - count) < 1e-3)
            random = next(
                other for other in drawn if other["score"] is None and other["fraction"] == one["fraction"]
            )
            bold = "**" if one["to_random"]["low"] > 0 else ""
            cells.append(
                f"{bold}{100 * one['to_full']['mean']:+.2f}{bold} ({100 * random['to_full']['mean']:+.2f})"
            )
        lines.append([f"{line['score']}, {line['end']} end, {share}", *cells])
    return table(head, lines)
