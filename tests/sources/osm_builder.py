"""Write small OpenStreetMap files for tests."""

from pathlib import Path
from xml.sax.saxutils import quoteattr

Point = tuple[float, float]


class Osm:
    """An OpenStreetMap file in the making; coordinates are longitude, latitude in degrees."""

    def __init__(self) -> None:
        self.nodes: dict[Point, int] = {}
        self.lines: list[str] = []
        self.next = 1

    def node(self, at: Point, **tags: str) -> int:
        """Give the node at a place, with tags if any."""
        if at in self.nodes and not tags:
            return self.nodes[at]
        number = self._number()
        if not tags:
            self.nodes[at] = number
        self.lines.append(f'<node id="{number}" lon="{at[0]}" lat="{at[1]}">{_tags(tags)}</node>')
        return number

    def way(self, points: list[Point], **tags: str) -> int:
        """Add a way through places; a repeated place is the same node."""
        refs = "".join(f'<nd ref="{self.node(p)}"/>' for p in points)
        number = self._number()
        self.lines.append(f'<way id="{number}">{refs}{_tags(tags)}</way>')
        return number

    def relation(self, members: list[tuple[int, str]], **tags: str) -> int:
        """Add a relation of ways with their roles."""
        inside = "".join(f'<member type="way" ref="{w}" role="{r}"/>' for w, r in members)
        number = self._number()
        self.lines.append(f'<relation id="{number}">{inside}{_tags(tags)}</relation>')
        return number

    def _number(self) -> int:
        self.next += 1
        return self.next - 1

    def text(self) -> str:
        """Give the file's text: nodes, then ways, then relations."""
        order = {"<no": 0, "<wa": 1, "<re": 2}
        body = "\n".join(sorted(self.lines, key=lambda line: order[line[:3]]))
        return f'<?xml version="1.0"?>\n<osm version="0.6">\n{body}\n</osm>\n'

    def write(self, path: Path) -> Path:
        """Write the file."""
        path.write_text(self.text(), encoding="utf-8")
        return path


def _tags(tags: dict[str, str]) -> str:
    # ``building__levels`` stands for ``building:levels``.
    return "".join(f"<tag k={quoteattr(k.replace('__', ':'))} v={quoteattr(v)}/>" for k, v in tags.items())


def square(west: float, south: float, size: float) -> list[Point]:
    """Give a closed, counter-clockwise square."""
    east, north = round(west + size, 7), round(south + size, 7)
    return [(west, south), (east, south), (east, north), (west, north), (west, south)]
