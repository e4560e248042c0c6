"""What Arrow does not do by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def filtered(table: Any, keep: NDArray[np.bool_]) -> Any:
    """The rows of an Arrow table to keep, in its own schema.

    Views of text and bytes are filtered as plain columns: Arrow has no filter for them.

    >>> table = pa.table({"text": pa.array(["stop", "go"], pa.string_view())})
    >>> filtered(table, np.array([False, True]))["text"].to_pylist()
    ['go']
    """
    plain = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
    views = [index for index, field in enumerate(table.schema) if field.type in plain]
    if not views:
        return table.filter(pa.array(keep))
    schema = table.schema
    for index in views:
        schema = schema.set(index, schema.field(index).with_type(plain[schema.field(index).type]))
    return table.cast(schema).filter(pa.array(keep)).cast(table.schema)
