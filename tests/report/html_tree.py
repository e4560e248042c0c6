"""Parse a page into elements with attributes and text, with the standard library only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "input", "br", "img", "hr"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None] = field(default_factory=dict)
    children: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    def walk(self) -> Iterator[Element]:
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child.walk()

    def all(self, tag: str, name: str = "") -> list[Element]:
        """Elements of a tag, and of a class where one is named."""
        return [
            one
            for one in self.walk()
            if one.tag == tag and (not name or name in (one.attributes.get("class") or "").split())
        ]

    def one(self, identity: str) -> Element:
        (found,) = [one for one in self.walk() if one.attributes.get("id") == identity]
        return found


class Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("root")
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"the page has a comment, which only data could have brought in: {data[:80]!r}")


def parse(html: str) -> Element:
    """The tree of a page whose tags are all closed in order."""
    builder = Builder()
    builder.feed(html)
    builder.close()
    assert builder.open == [builder.root], [element.tag for element in builder.open]
    return builder.root
