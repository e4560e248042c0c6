"""Filter the rows of an Arrow table, including column types that Arrow itself cannot filter."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from thresher.errors import UserError


def filtered(table: pa.Table | pa.RecordBatch, keep: NDArray[np.bool_]) -> pa.Table | pa.RecordBatch:
    """The rows of a table where `keep` is true, with the schema unchanged.

    String and binary views are cast to plain columns for the filter and back, because Arrow cannot filter views.

    Raises UserError: a column has a type that Arrow cannot filter.

    >>> table = pa.table({"text": pa.array(["stop", "go"], pa.string_view())})
    >>> filtered(table, np.array([False, True]))["text"].to_pylist()
    ['go']
    """
    plain = pa.schema([field.with_type(_without_views(field.type)) for field in table.schema])
    try:
        return table.cast(plain).filter(pa.array(keep)).cast(table.schema)
    except pa.ArrowNotImplementedError as error:
        raise UserError(f"a column has a type that Arrow cannot filter ({error})") from error


def _without_views(kind: pa.DataType) -> pa.DataType:
    """A type with its string and binary views replaced, at any depth."""
    if kind == pa.string_view():
        return pa.large_string()
    if kind == pa.binary_view():
        return pa.large_binary()
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_without_views(field.type)) for field in kind])
    for is_list, list_of in ((pa.types.is_list, pa.list_), (pa.types.is_large_list, pa.large_list)):
        if is_list(kind):
            return list_of(kind.value_field.with_type(_without_views(kind.value_type)))
    return kind
