"""Every strategy draws with the probabilities its definition gives."""

from __future__ import annotations

import itertools
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from plain_selection import keys_of, linear_weights, mixed_keys

import thresher
from thresher.errors import UserError
from thresher.selection import (
    Spread,
    check_options,
    find,
    hash_ids,
    parse_options,
    strategies,
    uniform,
)
from thresher.selection.registry import strategy

SCORES = np.array([-1.3, 0.2, 0.2, 1.0, 2.4, 0.9])
IDS = pl.Series([f"row {i}" for i in range(len(SCORES))])
SEEDS = 6000
BY_SPREAD = [name for name, entry in strategies().items() if not entry.ranks]


def keys(name: str, scores: np.ndarray, seed: int, **options: float) -> np.ndarray:
    spread: object = Spread(float(scores.min()), float(scores.max()), math.fsum(scores) / len(scores))
    if find(name).several:
        scores, spread = scores[:, None], (spread,)
    return find(name).function(scores, uniform(hash_ids(IDS[: len(scores)], seed)), spread, **options)


def inclusion(weights: np.ndarray, k: int) -> np.ndarray:
    """Probability of each row to be among k draws without replacement, each in proportion to the weights left."""
    included = np.zeros(len(weights))
    for draw in itertools.permutations(range(len(weights)), k):
        probability, rest = 1.0, weights.sum()
        for row in draw:
            probability *= weights[row] / rest
            rest -= weights[row]
        included[list(draw)] += probability
    return included


def observed(name: str, k: int, **options: float) -> np.ndarray:
    """Share of the seeds under which each row is among the k largest keys."""
    counts = np.zeros(len(SCORES))
    for seed in range(SEEDS):
        counts[np.argsort(keys(name, SCORES, seed, **options))[-k:]] += 1
    return counts / SEEDS


def assert_drawn(found: np.ndarray, expected: np.ndarray) -> None:
    sigma = np.sqrt(expected * (1 - expected) / SEEDS)
    assert (np.abs(found - expected) < 4.5 * sigma).all(), (found, expected)


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("temperature", [1.0, 0.5, 20.0])
def test_softmax_draws_without_replacement_by_softmax_weights(k: int, temperature: float) -> None:
    expected = inclusion(np.exp(SCORES / temperature), k)
    assert_drawn(observed("softmax", k, temperature=temperature), expected)


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("eps", [0.01, 0.3, 1.0])
def test_linear_draws_without_replacement_by_linear_weights(k: int, eps: float) -> None:
    weights = eps + (1 - eps) * (SCORES - SCORES.min()) / (SCORES.max() - SCORES.min())
    assert_drawn(observed("linear", k, eps=eps), inclusion(weights, k))


@pytest.mark.parametrize("k", [1, 3])
def test_mixed_draws_by_the_mean_of_the_two_columns_probabilities(k: int) -> None:
    other = np.array([5.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    weights = [np.array(linear_weights(column.tolist(), {"eps": 0.1})) for column in (SCORES, other)]
    wanted = np.stack([SCORES, other], axis=1)
    spreads = tuple(Spread(float(column.min()), float(column.max()), column.mean()) for column in wanted.T)
    counts = np.zeros(len(SCORES))
    for seed in range(SEEDS):
        key = find("mixed").function(wanted, uniform(hash_ids(IDS, seed)), spreads, eps=0.1)
        counts[np.argsort(key)[-k:]] += 1
    assert_drawn(counts / SEEDS, inclusion(sum(w / w.sum() for w in weights) / 2, k))


@pytest.mark.parametrize("name", ["random", "stratified"])
def test_random_draws_every_row_equally(name: str) -> None:
    assert_drawn(observed(name, 2), np.full(len(SCORES), 2 / len(SCORES)))


def test_pairs_are_drawn_together_as_often_as_by_drawing_one_after_the_other() -> None:
    # Inclusion alone would not show rows that avoid or follow each other.
    weights = np.exp(SCORES)
    expected = np.zeros((len(SCORES), len(SCORES)))
    for a, b in itertools.permutations(range(len(SCORES)), 2):
        p = weights[a] / weights.sum() * weights[b] / (weights.sum() - weights[a])
        expected[a, b] += p
        expected[b, a] += p
    found = np.zeros_like(expected)
    for seed in range(SEEDS):
        a, b = np.argsort(keys("softmax", SCORES, seed))[-2:]
        found[a, b] += 1 / SEEDS
        found[b, a] += 1 / SEEDS
    sigma = np.sqrt(expected * (1 - expected) / SEEDS)
    assert (np.abs(found - expected) <= 4.5 * sigma).all()


@pytest.mark.parametrize("name", ["softmax", "linear"])
def test_constant_scores_draw_every_row_equally(name: str) -> None:
    same = np.full(len(SCORES), 3.25)
    for seed in range(50):
        assert np.argsort(keys(name, same, seed)).tolist() == np.argsort(keys("random", same, seed)).tolist()


@pytest.mark.parametrize("name", BY_SPREAD)
def test_keys_equal_the_plain_ones(name: str) -> None:
    rows = [{"id": row_id, "s": score} for row_id, score in zip(IDS, SCORES.tolist(), strict=True)]
    several = find(name).several
    expected = mixed_keys(rows, ("s",), [1], 5, {}) if several else keys_of(rows, "s", name, 1, 5, {})
    np.testing.assert_allclose(keys(name, SCORES, 5), expected, rtol=1e-13)


@pytest.mark.parametrize("name", strategies())
def test_the_key_of_a_row_does_not_depend_on_its_piece(name: str) -> None:
    # Bit for bit: vectorised logarithms must not treat the ends of an array differently.
    generator = np.random.default_rng(0)
    wanted, u = generator.normal(size=1000), uniform(generator.integers(0, 2**64, 1000, dtype=np.uint64))
    spread: object = Spread(
        float(wanted.min()), float(wanted.max()), float(wanted.mean()), median=0.1, kept=0.5
    )
    if find(name).several and find(name).reach is None:
        wanted, spread = np.stack([wanted, wanted**2], axis=1), (spread, Spread(0.0, 30.0, 1.0))
    whole = find(name).function(wanted, u, spread)
    for start, stop in [(0, 1), (1, 4), (3, 20), (7, 1000), (999, 1000)]:
        part = find(name).function(wanted[start:stop].copy(), u[start:stop].copy(), spread)
        assert part.tobytes() == whole[start:stop].tobytes()


@pytest.mark.parametrize("name", strategies())
@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e150])
def test_keys_are_never_nan_or_infinite_upwards(name: str, scale: float) -> None:
    extreme = np.array([0, 1, 2**63, 2**64 - 1], dtype=np.uint64)
    wanted = np.array([-scale, 0.0, scale, scale])
    spread: object = Spread(-scale, scale, mean=scale / 4, median=0.0)
    if find(name).several:
        wanted, spread = wanted[:, None], (spread,)
    key = find(name).function(wanted, uniform(extreme), spread)
    assert not np.isnan(key).any() and not np.isposinf(key).any()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("softmax", {"temperature": 0.0}, "'temperature' is 0; it must be above 0"),
        ("softmax", {"temperature": -1.0}, "'temperature' is -1; it must be above 0"),
        ("linear", {"eps": 0.0}, "'eps' is 0; it must be above 0 and at most 1"),
        ("linear", {"eps": 1.5}, "'eps' is 1.5; it must be above 0 and at most 1"),
    ],
)
def test_options_outside_their_range_are_refused(name: str, options: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        keys(name, SCORES, 0, **options)


def test_options_are_numbers_that_the_strategy_knows() -> None:
    assert check_options("softmax") == {"temperature": 1.0}
    assert check_options("linear", {"eps": "0.2"}) == {"eps": 0.2}
    with pytest.raises(
        UserError, match=r"^unknown strategy 'top'; known strategies: .*cutoff, .*linear, .*random"
    ):
        check_options("top")
    with pytest.raises(UserError, match=r"^strategy 'softmax' has no option 'eps'; it has temperature$"):
        check_options("softmax", {"eps": 1})
    with pytest.raises(UserError, match=r"^strategy 'random' has no option 'eps'; it has none$"):
        check_options("random", {"eps": 1})
    for value in ("warm", "nan", "inf", None, [1]):
        with pytest.raises(UserError, match=r"option 'temperature' is .*; it takes a number"):
            check_options("softmax", {"temperature": value})


def test_options_from_the_command_line() -> None:
    assert parse_options(["temperature=0.5", " eps = 0.1"]) == {"temperature": "0.5", "eps": "0.1"}
    with pytest.raises(UserError, match="write OPTION=VALUE"):
        parse_options(["temperature"])


def test_mistakes_in_a_strategy_file_are_found_when_it_is_imported() -> None:
    def no_default(wanted, u, spread, *, power):  # type: ignore[no-untyped-def]
        return wanted

    with pytest.raises(ValueError, match="option 'power' needs a number as default"):
        strategy("powered", source="none")(no_default)
    with pytest.raises(ValueError, match="it declares option 'beta' and does not have it"):
        strategy("powered", source="none", drop="beta")(lambda wanted, u, spread: wanted)
    with pytest.raises(ValueError, match="'cutoff' is defined twice"):
        strategy("cutoff", source="none")(lambda wanted, u, spread: wanted)
    assert "powered" not in strategies()


def test_a_new_strategy_is_one_new_file_and_nothing_else(tmp_path: Path) -> None:
    package = Path(thresher.__file__).parent
    shutil.copytree(package, tmp_path / "thresher", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "thresher/selection/middle.py").write_text(
        "import numpy as np\n"
        "from thresher.selection.registry import strategy\n\n\n"
        '@strategy("middle", source="a test")\n'
        "def middle(wanted, u, spread, *, power=1.0):\n"
        "    return -np.abs(wanted - (spread.low + spread.high) / 2) ** power\n"
    )
    program = (
        "import polars as pl; from thresher.selection import select, strategies\n"
        "print(dict(strategies()['middle'].options))\n"
        "table = pl.DataFrame({'id': ['a', 'b', 'c'], 's': [0.0, 0.4, 1.0]})\n"
        "print(select(table, by='s', prune=0.6, strategy='middle').filter('kept')['id'].to_list())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == ["{'power': 1.0}", "['b']"], done.stderr
