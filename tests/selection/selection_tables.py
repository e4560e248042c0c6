"""Small tables and selections of every kind, for the properties."""

from __future__ import annotations

import warnings
from typing import Any

import polars as pl
from hypothesis import strategies as st

from thresher.selection import find, select, strategies

SCORE = st.one_of(
    st.sampled_from([-1.0, -0.0, 0.0, 0.5, 3.0]), st.floats(-1e6, 1e6, allow_nan=False, allow_subnormal=False)
)


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, Any]]:
    ids = draw(st.lists(st.text(max_size=9), min_size=2, max_size=40, unique=True))
    return [
        {
            "id": row_id,
            "s": draw(SCORE),
            "t": draw(SCORE),
            "label": draw(st.sampled_from(["a", "b", "c"])),
            "source": draw(st.sampled_from(["live", "synthetic", "", None])),
        }
        for row_id in ids
    ]


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    strategy = draw(st.sampled_from(list(strategies())))
    stratify = st.sampled_from(["label", "source"])
    beta = draw(st.sampled_from([0.0, 0.02, 0.3, 0.8]))
    options = {
        "softmax": {"temperature": draw(st.sampled_from([0.1, 1.0, 7.0]))},
        "linear": {"eps": 0.2},
        "mixed": {"eps": 0.2},
        "window": {"beta": beta},
        "recommended": {
            "least": draw(st.sampled_from([0.0, 0.4, 1.0])),
            "learned": draw(st.sampled_from([-1.0, 0.3, 1e9])),
            "sample": draw(st.sampled_from([0.0, 0.2, 1.0])),
            "trust": draw(st.sampled_from([0.0, 0.25, 1.0])),
        },
        "coverage": {"beta": beta, "strata": draw(st.sampled_from([1, 2, 5, 50]))},
    }
    high_or_low = st.sampled_from(["high", "low"])
    several = strategy == "recommended" or (strategy == "mixed" and draw(st.booleans()))
    return {
        "by": ("s", "t") if several else "s",
        "strategy": strategy,
        "prune": draw(st.sampled_from([0.05, 0.3, 0.45, 0.5, 0.9])),
        "end": draw(st.sampled_from(["easy", "hard"])),
        "hard": draw(st.tuples(high_or_low, high_or_low) if several else high_or_low),
        "options": draw(st.sampled_from([{}, options.get(strategy, {})])),
        "stratify": draw(stratify if find(strategy).needs_stratify else st.one_of(st.none(), stratify)),
        "floor": draw(st.integers(0, 3)),
        "floor_group": draw(st.sampled_from([("label",), ("source",), ("label", "source")])),
        "protect": draw(st.sampled_from([(), ("source=synthetic",), ("source=", "label=a")])),
        "seed": draw(st.sampled_from([0, 1, 2**64 - 1])),
    }


def columns_for(strategy: str, column: str) -> str | tuple[str, str]:
    """That column, twice where the strategy goes by a score and by what is learned of a row."""
    return column if find(strategy).scores != 2 else (column, column)


def frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(
        rows,
        schema={"id": pl.String, "s": pl.Float64, "t": pl.Float64, "label": pl.String, "source": pl.String},
    )


def quietly(scores: pl.DataFrame | pl.LazyFrame, **request: Any) -> pl.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return select(scores, **request)
