"""XML from untrusted peers: UTF-8, no DTD, no entities of its own, bounded depth and size, as a small tree.

The text is decoded here, strictly, and expat gets it as UTF-8 whatever the document declares: no
other encoding can hide a `<!DOCTYPE` from the search that runs before parsing. Without a DTD there are no
entities to expand and nothing external to fetch.

Every refusal is a `DecodeError` whose `reason` is one of `REASONS`.
"""

from __future__ import annotations

from typing import Final, NoReturn
from xml.parsers import expat

from tes_nb.errors import DecodeError, FrameTooLarge

MAX_DEPTH: Final = 64
"""Elements inside one another, the root counted."""
MAX_MARKS: Final = 50_000
"""`<` and `=` in one document, so at most as many elements and attributes: real messages have far fewer."""

REASONS: Final = (
    "utf-8",  # bytes that are not UTF-8
    "dtd",  # a document type or entity declaration
    "too deep",  # nested deeper than MAX_DEPTH
    "too large",  # more than MAX_MARKS (FrameTooLarge)
    "not XML",  # not well-formed
)

_DECLARATIONS: Final = ("<!DOCTYPE", "<!ENTITY")
_SEVERAL_ROOTS: Final = expat.errors.codes[expat.errors.XML_ERROR_JUNK_AFTER_DOC_ELEMENT]


class Element:
    """One element: its tag, attributes, own text (CDATA included, children's left out) and children."""

    __slots__ = ("attributes", "children", "tag", "text")

    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag = tag
        self.attributes = attributes
        self.text = ""
        self.children: list[Element] = []


def text_of(payload: bytes) -> str:
    """Return the payload as text, without a byte order mark. Raises `DecodeError` if it is not UTF-8."""
    try:
        return payload.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DecodeError(
            f"The message is not UTF-8 at byte {error.start}. The raw message is kept.", reason="utf-8"
        ) from None


def parse_xml(text: str) -> list[Element]:
    """Return the root elements of `text`: one, or several where a sender strings messages together.

    Raises `DecodeError` for whatever is not plain, well-formed, shallow XML.
    """
    if any(word in text for word in _DECLARATIONS):
        raise _refusal("dtd", "it brings a document type or entities of its own")
    if text.count("<") + text.count("=") > MAX_MARKS:
        raise FrameTooLarge(
            f"XML with more than {MAX_MARKS} '<' and '=' was refused. The raw message is kept."
        )
    try:
        return _Tree().parse(text)
    except _SeveralRootsError:
        return _Tree(wrapped=True).parse(text)


def _refusal(reason: str, why: str) -> DecodeError:
    return DecodeError(f"The XML was refused: {why}. The raw message is kept.", reason=reason)


class _SeveralRootsError(Exception):
    """The document goes on after its root."""


class _Tree:
    """Builds the tree from expat's events; `wrapped` puts a root of our own around several."""

    def __init__(self, *, wrapped: bool = False) -> None:
        self._wrapped = wrapped
        self._top = Element("", {})
        self._open = [self._top]
        self._deepest = 1 + MAX_DEPTH + wrapped

    def parse(self, text: str) -> list[Element]:
        """Return the root elements."""
        parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._declaration  # the search before parsing found none; to be sure
        parts = ("<_>", text, "</_>") if self._wrapped else (text,)
        try:
            for part in parts:
                parser.Parse(part, part is parts[-1])
        except expat.ExpatError as error:
            raise self._not_xml(error) from None
        except UnicodeEncodeError:
            raise _refusal("utf-8", "it holds half of a UTF-16 pair, which is not text") from None
        if not self._wrapped:
            return self._top.children
        around = self._top.children[0]
        if around.text.strip():
            raise _refusal("not XML", "there is text between its elements")
        return around.children

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if len(self._open) >= self._deepest:
            raise _refusal("too deep", f"it is nested deeper than {MAX_DEPTH}")
        element = Element(tag, attributes)
        self._open[-1].children.append(element)
        self._open.append(element)

    def _end(self, _tag: str) -> None:
        self._open.pop()

    def _characters(self, text: str) -> None:
        self._open[-1].text += text

    def _declaration(self, *_: object) -> NoReturn:
        raise _refusal("dtd", "it brings a document type of its own")

    def _not_xml(self, error: expat.ExpatError) -> Exception:
        if error.code == _SEVERAL_ROOTS and not self._wrapped:
            return _SeveralRootsError()
        return _refusal("not XML", f"it is not well-formed ({error})")
