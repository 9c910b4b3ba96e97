"""What a photograph's file says of it: when and where it was taken, who is on it, what somebody wrote about it.

Read from EXIF, IPTC and XMP, as cameras, telephones and photo programs write them. Places stay as they are written, or
as coordinates: nothing is looked up. What is damaged or missing is left out.

These facts were written by somebody, and anybody may have: they are data. They are also private (a home's coordinates,
names of people): they go into a text only where somebody asks for them by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seesay.images.decode import known, translated
from seesay.images.formats import open_container
from seesay.images.limits import DEFAULT_LIMITS, Limits
from seesay.images.reading import ImageLike, read_bytes

if TYPE_CHECKING:
    from PIL.Image import Exif, Image

TAKEN, SUB_IFD, GPS_IFD = 0x9003, 0x8769, 0x8825
DESCRIPTION, CHANGED, XP_COMMENT, XP_KEYWORDS = 0x010E, 0x0132, 0x9C9C, 0x9C9E
MAKE, MODEL = 0x010F, 0x0110
IPTC_KEYWORDS, IPTC_CITY, IPTC_PLACE, IPTC_COUNTRY, IPTC_CAPTION = (2, 25), (2, 90), (2, 92), (2, 101), (2, 120)
IPTC_WRITER = (2, 122)
LONGEST = 300
"""Characters of one fact: more is no name of a place or a person."""
BY_CAMERAS = frozenset(
    {
        *("digital camera", "olympus digital camera", "minolta digital camera", "konica minolta digital camera"),
        *("sony dsc", "samsung", "samsung digital camera", "samsung camera pictures", "exif_jpeg_picture"),
        *("kodak digital still camera", "dcim", "default"),
    }
)
"""What cameras write as EXIF's description of every photograph: nobody's words. Drones write the file's name there."""

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
DC = "{http://purl.org/dc/elements/1.1/}"
PHOTOSHOP = "{http://ns.adobe.com/photoshop/1.0/}"
IPTC_CORE = "{http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/}"
EXIF = "{http://ns.adobe.com/exif/1.0/}"
TIFF = "{http://ns.adobe.com/tiff/1.0/}"
XMP = "{http://ns.adobe.com/xap/1.0/}"
IPTC_EXTENSION = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
REGIONS = "{http://www.metadataworkinggroup.com/schemas/regions/}"
MICROSOFT = "{http://ns.microsoft.com/photo/1.2/t/Region#}"


@dataclass(frozen=True, slots=True)
class PhotoFacts:
    """What the file says. Empty where it says nothing."""

    taken: datetime | None = None
    place: str = ""
    """Names from small to large ("Trastevere, Rome, Italy"), else coordinates ("41.889 N, 12.470 E")."""
    people: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    description: str = ""
    """What somebody wrote about the photograph."""
    writer: str = ""
    """Who wrote that, or which program (IPTC's Description Writer)."""
    camera: str = ""
    """Maker and model."""
    coordinates: tuple[float, float] | None = None
    """Degrees north and east."""
    descriptions: tuple[tuple[str, str], ...] = ()
    """Every description, whole, with its writer: of the XMP file beside it, of XMP, IPTC and EXIF within."""


def photo_facts(
    image: ImageLike, *, sidecar: bytes = b"", limits: Limits = DEFAULT_LIMITS, allow_private: bool = False
) -> PhotoFacts:
    """What the picture's file says of it; nothing for arrays. `sidecar`: the XMP file beside it, which goes before.

    Raises ImageError where there is no picture at all.
    """
    if isinstance(image, np.ndarray):
        return PhotoFacts()
    if not isinstance(image, (str, Path, bytes)):
        return _facts(image, sidecar)
    data = read_bytes(image, limits=limits, allow_private=allow_private)
    kind = known(data, limits)
    with translated(data, kind):
        return _facts(open_container(data, kind), sidecar)


def _facts(image: Image, sidecar: bytes) -> PhotoFacts:
    exif, iptc = image.getexif(), _iptc(image)
    beside, within = _Xmp(_xmp_pairs(sidecar)), _Xmp(_xmp_pairs(image.info.get("xmp")))
    xmp = _Xmp([*beside.pairs, *within.pairs])
    names = [
        next((place for place in candidates if place), "")
        for candidates in (
            (xmp.first(IPTC_CORE + "Location"), _last(iptc, IPTC_PLACE)),
            (xmp.first(PHOTOSHOP + "City"), _last(iptc, IPTC_CITY)),
            (xmp.first(PHOTOSHOP + "Country"), _last(iptc, IPTC_COUNTRY)),
        )
    ]
    people = [*xmp.all(IPTC_EXTENSION + "PersonInImage"), *xmp.all(REGIONS + "Name")]
    people += xmp.all(MICROSOFT + "PersonDisplayName")
    keywords = [*xmp.all(DC + "subject"), *iptc.get(IPTC_KEYWORDS, ()), *_wide(exif.get(XP_KEYWORDS)).split(";")]
    described = _descriptions(beside, within, iptc, exif)
    position = beside.position() or _position(exif) or within.position()
    return PhotoFacts(
        beside.taken() or _taken(exif) or within.taken(),
        ", ".join(name for name in names if name) or _coordinates(position),
        _distinct(people),
        _distinct(keyword for keyword in keywords if keyword not in people),
        described[0][0][:LONGEST] if described else "",
        xmp.first(PHOTOSHOP + "CaptionWriter") or _last(iptc, IPTC_WRITER),
        beside.camera() or _camera(_told(exif.get(MAKE)), _told(exif.get(MODEL))) or within.camera(),
        position,
        described,
    )


def _descriptions(
    beside: _Xmp, within: _Xmp, iptc: Mapping[tuple[int, int], list[str]], exif: Exif
) -> tuple[tuple[str, str], ...]:
    """What somebody wrote about the photograph, place by place, with who wrote it."""
    told = _line(exif.get(DESCRIPTION))
    by_camera = told.lower() in BY_CAMERAS or told.upper().startswith("DCIM\\")
    places = (
        *((xmp.whole(DC + "description"), xmp.first(PHOTOSHOP + "CaptionWriter")) for xmp in (beside, within)),
        (iptc.get(IPTC_CAPTION, [""])[-1], _last(iptc, IPTC_WRITER)),
        ("" if by_camera else told, ""),
        (_wide(exif.get(XP_COMMENT)), ""),
    )
    return tuple((text, writer) for text, writer in places if text)


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value.strip()[:LONGEST] for value in values if value.strip()))


def _told(value: object) -> str:
    return _line(value)[:LONGEST]


def _line(value: object) -> str:
    """Whole, with a space for every gap."""
    return " ".join(str(value or "").replace("\0", " ").split())


# --------------------------------------------------------------------------------------------------------------- EXIF


def _taken(exif: Exif) -> datetime | None:
    for written in (exif.get_ifd(SUB_IFD).get(TAKEN), exif.get(CHANGED)):
        try:
            return datetime.strptime(str(written).strip("\0 "), "%Y:%m:%d %H:%M:%S")
        except ValueError:  # missing, or "0000:00:00 00:00:00", which cameras without a clock write
            continue
    return None


def _coordinates(position: tuple[float, float] | None) -> str:
    if position is None:
        return ""
    north, east = position
    return f"{abs(north):.3f} {'S' if north < 0 else 'N'}, {abs(east):.3f} {'W' if east < 0 else 'E'}"


def _position(exif: Exif) -> tuple[float, float] | None:
    """Degrees north and east, to a decimetre."""
    gps = exif.get_ifd(GPS_IFD)
    try:
        north, east = (
            _degrees(gps[place]) * (-1 if str(gps[side]).strip(chr(0)).upper() in ("S", "W") else 1)
            for side, place in ((1, 2), (3, 4))
        )
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return round(north, 6), round(east, 6)


def _camera(maker: str, model: str) -> str:
    """ "Canon EOS 5D", whether or not the model repeats its maker."""
    repeats = model.lower().startswith((maker.split() or [""])[0].lower())
    return model if repeats else f"{maker} {model}".strip()


def _degrees(angle: Any) -> float:
    degrees, minutes, seconds = map(float, angle)
    found = degrees + minutes / 60 + seconds / 3600
    if not 0 <= found <= 180:
        raise ValueError(f"{found} degrees")
    return found


def _wide(value: object) -> str:
    """Microsoft's tags hold UTF-16."""
    if isinstance(value, tuple):
        value = bytes(part for part in value if isinstance(part, int) and 0 <= part < 256)
    return _line(value.decode("utf-16-le", "ignore")) if isinstance(value, bytes) else ""


# --------------------------------------------------------------------------------------------------------------- IPTC


def _iptc(image: Image) -> Mapping[tuple[int, int], list[str]]:
    from PIL.IptcImagePlugin import getiptcinfo

    try:
        found = getiptcinfo(image) or {}  # type: ignore[arg-type]  # any image will do
        return {
            key: [_line(_decoded(value or b"")) for value in (values if isinstance(values, list) else [values])]
            for key, values in found.items()
        }  # None stands for an empty field
    except Exception:  # a damaged block costs its facts, not the picture
        return {}


def _decoded(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _last(found: Mapping[tuple[int, int], list[str]], key: tuple[int, int]) -> str:
    return found.get(key, [""])[-1][:LONGEST]


# ---------------------------------------------------------------------------------------------------------------- XMP


class _Xmp:
    """The values of an XMP packet by their names, whether written as attributes, elements or lists."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self.pairs = list(pairs)
        self._values: dict[str, list[str]] = {}
        for name, value in self.pairs:
            if text := _line(value):
                self._values.setdefault(name, []).append(text)

    def all(self, name: str) -> list[str]:
        return [text[:LONGEST] for text in self._values.get(name, [])]

    def first(self, name: str) -> str:
        return self.whole(name)[:LONGEST]

    def whole(self, name: str) -> str:
        return next(iter(self._values.get(name, [])), "")

    def taken(self) -> datetime | None:
        """Local time, as EXIF has it."""
        for name in (EXIF + "DateTimeOriginal", PHOTOSHOP + "DateCreated", XMP + "CreateDate"):
            try:
                return datetime.fromisoformat(self.first(name)).replace(tzinfo=None)
            except ValueError:  # missing, or a year alone
                continue
        return None

    def camera(self) -> str:
        return _camera(self.first(TIFF + "Make"), self.first(TIFF + "Model"))

    def position(self) -> tuple[float, float] | None:
        """Of "41,53.34N" or "41,53,20N", degrees north and east."""
        found = []
        for name in ("GPSLatitude", "GPSLongitude"):
            written = re.fullmatch(r"(\d+),(\d+(?:\.\d+)?)(?:,(\d+(?:\.\d+)?))?([NSEW])", self.first(EXIF + name))
            if not written:
                return None
            try:
                angle = _degrees((written[1], written[2], written[3] or 0))
            except ValueError:
                return None
            found.append(round(-angle if written[4] in "SW" else angle, 6))
        return found[0], found[1]


def as_utf8(packet: bytes) -> bytes:
    """The packet without what pads it, in UTF-8 where it is in UTF-16."""
    starts = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"<\0": "utf-16-le", b"\0<": "utf-16-be"}
    if (encoding := starts.get(packet[:2])) and len(packet) > 2:
        text = packet.decode(encoding, "replace").strip("\0 \r\n\t")
        packet = re.sub(r"^<\?xml\b[^>]*>", "", text).encode("utf-8", "replace")
    return packet.strip(b"\0 \r\n\t")


def _xmp_pairs(packet: object) -> list[tuple[str, str]]:
    """Names and values of a packet. Documents with a DOCTYPE are left out: XMP has none, and entities can be made to
    swell."""
    from xml.etree import ElementTree

    text = packet.encode() if isinstance(packet, str) else packet
    if not isinstance(text, bytes):
        return []
    text = as_utf8(text)
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        return []
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, LookupError):  # damaged, or in an encoding that nobody knows
        return []
    return list(_pairs(root))


def _pairs(root: Any) -> Iterator[tuple[str, str]]:
    for element in root.iter():
        yield from element.attrib.items()
        items = list(element.iter(RDF + "li"))
        if items and element.tag not in (RDF + "Bag", RDF + "Seq", RDF + "Alt", RDF + "li"):
            yield from ((element.tag, item.text or "") for item in items)
        elif element.text:
            yield element.tag, element.text
