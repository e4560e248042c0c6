"""Types of arguments that several public functions have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

End = Literal["easy", "hard"]
Normalise = Literal["auto", "raw", "class", "dataset"]
Dtype = Literal["float32", "float64", "bfloat16"]
Pooling = Literal["auto", "mean", "first", "last"]
ScoreOptions = Mapping[str, Mapping[str, Any]]
