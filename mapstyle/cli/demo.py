"""``mapstyle demo``: the sample town in every style, and a page to look at."""

from pathlib import Path
from typing import Annotated

import typer

from mapstyle.cli import options as o

# What is shown of the town: a name for the file, what people read, level, and longitude and latitude of the
# middle with width and height in pixels, or None for the whole town.
OVERVIEW_LEVEL = 15
DETAIL_LEVEL = 17


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

    from mapstyle.cli.opening import Opened, layers_for, open_data, sources_digest
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
        opened = Opened(data, frame, layers_for(data, frame), sources_digest(data))
        for name in sorted(find_styles()):
            look = load_style(name)
            file = output / f"{name}-{view['name']}.png"
            request = Request(look, title=view["title"] if view["titled"] else None, overwrite=True, workers=workers)
            describe(opened, request, file, talk)
            paint(opened, request, file, talk)
            shown.append((look, view, file.name, frame))
    page = output / "index.html"
    write_text(page, _page(views["town"], shown))
    talk.result(str(page))


def _page(town: str, shown: list[tuple[object, dict[str, object], str, object]]) -> str:
    from html import escape

    looks: dict[str, list[str]] = {}
    told: dict[str, tuple[str, str]] = {}
    for look, view, file, frame in shown:
        name = look.name  # type: ignore[attr-defined]
        told[name] = (look.title, look.summary)  # type: ignore[attr-defined]
        caption = f"{view['title']}, level {view['zoom']}"
        looks.setdefault(name, []).append(
            f'<a href="{escape(file)}"><img src="{escape(file)}" alt="{escape(caption)}" loading="lazy" '
            f'width="{frame.width}" height="{frame.height}"></a>'  # type: ignore[attr-defined]
            f"<p>{escape(caption)}</p>"
        )
    sections = "".join(
        f'<section id="{escape(name)}"><h2>{escape(told[name][0])}</h2><p class="what">{escape(told[name][1])}</p>'
        f'<div class="row">{"".join(f"<figure>{p}</figure>" for p in pictures)}</div></section>'
        for name, pictures in looks.items()
    )
    links = " ".join(f'<a href="#{escape(n)}">{escape(t[0])}</a>' for n, t in told.items())
    return _PAGE.replace("{town}", escape(town)).replace("{links}", links).replace("{sections}", sections)


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
