"""The web page in a real browser: what people do with it by mouse, by keyboard and by what a screen reader reads.

Needs Chromium (Debian: chromium) and Playwright; without them the file is skipped.
"""

from __future__ import annotations

import base64
import json
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from real_servers import http

import seesay
from seesay.images.metadata import PhotoFacts
from seesay.library import Library
from seesay.library.scan import FoundFile
from seesay.library.store import ContentTold, ItemTold, Wants
from seesay.server.keys import Key

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

Serve = Callable[..., str]
Page = Any
Visit = Callable[..., Page]
DEMO = Path(seesay.__file__).with_name("builtin")
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=CHROMIUM)
        yield opened
        opened.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Visit]:
    """Opens pages. At the end none of them has had an error, or asked another host for anything."""
    contexts, problems, asked = [], [], []

    def visit(url: str, *, ready: bool = True, **options: Any) -> Page:
        context = browser.new_context(**{"viewport": DESK, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda said: said.type == "error" and problems.append(said.text))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)
        if ready:
            page.locator("#model:not(:empty)").wait_for(state="attached")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert [one for one in problems if "status of 4" not in one] == []
    foreign = [one for one in asked if not one.startswith(("http://127.0.0.1:", "blob:", "data:"))]
    assert foreign == []


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return tmp_path / "library.db"


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    folder.mkdir()
    for name in ("astronaut", "cat", "coffee", "rocket"):
        shutil.copy(DEMO / f"{name}.jpg", folder)
    return folder


@pytest.fixture
def filled(serve: Serve, album: Path, library: Path) -> str:
    """A server whose library holds the demo photographs, with captions by a person and dates; its model searches by
    words alone, since a random one's vectors find anything."""
    url = serve("caption", library=library)
    index(url, album)
    for one in http.get(f"{url}/v1/library/photos").json()["photos"]:
        said = {"caption": f"A photograph of the {one['name'].removesuffix('.jpg')}"}
        http.put(f"{url}/v1/library/photos/{one['item']}/caption", json=said)
    with sqlite3.connect(library) as database:
        database.execute(
            "UPDATE contents SET taken = '2024-05-0' || id || 'T10:00:00', camera = 'Leica M' WHERE id < 3"
        )
    database.close()
    return url


def index(url: str, folder: Path) -> None:
    assert http.post(f"{url}/v1/library/index", json={"folders": [str(folder)]}).status_code == 202
    while http.get(f"{url}/v1/library/index").json()["running"]:
        time.sleep(0.02)


def choose(page: Page, *names: str) -> None:
    page.set_input_files("#files", [DEMO / f"{name}.jpg" for name in names])
    page.locator(".tile.done").nth(len(names) - 1).wait_for(state="attached")


def tiles(page: Page) -> list[str]:
    """Alternative texts of the grid's photographs."""
    return [one.get_attribute("alt") for one in page.locator(".grid img").all()]


def button(page: Page, name: str) -> Any:
    return page.get_by_role("button", name=name, exact=True)


# ------------------------------------------------------------------------------------------------------------ describe


def test_a_photograph_is_captioned_copied_explained_and_asked_about(serve: Serve, visit: Visit, tmp_path: Path) -> None:
    page = visit(serve("full"), permissions=["clipboard-read", "clipboard-write"])
    cat = Path(shutil.copy(DEMO / "cat.jpg", tmp_path / "cat #1? (best).jpg"))
    page.set_input_files("#files", [cat])
    page.locator(".tile.done").wait_for(state="attached")
    caption = page.locator(".caption").inner_text()
    assert page.locator("#describe .picture").get_attribute("alt") == caption
    assert page.locator(".way").count() >= 2
    for name, expected in (
        ("Alt text", caption),
        ("HTML", f'<img src="cat%20%231%3F%20(best).jpg" alt="{caption}">'),
        ("Markdown", f"![{caption}](cat%20%231%3F%20%28best%29.jpg)"),
    ):
        button(page, name).click()
        page.get_by_role("status").get_by_text(f"{name} copied").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == expected

    button(page, "Where each word looked").click()
    page.locator(".word").first.focus()
    page.locator(".heat.shown").wait_for()
    drawn = "it => it.getContext('2d').getImageData(0, 0, it.width, it.height).data.some((value) => value > 100)"
    assert page.locator("#describe .heat").evaluate(drawn)
    assert " ".join(page.locator(".word").all_inner_texts()) == caption

    page.get_by_label("Ask about it").fill("is it a cat")
    page.keyboard.press("Enter")
    page.locator(".answers dd").wait_for()
    assert page.locator(".answers dt").inner_text() == "is it a cat"


def test_what_the_model_cannot_do_is_a_sentence(serve: Serve, visit: Visit) -> None:
    page = visit(serve("caption"))
    choose(page, "cat")
    page.get_by_text("caption cannot answer questions. One that can: seesay serve --model blip-vqa-base").wait_for()
    assert page.locator("#question").count() == 0


def test_dropped_and_pasted_photographs_come_in_and_other_files_do_not(serve: Serve, visit: Visit) -> None:
    page = visit(serve("caption"))
    send = """([kind, files]) => {
        const data = new DataTransfer();
        for (const [name, type, bytes] of files)
            data.items.add(new File([Uint8Array.from(atob(bytes), (one) => one.charCodeAt(0))], name, {type}));
        document.body.dispatchEvent(kind === "drop"
            ? new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true})
            : new ClipboardEvent("paste", {clipboardData: data, bubbles: true, cancelable: true}));
    }"""
    photo = base64.b64encode((DEMO / "coffee.jpg").read_bytes()).decode()
    broken = base64.b64encode(b"no picture at all").decode()
    page.evaluate(send, ["drop", [["b.jpg", "image/jpeg", photo], ["notes.txt", "text/plain", broken]]])
    page.locator(".tile.done").wait_for(state="attached")
    page.evaluate(send, ["paste", [["broken.png", "image/png", broken]]])
    page.locator(".tile.failed").wait_for()
    assert page.locator(".tile").count() == 2
    assert "picture" in page.get_by_role("alert").inner_text().lower()


def test_an_edited_caption_is_saved_to_the_library(serve: Serve, library: Path, visit: Visit) -> None:
    url = serve("full", library=library)
    page = visit(url)
    page.get_by_role("button", name="Try the coffee").click()
    page.locator(".tile.done").wait_for(state="attached")
    button(page, "Edit").click()
    page.get_by_label("Caption").fill("An espresso on a red saucer")
    page.keyboard.press("Enter")
    page.get_by_text("Written by you").wait_for()
    assert page.evaluate("document.activeElement.textContent") == "Edit"  # focus is where it was
    button(page, "Save to the library").click()
    page.get_by_role("link", name="In your library").click()
    page.locator("dialog.viewer .caption", has_text="An espresso on a red saucer").wait_for()
    [one] = http.get(f"{url}/v1/library/photos").json()["photos"]
    assert (one["name"], one["edited"]) == ("coffee.jpg", True)


def test_many_are_described_and_walked_through_by_keys(serve: Serve, visit: Visit) -> None:
    page = visit(serve("caption"))
    choose(page, "rocket", "cat", "coffee")  # shown by name
    current = page.locator(".tile[aria-current]")
    assert current.inner_text().startswith("cat.jpg: ")
    current.focus()
    page.keyboard.press("End")
    assert page.locator(".tile[aria-current]").inner_text().startswith("rocket.jpg: ")
    with page.expect_download() as download:
        button(page, "CSV of all").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["path", "cat.jpg", "coffee.jpg", "rocket.jpg"]


# ------------------------------------------------------------------------------------------------------------- library


def test_a_folder_is_indexed_from_the_page(serve: Serve, album: Path, library: Path, visit: Visit) -> None:
    page = visit(f"{serve('caption', library=library)}/#/library")
    button(page, "Add photographs").click()
    page.get_by_label("A folder on this computer").fill(str(album))
    button(page, "Index").click()
    page.locator(".count", has_text="4 photographs").wait_for()
    assert len(tiles(page)) == 4
    page.locator(".grid img.there").nth(3).wait_for()


def test_search_says_why_and_filters_filter(filled: str, visit: Visit) -> None:
    page = visit(f"{filled}/#/library")
    page.locator(".grid li").nth(3).wait_for()
    page.get_by_role("searchbox").press_sequentially("coffe", delay=10)  # as one types: not found yet
    page.get_by_role("searchbox").press_sequentially("e")
    page.locator(".count", has_text="1 of 4 photographs").wait_for()
    page.locator(".grid a").first.click()
    why = page.locator("dialog .block", has_text="Why it was found")
    why.get_by_text("coffee in the caption").wait_for()
    why.get_by_text("coffee in its name").wait_for()
    page.keyboard.press("Escape")

    page.get_by_role("searchbox").fill("")
    page.locator(".grid li").nth(3).wait_for()
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("Camera").select_option("Leica M")
    page.locator(".count", has_text="2 photographs").wait_for()
    page.get_by_label("From").fill("2024-05-02")
    page.locator(".count", has_text="1 photograph").wait_for()
    page.get_by_label("Until").fill("2024-05-02")  # the day itself counts
    page.wait_for_timeout(400)
    assert page.locator(".count").inner_text() == "1 photograph"
    assert button(page, "Filters (3)").count() == 1
    button(page, "Clear").click()
    page.locator(".count", has_text="4 photographs").wait_for()


def test_the_last_words_are_those_that_are_answered(serve: Serve, filled: str, library: Path, visit: Visit) -> None:
    """However late the model and the answers to earlier words are."""
    assert filled
    page = visit(f"{serve('full', library=library)}/#/library")
    late: list[Any] = []
    page.clock.install()  # nothing is typed too late, or too early, for what the test is about
    page.route("**/v1/library/model", lambda route: late.append(route))
    page.reload()
    page.locator(".grid li").nth(3).wait_for()
    words = page.get_by_role("searchbox")
    words.fill("coffee")
    page.clock.run_for(1000)  # read again as soon as the model is known
    page.locator(".grid img[alt*='coffee']").wait_for()
    page.route("**/v1/search", lambda route: late.append(route))
    words.fill("astronaut")
    page.clock.run_for(200)
    while len(late) < 2:
        page.wait_for_timeout(10)
    page.unroute("**/v1/search")
    words.fill("rocket")
    page.clock.run_for(200)
    page.locator(".grid img[alt*='rocket']").wait_for()
    model, older = late
    older.continue_()
    with page.expect_response("**/v1/search") as answer:
        model.continue_()
    assert answer.value.request.post_data_json["text"] == "rocket"
    page.wait_for_load_state("networkidle")
    assert tiles(page) == ["A photograph of the rocket"]


def test_a_photograph_that_closes_takes_no_key_from_whoever_types(filled: str, visit: Visit) -> None:
    page = visit(f"{filled}/#/library")
    page.locator(".grid a").first.click()
    page.locator("dialog .caption").wait_for()
    # The browser tells that a dialog was closed a frame later: by then the focus may be elsewhere.
    page.evaluate(
        """() => new Promise((told) => {
            const dialog = document.querySelector("dialog.viewer");
            dialog.addEventListener("close", () => setTimeout(told));
            dialog.close();
            document.getElementById("words").focus();
        })"""
    )
    assert page.evaluate("document.activeElement.id") == "words"


def test_a_caption_is_edited_undone_and_restored(filled: str, visit: Visit) -> None:
    page = visit(f"{filled}/#/library")
    page.locator(".grid a").first.click()
    dialog = page.locator("dialog.viewer")
    before = dialog.locator(".caption").inner_text()
    button(dialog, "Edit").click()
    dialog.get_by_label("Caption").fill("Another   one")
    button(dialog, "Save").click()
    dialog.locator(".caption", has_text="Another one").wait_for()
    dialog.get_by_role("status").get_by_text("Saved").wait_for()  # over the photograph, not behind it
    assert tiles(page)[0] == "Another one"
    dialog.get_by_text("History (3)").click()
    assert dialog.locator(".history li").count() == 3
    button(dialog, "Undo").click()
    dialog.locator(".caption", has_text=before).wait_for()
    dialog.get_by_text("History (3)").click()
    button(dialog, "Restore: Another one").click()
    dialog.locator(".caption", has_text="Another one").wait_for()
    button(dialog, "Edit").click()
    dialog.get_by_label("Caption").fill("never")
    page.keyboard.press("Escape")  # leaves the field, not the photograph
    assert dialog.locator(".caption").inner_text() == "Another one"
    assert dialog.is_visible()


def test_captions_are_exported(filled: str, visit: Visit) -> None:
    page = visit(f"{filled}/#/library")
    page.locator(".grid li").nth(3).wait_for()
    for name, file in (("CSV", "captions.csv"), ("JSON lines", "captions.jsonl"), ("XMP", "side-cars.zip")):
        button(page, "Export").click()
        with page.expect_download() as download:
            page.get_by_role("link", name=name).click()
        assert download.value.suggested_filename == file
        assert Path(download.value.path()).stat().st_size > 100
        page.locator("dialog.sheet").wait_for(state="detached")
    page.get_by_role("searchbox").fill("rocket")
    page.locator(".count", has_text="1 of 4").wait_for()
    button(page, "Export").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="JSON lines").click()
    [line] = Path(download.value.path()).read_text().splitlines()  # what was found, no more
    assert json.loads(line)["caption"] == "A photograph of the rocket"


def test_the_library_is_used_by_keyboard_alone(filled: str, visit: Visit) -> None:
    page = visit(f"{filled}/#/library")
    page.locator(".grid li").nth(3).wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.get_by_role("searchbox").focus()
    for _ in range(4):  # filters, add, export, and the grid: one stop, however many photographs
        page.keyboard.press("Tab")
    focused = "document.activeElement.querySelector('img')?.alt"
    assert page.evaluate(focused) == tiles(page)[0]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("End")
    assert page.evaluate(focused) == tiles(page)[3]
    page.keyboard.press("Enter")
    dialog = page.locator("dialog.viewer")
    dialog.locator(".caption", has_text=tiles(page)[3]).wait_for()
    page.keyboard.press("ArrowLeft")
    dialog.locator(".caption", has_text=tiles(page)[2]).wait_for()
    page.keyboard.press("Escape")
    # Back in the grid, on the photograph that was looked at.
    page.locator(f'a:focus img[alt="{tiles(page)[2]}"]').wait_for()


def test_a_server_with_keys_asks_for_one(serve: Serve, visit: Visit) -> None:
    url = serve("caption", keys=(Key.of("me", "a secret of 20 letters"),))
    page = visit(url, ready=False)
    page.get_by_role("textbox", name="Key").fill("a secret of 20 letters")
    button(page, "Go on").click()
    choose(page, "cat")
    assert page.locator(".caption").inner_text()


# ------------------------------------------------------------------------------------------------------- ten thousand


def many(library: Path, album: Path, count: int) -> None:
    """Records of `count` photographs, all links to a few files, a day between each."""
    originals = sorted(album.iterdir())
    folder = album.with_name("many")
    folder.mkdir()
    found = []
    for number in range(count):
        path = folder / f"{number}.jpg"
        path.hardlink_to(originals[number % 4])
        found.append((FoundFile(path, "photo", number, number), f"{number:064}"))
    with Library(library) as opened:
        registered = opened.register(found, Wants("m"), retry=False)
        first = datetime(1999, 1, 1)
        opened.tell(
            ContentTold(
                one.content.id,
                facts=PhotoFacts(first + timedelta(days=number)),
                items=(ItemTold(caption=f"photograph {number}"),),
                captioned_by="m",
            )
            for number, one in enumerate(registered)
        )


FRAMES = """async (step) => {
    const most = [], top = scrollY;
    while (most.length < 25) {
        scrollBy(0, step);
        await new Promise(requestAnimationFrame);
        most.push(document.querySelectorAll(".grid li").length);
    }
    return {frames: most.length, most: Math.max(...most), at: scrollY - top};
}"""


def spent(session: Any) -> float:
    """Seconds of the page's own work: its scripts, its styles and its layout."""
    told = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return float(told["ScriptDuration"] + told["LayoutDuration"] + told["RecalcStyleDuration"])


def test_ten_thousand_thumbnails_scroll(serve: Serve, album: Path, library: Path, visit: Visit) -> None:
    many(library, album, 10_000)
    page = visit(f"{serve('caption', library=library)}/#/library")
    page.locator(".count", has_text="10,000 photographs").wait_for()
    page.locator(".grid img.there").first.wait_for()
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})  # of the processor, whatever else is at work
    before = spent(session)
    moving = page.evaluate(FRAMES, 400)
    assert (spent(session) - before) / moving["frames"] < 0.010  # seconds, of the 0.016 that a smooth frame may take
    assert moving["at"] == 400 * moving["frames"]
    assert moving["most"] < 150  # of 10,000
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    last = page.get_by_role("link", name="photograph 0", exact=True)
    last.locator("img.there").wait_for()
    assert page.locator(".grid li").last.get_attribute("aria-posinset") == "10000"
    page.locator(".grid a[tabindex='0'], .grid a").last.focus()
    page.keyboard.press("Home")
    assert page.evaluate("document.activeElement.querySelector('img').alt") == "photograph 9999"


# -------------------------------------------------------------------------------------------------------- for everyone


@pytest.mark.parametrize(("size", "scheme"), [(DESK, "light"), (PHONE, "dark")], ids=["desk-light", "phone-dark"])
@pytest.mark.usefixtures("filled")
def test_nothing_is_in_the_way_of_anybody(
    serve: Serve, library: Path, visit: Visit, size: dict[str, int], scheme: str
) -> None:
    """axe-core finds no violation, in any state of the page; and nothing is wider than the window."""
    looks = {"viewport": size, "has_touch": size == PHONE, "color_scheme": scheme, "reduced_motion": "reduce"}
    page = visit(serve("full", library=library), bypass_csp=True, **looks)
    check(page, "welcome")
    choose(page, "cat", "rocket")
    button(page, "Where each word looked").click()
    page.locator(".word").first.click()
    page.get_by_label("Ask about it").fill("is it a cat")
    page.keyboard.press("Enter")
    page.locator(".answers dd").wait_for()
    button(page, "Alt text").click()
    said, tray = page.locator(".toast.shown").bounding_box(), page.locator(".tray").bounding_box()
    assert said["y"] + said["height"] <= tray["y"], "what is said hides what can be pressed"
    check(page, "described")
    button(page, "Edit").click()
    check(page, "edited")
    page.get_by_role("link", name="Library", exact=True).click()
    page.locator(".grid img.there").nth(3).wait_for()
    page.get_by_role("button", name="Filters").click()
    check(page, "library")
    button(page, "Export").click()
    check(page, "export")
    page.keyboard.press("Escape")
    button(page, "Add").click()
    check(page, "add")
    page.keyboard.press("Escape")
    page.get_by_role("searchbox").fill("rocket")
    page.locator(".count", has_text="of 4").wait_for()
    page.locator(".grid a").first.click()
    page.get_by_text("History (2)").click()
    check(page, "viewer")


def check(page: Page, state: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    told = [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found]
    assert told == [], state
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), state
