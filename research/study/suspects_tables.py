"""Tables of the list of suspects: which order finds planted label errors, and what its length is."""

from __future__ import annotations

from typing import Any

from research.benchmarks.render import table

ORDERS = ("confidence", "aum", "word_margin", "rank_mean", "three_ranks")
NAMES = {"none": "none", "isotropic": "drawn anew", "class": "as the model errs"}


def changed(key: str) -> str:
    """`isotropic 0.05` in words.

    >>> changed("isotropic 0.05"), changed("none 0")
    ('5%, drawn anew', 'none')
    """
    kind, level = key.split()
    return f"{float(level):.0%}, {NAMES[kind]}" if float(level) else NAMES[kind]


def orders_table(found: dict[str, dict[str, Any]]) -> str:
    """Per data set and level: precision at the planted number, by order."""
    head = [
        "rows",
        "labels changed",
        "wrong",
        "confidence",
        "AUM",
        "word margin",
        "rank mean",
        "with held-out",
    ]
    return table(
        head,
        [
            [name, changed(key), f"{one['wrong']}", *(f"{one['precision'][order]:.1%}" for order in ORDERS)]
            for name, lines in found.items()
            for key, one in lines.items()
            if one["wrong"]
        ],
    )


def lengths_table(found: dict[str, dict[str, Any]]) -> str:
    """Per data set and level: how many labels are wrong, by every estimate, and what the list holds."""
    head = [
        "rows",
        "labels changed",
        "wrong",
        "another likely label",
        "confident learning",
        "estimate",
        "listed",
        "expected wrong",
        "planted among them",
    ]
    names = ("wrong", "disagreeing", "confident_learning", "estimate", "listed", "expected", "found")
    return table(
        head,
        [
            [name, changed(key), *(f"{one[column]:,.0f}" for column in names)]
            for name, lines in found.items()
            for key, one in lines.items()
        ],
    )
