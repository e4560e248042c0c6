"""What Arrow does not do by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from thresher.errors import UserError


def filtered(table: Any, keep: NDArray[np.bool_]) -> Any:
    """The rows of an Arrow table to keep, in its own schema.

    Views of text and bytes are filtered as plain columns: Arrow has no filter for them.

    Raises
    ------
    UserError
        a column of a type that Arrow cannot filter.

    >>> table = pa.table({"text": pa.array(["stop", "go"], pa.string_view())})
    >>> filtered(table, np.array([False, True]))["text"].to_pylist()
    ['go']
    """
    plain = pa.schema([field.with_type(_plain(field.type)) for field in table.schema])
    try:
        return table.cast(plain).filter(pa.array(keep)).cast(table.schema)
    except pa.ArrowNotImplementedError as error:
        raise UserError(f"a column has a type whose rows Arrow cannot take apart ({error})") from error


def _plain(kind: Any) -> Any:
    """A type without views, however deep they lie."""
    if kind == pa.string_view():
        return pa.large_string()
    if kind == pa.binary_view():
        return pa.large_binary()
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_plain(field.type)) for field in kind])
    for is_list, list_of in ((pa.types.is_list, pa.list_), (pa.types.is_large_list, pa.large_list)):
        if is_list(kind):
            return list_of(kind.value_field.with_type(_plain(kind.value_type)))
    return kind
