"""A/B tests: figures by hand, calibrated p values, checks, simulated logs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from thresher.errors import UserError
from thresher.nlu.ab import Traffic, compare_logs, read_log, replay
from thresher.nlu.ab.checks import split_p, weak
from thresher.nlu.ab.inference import relative_change
from thresher.nlu.ab.logs import checked
from thresher.nlu.ab.rates import per_user, tail_of, unrecoverable
from thresher.nlu.ab.replay import Judged, judged
from thresher.nlu.rows import Utterance, as_table

START = datetime(2026, 1, 1, tzinfo=UTC)


def log(*rows: tuple[str, float | None, bool, float, str], hours: int = 1) -> pl.DataFrame:
    columns = ("user", "domain_confidence", "recovered", "defect", "utterance")
    table = pl.DataFrame(rows, schema=columns, orient="row")
    return table.with_columns(
        time=pl.Series([START + timedelta(hours=hours * at) for at in range(len(rows))])
    )


def test_rates_by_hand() -> None:
    table = log(
        ("ann", 0.9, True, 0.1, "stop"),
        ("ann", 0.2, True, 0.3, "stop"),  # no domain is confident enough
        ("bob", 0.9, False, 0.5, "go"),  # never recovered
        ("bob", None, True, 0.7, "Go"),  # no domain at all
    )
    assert per_user(table, unrecoverable(0.5)).tolist() == [[1, 2], [2, 2]]
    assert per_user(table, unrecoverable(0.0)).tolist() == [[0, 2], [2, 2]]
    found = compare_logs(
        table, table.with_columns(user=pl.col("user") + "2", defect=pl.col("defect") / 2), threshold=0.5
    )
    assert found["metrics"]["UER"]["a"] == 0.75
    assert found["metrics"]["PDR"]["a"] == pytest.approx(0.4)
    assert found["metrics"]["PDR"]["change"] == pytest.approx(-0.5)
    assert any("too few users" in line for line in found["warnings"])


def test_the_tail_is_the_rarest_part_of_the_traffic() -> None:
    arm = pl.DataFrame({"utterance": ["a"] * 5 + ["b"] * 2 + ["c", "d", "e"]})
    assert tail_of([arm]).sort().to_list() == ["c", "d", "e"]  # b begins at 50% and ends at 70%
    both = tail_of([arm.filter(utterance="a"), arm.filter(pl.col("utterance") != "a")])
    assert both.sort().to_list() == ["c", "d", "e"]


def arm(users: int, rng: np.random.Generator, rate: float = 0.1) -> np.ndarray:
    """Users differ in how much they ask and how often it goes wrong."""
    asked = 1 + rng.poisson(rng.lognormal(1.0, 1.0, users))
    own = rng.beta(1, 1 / rate - 1, users)
    return np.stack([rng.binomial(asked, own), asked], 1).astype(float)


def test_p_values_of_equal_arms_are_uniform() -> None:
    rng = np.random.default_rng(0)
    p = np.array(
        [relative_change(arm(120, rng), arm(120, rng), resamples=199, seed=at)["p"] for at in range(600)]
    )
    # 5% of 600 is 30; five standard deviations of the binomial are 27.
    assert 8 <= (p <= 0.05).sum() <= 56
    assert 0.4 < (p <= 0.5).mean() < 0.6


def test_intervals_cover_the_true_change_and_power_grows() -> None:
    rng = np.random.default_rng(1)
    found = [relative_change(arm(300, rng), arm(300, rng, 0.13), resamples=200, seed=at) for at in range(200)]
    covered = np.mean([one["low"] <= 0.3 <= one["high"] for one in found])
    assert 0.88 <= covered <= 0.99
    assert np.mean([one["p"] < 0.05 for one in found]) > 0.25


def test_users_not_requests_are_the_units() -> None:
    """One user in a hundred who asks a thousand times must not look like a thousand users."""
    rng = np.random.default_rng(2)
    base = np.stack([rng.binomial(5, 0.1, 100), np.full(100, 5)], 1).astype(float)
    loud = base.copy()
    loud[0] = [700, 1000]
    found = relative_change(base, loud, resamples=400)
    assert found["change"] > 2 and found["p"] > 0.05


def test_few_events_give_an_open_end_rather_than_a_too_narrow_interval() -> None:
    rng = np.random.default_rng(3)
    missed = 0
    for seed in range(150):
        one, other = (
            np.stack([rng.binomial(3, rate, 200), np.full(200, 3)], 1).astype(float) for rate in (0.01, 0.015)
        )
        found = relative_change(one, other, resamples=200, seed=seed)
        missed += found["p"] is not None and found["low"] > 0.5
    assert missed <= 150 * 0.06
    rare = np.tile([0.0, 3.0], (200, 1))
    rare[0, 0] = 1.0
    common = np.tile([1.0, 3.0], (200, 1))
    assert relative_change(rare, common)["low"] == -1
    assert relative_change(common, rare)["high"] == np.inf


def test_rates_of_few_events_or_of_few_users_are_warned_of() -> None:
    even, few = np.tile([1.0, 3.0], (150, 1)), np.tile([0.1, 3.0], (150, 1))
    assert weak("UER", (even, even)) == []
    assert weak("UER", (even, few)) == [
        "few events of UER: 15 in one arm; its interval is reliable from 20 on"
    ]
    heavy = even.copy()
    heavy[:3] *= 100
    assert weak("UER", (heavy, even)) == [
        "a few users make most of the requests of UER: 150 in one arm count as 7, so its interval is too narrow"
    ]


def test_arms_without_events_or_users_have_no_change() -> None:
    none = np.array([[0.0, 5.0], [0.0, 3.0]])
    some = np.array([[1.0, 5.0], [0.0, 3.0]])
    assert relative_change(none, some)["p"] is None
    assert relative_change(some[:1], some)["change"] is None


def test_an_unplanned_split_users_in_both_arms_and_different_periods_are_reported() -> None:
    assert (
        split_p(1000, 1000, 0.5) == 1
        and split_p(1000, 1200, 0.5) < 0.001
        and split_p(900, 100, 0.9) == pytest.approx(1)
    )
    one = log(*[(f"u{at}", 0.9, at % 3 > 0, 0.2, "x") for at in range(200)])
    other = log(*[(f"v{at}", 0.9, at % 3 > 0, 0.2, "x") for at in range(340)])
    found = compare_logs(one, other, resamples=200)
    assert any("the split differs from the plan" in line for line in found["warnings"])
    late = other.with_columns(time=pl.col("time") + timedelta(days=9))
    assert any(
        "the arms ran at different times" in line
        for line in compare_logs(one, late, resamples=200)["warnings"]
    )
    with pytest.raises(UserError, match="200 users are in both arms, such as 'u0'"):
        compare_logs(one, one)
    with pytest.raises(UserError, match="between 0 and 1"):
        compare_logs(one, other, share=1.0)
    plain = compare_logs(one.drop("utterance"), other.drop("utterance"), resamples=200)
    assert "PDR-tail" not in plain["metrics"] and any("no PDR-tail" in line for line in plain["warnings"])


def test_logs_of_other_types_are_read_and_bad_values_named(tmp_path: Path) -> None:
    good = log(("ann", 0.9, True, 0.1, "stop"), ("bob", None, False, 0.3, "go"))
    text = good.with_columns(pl.col("time").dt.to_string("iso:strict"), pl.col("recovered").cast(pl.String))
    seconds = good.with_columns(pl.col("time").dt.epoch("s"))
    good.write_parquet(tmp_path / "a.parquet")
    text.write_csv(tmp_path / "a.csv")
    seconds.write_ndjson(tmp_path / "a.jsonl")
    read = [read_log(tmp_path / f"a.{ending}") for ending in ("parquet", "csv", "jsonl")]
    assert all(one.equals(read[0]) for one in read) and read[0]["time"][0] == START
    for change, problem in (
        ({"defect": pl.Series([0.1, 1.2])}, "row 2: defect is not between 0 and 1"),
        ({"domain_confidence": pl.Series([-0.1, 1.0])}, "row 1: domain_confidence is not"),
        ({"user": pl.Series([None, "bob"])}, "row 1: no user"),
        ({"recovered": pl.Series(["maybe", "true"])}, "row 1: no recovered"),
        ({"time": pl.Series(["yesterday", "2026-01-01T00:00:00"])}, "row 1: no time"),
        ({"time": pl.Series([{"hour": 1}, {"hour": 2}])}, "'time' holds lists or objects"),
        ({"recovered": pl.Series([{"yes": 1}, {"yes": 0}])}, "'recovered' holds lists or objects"),
        ({"utterance": pl.Series([["stop"], ["go"]])}, "'utterance' holds lists or objects"),
    ):
        with pytest.raises(UserError, match=problem):
            checked(good.with_columns(**change), "log")
    with pytest.raises(UserError, match="no column 'defect'"):
        checked(good.rename({"defect": "deffect"}), "log")
    with pytest.raises(UserError, match="no requests"):
        checked(good[:0], "log")
    for name, problem in (("none.parquet", "no such file"), ("a.txt", "logs are read from")):
        (tmp_path / "a.txt").write_text("x")
        with pytest.raises(UserError, match=problem):
            read_log(tmp_path / name)


def test_rows() -> pl.DataFrame:
    return as_table(
        [
            Utterance(f"say {domain} {at}", domain, f"i{at % 3}", id=f"{domain}{at}")
            for domain in ("a", "b")
            for at in range(60)
        ]
    )


test_rows.__test__ = False  # type: ignore[attr-defined]


def stack_of(right: float, seed: int) -> Judged:
    """A stack that is right on a share of the utterances, and somewhat surer there."""
    rng = np.random.default_rng(seed)
    good = rng.random(120) < right
    return Judged(good, np.clip(rng.normal(np.where(good, 0.9, 0.7), 0.15), 0, 1))


def test_replays_of_a_stack_against_itself_reject_at_the_nominal_level() -> None:
    rows, stack = test_rows(), stack_of(0.85, 0)
    p = []
    for seed in range(120):
        a, b, _ = replay(rows, stack, stack, Traffic(users=240, seed=seed))
        p.append([one["p"] for one in compare_logs(a, b, resamples=199, seed=seed)["metrics"].values()])
    rejected = (np.array(p) <= 0.05).sum(0)  # of 120: 6 expected, five standard deviations are 12
    assert (rejected <= 18).all() and rejected.sum() >= 3


def test_a_replay_shows_which_stack_is_worse_and_says_what_it_is() -> None:
    rows = test_rows()
    a, b, about = replay(rows, stack_of(0.95, 0), stack_of(0.6, 1), Traffic(users=1000))
    found = compare_logs(a, b, resamples=400)
    for name in ("UER", "PDR", "PDR-tail"):
        assert found["metrics"][name]["low"] > 0 and found["metrics"][name]["p"] < 0.05, name
    assert "simulation" in about["simulation"] and 0.7 < about["defect_auc"] < 0.99
    assert about["wrong"]["a"] < about["wrong"]["b"]
    assert found["facts"]["split_p"] > 0.001 and not [line for line in found["warnings"] if "split" in line]
    again = replay(rows, stack_of(0.95, 0), stack_of(0.6, 1), Traffic(users=1000))
    assert a.equals(again[0]) and b.equals(again[1])


def test_traffic_has_a_long_tail_and_rephrasing_stays_within_the_intent() -> None:
    rows = test_rows()
    a, b, _ = replay(rows, stack_of(0.7, 0), stack_of(0.7, 0), Traffic(users=4000, zipf=1.2))
    asked = pl.concat([a, b])["utterance"].value_counts().sort("count", descending=True)
    assert asked["count"][:12].sum() > 0.5 * asked["count"].sum() and asked.height > 100
    assert pl.concat([a, b]).filter(pl.col("rephrased") > 0)["recovered"].mean() > 0.3


def test_users_are_content_with_right_and_wrong_answers_as_often_as_stated() -> None:
    rows, stack = test_rows(), stack_of(0.7, 0)
    right = dict(zip(rows["text"], stack.right.tolist(), strict=True))
    a, b, _ = replay(rows, stack, stack, Traffic(users=4000, tries=0, fussy=0.2, overlook=0.3))
    log = pl.concat([a, b]).with_columns(right=pl.col("utterance").replace_strict(right))
    content = dict(log.group_by("right").agg(pl.col("recovered").mean()).iter_rows())
    assert content[True] == pytest.approx(0.8, abs=0.02) and content[False] == pytest.approx(0.3, abs=0.02)
    _, _, told = replay(rows, stack, stack, Traffic(users=1000, fussy=0.0, overlook=0.0))
    assert told["defect_auc"] > 0.999  # such users give every error away


def test_judged_needs_domain_intent_and_slots_right() -> None:
    rows = as_table([Utterance("a b", "x", "y", id="1"), Utterance("a c", "x", "y", id="2")])
    answers = rows.with_columns(
        domain=pl.Series(["x", None]),
        intent=pl.Series(["y", None]),
        domain_confidence=pl.Series([0.5, 0.4]),
    )
    found = judged(rows, answers)
    # Below its threshold no domain answers, however sure the stack was.
    assert found.right.tolist() == [True, False] and np.isnan(found.domain).tolist() == [False, True]
    assert found.domain[0] == 0.5
    with pytest.raises(
        UserError,
        match="all answers are right or all are wrong, so no defect model can be trained",
    ):
        replay(rows, stack := Judged(np.ones(2, bool), np.ones(2)), stack, Traffic(users=10))


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_types_of_a_log_are_not_guessed_from_its_first_rows(ending: str, tmp_path: Path) -> None:
    rows = [(f"{at:03d}", 1, True, 0.1, "stop") for at in range(200)]
    rows += [("u7", 0.25, False, 0.5, "go"), ("7", 1, True, 0, "stop")]
    path = tmp_path / f"log{ending}"
    names = ("user", "domain_confidence", "recovered", "defect", "utterance")
    if ending == ".csv":
        lines = [",".join(names) + ",time", *(",".join(map(str, row)) + ",1700000000.5" for row in rows)]
    else:
        lines = [json.dumps({**dict(zip(names, row, strict=True)), "time": 1700000000.5}) for row in rows]
    path.write_text("\n".join(lines) + "\n")
    found = read_log(path)
    assert found["user"].n_unique() == 202
    assert found["domain_confidence"][200] == 0.25
    assert found["time"][0] == datetime.fromtimestamp(1700000000.5, UTC)


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".jsonl"])
def test_brackets_and_stars_in_the_path_of_a_log_are_not_a_pattern(ending: str, tmp_path: Path) -> None:
    table = log(("ann", 0.9, True, 0.1, "stop"))
    write = {".parquet": table.write_parquet, ".csv": table.write_csv, ".jsonl": table.write_ndjson}[ending]
    (tmp_path / "arm [b]*").mkdir()
    write(tmp_path / "arm [b]*" / f"log{ending}")
    assert read_log(tmp_path / "arm [b]*" / f"log{ending}")["user"].to_list() == ["ann"]


@pytest.mark.parametrize("time", [1_700_000_000_000, 1_700_000_000_000_000, "1700000000000"])
def test_times_outside_the_range_of_dates_are_reported(time: object) -> None:
    table = log(("ann", 0.9, True, 0.1, "stop")).with_columns(time=pl.Series([time]))
    with pytest.raises(UserError, match="row 1: no time that is a date, ISO text or seconds since 1970"):
        checked(table, "log")


@pytest.mark.parametrize(("one", "other"), [(1, 2), (3, 4)])
def test_identical_users_make_any_difference_significant(one: int, other: int) -> None:
    arms = [np.tile([float(count), 10.0], (500, 1)) for count in (one, other)]
    found = relative_change(*arms, resamples=200)
    assert found["p"] == pytest.approx(1 / 201)
    assert relative_change(arms[0], arms[0], resamples=200)["p"] == 1


def test_replayed_requests_that_no_domain_answered_have_no_confidence() -> None:
    right = np.array([True, False] * 2)
    half = Judged(right, np.array([0.9, np.nan] * 2))
    first, second, _ = replay(test_rows()[:4], half, half, Traffic(users=200))
    both = pl.concat([first, second])
    assert 0 < both["domain_confidence"].null_count() < both.height
    assert set(both["domain_confidence"].drop_nulls()) == {0.9}
