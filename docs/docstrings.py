"""Doctests that follow a numpy section without a heading of their own are examples, not part of that section."""

import re
from typing import Any

from griffe import Extension, Object

# A blank line, then the first line of a doctest.
FIRST_EXAMPLE = re.compile(r"\n\n(?=>>> )")


class Examples(Extension):
    """Puts an `Examples` heading before the first doctest of a docstring that has sections."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Called for every function, class and module."""
        if obj.docstring and "\n----" in obj.docstring.value:
            obj.docstring.value = FIRST_EXAMPLE.sub("\n\nExamples\n--------\n", obj.docstring.value, count=1)
