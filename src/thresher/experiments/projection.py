"""Project vectors to a plane, preserving neighbourhoods."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST_DIMENSIONS, PERPLEXITY = 50, 30.0
SAME = 1e-6  # relative; vectors come as 32-bit numbers, of 7 digits


def tsne(vectors: NDArray[np.generic], seed: int = 0) -> NDArray[np.float64]:
    """t-SNE of (N, H) vectors, (N, 2), from their first 50 principal components; the same vectors and seed give the same map.

    Distances between far points and the sizes of clusters mean nothing; only neighbourhoods do. Vectors that are all the same,
    as far as their numbers tell, are one place: (0, 0) for each.

    Source: van der Maaten and Hinton (2008), "Visualizing data using t-SNE", JMLR 9.

    >>> rng = np.random.default_rng(0)
    >>> far = np.vstack([rng.normal(0, 1, (20, 8)), rng.normal(50, 1, (20, 8))])
    >>> plane = tsne(far)
    >>> nearest = [int(np.argsort(((plane - one) ** 2).sum(1))[1]) for one in plane]
    >>> all((own < 20) == (other < 20) for own, other in enumerate(nearest))
    True
    >>> tsne(np.ones((12, 8))).any()
    np.False_
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    vectors = np.asarray(vectors, np.float64)
    # t-SNE starts from the principal components divided by their spread.
    if np.ptp(vectors, axis=0).max() <= SAME * np.abs(vectors).max():
        return np.zeros((len(vectors), 2))
    most = min(MOST_DIMENSIONS, len(vectors) - 1, vectors.shape[1])
    reduced = PCA(most, svd_solver="full").fit_transform(vectors)
    perplexity = min(PERPLEXITY, (len(vectors) - 1) / 3)
    found = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(reduced)
    return np.asarray(found, np.float64)
