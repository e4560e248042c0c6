"""Cache the vectors of texts on disk, by content, so that an encoder never encodes the same text twice.

Each encoder has a folder of segments. A segment is written once, under a temporary name first, and never changed, so any
number of processes can add segments at the same time. A segment with a wrong checksum is deleted and its texts are encoded
again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from thresher.errors import UserError
from thresher.models.frozen import Vectors
from thresher.progress import warn
from thresher.run.files import write

VARIABLE = "THRESHER_CACHE"
KEY_BYTES = 16
Keys = NDArray[np.uint64]


class Segment(NamedTuple):
    """Texts that are in the cache: their places among the texts asked for (m,), their vectors (m, H), and whether each was
    truncated (m,)."""

    places: NDArray[np.int64]
    values: Vectors
    truncated: NDArray[np.bool_]


def cache_folder() -> Path:
    """The cache folder: `$THRESHER_CACHE`, or `thresher` in the user's cache folder."""
    if given := os.environ.get(VARIABLE):
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "thresher"


def text_key(text: str) -> bytes:
    """The cache key of a text: the BLAKE2b of its UTF-8 bytes.

    >>> text_key("play jazz").hex()
    'fb067cb9336f6ccb7e8485f089bcd476'
    """
    return hashlib.blake2b(text.encode(), digest_size=KEY_BYTES).digest()


def text_keys(texts: Iterable[str]) -> Keys:
    """The cache keys of M texts as pairs of numbers, (M, 2)."""
    return np.frombuffer(b"".join(text_key(text) for text in texts), np.uint64).reshape(-1, 2)


def cached_vectors(encoder: str, keys: Keys, width: int) -> Iterator[Segment]:
    """What the cache holds of M texts, which differ, segment by segment; damaged segments are deleted."""
    order = np.lexsort(keys.T[::-1])
    ordered = keys[order]
    for path in sorted((cache_folder() / "features" / encoder).glob("*.safetensors")):
        try:
            found = _read_segment(path, ordered, order, width)
        except FileNotFoundError:
            continue
        except (OSError, SafetensorError, ValueError, KeyError) as error:
            warn(f"{path}: damaged ({str(error).splitlines()[0][:80]}); its texts are encoded again")
            path.unlink(missing_ok=True)
            continue
        if found is not None:
            yield found


def add_vectors(encoder: str, keys: Keys, values: Vectors, truncated: NDArray[np.bool_]) -> None:
    """Write a segment. If the cache cannot be written, warn and go on: the next run encodes the texts again."""
    tensors: dict[str, NDArray[np.generic]] = {
        "keys": keys.view(np.uint8),
        "values": np.ascontiguousarray(values),
        "truncated": truncated.astype(np.uint8),
    }
    digests: dict[str, str] = {name: _digest(tensor) for name, tensor in tensors.items()}
    path = cache_folder() / "features" / encoder / f"{digests['keys']}.safetensors"
    try:
        write(path, lambda temporary: save_file(tensors, temporary, metadata=digests))
    except UserError as error:
        warn(
            f"the feature cache cannot be written: {str(error).partition(';')[0]}; set {VARIABLE} to another folder"
        )


def _read_segment(path: Path, ordered: Keys, order: NDArray[np.int64], width: int) -> Segment | None:
    """The texts of a segment that are among those of the keys `ordered`, which stand at `order`; None if there are none."""
    with safe_open(path, framework="numpy") as segment:
        keys = np.ascontiguousarray(_checked(segment, "keys")).view(np.uint64)
        at = np.minimum(np.searchsorted(ordered[:, 0], keys[:, 0]), len(ordered) - 1)
        # Texts whose keys begin with the same 64 bits may be missed. They are encoded again.
        here = np.flatnonzero((ordered[at] == keys).all(1)) if len(ordered) else np.empty(0, np.int64)
        if not len(here):
            return None
        values, truncated = _checked(segment, "values"), _checked(segment, "truncated")
    if values.shape != (len(keys), width) or truncated.shape != (len(keys),):
        raise ValueError(f"vectors of shape {values.shape}")
    return Segment(order[at[here]], values[here], truncated[here] != 0)


def _checked(segment: Any, name: str) -> NDArray[Any]:
    tensor: NDArray[Any] = segment.get_tensor(name)
    if (segment.metadata() or {})[name] != _digest(tensor):
        raise ValueError(f"'{name}' does not match its checksum")
    return tensor


def _digest(tensor: NDArray[Any]) -> str:
    return hashlib.blake2b(np.ascontiguousarray(tensor).data, digest_size=12).hexdigest()
