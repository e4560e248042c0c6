"""Cache the vectors of texts on disk, by content, so that an encoder never encodes the same text twice.

Each encoder has a folder of segments. A segment is written once, under a temporary name first, and never changed, so any
number of processes can add segments at the same time. A segment with a wrong checksum is deleted and its texts are encoded
again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from thresher.errors import UserError
from thresher.progress import warn
from thresher.run.files import write

VARIABLE = "THRESHER_CACHE"
KEY_BYTES = 16


class Vectors(NamedTuple):
    """For M texts: the vectors (M, H), whether the text was truncated (M,), and whether it was in the cache (M,)."""

    values: NDArray[np.float32]
    truncated: NDArray[np.bool_]
    known: NDArray[np.bool_]


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


def read_vectors(encoder: str, keys: Sequence[bytes], width: int) -> Vectors:
    """The cached vectors of some texts; damaged segments are deleted."""
    place = {key: at for at, key in enumerate(keys)}
    found = Vectors(
        np.zeros((len(keys), width), np.float32), np.zeros(len(keys), bool), np.zeros(len(keys), bool)
    )
    for path in sorted((cache_folder() / "features" / encoder).glob("*.safetensors")):
        try:
            _read_segment(path, place, found)
        except FileNotFoundError:
            continue
        except (OSError, SafetensorError, ValueError, KeyError) as error:
            warn(f"{path}: damaged ({str(error).splitlines()[0][:80]}); its texts are encoded again")
            path.unlink(missing_ok=True)
    return found


def add_vectors(
    encoder: str, keys: Sequence[bytes], values: NDArray[np.float32], truncated: NDArray[np.bool_]
) -> None:
    """Write a segment. If the cache cannot be written, warn and go on: the next run encodes the texts again."""
    tensors: dict[str, NDArray[Any]] = {
        "keys": np.frombuffer(b"".join(keys), np.uint8).reshape(-1, KEY_BYTES),
        "values": np.ascontiguousarray(values, np.float32),
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


def _read_segment(path: Path, place: dict[bytes, int], found: Vectors) -> None:
    with safe_open(path, framework="numpy") as segment:
        packed = _checked(segment, "keys").tobytes()
        keys = [packed[at : at + KEY_BYTES] for at in range(0, len(packed), KEY_BYTES)]
        here = [at for at, key in enumerate(keys) if key in place]
        if not here:
            return
        values, truncated = _checked(segment, "values"), _checked(segment, "truncated")
    if values.shape != (len(keys), found.values.shape[1]) or truncated.shape != (len(keys),):
        raise ValueError(f"vectors of shape {values.shape}")
    there = [place[keys[at]] for at in here]
    found.values[there] = values[here]
    found.truncated[there] = truncated[here] != 0
    found.known[there] = True


def _checked(segment: Any, name: str) -> NDArray[Any]:
    tensor: NDArray[Any] = segment.get_tensor(name)
    if (segment.metadata() or {})[name] != _digest(tensor):
        raise ValueError(f"'{name}' does not match its checksum")
    return tensor


def _digest(tensor: NDArray[Any]) -> str:
    return hashlib.blake2b(np.ascontiguousarray(tensor).data, digest_size=12).hexdigest()
