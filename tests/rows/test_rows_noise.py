"""Label noise: the shares of the paper, independent of the row order."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thresher.row_hash import purpose_hashes, uniform
from thresher.rows import class_conditional, group_conditional, isotropic

IDS = [f"row-{n}" for n in range(60_000)]
LABELS = np.arange(60_000) % 3

# Share redrawn -> share wrong, as the paper's table 4 reports it for SNLI.
TABLE_4 = {0.05: 0.0335, 0.10: 0.0667, 0.15: 0.1001, 0.20: 0.1340, 0.25: 0.1663, 0.30: 0.2002}


@pytest.mark.parametrize(("share", "wrong"), TABLE_4.items())
def test_isotropic_noise_leaves_a_third_of_the_redrawn_labels_right_as_in_the_papers_table_4(
    share: float, wrong: float
) -> None:
    noisy = isotropic(LABELS, 3, share, ids=IDS, seed=1)
    assert noisy.changed.mean() == pytest.approx(wrong, abs=0.003)
    assert (noisy.changed == (noisy.labels != LABELS)).all()


def test_isotropic_noise_draws_all_classes_alike() -> None:
    labels = np.zeros(60_000, dtype=np.int64)
    noisy = isotropic(labels, 6, 1.0, ids=IDS, seed=3)
    counts = np.bincount(noisy.labels, minlength=6)
    # Five standard deviations of a multinomial count.
    assert np.abs(counts - 10_000).max() < 5 * np.sqrt(60_000 * (1 / 6) * (5 / 6))


def test_exactly_the_share_is_redrawn() -> None:
    """With very many classes a redrawn label practically never stays."""
    ids = IDS[:999]
    noisy = isotropic(np.zeros(999), 10**9, 0.1, ids=ids)
    assert noisy.changed.sum() == round(0.1 * 999)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.text(), st.integers(0, 4)), min_size=1, unique_by=lambda row: row[0]),
    st.randoms(),
    st.integers(0, 9),
)
def test_the_order_of_the_rows_changes_nothing(
    rows: list[tuple[str, int]], random: object, seed: int
) -> None:
    rows = [(one.encode("utf-8", "ignore").decode() + f"#{n}", label) for n, (one, label) in enumerate(rows)]
    turned = list(rows)
    random.shuffle(turned)  # type: ignore[attr-defined]

    def fates(rows: list[tuple[str, int]]) -> list[dict[str, int]]:
        ids, labels = [one for one, _ in rows], [label for _, label in rows]
        matrix = np.full((5, 5), 0.2)
        return [
            dict(zip(ids, isotropic(labels, 5, 0.5, ids=ids, seed=seed).labels.tolist(), strict=True)),
            dict(
                zip(ids, class_conditional(labels, matrix, ids=ids, seed=seed).labels.tolist(), strict=True)
            ),
            dict(
                zip(
                    ids,
                    group_conditional(labels, labels, 5, {1: 0.5}, ids=ids, seed=seed).labels.tolist(),
                    strict=True,
                )
            ),
        ]

    assert fates(rows) == fates(turned)


def test_seeds_differ_and_repeat() -> None:
    one, again, other = (isotropic(LABELS, 3, 0.2, ids=IDS, seed=seed) for seed in (0, 0, 1))
    assert (one.labels == again.labels).all()
    # Two independent draws of 20 % share 4 % of the rows.
    assert (one.changed & other.changed).mean() == pytest.approx((0.2 * 2 / 3) ** 2, abs=0.004)


def test_more_noise_of_the_same_seed_hits_the_same_rows_and_more() -> None:
    little, much = (isotropic(LABELS, 3, share, ids=IDS, seed=0) for share in (0.05, 0.3))
    assert not (little.changed & ~much.changed).any()
    assert (little.labels[little.changed] == much.labels[little.changed]).all()


def test_class_conditional_noise_realises_its_matrix() -> None:
    matrix = np.array([[0.9, 0.1, 0.0], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5]])
    noisy = class_conditional(LABELS, matrix, ids=IDS, seed=0)
    found = np.array([[np.mean(noisy.labels[old == LABELS] == new) for new in range(3)] for old in range(3)])
    assert found == pytest.approx(matrix, abs=0.015)
    assert (found[matrix == 0] == 0).all()
    assert (noisy.changed == (noisy.labels != LABELS)).all()


def test_group_conditional_noise_touches_only_the_groups_named() -> None:
    groups = np.array(["live", "synthetic", "bought"])[np.arange(60_000) // 7 % 3]
    noisy = group_conditional(LABELS, groups, 3, {"live": 0.3, "bought": 0.06}, ids=IDS)
    assert noisy.changed[groups == "live"].mean() == pytest.approx(0.2, abs=0.01)
    assert noisy.changed[groups == "bought"].mean() == pytest.approx(0.04, abs=0.005)
    assert not noisy.changed[groups == "synthetic"].any()


def test_isotropic_noise_is_group_noise_of_one_group() -> None:
    everyone = np.zeros(60_000, dtype=np.int64)
    one = isotropic(LABELS, 3, 0.2, ids=IDS, seed=4)
    two = group_conditional(LABELS, everyone, 3, {0: 0.2}, ids=IDS, seed=4)
    assert (one.labels == two.labels).all()


def test_the_uniform_number_of_an_id_is_the_hash_it_is_said_to_be() -> None:
    digest = hashlib.blake2b("7\x1fwhich\x1fürow".encode(), digest_size=8).digest()
    hashes = purpose_hashes(["ürow"], 7, "which")
    assert hashes.tolist() == [int.from_bytes(digest, "little")]
    assert uniform(hashes).tolist() == [(int(hashes[0]) // 2**12 + 0.5) / 2**52]
    values = uniform(purpose_hashes(IDS, 0, "which"))
    assert 0 < values.min() <= values.max() < 1
    assert values.mean() == pytest.approx(0.5, abs=0.01)
    assert abs(np.corrcoef(values, uniform(purpose_hashes(IDS, 0, "what")))[0, 1]) < 0.02


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match=r"outside 0\.\.1"):
        isotropic([0, 1], 2, 1.5, ids=["a", "b"])
    with pytest.raises(ValueError, match="1 ids for 2 labels"):
        isotropic([0, 1], 2, 0.5, ids=["a"])
    with pytest.raises(ValueError, match=r"0\.\.1"):
        isotropic([0, 2], 2, 0.5, ids=["a", "b"])
    with pytest.raises(ValueError, match="square"):
        class_conditional([0, 1], [[1.0, 0.0]], ids=["a", "b"])
    with pytest.raises(ValueError, match="sum to 1"):
        class_conditional([0, 1], [[1.0, 0.5], [0.0, 1.0]], ids=["a", "b"])
    with pytest.raises(ValueError, match="1 groups for 2 labels"):
        group_conditional([0, 1], ["g"], 2, {"g": 0.1}, ids=["a", "b"])
