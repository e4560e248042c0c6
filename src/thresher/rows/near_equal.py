"""Rows whose texts are nearly equal: they share most of their runs of three words."""

from __future__ import annotations

from collections.abc import Sequence

import xxhash

SHARED = 0.8  # of the runs of words that either of two rows has
WORDS, PERMUTATIONS = 3, 64
# Bands of hashes, and hashes in each: of pairs that share 80%, all but 2 in 10,000 agree in a band.
BANDS = (16, 4)
MOST_ROWS = 50_000


def nearly_equal(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs (earlier row, row) of nearly but not quite equal texts, at most one for each row: (i, j) with

        |runs(i) and runs(j)| / |runs(i) or runs(j)| >= 0.8,   runs(i) the runs of three words of text i

    Candidates are found by MinHash in bands (locality-sensitive hashing), which misses few, and then compared exactly. Texts are
    taken as given; see `normalised`.

    Source: Broder (1997), "On the resemblance and containment of documents"; Lee et al. (2022), "Deduplicating training data
    makes language models better", ACL, section 4.2.

    >>> rows = ["play some jazz in the kitchen right now please and thank you very much", "stop", "stop"]
    >>> nearly_equal([*rows, rows[0] + " indeed", "stop it"])
    [(0, 3)]
    """
    from datasketch import MinHash, MinHashLSH

    runs = [runs_of(text) for text in texts]
    hashes = MinHash.bulk(
        [[run.encode() for run in one] for one in runs],
        num_perm=PERMUTATIONS,
        hashfunc=xxhash.xxh32_intdigest,
    )
    index = MinHashLSH(num_perm=PERMUTATIONS, params=BANDS)
    found = []
    for row, one in enumerate(hashes):
        near = [
            other
            for other in index.query(one)
            if texts[other] != texts[row]
            and len(runs[other] & runs[row]) >= SHARED * len(runs[other] | runs[row])
        ]
        if near:
            found.append((min(near), row))
        index.insert(row, one)
    return found


def runs_of(text: str) -> frozenset[str]:
    """The runs of three words of a text; of a shorter one the text.

    >>> sorted(runs_of("turn on the light"))
    ['on the light', 'turn on the']
    """
    words = text.split()
    return frozenset(" ".join(words[at : at + WORDS]) for at in range(max(1, len(words) - WORDS + 1)))
