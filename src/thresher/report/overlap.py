"""How similar the selections by different scores are, as square tables with their chance level."""

from __future__ import annotations

from thresher.facts.scores import Similarity
from thresher.report.format import share
from thresher.report.read import score_order


def overlap_tables(listed: list[Similarity]) -> list[dict[str, object]]:
    """One table per end and fraction: `scores`, `chance`, and cells with the similarity index and its lift over chance.

    >>> pairs = [{"score_a": a, "score_b": b, "end": "hard", "fraction": 0.05, "similarity": 0.4, "chance": 0.03}
    ...          for a, b in (("el2n", "vog"), ("vog", "el2n"))]
    >>> table = overlap_tables(pairs)[0]
    >>> table["scores"], table["rows"][0][1]["text"], table["rows"][0][0]
    (['vog', 'el2n'], '0.40', None)
    """
    tables: list[dict[str, object]] = []
    for fraction, end in sorted(
        {(pair["fraction"], pair["end"]) for pair in listed}, key=lambda key: (key[0], key[1] != "hard")
    ):
        pairs = {
            (pair["score_a"], pair["score_b"]): pair
            for pair in listed
            if pair["fraction"] == fraction and pair["end"] == end
        }
        listed_names = {name for pair in pairs for name in pair}
        names = [name for name in score_order(listed_names) if name in listed_names]
        chance = next(iter(pairs.values()))["chance"]
        tables.append(
            {
                "end": end,
                "fraction": share(fraction),
                "chance": f"{chance:.2f}",
                "scores": names,
                "rows": [[_cell(pairs, a, b) for b in names] for a in names],
            }
        )
    return tables


def _cell(pairs: dict[tuple[str, str], Similarity], a: str, b: str) -> dict[str, object] | None:
    pair = pairs.get((a, b)) or pairs.get((b, a))
    if a == b or pair is None:
        return None
    lift = (pair["similarity"] - pair["chance"]) / (1 - pair["chance"]) if pair["chance"] < 1 else 0.0
    return {
        "text": f"{pair['similarity']:.2f}",
        "tint": round(100 * max(0.0, min(1.0, lift))),
        "times": f"{pair['similarity'] / pair['chance']:.1f}×" if pair["chance"] else "",
        "below": pair["similarity"] < pair["chance"],
    }
