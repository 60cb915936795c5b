"""``mapstyle demo``: the sample town in every style, and a page to look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from mapstyle.cli import options as o


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder to write into.")] = Path(
        "mapstyle-demo"
    ),
    workers: o.Workers = None,
    quiet: o.Quiet = False,
    as_json: o.Json = False,
) -> None:
    """Paint the sample town in every style, with labels, and a page to look at; needs no options."""
    import json

    from mapstyle.cli.opening import Opened, layers_for, open_data
    from mapstyle.cli.painting import Request, describe, paint
    from mapstyle.cli.talk import Talk
    from mapstyle.errors import OutputError
    from mapstyle.exports.picture import write_text
    from mapstyle.job import HowLarge, Where, plan_frame
    from mapstyle.style import find_styles, load_style, packaged

    talk = Talk(quiet, as_json)
    folder = packaged("sample_data")
    views = json.loads((folder / "views.json").read_text(encoding="utf-8"))
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{output}: cannot be made: {error.strerror}; choose another place with -o") from None
    data = open_data([str(folder / name) for name in views["sources"]], talk)
    shown = []
    for view in views["views"]:
        where = Where(extent=view.get("extent"))
        frame = plan_frame(where, HowLarge(zoom=view["zoom"]), data)
        opened = Opened(data, frame, layers_for(data, frame), data.digest)
        for name in sorted(find_styles()):
            look = load_style(name)
            file = output / f"{name}-{view['name']}.png"
            request = Request(look, title=view["title"] if view["titled"] else None, overwrite=True, workers=workers)
            describe(opened, request, file, talk)
            paint(opened, request, file, talk)
            caption = f"{view['title']}, level {view['zoom']}"
            shown.append(Shown(name, look.title, look.summary, caption, file.name, frame.width, frame.height))
    page = output / "index.html"
    write_text(page, _page(views["town"], shown))
    talk.result(str(page))


@dataclass(frozen=True)
class Shown:
    """One picture on the page."""

    name: str
    title: str
    summary: str
    caption: str
    file: str
    width: int
    height: int


def _page(town: str, shown: Sequence[Shown]) -> str:
    from html import escape

    sections, links = [], []
    for name in dict.fromkeys(s.name for s in shown):
        pictures = [s for s in shown if s.name == name]
        figures = "".join(
            f'<figure><a href="{escape(s.file)}"><img src="{escape(s.file)}" alt="{escape(s.title)}: '
            f'{escape(s.caption)}" loading="lazy" width="{s.width}" height="{s.height}"></a>'
            f"<p>{escape(s.caption)}</p></figure>"
            for s in pictures
        )
        sections.append(
            f'<section id="{escape(name)}"><h2>{escape(pictures[0].title)}</h2>'
            f'<p class="what">{escape(pictures[0].summary)}</p><div class="row">{figures}</div></section>'
        )
        links.append(f'<a href="#{escape(name)}">{escape(pictures[0].title)}</a>')
    page = _PAGE.replace("{town}", escape(town)).replace("{links}", " ".join(links))
    return page.replace("{sections}", "".join(sections))


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{town} · mapstyle</title><style>
body{margin:0;background:#f4f0e8;color:#2b2620;font:16px/1.5 Georgia,serif}
header{padding:2.5rem 4vw 1rem}h1{margin:0;font-weight:normal;font-size:2.4rem}
nav a{margin-right:1.2rem;color:#7a3b1f}section{padding:1.5rem 4vw}h2{margin:0;font-weight:normal;font-size:1.6rem}
.what{margin:.2rem 0 1rem;color:#6b6154}
.row{display:grid;grid-template-columns:repeat(auto-fit,minmax(340px,1fr));gap:1.5rem}
figure{margin:0}figure p{margin:.3rem 0;color:#8a8072;font-size:.9rem}
img{width:100%;height:auto;border-radius:3px;box-shadow:0 2px 14px #0003;background:#fff}
</style></head><body><header><h1>{town}</h1><p>One invented town, painted in every style. Click a
picture to see it at full size.</p><nav>{links}</nav></header>{sections}</body></html>
"""
