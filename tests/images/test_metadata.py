"""What a photograph's file says: EXIF written by Pillow, IPTC and XMP as photo programs write them."""

from __future__ import annotations

import struct
from datetime import datetime
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from seesay.errors import ImageUnreadable
from seesay.images.metadata import PhotoFacts, photo_facts

XMP = """<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"
 xmlns:core="http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/" xmlns:ext="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:mwg="http://www.metadataworkinggroup.com/schemas/regions/" photoshop:City="Rome" core:Location="Trastevere">
<photoshop:Country>Italy</photoshop:Country>
<dc:subject><rdf:Bag><rdf:li>wedding</rdf:li><rdf:li>Anna Rossi</rdf:li><rdf:li>wedding</rdf:li></rdf:Bag></dc:subject>
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">The  couple
 at the fountain</rdf:li></rdf:Alt></dc:description>
<ext:PersonInImage><rdf:Bag><rdf:li>Anna Rossi</rdf:li></rdf:Bag></ext:PersonInImage>
<mwg:Regions rdf:parseType="Resource"><mwg:RegionList><rdf:Bag>
<rdf:li><rdf:Description mwg:Name="Ben Weiß" mwg:Type="Face"/></rdf:li>
</rdf:Bag></mwg:RegionList></mwg:Regions>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


def exif() -> Image.Exif:
    found = Image.Exif()
    found[0x010E] = "written by the camera"
    found[0x010F], found[0x0110] = "Canon", "Canon EOS 5D"
    found[0x9C9E] = "family;garden".encode("utf-16-le")
    found.get_ifd(0x8769)[0x9003] = "2024:05:17 16:20:01"
    gps = found.get_ifd(0x8825)
    gps[1], gps[2], gps[3], gps[4] = "N", (41.0, 53.0, 20.4), "E", (12.0, 28.0, 12.0)
    return found


def jpeg(**info: object) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (16, 16), "red").save(buffer, "jpeg", **info)
    return buffer.getvalue()


def with_iptc(data: bytes, records: list[tuple[int, bytes]]) -> bytes:
    """A JPEG with Photoshop's block of IPTC records behind its first marker."""
    body = b"".join(b"\x1c\x02" + struct.pack(">BH", number, len(value)) + value for number, value in records)
    resource = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(body)) + body + b"\0" * (len(body) % 2)
    segment = b"Photoshop 3.0\0" + resource
    return data[:2] + b"\xff\xed" + struct.pack(">H", len(segment) + 2) + segment + data[2:]


def test_exif_says_when_and_where() -> None:
    facts = photo_facts(jpeg(exif=exif()))
    assert facts == PhotoFacts(
        taken=datetime(2024, 5, 17, 16, 20, 1),
        place="41.889 N, 12.470 E",
        keywords=("family", "garden"),
        description="written by the camera",
        camera="Canon EOS 5D",
        coordinates=(41.889, 12.47),
        descriptions=(("written by the camera", ""),),
    )


@pytest.mark.parametrize("kind", ["jpeg", "webp", "tiff", "png"])
def test_xmp_says_who_and_what(kind: str) -> None:
    buffer = BytesIO()
    picture = Image.new("RGB", (16, 16), "red")
    if kind == "png":
        from PIL.PngImagePlugin import PngInfo

        chunk = PngInfo()
        chunk.add_itxt("XML:com.adobe.xmp", XMP)
        picture.save(buffer, "png", pnginfo=chunk)
    elif kind == "tiff":
        picture.save(buffer, "tiff", tiffinfo={700: XMP.encode()})
    else:
        picture.save(buffer, kind, xmp=XMP.encode())
    facts = photo_facts(buffer.getvalue())
    assert facts.people == ("Anna Rossi", "Ben Weiß")
    assert facts.keywords == ("wedding",), "who is on it is no keyword"
    assert facts.place == "Trastevere, Rome, Italy"
    assert facts.description == "The couple at the fountain"


def test_names_win_over_coordinates_and_people_over_cameras() -> None:
    facts = photo_facts(jpeg(exif=exif(), xmp=XMP.encode()))
    assert facts.place == "Trastevere, Rome, Italy"
    assert facts.description == "The couple at the fountain"
    assert facts.keywords == ("wedding", "family", "garden")


def test_iptc_is_read_in_both_its_alphabets() -> None:
    records = [(25, b"beach"), (25, "Möwe".encode()), (90, "Málaga".encode("latin-1")), (120, b"gulls")]
    facts = photo_facts(with_iptc(jpeg(), records))
    assert (facts.keywords, facts.place, facts.description) == (("beach", "Möwe"), "Málaga", "gulls")


def test_a_pillow_image_tells_too_and_an_array_nothing() -> None:
    with Image.open(BytesIO(jpeg(exif=exif()))) as image:
        assert photo_facts(image).taken == datetime(2024, 5, 17, 16, 20, 1)
    assert photo_facts(np.zeros((4, 4, 3), np.uint8)) == PhotoFacts()
    assert photo_facts(jpeg()) == PhotoFacts()
    with pytest.raises(ImageUnreadable):
        photo_facts(b"no picture")


def test_damage_costs_only_the_facts() -> None:
    wrong = exif()
    wrong.get_ifd(0x8769)[0x9003] = "0000:00:00 00:00:00"
    wrong.get_ifd(0x8825)[2] = (400.0, 0.0, 0.0)
    facts = photo_facts(jpeg(exif=wrong, xmp=XMP.encode()[:400]))
    assert (facts.taken, facts.place, facts.people) == (None, "", ())
    assert facts.description == "written by the camera"


def test_a_swelling_packet_is_left_out() -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">]>' + XMP.partition("?>")[2].replace("Rome", "&a;")
    assert photo_facts(jpeg(xmp=bomb.encode())) == PhotoFacts()
    long = photo_facts(jpeg(xmp=XMP.replace("wedding", "x" * 5000).encode()))
    assert long.keywords == ("x" * 300,)


def test_a_sidecar_goes_before_what_is_embedded() -> None:
    beside = XMP.replace("The  couple\n at the fountain", "corrected").replace("Rome", "Roma")
    beside = beside.replace("core:Location", 'photoshop:CaptionWriter="Anna" core:Location')
    facts = photo_facts(jpeg(exif=exif(), xmp=XMP.encode()), sidecar=beside.encode())
    assert (facts.description, facts.writer, facts.place) == ("corrected", "Anna", "Trastevere, Roma, Italy")
    assert photo_facts(jpeg(xmp=XMP.encode()), sidecar=b"<torn").description == "The couple at the fountain"
    assert photo_facts(with_iptc(jpeg(), [(122, b"Ben")])).writer == "Ben"


@pytest.mark.parametrize(
    ("sides", "expected"),
    [(("N", "W"), (41.889, -12.47)), (("S", "E"), (-41.889, 12.47)), (("S", "W"), (-41.889, -12.47))],
)
def test_south_and_west_are_below_zero(sides: tuple[str, str], expected: tuple[float, float]) -> None:
    told = exif()
    gps = told.get_ifd(0x8825)
    gps[1], gps[3] = sides
    assert photo_facts(jpeg(exif=told)).coordinates == expected


def test_a_camera_has_its_makers_name_once() -> None:
    told = exif()
    told[0x010F], told[0x0110] = "SONY", "ILCE-7M3"
    assert photo_facts(jpeg(exif=told)).camera == "SONY ILCE-7M3"


def test_what_cameras_write_on_every_photograph_is_no_description() -> None:
    told = exif()
    for words in ("OLYMPUS DIGITAL CAMERA         ", "Sony DSC", "DCIM\\100MEDIA\\DJI_0001.JPG", "default"):
        told[0x010E] = words
        assert photo_facts(jpeg(exif=told)).description == "", words
    told[0x010E] = "Our digital camera"
    assert photo_facts(jpeg(exif=told)).description == "Our digital camera"


def test_an_empty_iptc_field_costs_nothing() -> None:
    facts = photo_facts(with_iptc(jpeg(), [(25, b"beach"), (25, b""), (120, b"")]))
    assert (facts.keywords, facts.description) == (("beach",), "")


def test_every_description_is_told_whole_with_its_writer() -> None:
    beside = XMP.replace("The  couple\n at the fountain", "by hand").replace(
        "core:Location", 'photoshop:CaptionWriter="Anna" core:Location'
    )
    data = with_iptc(jpeg(exif=exif(), xmp=XMP.encode()), [(120, b"gull " * 100), (122, b"Ben")])
    facts = photo_facts(data, sidecar=beside.encode())
    assert facts.descriptions == (
        ("by hand", "Anna"),
        ("The couple at the fountain", ""),
        (" ".join(["gull"] * 100), "Ben"),
        ("written by the camera", ""),
    )
    assert len(photo_facts(with_iptc(jpeg(), [(120, b"gull " * 100)])).description) == 300


def test_a_sidecar_says_when_where_and_with_what_camera() -> None:
    head = 'xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
    told = (
        'exif:DateTimeOriginal="2020-05-01T10:00:00+02:00" exif:GPSLatitude="33,51.5S" exif:GPSLongitude="151,12,30E" '
    )
    beside = XMP.replace('photoshop:City="Rome"', f'{head}{told}tiff:Make="NIKON" tiff:Model="D750"')
    facts = photo_facts(jpeg(exif=exif()), sidecar=beside.encode())
    assert (facts.taken, facts.camera) == (datetime(2020, 5, 1, 10), "NIKON D750")
    assert facts.coordinates == (-33.858333, 151.208333)
    within = photo_facts(jpeg(exif=exif(), xmp=beside.encode()))
    assert (within.taken, within.camera) == (datetime(2024, 5, 17, 16, 20, 1), "Canon EOS 5D"), "the camera goes before"
    created = XMP.replace('photoshop:City="Rome"', 'photoshop:DateCreated="2019-12-24"')
    assert photo_facts(jpeg(), sidecar=created.encode()).taken == datetime(2019, 12, 24)
    wrong = beside.replace("33,51.5S", "190,0N").replace("2020-05-01T10:00:00+02:00", "2020")
    assert photo_facts(jpeg(), sidecar=wrong.encode()).coordinates is None
    assert photo_facts(jpeg(), sidecar=wrong.encode()).taken is None


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_packets_are_read_in_every_unicode(encoding: str) -> None:
    beside = '<?xml version="1.0"?>' + XMP.partition("?>\n")[2].replace("fountain", "Gänseliesel") + "\n"
    if encoding == "utf-16":
        beside = beside.replace("?>", ' encoding="UTF-16"?>', 1)
    facts = photo_facts(jpeg(), sidecar=beside.encode(encoding))
    assert facts.description == "The couple at the Gänseliesel"
    bomb = ('<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">]>' + XMP.partition("?>")[2].replace("Rome", "&a;")).encode(encoding)
    assert photo_facts(jpeg(), sidecar=bomb) == PhotoFacts()
