"""The library's own endpoints: what they list, show, change, take in and give out, and what they refuse."""

from __future__ import annotations

import io
import json
import shutil
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from PIL import Image
from real_servers import http, picture

import seesay
from seesay.server.keys import Key

Serve = Callable[..., str]
DEMO = Path(seesay.__file__).with_name("builtin")
NAMES = ("astronaut", "cat", "coffee", "rocket")


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    folder.mkdir()
    for name in NAMES:
        shutil.copy(DEMO / f"{name}.jpg", folder)
    return folder


def index(url: str, *folders: Path, **more: object) -> dict[str, object]:
    """Index folders, and what came of it."""
    answer = http.post(f"{url}/v1/library/index", json={"folders": [str(one) for one in folders]}, **more)  # type: ignore[arg-type]
    assert answer.status_code == 202, answer.text
    while (told := http.get(f"{url}/v1/library/index", **more).json())["running"]:  # type: ignore[arg-type]
        time.sleep(0.02)
    return told  # type: ignore[no-any-return]


def names(url: str, **filters: object) -> list[str]:
    return [one["name"] for one in http.get(f"{url}/v1/library/photos", params=filters).json()["photos"]]  # type: ignore[arg-type]


@pytest.fixture
def filled(serve: Serve, album: Path, tmp_path: Path) -> str:
    url = serve(library=tmp_path / "library.db")
    told = index(url, album)
    assert (told["became"], told["error"]) == ({"indexed": 4}, "")
    return url


def test_a_library_that_is_not_there_is_no_error(serve: Serve) -> None:
    url = serve("caption")
    about = http.get(f"{url}/v1/library").json()
    assert (about["there"], about["photos"], about["may_change"], about["may_index"]) == (False, 0, True, True)
    assert http.get(f"{url}/v1/library/photos").status_code == 404
    told = http.get(f"{url}/v1/library/model").json()
    assert set(told["capabilities"]) == {"caption", "explain"}
    assert told["cannot"]["ask"] == "caption cannot answer questions. One that can: seesay serve --model blip-vqa-base"


def test_a_folder_is_indexed_listed_and_shown(filled: str, album: Path) -> None:
    about = http.get(f"{filled}/v1/library").json()
    assert (about["photos"], about["folders"]) == (4, [str(album)])
    assert sorted(names(filled)) == [f"{name}.jpg" for name in NAMES]
    assert names(filled, offset=1, limit=2) == names(filled)[1:3]
    assert names(filled, camera="Canon") == []
    one = http.get(f"{filled}/v1/library/photos").json()["photos"][0]
    assert names(filled, items=str(one["item"])) == [one["name"]]
    address = f"{filled}/v1/library/photos/{one['item']}"
    small = http.get(f"{address}/thumbnail?side=128")
    assert max(Image.open(io.BytesIO(small.content)).size) == 128
    assert "immutable" in small.headers["cache-control"]
    assert http.get(f"{address}/thumbnail?side=128").content == small.content  # from the cache
    original = http.get(f"{address}/original")
    assert original.content == (album / one["name"]).read_bytes()
    assert original.headers["cross-origin-resource-policy"] == "same-origin"
    with Image.open(album / one["name"]) as file:
        assert Image.open(io.BytesIO(http.get(f"{address}/picture").content)).size == file.size
    assert http.get(f"{filled}/v1/library/photos/999").status_code == 404
    for part in ("", "/thumbnail", "/picture", "/original"):
        assert http.get(f"{filled}/v1/library/photos/{'9' * 30}{part}").status_code == 400


def test_a_caption_is_edited_found_and_undone(filled: str) -> None:
    [one, *_] = http.get(f"{filled}/v1/library/photos").json()["photos"]
    address = f"{filled}/v1/library/photos/{one['item']}/caption"
    told = http.put(address, json={"caption": "Grandmother's zeppelin"}).json()
    assert (told["caption"], told["author"], told["edited"], len(told["versions"])) == (
        *("Grandmother's zeppelin", "", True),
        2,
    )
    hits = http.post(f"{filled}/v1/search", json={"text": "zeppelin", "rerank": 0}).json()["hits"]
    assert hits[0]["item"] == one["item"]
    back = http.post(f"{address}/undo").json()
    assert (back["caption"], back["edited"]) == (one["caption"], False)
    again = http.post(f"{address}/undo", json={"version": told["versions"][0]["id"]}).json()
    assert again["caption"] == "Grandmother's zeppelin"
    assert http.put(address, json={"caption": " "}).status_code == 400
    assert http.post(f"{address}/undo", json={"version": 10**30}).status_code == 400


def test_uploads_are_kept_once_under_a_name_that_leads_nowhere_else(serve: Serve, tmp_path: Path) -> None:
    url = serve(library=tmp_path / "deep" / "library.db")

    def upload(data: bytes, name: str) -> httpx2.Response:
        head = {"Content-Type": "image/png"}
        return http.post(f"{url}/v1/library/photos", params={"name": name}, content=data, headers=head)

    first = upload(picture(1), "../../../etc/evil name.png").json()["item"]
    assert upload(picture(1), "again.png").json()["item"] == first  # the same bytes
    upload(picture(2), "evil name.png")
    upload(picture(3), "..")
    folder = tmp_path / "deep" / "library-photos"
    assert sorted(path.name for path in folder.iterdir()) == ["evil name 2.png", "evil name.png", "photograph.png"]
    assert (folder / "evil name.png").read_bytes() == picture(1)
    assert upload(b"no picture", "a.png").status_code == 422
    assert http.get(f"{url}/v1/library").json()["photos"] == 3


@pytest.mark.parametrize("links", [True, False])
def test_names_of_uploads_are_as_long_as_a_disk_allows(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("exFAT knows no links")

    if not links:
        monkeypatch.setattr("os.link", refuse)
    url = serve("caption", library=tmp_path / "library.db")
    head = {"Content-Type": "image/png"}
    for number in (1, 2):
        asked = {"name": f"{'猫' * 200}.png"}
        told = http.post(f"{url}/v1/library/photos", params=asked, content=picture(number), headers=head)
        assert told.status_code == 200
    kept = sorted((tmp_path / "library-photos").iterdir())
    assert [path.read_bytes() for path in kept] == [picture(2), picture(1)]
    assert kept[0].name == f"{'猫' * 66} 2.png"
    monkeypatch.setattr("seesay.server.photos._name", refuse)
    assert http.post(f"{url}/v1/library/photos", content=picture(3), headers=head).status_code == 500
    assert sorted((tmp_path / "library-photos").iterdir()) == kept


def test_exports_are_files(filled: str, album: Path) -> None:
    def exported(**wanted: str) -> httpx2.Response:
        return http.get(f"{filled}/v1/library/export", params=wanted)

    table = exported(format="csv")
    assert table.headers["content-disposition"] == 'attachment; filename="captions.csv"'
    assert len(table.text.splitlines()) == 5
    [item] = [one["item"] for one in http.get(f"{filled}/v1/library/photos?limit=1").json()["photos"]]
    [line] = exported(format="jsonl", items=str(item)).text.splitlines()
    assert json.loads(line)["path"].startswith(str(album))
    assert len(exported(format="coco").json()["annotations"]) == 4
    with zipfile.ZipFile(io.BytesIO(exported(format="xmp").content)) as archive:
        assert sorted(archive.namelist()) == [f"album/{name}.jpg.xmp" for name in NAMES]
    assert exported(format="csv", items="1;DROP").status_code == 400
    assert exported(format="exe").status_code == 400


def test_nobody_changes_the_library_of_a_server_that_anybody_may_ask(serve: Serve, album: Path, tmp_path: Path) -> None:
    place = tmp_path / "library.db"
    index(serve(library=place), album)
    url = serve(library=place, local=False)
    about = http.get(f"{url}/v1/library").json()
    assert (about["photos"], about["may_change"], about["may_index"], about["folders"]) == (4, False, False, [])
    body = {"caption": "mine"}
    assert http.put(f"{url}/v1/library/photos/1/caption", json=body).status_code == 403
    assert http.post(f"{url}/v1/library/photos", content=picture(1)).status_code == 403
    assert http.post(f"{url}/v1/library/index", json={"folders": [str(album)]}).status_code == 403


def test_whoever_has_a_key_edits_but_names_no_folders_of_the_server(serve: Serve, album: Path, tmp_path: Path) -> None:
    place, secret = tmp_path / "library.db", "x" * 20
    index(serve(library=place), album)
    url = serve(library=place, local=False, keys=(Key.of("me", secret),))
    assert http.get(f"{url}/v1/library/photos").status_code == 401
    cookie = {"Cookie": f"seesay-key={secret}"}
    edited = http.put(f"{url}/v1/library/photos/1/caption", json={"caption": "mine"}, headers=cookie)
    assert edited.json()["caption"] == "mine"
    assert http.post(f"{url}/v1/library/index", json={"folders": ["/etc"]}, headers=cookie).status_code == 403


def test_what_is_no_folder_is_refused_and_a_broken_photograph_costs_itself(filled: str, album: Path) -> None:
    for folder in ("relative", str(album / "nowhere"), str(album / "cat.jpg"), "~nosuchuser/x", f"/{'x' * 5000}"):
        assert http.post(f"{filled}/v1/library/index", json={"folders": [folder]}).status_code == 400
    (album / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    (album / "new.png").write_bytes(picture(5))
    told = index(filled)  # those of before
    assert told["became"] == {"known": 4, "failed": 1, "indexed": 1}
    assert http.get(f"{filled}/v1/library").json()["failed"] == 1


def test_captions_are_told_while_a_folder_is_indexed(serve: Serve, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(16):
        (folder / f"{number}.png").write_bytes(picture(number))
    url = serve(library=tmp_path / "library.db")
    assert http.post(f"{url}/v1/library/index", json={"folders": [str(folder)]}).status_code == 202
    head = {"Content-Type": "image/png"}
    assert http.post(f"{url}/v1/caption", content=picture(100), headers=head).status_code == 200
    told = http.get(f"{url}/v1/library/index").json()
    assert told["done"] < 16  # the caption did not wait for all
    assert http.post(f"{url}/v1/library/index", json={"folders": [str(folder)]}).status_code == 400
    while http.get(f"{url}/v1/library/index").json()["running"]:
        time.sleep(0.02)
    assert http.get(f"{url}/v1/library").json()["photos"] == 16


@pytest.mark.skipif(sys.platform == "win32", reason="open files cannot be deleted there")
def test_a_file_that_is_gone_says_so(filled: str, album: Path) -> None:
    [one, *_] = http.get(f"{filled}/v1/library/photos").json()["photos"]
    (album / one["name"]).unlink()
    for part in ("original", "picture"):
        assert http.get(f"{filled}/v1/library/photos/{one['item']}/{part}").status_code == 404


def test_examples_are_the_packages_own(serve: Serve) -> None:
    url = serve("caption")
    assert http.get(f"{url}/v1/library/examples/cat").content == (DEMO / "cat.jpg").read_bytes()
    assert http.get(f"{url}/v1/library/examples/config").status_code == 400
