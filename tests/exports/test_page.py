"""The page of a folder of tiles shows the right tile at the right place, moves under every hand, and obeys no stranger."""

import itertools
import json
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser import FLAT, TILESET, Page, chromium, compare, make_flat, served, tiles_of, world

from mapstyle.errors import OutputError
from mapstyle.exports.encoding import TileFormat, encode
from mapstyle.exports.page import PAGE, _json, page, write_page
from mapstyle.exports.tilejson import Tileset
from mapstyle.exports.tiles import open_tiles
from mapstyle.frame import Grid

PAPER = (239, 236, 228)
AT_REST = "document.querySelector('#map').getAttribute('aria-busy') === 'false'"
HOSTILE = (
    "</script></title><script>window.taken = 1</script><img src=x onerror='window.taken = 2'>{{tileset}}\"&amp;<!--"
)


def view(page: Page) -> tuple[float, float, float]:
    """Give zoom, latitude and longitude of the page's own address, once nothing moves."""
    page.wait(AT_REST)
    zoom, lat, lon = page.evaluate("location.hash").removeprefix("#").split("/")
    return float(zoom), float(lat), float(lon)


def moved(page: Page, before: tuple[float, float, float]) -> tuple[float, float, float]:
    """Give the view when it has become another, and nothing moves any more."""
    page.wait(f"{AT_REST} && location.hash.slice(1).split('/').some((v, i) => Number(v) !== {list(before)}[i])")
    return view(page)


def go(page: Page, hash_: str) -> tuple[float, float, float]:
    """Change the address, and give the view when nothing moves any more."""
    page.evaluate(
        f"new Promise((done) => {{ addEventListener('hashchange', done, {{once: true}}); location.hash = '{hash_}'; }}).then(() => 1)"
    )
    return view(page)


def make(folder: Path, tileset: Tileset) -> Path:
    """Write a folder of flat tiles with its page."""
    write_page(make_flat(folder, tileset), tileset)
    return folder


def check(page: Page, tileset: Tileset, seen: tuple[float, float, float], ratio: int = 1, missing: tuple = ()) -> int:
    """Compare the window, but for the panels, with what lies there; gives how many points showed a tile."""
    panels = page.evaluate(
        "[...document.querySelectorAll('.panel')].map((p) => p.getBoundingClientRect())"
        ".map((b) => [b.left - 9, b.top - 9, b.right + 9, b.bottom + 9])"
    )
    tolerance = 3 if tileset.format.kind == "jpeg" else 0
    return compare(page.picture(), tileset, seen, ratio, PAPER, tolerance, missing, panels)


@pytest.fixture(scope="module")
def browser():
    with chromium(*FLAT) as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make(tmp_path_factory.mktemp("page") / "tiles", TILESET)


@pytest.fixture
def shown(browser, folder):
    """The page at its first view, for people who do not want to see motion, so that all is where it goes at once."""
    with browser.page("about:blank") as opened:
        features = [{"name": "prefers-reduced-motion", "value": "reduce"}]
        opened.ask("Emulation.setEmulatedMedia", features=features)
        opened.open((folder / PAGE).as_uri())
        view(opened)
        yield opened
        assert not opened.complaints()


KINDS = {
    "xyz": TILESET,
    "tms": replace(TILESET, scheme="tms"),
    "512": replace(TILESET, tile_size=512, minzoom=9, maxzoom=11, centre=(3.87, 54.61, 10)),
    "@2x": replace(TILESET, pixel_ratio=2),
    "512@2x-tms-webp": replace(
        TILESET, tile_size=512, pixel_ratio=2, scheme="tms", format=TileFormat(kind="webp", lossless=True), maxzoom=11
    ),
    "jpeg": replace(TILESET, format=TileFormat(kind="jpeg")),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_view_shows_each_tile_in_its_place(browser, tmp_path, kind):
    tileset = KINDS[kind]
    folder = make(tmp_path / "tiles", tileset)
    ratio = tileset.pixel_ratio
    with browser.page((folder / PAGE).as_uri(), deviceScaleFactor=ratio) as opened:
        zoom, lat, lon = view(opened)
        assert (zoom, lat, lon) == pytest.approx((tileset.centre[2], 54.61, 3.87), abs=1e-4)
        assert check(opened, tileset, (zoom, lat, lon), ratio) > 300
        assert not opened.complaints()
        assert all(address.startswith(folder.as_uri()) for address in opened.requests())


@pytest.mark.parametrize(
    ("hash_", "ratio"), [("#12/54.62/3.9", 1), ("#10.7/54.6/3.8", 1), ("#11.4/54.55/3.95", 2), ("#14.6/54.61/3.87", 2)]
)
def test_an_address_names_a_view_between_the_levels_and_beyond_the_last(browser, folder, hash_, ratio):
    with browser.page((folder / PAGE).as_uri() + hash_, deviceScaleFactor=ratio) as opened:
        seen = view(opened)
        assert seen == pytest.approx(tuple(float(v) for v in hash_[1:].split("/")), abs=1e-4)
        assert check(opened, TILESET, seen, ratio) > 250
        assert not opened.complaints()


def test_an_address_that_changes_moves_the_map_and_nonsense_does_not(shown):
    before = go(shown, "#12/54.55/3.8")
    assert before == pytest.approx((12, 54.55, 3.8))
    shown.evaluate("location.hash = '#12/x/<script>'")
    assert check(shown, TILESET, before) > 300
    # As near as it gets: the corner, three levels beyond the last.
    assert go(shown, "#99/89/-170") == pytest.approx((15, 54.7, 3.7), abs=1e-4)


def test_nothing_from_outside_is_ever_more_than_text(browser, tmp_path):
    tileset = replace(TILESET, name=HOSTILE, attribution=HOSTILE, description=HOSTILE, provenance=HOSTILE)
    folder = make(tmp_path / "tiles", tileset)
    with browser.page((folder / PAGE).as_uri()) as opened:
        check(opened, tileset, view(opened))
        assert opened.evaluate("document.title") == HOSTILE
        assert opened.evaluate("document.querySelector('h1').textContent") == HOSTILE
        assert opened.evaluate("document.querySelector('#credit').textContent") == HOSTILE
        assert opened.evaluate("typeof window.taken") == "undefined"
        assert opened.evaluate("document.images.length") == 0
        assert not opened.complaints()


def test_no_script_but_its_own_runs_and_nothing_is_sent(shown):
    shown.evaluate(
        "const s = document.createElement('script'); s.textContent = 'window.taken = 1'; document.body.append(s);"
        "document.body.insertAdjacentHTML('beforeend', '<img src=x.png onerror=\"window.taken = 2\">');"
        "new Promise((done) => fetch('https://example.org/').then(() => { window.taken = 3 }, done))"
    )
    assert shown.evaluate("typeof window.taken") == "undefined"
    refused = [told for told in shown.complaints() if "Content Security Policy" in told]
    assert len(refused) >= 3
    shown._events.clear()


def test_a_drag_takes_the_ground_along(shown):
    before = view(shown)
    for kind, x, y in [("mousePressed", 400, 300), ("mouseMoved", 300, 340), ("mouseMoved", 250, 360)]:
        shown.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)
    shown.ask("Input.dispatchMouseEvent", type="mouseReleased", x=250, y=360, button="left", clickCount=1)
    after = moved(shown, before)
    size = 256 * 2 ** before[0]
    assert after[0] == before[0]
    (x0, y0), (x1, y1) = world(before[2], before[1]), world(after[2], after[1])
    assert ((x1 - x0) * size, (y1 - y0) * size) == pytest.approx((150, -60), abs=0.5)
    assert check(shown, TILESET, after) > 300


def test_a_throw_glides_on(browser, folder):
    with browser.page((folder / PAGE).as_uri() + "#12/54.61/3.75") as opened:
        before = view(opened)
        start = time.time()  # by the events' own clock, 40 pixels in 20 milliseconds
        steps = [("mousePressed", 600), *(("mouseMoved", x) for x in (560, 520, 480, 440)), ("mouseReleased", 440)]
        for step, (kind, x) in enumerate(steps):
            opened.ask("Input.dispatchMouseEvent", type=kind, x=x, y=300, button="left", buttons=1, clickCount=1,
                       timestamp=start + step / 50)  # fmt: skip
        after = moved(opened, before)
        gone = (world(after[2], after[1])[0] - world(before[2], before[1])[0]) * 256 * 2 ** before[0]
        assert 160 + 200 < gone < 160 + 400
        assert check(opened, TILESET, after) > 300


def place(page: Page) -> tuple[float, float]:
    """Give latitude and longitude that the page tells, of the cursor where there is one."""
    text = page.evaluate("document.querySelector('#place').textContent")
    north, south_or_north, east, west_or_east = re.fullmatch(r"([\d.]+)° ([NS])\s+([\d.]+)° ([EW])", text).groups()
    return float(north) * (-1) ** (south_or_north == "S"), float(east) * (-1) ** (west_or_east == "W")


def test_the_wheel_zooms_about_the_cursor(shown):
    before = view(shown)
    shown.ask("Input.dispatchMouseEvent", type="mouseMoved", x=650, y=420)
    shown.wait(AT_REST)
    under = place(shown)
    shown.ask("Input.dispatchMouseEvent", type="mouseWheel", x=650, y=420, deltaX=0, deltaY=-120)
    after = moved(shown, before)
    assert after[0] == pytest.approx(before[0] + 0.5)
    assert place(shown) == pytest.approx(under, abs=2e-4)
    assert check(shown, TILESET, after) > 300
    shown.ask("Input.dispatchMouseEvent", type="mouseWheel", x=650, y=420, deltaX=0, deltaY=120)
    assert moved(shown, after) == pytest.approx(before, abs=1e-3)


def test_a_double_click_zooms_about_the_cursor_to_the_next_level(shown):
    before = view(shown)
    shown.ask("Input.dispatchMouseEvent", type="mouseMoved", x=200, y=200)
    shown.wait(AT_REST)
    under = place(shown)
    for count in (1, 2):
        for kind in ("mousePressed", "mouseReleased"):
            shown.ask("Input.dispatchMouseEvent", type=kind, x=200, y=200, button="left", clickCount=count)
    after = moved(shown, before)
    assert after[0] == 12
    assert place(shown) == pytest.approx(under, abs=2e-4)
    assert check(shown, TILESET, after) > 300


def test_two_fingers_zoom_and_move_and_one_goes_on(shown):
    shown.ask("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=5)
    before = view(shown)

    def touch(kind, *points):
        where = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        shown.ask("Input.dispatchTouchEvent", type=kind, touchPoints=where)

    touch("touchStart", (350, 300), (450, 300))
    touch("touchMove", (320, 300), (480, 300))
    touch("touchMove", (300, 300), (500, 300))
    touch("touchEnd")
    after = moved(shown, before)
    assert after == pytest.approx((before[0] + 1, before[1], before[2]), abs=1e-3)
    assert check(shown, TILESET, after) > 300
    touch("touchStart", (400, 300))
    touch("touchMove", (400, 200))
    touch("touchEnd")
    last = moved(shown, after)
    size = 256 * 2 ** after[0]
    assert (world(last[2], last[1])[1] - world(after[2], after[1])[1]) * size == pytest.approx(100, abs=0.5)


def press(page: Page, key: str, text: str = "", **more: int) -> None:
    for kind in ("keyDown", "keyUp"):
        page.ask("Input.dispatchKeyEvent", type=kind, key=key, text=text if kind == "keyDown" else "", **more)


def test_keys_and_buttons_move_and_zoom(shown):
    first = view(shown)
    press(shown, "ArrowRight")
    second = moved(shown, first)
    assert (world(second[2], 0)[0] - world(first[2], 0)[0]) * 256 * 2**11 == pytest.approx(100, abs=0.5)
    press(shown, "+", "+")
    third = moved(shown, second)
    assert third == pytest.approx((12, *second[1:]), abs=1e-4)
    press(shown, "-", "-")
    assert moved(shown, third)[0] == 11
    press(shown, "0", "0")
    assert moved(shown, second) == pytest.approx(first, abs=1e-5)
    shown.evaluate("document.querySelector('#closer').click()")
    fourth = moved(shown, first)
    assert fourth == pytest.approx((12, *first[1:]), abs=1e-4)
    shown.evaluate("document.querySelector('#farther').click()")
    assert moved(shown, fourth) == pytest.approx(first, abs=1e-4)


def test_zoom_ends_where_there_is_nothing_more_to_see(shown):
    seen = view(shown)
    for button, end in (("closer", 15), ("farther", 10)):
        while shown.evaluate(f"document.querySelector('#{button}').getAttribute('aria-disabled')") == "false":
            shown.evaluate(f"document.querySelector('#{button}').click()")
            seen = moved(shown, seen)
        assert seen[0] == end
    assert check(shown, TILESET, seen) > 50


def striped(folder: Path, tileset: Tileset, columns: np.ndarray) -> Path:
    """Write a folder whose tiles all repeat a row of grey values, with its page."""
    side = tileset.tile_size * tileset.pixel_ratio
    grey = np.broadcast_to(np.resize(columns, side).astype(np.uint8)[None, :, None], (side, side, 3))
    with open_tiles(folder, tileset) as sink:
        for level in range(tileset.minzoom, tileset.maxzoom + 1):
            for column, row in itertools.product(*tiles_of(tileset, level)):
                sink.write(level, column, row, encode(grey, tileset.format))
    write_page(folder, tileset)
    return folder


@pytest.mark.parametrize("ratio", [1, 2])
def test_at_its_own_size_a_pixel_of_a_tile_is_a_pixel_of_the_screen(browser, tmp_path, ratio):
    folder = striped(tmp_path / "tiles", replace(TILESET, pixel_ratio=ratio), np.array([0, 255]))
    with browser.page((folder / PAGE).as_uri(), deviceScaleFactor=ratio) as opened:
        view(opened)
        row = opened.picture()[300 * ratio, 250 * ratio : 550 * ratio, 0]
    assert set(row.tolist()) == {0, 255}
    assert (row[1:] != row[:-1]).all()


def test_enlarged_tiles_show_no_edges(browser, tmp_path):
    teeth = np.abs(np.arange(32) - 16) * 15
    folder = striped(tmp_path / "tiles", TILESET, teeth)
    edge = (TILESET.bounds[0] + TILESET.bounds[2]) / 2 // (360 / 2**12) * (360 / 2**12)  # of two tiles, in degrees
    with browser.page((folder / PAGE).as_uri() + f"#15/54.61/{edge:.9f}", width=1000) as opened:
        view(opened)
        row = opened.picture()[300, :, 0].astype(int)
    assert row.max() - row.min() > 200
    assert np.abs(row[350:650] - row[94:394]).max() <= 1, "the edge, in the middle, is as a whole stripe to the left"


def test_a_tile_that_is_missing_is_plain_paper(browser, tmp_path):
    folder = make(tmp_path / "tiles", TILESET)
    column, row = (int(v * 2**11) for v in world(*TILESET.centre[:2]))
    (folder / "11" / str(column) / f"{row}.png").unlink()
    (folder / "11" / str(column + 1) / f"{row}.png").write_bytes(b"no picture")
    with browser.page((folder / PAGE).as_uri()) as opened:
        missing = ((11, column, row), (11, column + 1, row))
        assert check(opened, TILESET, view(opened), missing=missing) > 200
        assert all("ERR_FILE_NOT_FOUND" in told for told in opened.complaints())


def test_the_map_goes_on_across_the_antimeridian(browser, tmp_path):
    tileset = replace(TILESET, bounds=(179.8, -17.1, -179.8, -16.9), centre=(180.0, -17.0, 11))
    folder = make(tmp_path / "tiles", tileset)
    with browser.page((folder / PAGE).as_uri()) as opened:
        zoom, lat, lon = view(opened)
        assert (zoom, lat, abs(lon)) == pytest.approx((11, -17, 180))
        assert check(opened, tileset, (zoom, lat, 180 - 1e-9)) > 100
        assert not opened.complaints()
        assert {re.search(r"/11/(\d+)/", a)[1] for a in opened.requests() if "/11/" in a} >= {"2047", "0"}


def test_the_world_goes_round_and_round_but_ends_at_its_poles(browser, tmp_path):
    tileset = replace(TILESET, bounds=(-180, -90, 180, 90), centre=(170, 60, 2), minzoom=0, maxzoom=2)
    folder = make(tmp_path / "tiles", tileset)
    with browser.page((folder / PAGE).as_uri()) as opened:
        assert check(opened, tileset, view(opened)) > 200
        assert check(opened, tileset, go(opened, "#0/0/0")) > 150
        assert not opened.complaints()


def test_it_is_the_same_from_a_web_server(browser, folder):
    with served(folder.parent) as address, browser.page(f"{address}tiles/") as opened:
        assert check(opened, TILESET, view(opened)) > 300
        assert not opened.complaints()
        assert all(asked.startswith(address) for asked in opened.requests())


def test_another_size_of_window_keeps_the_middle(shown):
    before = view(shown)
    shown.ask("Emulation.setDeviceMetricsOverride", width=500, height=420, deviceScaleFactor=1, mobile=False)
    shown.wait(f"innerWidth === 500 && {AT_REST}")
    assert view(shown) == before
    assert check(shown, TILESET, before) > 100


def test_the_scale_bar_is_as_long_as_it_says(shown):
    go(shown, "#11/54.61/3.9")
    wide = float(shown.evaluate("document.querySelector('#bar').getBoundingClientRect().width"))
    number, unit = shown.evaluate("document.querySelector('#length').textContent").split()
    metres = float(number) * {"m": 1, "km": 1000}[unit]
    ground = Grid.web_mercator(11).pixels_per_metre(54.61)
    assert wide == pytest.approx(metres * float(ground), rel=1e-3)
    assert 40 < wide <= 121


def test_those_who_cannot_see_it_are_told_what_it_is(shown):
    shown.ask("Accessibility.enable")
    nodes = shown.ask("Accessibility.getFullAXTree")["nodes"]
    told = {(n["role"]["value"], n.get("name", {}).get("value", "")) for n in nodes if not n["ignored"]}
    assert {("application", "Doggerhaven"), ("heading", "Doggerhaven"), ("button", "Zoom in"),
            ("button", "Zoom out"), ("button", "First view")} <= told  # fmt: skip
    described = next(n for n in nodes if n["role"]["value"] == "application")
    assert "Arrow keys" in described["description"]["value"]
    assert {n["role"]["value"] for n in nodes} >= {"banner", "navigation", "contentinfo", "status"}


def test_the_page_needs_nothing_but_the_tiles():
    text = page(TILESET)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text)
    assert "{{" not in text


def test_json_in_a_page_cannot_end_its_element():
    text = _json({"name": HOSTILE})
    assert not set("<>&") & set(text)
    assert json.loads(text) == {"name": HOSTILE}


def test_it_is_written_whole_or_not_at_all(tmp_path):
    write_page(tmp_path, TILESET)
    assert [f.name for f in tmp_path.iterdir()] == [PAGE]
    assert (tmp_path / PAGE).read_text(encoding="utf-8") == page(TILESET)
    with pytest.raises(OutputError, match=r"index\.html: cannot be written"):
        write_page(tmp_path / "gone", TILESET)
