"""Check the names of the columns that a caller gives."""

from __future__ import annotations

from collections.abc import Iterable

from thresher.errors import UserError
from thresher.rows.table import ID
from thresher.wording import listed, shown


def names_given(given: str | Iterable[str] | None, what: str) -> tuple[str, ...]:
    """One or several column names as a tuple."""
    if given is None or isinstance(given, str):
        return () if given is None else (given,)
    try:
        return tuple(given)
    except TypeError as error:
        raise UserError(
            f"{what} is {shown(given)}, of type {type(given).__name__}; give the name of a column, or a list of names"
        ) from error


def check_names(texts: tuple[str, ...], label: str, id: str | None, groups: tuple[str, ...]) -> None:
    """Refuse column names that are not strings, are given twice, or are reserved."""
    if not 1 <= len(texts) <= 2:
        raise UserError(
            f"{len(texts)} text columns given ({listed(texts)}); give one, or two for pairs of texts"
        )
    names = (*texts, label, *groups)
    for name in (*names, *([] if id is None else [id])):
        if not isinstance(name, str):
            raise UserError(
                f"a column is given as {shown(name)}, of type {type(name).__name__}; give its name as a string,"
                f" '{shown(name)}'"
            )
    if ID in names:
        raise UserError(
            f"column '{ID}' cannot be text, label or group: this name is used for the row ids; rename it in the data"
        )
    for name in names:
        if names.count(name) > 1:
            rest = "; results are reported by label anyway" if name == label and name in groups else ""
            raise UserError(f"column '{shown(name)}' is given twice; name it once{rest}")
    if id in names:
        raise UserError(
            f"column '{shown(id)}' is given both as id and as text, label or group; use another id column"
        )
