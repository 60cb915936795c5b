"""Headless Chromium, driven through a pipe in its own protocol; a web server for files; tiles to look at with both."""

import base64
import contextlib
import functools
import hashlib
import http.server
import io
import itertools
import json
import os
import re
import select
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mapstyle.exports.encoding import TileFormat, encode
from mapstyle.exports.tilejson import Tileset
from mapstyle.exports.tiles import open_tiles
from mapstyle.frame import Grid

QUIET = (
    "--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--force-color-profile=srgb", "about:blank",
)  # fmt: skip
FLAT = ("--disable-gpu",)
WEBGL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")
PATIENCE = 60.0
"""Seconds after which something that should have happened is taken for lost; nothing waits this long that goes well."""
TILESET = Tileset(
    "Doggerhaven", "An invented town", "© Nobody", (3.70, 54.50, 4.06, 54.70), (3.87, 54.61, 11), 10, 12, 256, 1,
    TileFormat(), "xyz", "ink", "{}",
)  # fmt: skip
"""A small map of flat tiles."""


class Browser:
    """A running Chromium; commands go down one pipe and what it says comes up another, each ended by a zero byte."""

    def __init__(self, commands: int, events: int) -> None:
        self._commands = commands
        self._events = events
        self._numbers = itertools.count(1)
        self._heard = b""
        self._waiting: list[dict[str, Any]] = []

    def ask(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """Send one command and give its answer."""
        number = next(self._numbers)
        told = {"id": number, "method": method, "params": params, **({"sessionId": session} if session else {})}
        os.write(self._commands, json.dumps(told).encode() + b"\0")
        while True:
            answer = self._hear()
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self._waiting.append(answer)

    def said(self) -> list[dict[str, Any]]:
        """Give the events that came since the last question of this kind."""
        events, self._waiting = self._waiting, []
        return events

    def _hear(self) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE
        while b"\0" not in self._heard:
            ready, _, _ = select.select([self._events], [], [], max(0.0, end - time.monotonic()))
            chunk = os.read(self._events, 1 << 20) if ready else b""
            assert chunk, "Chromium says no more"
            self._heard += chunk
        message, self._heard = self._heard.split(b"\0", 1)
        return json.loads(message)

    @contextlib.contextmanager
    def page(self, address: str, width: int = 800, height: int = 600, **screen: Any) -> "Iterator[Page]":
        """Open a page in a window of a size in CSS pixels; ``screen`` is what the protocol's device metrics take."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        page = Page(self, self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        try:
            metrics = {"deviceScaleFactor": 1, "mobile": False, **screen}
            page.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, **metrics)
            for part in ("Page", "Runtime", "Log", "Network"):
                page.ask(f"{part}.enable")
            page.ask("Page.setLifecycleEventsEnabled", enabled=True)
            page.open(address)
            yield page
        finally:
            self.ask("Target.closeTarget", targetId=target)


class Page:
    """One tab."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session
        self._events: list[dict[str, Any]] = []

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send one command to this tab."""
        return self._browser.ask(method, self._session, **params)

    def open(self, address: str) -> None:
        """Go to an address and wait until it has come."""
        loader = self.ask("Page.navigate", url=address)["loaderId"]
        end = time.monotonic() + PATIENCE
        while not any(e["name"] == "load" and e["loaderId"] == loader for e in self.events("Page.lifecycleEvent")):
            assert time.monotonic() < end, f"{address} does not come"
            self.evaluate("1")  # hears what there is to hear

    def evaluate(self, expression: str) -> Any:
        """Give the value of an expression in JavaScript."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition: str) -> Any:
        """Wait until an expression in JavaScript is true; gives its value."""
        end = time.monotonic() + PATIENCE
        while not (value := self.evaluate(condition)):
            assert time.monotonic() < end, f"in vain for {condition}; {self.complaints()}"
            time.sleep(0.02)
        return value

    def picture(self) -> np.ndarray:
        """Give what the window shows: uint8[height, width, 3], device pixels."""
        data = base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"])
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))

    def events(self, name: str) -> list[dict[str, Any]]:
        """Give what the protocol told so far under a name."""
        self._events += [e for e in self._browser.said() if e.get("sessionId") == self._session]
        return [e["params"] for e in self._events if e.get("method") == name]

    def complaints(self) -> list[str]:
        """Give errors of the page's script, and what the browser refused for reasons of security."""
        thrown = [str(e["exceptionDetails"]) for e in self.events("Runtime.exceptionThrown")]
        logged = [e["entry"]["text"] for e in self.events("Log.entryAdded") if e["entry"]["level"] == "error"]
        told = [str(e["args"]) for e in self.events("Runtime.consoleAPICalled") if e["type"] in ("error", "warning")]
        return thrown + logged + told

    def requests(self) -> list[str]:
        """Give the addresses that the page has asked for, itself included."""
        return [e["request"]["url"] for e in self.events("Network.requestWillBeSent")]


@contextlib.contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    """Run Chromium with an empty profile; skips the test where it is not installed."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("the Debian package 'chromium' is not installed")
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        down, commands = os.pipe()
        events, up = os.pipe()
        # The protocol's pipes are the descriptors 3 and 4 of the browser.
        shell = f'exec "$@" 3<&{down} 4>&{up}'
        process = subprocess.Popen(
            ["bash", "-c", shell, "bash", program, f"--user-data-dir={profile}", "--remote-debugging-pipe",
             *flags, *QUIET],
            pass_fds=(down, up), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(down)
        os.close(up)
        try:
            browser = Browser(commands, events)
            yield browser
            browser.ask("Browser.close")
        finally:
            os.close(commands)
            os.close(events)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class _Files(http.server.SimpleHTTPRequestHandler):
    """Sends files, parts of them too, and says nothing."""

    def __init__(self, *arguments: Any, answer: Callable[[str], bytes | None] | None, **more: Any) -> None:
        self._answer = answer
        super().__init__(*arguments, **more)

    def do_GET(self) -> None:
        data = self._answer(self.path.partition("?")[0]) if self._answer else None
        file = Path(self.translate_path(self.path))
        file = file / "index.html" if file.is_dir() else file
        if data is None and not file.is_file():
            self.send_error(404)
            return
        data = file.read_bytes() if data is None else data
        part = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        self.send_response(206 if part else 200)
        if part:
            first, last = int(part[1]), min(int(part[2]), len(data) - 1)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
            data = data[first : last + 1]
        self.send_header("Content-Type", self.guess_type(str(file)))
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def served(folder: Path, answer: Callable[[str], bytes | None] | None = None) -> Iterator[str]:
    """Serve a folder on this machine alone; gives its address, which ends in a slash.

    ``answer`` is asked first: from a path it makes the bytes to send, or gives None for a file's own.
    """
    handler = functools.partial(_Files, directory=str(folder), answer=answer)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def world(lon: float, lat: float) -> tuple[float, float]:
    """Give a place in worlds from the north-west corner."""
    x, y = Grid.web_mercator(0).project(np.array([[lon, lat]]))[0] / 256
    return float(x), float(y)


def tiles_of(tileset: Tileset, level: int) -> tuple[range, range]:
    """Give columns, past the antimeridian counted on, and rows of a level, by plain arithmetic."""
    west, south, east, north = tileset.bounds
    (left, top), (right, bottom) = world(west, north), world(east + (360 if east < west else 0), south)
    count = 2**level
    return range(int(left * count), -int(-right * count // 1)), range(int(top * count), -int(-bottom * count // 1))


def colour(level: int, column: int, row: int) -> tuple[int, ...]:
    """Give the flat colour of one tile, like that of no neighbour."""
    return tuple(hashlib.sha256(f"{level}/{column}/{row}".encode()).digest()[:3])


def make_flat(path: Path, tileset: Tileset) -> Path:
    """Write flat tiles, each of its own colour."""
    side = tileset.tile_size * tileset.pixel_ratio
    with open_tiles(path, tileset) as sink:
        for level in range(tileset.minzoom, tileset.maxzoom + 1):
            columns, rows = tiles_of(tileset, level)
            for column, row in ((c % 2**level, r) for c in columns for r in rows):
                flat = np.broadcast_to(np.array(colour(level, column, row), np.uint8), (side, side, 3))
                sink.write(level, column, row, encode(flat, tileset.format))
    return path


def compare(
    picture: np.ndarray, tileset: Tileset, seen: tuple[float, float, float], ratio: int, paper: tuple[int, ...],
    tolerance: int = 0, missing: tuple = (), panels: tuple = (),
) -> int:  # fmt: skip
    """Compare a window with the flat tiles that lie there; gives how many points showed a tile.

    ``seen`` is zoom, latitude and longitude of the middle, where level z is shown at zoom z as large as it is;
    ``panels`` are left, top, right and bottom, in CSS pixels, of what hides the map.
    """
    zoom, lat, lon = seen
    level = min(max(int(zoom + 0.5), tileset.minzoom), tileset.maxzoom)
    count, side = 2**level, tileset.tile_size * 2 ** (zoom - level)
    columns, rows = tiles_of(tileset, level)
    x0, y0 = world(lon, lat)
    if x0 * count < columns.start - 1e-9 and len(columns) < count:
        x0 += 1  # past the antimeridian
    height, width = picture.shape[0] / ratio, picture.shape[1] / ratio
    shown = 0
    for py in range(7, int(height), 23):
        for px in range(5, int(width), 23):
            if any(left < px < right and top < py < bottom for left, top, right, bottom in panels):
                continue
            x, y = x0 * count + (px - width / 2) / side, y0 * count + (py - height / 2) / side
            if min(x % 1, -x % 1, y % 1, -y % 1) * side < 5:
                continue  # an edge: either may show
            column, row = int(x // 1), int(y // 1)
            address = (level, column % count, row)
            there = (column in columns or len(columns) >= count) and row in rows and address not in missing
            wanted = colour(*address) if there else paper
            found = picture[py * ratio, px * ratio].astype(int)
            assert np.abs(found - wanted).max() <= (tolerance if there else 0), (
                f"{address} at {px}, {py}: {tuple(found)} instead of {wanted}"
            )
            shown += there
    return shown
