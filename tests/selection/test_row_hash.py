"""The hash of a row depends on the bytes of its id and the seed, is XXH64, and behaves as random."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from thresher.selection import hash_ids, uniform

# From the reference implementation (python-xxhash).
GOLDEN = {
    ("", 0): 0xEF46DB3751D8E999,
    ("a", 0): 0xD24EC4F1A98C6E5B,
    ("row-000017", 0): 0xC9113EA53F843B50,
    ("row-000017", 1): 0xEEC3888B54149698,
    ("再生して 🎵 التالي", 7): 0x896E0BA77C3721F4,
    ("x" * 31, 0): 0x60DD0D01083B99F0,
    ("x" * 32, 0): 0xE2DF261FC2EC30EB,
    ("x" * 77, 2**64 - 1): 0x5ACFD1D104A5DEA0,
}


@pytest.mark.parametrize(("row_id", "seed"), GOLDEN)
def test_golden_values_do_not_change(row_id: str, seed: int) -> None:
    # A draw that is published must be repeatable: these may never change, whatever else does.
    assert hash_ids(pl.Series([row_id]), seed).tolist() == [GOLDEN[row_id, seed]]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=100), max_size=30), st.integers(0, 2**64 - 1))
def test_equals_the_reference_xxh64(ids: list[str], seed: int) -> None:
    expected = [xxhash.xxh64_intdigest(row_id.encode(), seed) for row_id in ids]
    assert hash_ids(pl.Series(ids, dtype=pl.String), seed).tolist() == expected


def test_every_length_equals_the_reference_xxh64() -> None:
    ids = [("é漢🙂abcdefgh" * 40)[:length] for length in range(300)]
    expected = [xxhash.xxh64_intdigest(row_id.encode(), 5) for row_id in ids]
    assert hash_ids(pl.Series(ids), 5).tolist() == expected


def test_more_rows_than_one_block_and_a_slice_of_a_longer_column() -> None:
    ids = pl.Series([f"row-{i}" for i in range(100_000)])
    expected = [xxhash.xxh64_intdigest(row_id.encode(), 3) for row_id in ids]
    assert hash_ids(ids, 3).tolist() == expected
    assert hash_ids(ids[70_001:90_000], 3).tolist() == expected[70_001:90_000]


@pytest.mark.parametrize("dtype", [pl.Int8, pl.Int64, pl.UInt16, pl.Categorical, pl.Enum(["0", "7", "99"])])
def test_numbers_and_categories_hash_like_their_text(dtype: pl.DataType) -> None:
    ids = pl.Series(["0", "7", "99"]).cast(dtype)
    assert hash_ids(ids, 1).tolist() == hash_ids(pl.Series(["0", "7", "99"]), 1).tolist()


def test_uniform_is_strictly_between_0_and_1_and_keeps_the_order() -> None:
    hashes = np.array([0, 1, 2**12, 2**63, 2**64 - 2**12, 2**64 - 1], dtype=np.uint64)
    u = uniform(hashes)
    assert u.min() > 0 and u.max() < 1
    assert (np.diff(u) >= 0).all()
    assert np.isfinite(np.log(-np.log(u))).all()


@pytest.mark.parametrize("seed", [0, 1, 12345])
@pytest.mark.parametrize("name", ["{}", "row-{:08d}", "https://example.org/rows/{}?split=train"])
def test_u_is_uniform_on_consecutive_ids(name: str, seed: int) -> None:
    u = uniform(hash_ids(pl.Series([name.format(i) for i in range(50_000)]), seed))
    assert stats.kstest(u, "uniform").pvalue > 1e-4
    # The lower bits too: they break ties among rows whose leading bits agree.
    low = hash_ids(pl.Series([name.format(i) for i in range(50_000)]), seed) & np.uint64(255)
    assert stats.chisquare(np.bincount(low.astype(int), minlength=256)).pvalue > 1e-4
    # Neighbours in the table are independent.
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 4.5 / np.sqrt(len(u))


def test_seeds_are_independent() -> None:
    ids = pl.Series([f"row-{i}" for i in range(20_000)])
    draws = np.stack([uniform(hash_ids(ids, seed)) for seed in [*range(12), 2**32, 2**63]])
    correlation = np.corrcoef(draws) - np.eye(len(draws))
    assert np.abs(correlation).max() < 5 / np.sqrt(len(ids))
    # Two draws of a fifth of the rows share the fifth of a fifth that chance gives, in a 14 x 14 table of pairs.
    chosen = draws > 0.8
    shared = (chosen[:, None, :] & chosen[None, :, :]).mean(axis=2)[~np.eye(len(draws), dtype=bool)]
    assert np.abs(shared - 0.04).max() < 5 * np.sqrt(0.04 * 0.96 / len(ids))


def test_one_bit_of_the_id_or_the_seed_changes_half_of_the_hash() -> None:
    ids = [f"row-{i:06d}" for i in range(4000)]
    flipped = [row_id[:-1] + chr(ord(row_id[-1]) ^ 1) for row_id in ids]
    base = hash_ids(pl.Series(ids), 8)
    for other in (hash_ids(pl.Series(flipped), 8), hash_ids(pl.Series(ids), 9)):
        changed = np.unpackbits((base ^ other).view(np.uint8)).reshape(len(ids), 64).mean(axis=0)
        assert np.abs(changed - 0.5).max() < 5 * 0.5 / np.sqrt(len(ids))
