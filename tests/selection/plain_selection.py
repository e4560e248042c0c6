"""A second implementation of selection, from the definition, with lists and loops."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import xxhash

Row = dict[str, Any]
LEARNED, LEAST, SAMPLE = 0.88, 0.65, 0.1  # the defaults of the recommended rule
MOST_LEFT_OUT = 0.3


def u_of(row_id: object, seed: int) -> float:
    """The row's uniform number: the leading 52 bits of XXH64 of the id, at the middle of their interval."""
    return ((hash_of(row_id, seed) >> 12) + 0.5) / 2**52


def hash_of(row_id: object, seed: int) -> int:
    return xxhash.xxh64_intdigest(str(row_id).encode(), seed)


def keys_of(
    rows: list[Row], by: str, strategy: str, turn: int, seed: int, options: dict[str, float]
) -> list[float]:
    """One key per row of one group; `turn` is +1 where large scores are to be kept and -1 where small ones are."""
    wanted = [turn * float(row[by]) for row in rows]
    us = [u_of(row["id"], seed) for row in rows]
    if strategy in ("cutoff", "recommended"):
        return wanted
    if strategy in ("random", "stratified"):
        return us
    if strategy == "softmax":
        temperature = options.get("temperature", 1.0)
        return [
            (s - max(wanted)) / temperature - math.log(-math.log(u)) for s, u in zip(wanted, us, strict=True)
        ]
    if strategy == "linear":
        return [math.log(u) / w for w, u in zip(linear_weights(wanted, options), us, strict=True)]
    if strategy == "moderate":
        median = sorted(wanted)[len(wanted) // 2]
        return [-abs(s - median) for s in wanted]
    if strategy in ("window", "coverage"):
        out = left_out(rows, wanted, seed, options.get("beta", {"window": 0.05, "coverage": 0.1}[strategy]))
        keys = wanted if strategy == "window" else us
        return [-math.inf if row["id"] in out else key for row, key in zip(rows, keys, strict=True)]
    raise AssertionError(f"no plain implementation of {strategy}: write one here")


def linear_weights(wanted: list[float], options: dict[str, float]) -> list[float]:
    eps, low, high = options.get("eps", 0.01), min(wanted), max(wanted)
    return [eps + (1 - eps) * (1.0 if high == low else (s - low) / (high - low)) for s in wanted]


def mixed_keys(
    rows: list[Row], by: tuple[str, ...], turns: list[int], seed: int, options: dict[str, float]
) -> list[float]:
    """Linear sampling by the mean of the probabilities that each column gives."""
    probabilities = []
    for column, turn in zip(by, turns, strict=True):
        weights = linear_weights([turn * float(row[column]) for row in rows], options)
        probabilities.append([w / math.fsum(weights) for w in weights])
    means = [sum(of_row) / len(by) for of_row in zip(*probabilities, strict=True)]
    return [math.log(u_of(row["id"], seed)) / (p * len(rows)) for row, p in zip(rows, means, strict=True)]


def left_out(rows: list[Row], wanted: list[float], seed: int, beta: float) -> set[Any]:
    """The ids of the share of the rows that go first; equal scores by the hash."""
    worst = sorted(
        zip(rows, wanted, strict=True), key=lambda one: (one[1], hash_of(one[0]["id"], seed)), reverse=True
    )
    return {row["id"] for row, _ in worst[: round(beta * len(rows))]}


def recommended_out(
    rows: list[Row], by: tuple[str, ...], turn: int, prune: float, seed: int, options: dict[str, float]
) -> set[Any]:
    """The ids of the rows that the recommended rule leaves out first, where the scores are trusted."""
    wanted = {row["id"]: turn * float(row[by[0]]) for row in rows}
    hardest_first = sorted(rows, key=lambda row: (wanted[row["id"]], hash_of(row["id"], seed)), reverse=True)
    target = round((1 - prune) * len(rows))

    def learned(first: int) -> float:
        window = [Fraction(row[by[1]]) for row in hardest_first[first : first + target]]
        return float(sum(window) / len(window)) if window else math.inf

    def first(step: int) -> int:
        return min(round(prune * len(rows) * step / 100), int(MOST_LEFT_OUT * len(rows)))

    low, high = 0, 100
    while low < high:
        middle = (low + high) // 2
        enough = learned(first(middle)) >= options.get("learned", LEARNED)
        low, high = (low, middle) if enough else (middle + 1, high)
    return {row["id"] for row in hardest_first[: round(trust(rows, by[1], options) * first(low))]}


def trust(rows: list[Row], correctness: str, options: dict[str, float]) -> float:
    """0 where 55% of the rows or fewer were learned by the middle of the training, 1 from 80% on, straight in between; and at
    most what is given."""
    in_time = sum(row[correctness] >= 0.5 for row in rows) / len(rows)
    return min(options.get("trust", 1.0), max(0.0, (in_time - 0.55) / (0.8 - 0.55)))


def drawn_by_class(
    rows: list[Row], correctness: str, classes: str, total: int, seed: int, options: dict[str, float]
) -> set[Any]:
    """The ids of the rows that the recommended rule draws at random, in each class in proportion to its size."""
    drawn: set[Any] = set()
    for value in {row[classes] for row in rows}:
        members = [row["id"] for row in rows if row[classes] == value]
        count = int(len(members) * (1 - trust(rows, correctness, options)) * total / len(rows))
        drawn |= set(sorted(members, key=lambda row_id: hash_of(row_id, seed), reverse=True)[:count])
    return drawn


def layers_of(rows: list[Row], by: str, turn: int, seed: int, options: dict[str, float]) -> list[int]:
    """The layer of every row of one group, and after the last layer the rows that are left out."""
    wanted = [turn * float(row[by]) for row in rows]
    count = int(options.get("strata", 50))
    out = left_out(rows, wanted, seed, options.get("beta", 0.1))
    inside = [s for row, s in zip(rows, wanted, strict=True) if row["id"] not in out]
    layers = []
    for row, s in zip(rows, wanted, strict=True):
        if row["id"] in out:
            layers.append(count)
        elif max(inside) == min(inside):
            layers.append(0)
        else:
            layers.append(min(count - 1, int((s - min(inside)) / (max(inside) - min(inside)) * count)))
    return layers


def plain_select(
    rows: list[Row],
    *,
    by: str | tuple[str, ...],
    prune: float,
    strategy: str = "cutoff",
    end: str = "easy",
    hard: str | tuple[str, ...] = "high",
    options: dict[str, float] | None = None,
    stratify: str | None = None,
    floor: int = 0,
    floor_group: tuple[str, ...] = (),
    protect: tuple[str, ...] = (),
    seed: int = 0,
) -> set[Any]:
    """The ids that are kept."""
    hard_is_kept = end == "easy"
    columns = (by,) if isinstance(by, str) else by
    hards = (hard,) * len(columns) if isinstance(hard, str) else hard
    turns = [1 if hard_is_kept == (one == "high") else -1 for one in hards]
    classes = stratify if strategy == "recommended" else None
    stratify = None if strategy == "recommended" else stratify
    strata: dict[Any, list[Row]] = {}
    for row in rows:
        strata.setdefault(row[stratify] if stratify else None, []).append(row)
    # Ranks are taken within the groups, weights over the whole table.
    of_group = strategy in ("moderate", "window", "coverage")
    order: dict[Any, tuple[float, int]] = {}
    for members in strata.values() if of_group else [rows]:
        keys = (
            mixed_keys(members, columns, turns, seed, options or {})
            if strategy == "mixed"
            else keys_of(members, columns[0], strategy, turns[0], seed, options or {})
        )
        for row, key in zip(members, keys, strict=True):
            order[row["id"]] = (key + 0.0, hash_of(row["id"], seed))

    if strategy == "recommended":
        if trust(rows, columns[1], options or {}) == 0:
            order = {row["id"]: (u_of(row["id"], seed), order[row["id"]][1]) for row in rows}
        share = (options or {}).get("sample", SAMPLE) * (1 - prune)
        most = max(key for key, _ in order.values())
        for row in rows:
            if u_of(row["id"], seed) > 1 - share and trust(rows, columns[1], options or {}) > 0:
                order[row["id"]] = (most + 1 + abs(most), order[row["id"]][1])
        for row_id in recommended_out(rows, columns, turns[0], prune, seed, options or {}):
            order[row_id] = (-math.inf, order[row_id][1])
    pairs = [text.split("=", 1) for text in protect]
    always = {row["id"] for row in rows if any(row[c] is not None and str(row[c]) == v for c, v in pairs)}
    by_chance: set[Any] = set()
    if classes is not None:
        by_chance = drawn_by_class(
            rows, columns[1], classes, round((1 - prune) * len(rows)), seed, options or {}
        )

    def best_first(members: list[Row]) -> list[Any]:
        return sorted((row["id"] for row in members), key=lambda i: (i in always, *order[i]), reverse=True)

    by_floor = set()
    for column in floor_group:
        for value in {row[column] for row in rows}:
            by_floor |= set(best_first([row for row in rows if row[column] == value])[:floor])
    total = round((1 - prune) * len(rows))
    if classes is not None:
        values = {row[classes] for row in rows}
        trusted = trust(rows, columns[1], options or {})
        least = int((options or {}).get("least", LEAST) * trusted * total / len(values))
        always |= by_chance
        for value in values:
            by_floor |= set(best_first([row for row in rows if row[classes] == value])[:least])
    always |= by_floor
    sizes = {name: len(members) for name, members in strata.items()}
    needed = {name: sum(row["id"] in always for row in members) for name, members in strata.items()}
    quota = plain_quotas(sizes, needed, total)
    if strategy != "coverage":
        return {row_id for name, members in strata.items() for row_id in best_first(members)[: quota[name]]}
    kept = set()
    for name, members in strata.items():
        layers: dict[int, list[Row]] = {}
        for row, layer in zip(
            members, layers_of(members, columns[0], turns[0], seed, options or {}), strict=True
        ):
            layers.setdefault(layer, []).append(row)
        last = int((options or {}).get("strata", 50))
        share = plain_even(
            {layer: len(one) for layer, one in layers.items() if layer != last},
            {layer: sum(row["id"] in always for row in one) for layer, one in layers.items()},
            quota[name],
            last,
        )
        kept |= {row_id for layer, one in layers.items() for row_id in best_first(one)[: share[layer]]}
    return kept


def plain_even(sizes: dict[int, int], needed: dict[int, int], total: int, last: int) -> dict[int, int]:
    """From the smallest layer up, each its even share of what is left; layers that need more get what they need."""
    share = {last: max(needed.get(last, 0), total - sum(sizes.values()))}
    while True:
        rest = max(0, total - sum(share.values()))
        free = sorted(
            (layer for layer in sizes if layer not in share), key=lambda layer: (sizes[layer], layer)
        )
        even = {}
        for place, layer in enumerate(free):
            even[layer] = min(sizes[layer], rest // (len(free) - place))
            rest -= even[layer]
        short = {layer: needed[layer] for layer in free if even[layer] < needed[layer]}
        if not short:
            return share | even
        share |= short


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
