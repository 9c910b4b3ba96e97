"""XMP packets: what they say of a photograph in the fields that captions go to, and the same packet with other values.

Everything else in a packet stays as it is: other programs' settings, ratings, languages, prefixes and comments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.dom import minidom
from xml.parsers.expat import ExpatError

from seesay.errors import DataError
from seesay.images.metadata import as_utf8

if TYPE_CHECKING:
    from xml.dom.minidom import Document, Element

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC = "http://purl.org/dc/elements/1.1/"
PHOTOSHOP = "http://ns.adobe.com/photoshop/1.0/"
IPTC_CORE = "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/"
XML = "http://www.w3.org/XML/1998/namespace"
PREFIXES = {RDF: "rdf", DC: "dc", PHOTOSHOP: "photoshop", IPTC_CORE: "Iptc4xmpCore"}
EMPTY = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
    f'<rdf:RDF xmlns:rdf="{RDF}">\n<rdf:Description rdf:about=""/>\n</rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="w"?>\n'
)
DESCRIPTION, ALT_TEXT, KEYWORDS, WRITER = (
    (DC, "description"),
    (IPTC_CORE, "AltTextAccessibility"),
    (DC, "subject"),
    (PHOTOSHOP, "CaptionWriter"),
)
Name = tuple[str, str]
DEEPEST = 200
"""Elements within one another; programs nest a dozen."""
ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 lacks."""
STANDING = {"\t": "\ufdd0", "\n": "\ufdd1", "\r": "\ufdd2"}
"""What stands for characters that a parser would make spaces of, until the document is written: Unicode has these for a
program's own use."""
WRITTEN = str.maketrans({"\ufdd0": "&#9;", "\ufdd1": "&#10;", "\ufdd2": "&#13;"})


@dataclass(frozen=True, slots=True)
class Fields:
    """What a packet says. Empty where it says nothing."""

    description: str = ""
    alt_text: str = ""
    keywords: tuple[str, ...] = ()
    writer: str = ""
    """Who wrote the description (IPTC's Description Writer)."""


def legal(text: str) -> str:
    """The text without characters that no XML can hold."""
    return ILLEGAL.sub("", text)


def read_fields(packet: bytes) -> Fields:
    """What the packet says, in the default language. Raises DataError for what is no XMP."""
    document = _parsed(packet)
    description, alt, writer = (_text(document, name) for name in (DESCRIPTION, ALT_TEXT, WRITER))
    return Fields(description, alt, tuple(_keywords(document)), writer)


def with_fields(packet: bytes, fields: Fields) -> bytes:
    """The packet, b"" for a new one, with these values; empty ones stay as they are. Characters that XML lacks are left
    out. Raises DataError."""
    document = _parsed(packet or EMPTY.encode())
    for name, text in ((DESCRIPTION, legal(fields.description)), (ALT_TEXT, legal(fields.alt_text))):
        if text:
            _set_default(document, name, text)
    if fields.writer:
        _drop(document, WRITER)
        _new(document, WRITER).appendChild(document.createTextNode(legal(fields.writer)))
    if fields.keywords:
        _add_keywords(document, [legal(keyword) for keyword in fields.keywords])
    return b"".join(_lines(document))


def without_writer(packet: bytes) -> bytes:
    """The packet that names nobody as the description's writer. Raises DataError."""
    document = _parsed(packet)
    _drop(document, WRITER)
    return b"".join(_lines(document))


def without_caption(packet: bytes) -> bytes:
    """The packet without a description and an alternative text in the default language, and their writer. Raises
    DataError."""
    document = _parsed(packet)
    for name in (DESCRIPTION, ALT_TEXT):
        if not _without_default(document, name):
            _drop(document, name)
    _drop(document, WRITER)
    return b"".join(_lines(document))


def _lines(document: Document) -> Iterator[bytes]:
    """The document without an XML declaration, which stands in no XMP."""
    for element in document.getElementsByTagName("*"):
        for attribute in element.attributes.values():
            attribute.value = _standing(attribute.value, "\t\n\r")
        for text in element.childNodes:
            if text.nodeType == text.TEXT_NODE and "\r" in text.data:
                text.data = _standing(text.data, "\r")
    for node in document.childNodes:
        yield node.toxml().translate(WRITTEN).encode("utf-8") + b"\n"


def _standing(text: str, characters: str) -> str:
    for one in characters:
        text = text.replace(one, STANDING[one])
    return text


def _parsed(packet: bytes) -> Document:
    """XMP has no DOCTYPE; what has one is refused, since entities can be made to swell."""
    packet = as_utf8(packet)
    if b"<!DOCTYPE" in packet or b"<!ENTITY" in packet:
        raise DataError("an XMP file with a DOCTYPE is none", "Leave it alone, or delete it if nobody needs it.")
    try:
        document = minidom.parseString(packet)
    except (ExpatError, ValueError, LookupError) as error:
        raise DataError(f"damaged XMP ({error})", "Repair or delete the file.") from error
    if _is_deep(document):
        raise DataError(f"an XMP file of more than {DEEPEST} elements within one another", "Repair or delete the file.")
    if not document.getElementsByTagNameNS(RDF, "RDF"):
        raise DataError("XML, but no XMP: it holds no RDF", "Repair or delete the file.")
    return document


def _is_deep(document: Document) -> bool:
    """Whether what calls itself for every level would break off."""
    level: list[Any] = [document.documentElement]
    for _ in range(DEEPEST):
        level = [node for one in level for node in one.childNodes if node.nodeType == node.ELEMENT_NODE]
    return bool(level)


def _descriptions(document: Document) -> list[Element]:
    """The blocks that hold a photograph's properties."""
    [first, *_] = document.getElementsByTagNameNS(RDF, "RDF")
    return [
        node
        for node in first.childNodes
        if node.nodeType == node.ELEMENT_NODE and (node.namespaceURI, node.localName) == (RDF, "Description")
    ]


def _elements(document: Document, name: Name) -> list[Element]:
    return [
        node
        for block in _descriptions(document)
        for node in block.childNodes
        if node.nodeType == node.ELEMENT_NODE and (node.namespaceURI, node.localName) == name
    ]


def _items(document: Document, name: Name) -> list[Element]:
    return [item for element in _elements(document, name) for item in element.getElementsByTagNameNS(RDF, "li")]


def _text(document: Document, name: Name) -> str:
    """A simple value, or the default language's of several."""
    items = _items(document, name)
    for item in items:
        if item.getAttributeNS(XML, "lang") == "x-default":
            return _inner(item)
    for found in [*items, *_elements(document, name)]:
        if text := _inner(found):
            return text
    return next((text for block in _descriptions(document) if (text := block.getAttributeNS(*name))), "")


def _inner(element: Element) -> str:
    parts = [node.data for node in element.childNodes if node.nodeType in (node.TEXT_NODE, node.CDATA_SECTION_NODE)]
    return " ".join("".join(parts).split())


def _set_default(document: Document, name: Name, text: str) -> None:
    """Set the default language's text; others stay."""
    alternatives = _without_default(document, name)
    if not alternatives:
        _drop(document, name)
        alternatives = [_child(document, _new(document, name), (RDF, "Alt"))]
    item = document.createElementNS(RDF, "rdf:li")
    item.setAttribute("xmlns:rdf", RDF)
    item.setAttributeNS(XML, "xml:lang", "x-default")
    item.appendChild(document.createTextNode(text))
    alternatives[0].insertBefore(item, alternatives[0].firstChild)  # the default comes first


def _without_default(document: Document, name: Name) -> list[Element]:
    """Take out the default language's text; the lists of languages in which others are left."""
    for block in _descriptions(document):
        if block.hasAttributeNS(*name):
            block.removeAttributeNS(*name)
    [*alternatives] = (
        one for element in _elements(document, name) for one in element.getElementsByTagNameNS(RDF, "Alt")
    )
    for item in [item for one in alternatives[:1] for item in one.getElementsByTagNameNS(RDF, "li")]:
        if item.getAttributeNS(XML, "lang") == "x-default":
            alternatives[0].removeChild(item)
    return [one for one in alternatives if one.getElementsByTagNameNS(RDF, "li")]


def _keywords(document: Document) -> list[str]:
    """Those in a list, or the one without."""
    items: list[str] = [_inner(item) for item in _items(document, KEYWORDS)]
    if not items:
        items = [_inner(element) for element in _elements(document, KEYWORDS)]
        items += [block.getAttributeNS(*KEYWORDS) for block in _descriptions(document)]
    return [text for text in items if text]


def _add_keywords(document: Document, keywords: Sequence[str]) -> None:
    """Add those that are missing."""
    there = _keywords(document)
    lists = [
        one
        for element in _elements(document, KEYWORDS)
        for kind in ("Bag", "Seq", "Alt")
        for one in element.getElementsByTagNameNS(RDF, kind)
    ]
    added = [keyword for keyword in keywords if keyword.lower() not in {one.lower() for one in there}]
    if not lists:
        _drop(document, KEYWORDS)
        lists = [_child(document, _new(document, KEYWORDS), (RDF, "Bag"))]
        added = [*there, *added]
    for keyword in added:
        _child(document, lists[0], (RDF, "li")).appendChild(document.createTextNode(keyword))


def _drop(document: Document, name: Name) -> None:
    for block in _descriptions(document):
        if block.hasAttributeNS(*name):
            block.removeAttributeNS(*name)
        for element in _elements(document, name):
            if element.parentNode is block:
                block.removeChild(element)


def _new(document: Document, name: Name) -> Element:
    """A property in the first block, which is made where there is none."""
    blocks = _descriptions(document)
    if not blocks:
        [first, *_] = document.getElementsByTagNameNS(RDF, "RDF")
        block = _child(document, first, (RDF, "Description"))
        block.setAttributeNS(RDF, "rdf:about", "")
        blocks = [block]
    return _child(document, blocks[0], name)


def _child(document: Document, parent: Element, name: Name) -> Element:
    prefix = PREFIXES[name[0]]
    made = document.createElementNS(name[0], f"{prefix}:{name[1]}")
    made.setAttribute(f"xmlns:{prefix}", name[0])
    parent.appendChild(made)
    return made
