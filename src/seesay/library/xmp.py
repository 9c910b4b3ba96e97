"""XMP packets: what they say of a photograph in the fields that captions go to, and the same packet with other values.

Everything else in a packet stays as it is: other programs' settings, ratings, languages, prefixes and comments.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.dom import minidom
from xml.parsers.expat import ExpatError

from seesay.errors import DataError

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


@dataclass(frozen=True, slots=True)
class Fields:
    """What a packet says. Empty where it says nothing."""

    description: str = ""
    alt_text: str = ""
    keywords: tuple[str, ...] = ()
    writer: str = ""
    """Who wrote the description (IPTC's Description Writer)."""


def read_fields(packet: bytes) -> Fields:
    """What the packet says, in the default language. Raises DataError for what is no XMP."""
    document = _parsed(packet)
    description, alt, writer = (_text(document, name) for name in (DESCRIPTION, ALT_TEXT, WRITER))
    keywords = [text for item in _items(document, KEYWORDS) if (text := _inner(item))]
    return Fields(description, alt, tuple(keywords), writer)


def with_fields(packet: bytes, fields: Fields) -> bytes:
    """The packet, b"" for a new one, with these values; empty ones stay as they are. Raises DataError."""
    document = _parsed(packet or EMPTY.encode())
    for name, text in ((DESCRIPTION, fields.description), (ALT_TEXT, fields.alt_text)):
        if text:
            _set_default(document, name, text)
    if fields.writer:
        _drop(document, WRITER)
        _new(document, WRITER).appendChild(document.createTextNode(fields.writer))
    if fields.keywords:
        _add_keywords(document, fields.keywords)
    return b"".join(_lines(document))


def without_writer(packet: bytes) -> bytes:
    """The packet that names nobody as the description's writer. Raises DataError."""
    document = _parsed(packet)
    _drop(document, WRITER)
    return b"".join(_lines(document))


def _lines(document: Document) -> Iterator[bytes]:
    """The document without an XML declaration, which stands in no XMP."""
    for node in document.childNodes:
        yield node.toxml().encode("utf-8") + b"\n"


def _parsed(packet: bytes) -> Document:
    """XMP has no DOCTYPE; what has one is refused, since entities can be made to swell."""
    if b"<!DOCTYPE" in packet or b"<!ENTITY" in packet:
        raise DataError("an XMP file with a DOCTYPE is none", "Leave it alone, or delete it if nobody needs it.")
    try:
        document = minidom.parseString(packet.strip(b"\0 \r\n\t"))
    except (ExpatError, ValueError, LookupError) as error:
        raise DataError(f"damaged XMP ({error})", "Repair or delete the file.") from error
    if not document.getElementsByTagNameNS(RDF, "RDF"):
        raise DataError("XML, but no XMP: it holds no RDF", "Repair or delete the file.")
    return document


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
    for block in _descriptions(document):
        if block.hasAttributeNS(*name):
            block.removeAttributeNS(*name)
    [*alternatives] = (
        one for element in _elements(document, name) for one in element.getElementsByTagNameNS(RDF, "Alt")
    )
    if not alternatives:
        _drop(document, name)
        alternatives = [_child(document, _new(document, name), (RDF, "Alt"))]
    for item in list(alternatives[0].getElementsByTagNameNS(RDF, "li")):
        if item.getAttributeNS(XML, "lang") == "x-default":
            alternatives[0].removeChild(item)
    item = document.createElementNS(RDF, "rdf:li")
    item.setAttribute("xmlns:rdf", RDF)
    item.setAttributeNS(XML, "xml:lang", "x-default")
    item.appendChild(document.createTextNode(text))
    alternatives[0].insertBefore(item, alternatives[0].firstChild)  # the default comes first


def _add_keywords(document: Document, keywords: tuple[str, ...]) -> None:
    """Add those that are missing."""
    there = {_inner(item).lower() for item in _items(document, KEYWORDS)}
    bags = [one for element in _elements(document, KEYWORDS) for one in element.getElementsByTagNameNS(RDF, "Bag")]
    if not bags:
        bags = [_child(document, _new(document, KEYWORDS), (RDF, "Bag"))]
    for keyword in keywords:
        if keyword.lower() not in there:
            _child(document, bags[0], (RDF, "li")).appendChild(document.createTextNode(keyword))


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
