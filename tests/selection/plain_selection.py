"""Selection written a second time, from the definition, with lists and loops: what the real one must equal."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import xxhash

Row = dict[str, Any]


def u_of(row_id: object, seed: int) -> float:
    """The row's uniform number: the leading 52 bits of XXH64 of the id, at the middle of their interval."""
    return ((hash_of(row_id, seed) >> 12) + 0.5) / 2**52


def hash_of(row_id: object, seed: int) -> int:
    return xxhash.xxh64_intdigest(str(row_id).encode(), seed)


def keys_of(
    rows: list[Row], by: str, strategy: str, turn: int, seed: int, options: dict[str, float]
) -> list[float]:
    """One key per row; `turn` is +1 where large scores are to be kept and -1 where small ones are."""
    wanted = [turn * float(row[by]) for row in rows]
    us = [u_of(row["id"], seed) for row in rows]
    if strategy == "cutoff":
        return wanted
    if strategy in ("random", "stratified"):
        return us
    if strategy == "softmax":
        temperature = options.get("temperature", 1.0)
        return [
            (s - max(wanted)) / temperature - math.log(-math.log(u)) for s, u in zip(wanted, us, strict=True)
        ]
    if strategy == "linear":
        eps, low, high = options.get("eps", 0.01), min(wanted), max(wanted)
        share = [1.0 if high == low else (s - low) / (high - low) for s in wanted]
        return [math.log(u) / (eps + (1 - eps) * x) for x, u in zip(share, us, strict=True)]
    raise AssertionError(f"no plain implementation of {strategy}: write one here")


def plain_select(
    rows: list[Row],
    *,
    by: str,
    prune: float,
    strategy: str = "cutoff",
    end: str = "easy",
    hard: str = "high",
    options: dict[str, float] | None = None,
    stratify: str | None = None,
    floor: int = 0,
    floor_group: tuple[str, ...] = (),
    protect: tuple[str, ...] = (),
    seed: int = 0,
) -> set[Any]:
    """The ids that are kept."""
    hard_is_kept = end == "easy"
    turn = 1 if hard_is_kept == (hard == "high") else -1
    keys = keys_of(rows, by, strategy, turn, seed, options or {})
    order = {row["id"]: (key + 0.0, hash_of(row["id"], seed)) for row, key in zip(rows, keys, strict=True)}

    pairs = [text.split("=", 1) for text in protect]
    always = {row["id"] for row in rows if any(row[c] is not None and str(row[c]) == v for c, v in pairs)}

    def best_first(members: list[Row]) -> list[Any]:
        return sorted((row["id"] for row in members), key=lambda i: (i in always, *order[i]), reverse=True)

    by_floor = set()
    for column in floor_group:
        for value in {row[column] for row in rows}:
            by_floor |= set(best_first([row for row in rows if row[column] == value])[:floor])
    always |= by_floor

    total = round((1 - prune) * len(rows))
    strata: dict[Any, list[Row]] = {}
    for row in rows:
        strata.setdefault(row[stratify] if stratify else None, []).append(row)
    sizes = {name: len(members) for name, members in strata.items()}
    needed = {name: sum(row["id"] in always for row in members) for name, members in strata.items()}
    quota = plain_quotas(sizes, needed, total)
    return {row_id for name, members in strata.items() for row_id in best_first(members)[: quota[name]]}


def plain_quotas(sizes: dict[Any, int], needed: dict[Any, int], total: int) -> dict[Any, int]:
    """Largest remainder; strata that would get less than they need get what they need, and the others share the rest."""
    pinned: dict[Any, int] = {}
    while True:
        free = {name: size for name, size in sizes.items() if name not in pinned}
        rest = max(0, total - sum(pinned.values()))
        exact = {name: Fraction(rest * size, sum(free.values())) for name, size in free.items()}
        quota = {name: math.floor(value) for name, value in exact.items()}
        ranked = sorted(free, key=lambda name: (quota[name] - exact[name], name is not None, name or ""))
        for name in ranked[: rest - sum(quota.values())] if free else []:
            quota[name] += 1
        short = {name: needed[name] for name in free if quota[name] < needed[name]}
        if not short:
            return pinned | quota
        pinned |= short
