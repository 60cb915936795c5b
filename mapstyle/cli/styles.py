"""``mapstyle styles``: what looks there are, what each is made of, and a look of one's own."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mapstyle.cli import options as o
from mapstyle.cli.sheet import sheet

if TYPE_CHECKING:
    from mapstyle.style import Style

app = typer.Typer(
    help="List the styles, show every setting of one, see them side by side, or begin one of your own.",
    no_args_is_help=False,
    invoke_without_command=True,
)
app.command("sheet")(sheet)

WIDE = 64
"""Letters of a setting and its value; what is longer has its meaning on the line before."""


@app.callback()
def _styles(context: typer.Context) -> None:
    """List the styles, show every setting of one, see them side by side, or begin one of your own."""
    if context.invoked_subcommand is None:
        list_styles()


@app.command("list")
def list_styles(as_json: o.Json = False) -> None:
    """List every style with its summary; a broken one says what is wrong with it."""
    import json

    from mapstyle.errors import StyleError
    from mapstyle.style import find_styles, load_style

    for name, folder in sorted(find_styles().items()):
        try:
            look = load_style(str(folder))
            told, title = look.summary, look.title
        except StyleError as error:
            told, title = f"(broken) {error}", name
        if as_json:
            typer.echo(json.dumps({"name": name, "title": title, "summary": told, "folder": str(folder)}))
        else:
            typer.echo(f"{name:16} {told}")


@app.command("show")
def show_style(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A style's name, or a path to one.")],
    changes: o.Changes = None,
    as_json: o.Json = False,
) -> None:
    """Show every setting of a style as --set takes it, with its range and what it means."""
    import json

    from mapstyle.style import load_style

    look = load_style(name, changes or ())
    if as_json:
        for setting in settings_of(look):
            typer.echo(
                json.dumps(
                    {
                        "key": setting.key, "value": to_plain(setting.value), "default": to_plain(setting.default),
                        "range": setting.range, "description": setting.told, "group": setting.group,
                    },
                    ensure_ascii=False,
                )
            )  # fmt: skip
        return
    typer.echo(f"{look.title}: {look.summary}")
    for credit in look.credits:
        typer.echo(f"  after {credit}")
    group = None
    for setting in settings_of(look):
        if setting.group != group:
            group = setting.group
            about = f"   {setting.about}" if setting.about else ""
            typer.echo(f"\n[{group}]{about}".replace(" = ", "=") if group else "")
        meaning = ": ".join(part for part in (setting.range, setting.told) if part).replace(" = ", "=")
        row = f"{setting.key} = {as_toml(setting.value)}" if setting.value is not None else f"{setting.key} (left out)"
        if len(row) > WIDE:
            typer.echo(f"   # {meaning}\n{row}" if meaning else row)
        else:
            typer.echo(f"{row:{WIDE}}   # {meaning}" if meaning else row)


@app.command("new")
def new_style(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is to be called: small letters, digits, -.")],
    source: Annotated[
        str, typer.Option("--from", metavar="STYLE", help="The style it begins as: a name, or a path to one.")
    ] = "watercolour",
    into: Annotated[
        Path | None,
        typer.Option("--into", metavar="DIR", help="Folder of styles to write into [yours]."),
    ] = None,
    palette: Annotated[
        Path | None,
        typer.Option("--palette-from", metavar="PICTURE", help="Take its colours from a picture."),
    ] = None,
    quiet: o.Quiet = False,
    as_json: o.Json = False,
) -> None:
    """Begin a style of your own: a commented copy of another, in the colours of a picture if you like."""
    import os

    from mapstyle.cli.talk import Talk
    from mapstyle.errors import OutputError
    from mapstyle.exports.picture import hidden_folder
    from mapstyle.palette import apart, colours, picture_swatches, repaint, rewrite
    from mapstyle.style import FILE, load_style

    talk = Talk(quiet, as_json)
    parent = _parent(name, into)
    look = load_style(source)
    assert look.folder is not None
    text = _renamed((look.folder / FILE).read_text(encoding="utf-8"), name)
    if palette is not None:
        old = colours(look)
        new = repaint(old, picture_swatches(palette))
        text = rewrite(text, look, new)
        before, after = apart({k: v for k, v in old.items() if k in new}), apart(new)
        told = ", ".join(f"{a} and {b} {after[a, b]:.0f} (were {before[a, b]:.0f})" for a, b in before)
        talk.say(f"{len(new)} colours from {palette}" + (f"; differences now: {told}" if told else ""))
    text = _header(name, look, parent, palette, into is not None) + text
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{parent}: cannot be made: {error.strerror}; choose another place with --into") from None
    with hidden_folder(parent) as work:
        (work / name).mkdir()
        try:
            _copy_files(look, work / name, talk)
            (work / name / FILE).write_text(text, encoding="utf-8")
            load_style(str(work / name))  # what is put in place can be used
            os.rename(work / name, parent / name)
        except OSError as error:
            raise OutputError(f"{parent / name}: cannot be written: {error.strerror}") from None
    talk.result(str(parent / name / FILE))


def _parent(name: str, into: Path | None) -> Path:
    """Settle the folder of styles a new one goes to, and refuse a name that it cannot have."""
    import os
    import re

    from mapstyle.errors import OutputError, StyleError
    from mapstyle.style import find_styles, style_folders

    if not re.fullmatch(r"[a-z0-9]+([-_][a-z0-9]+)*", name) or len(name) > 60:
        fit = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60].strip("-") or "my-style"
        raise StyleError(
            f"'{name}' cannot be a style's name: small letters and digits with - between them, as in '{fit}'"
        )
    known = find_styles()
    if name in known:
        raise StyleError(f"there is a style called '{name}' already, {known[name]}; choose another name")
    own = any(os.environ.get("MAPSTYLE_STYLES", "").split(os.pathsep))
    parent = into.expanduser() if into is not None else next(style_folders())
    if own and into is None and parent.exists() and not parent.is_dir():
        raise OutputError(f"{parent}: is no folder, and MAPSTYLE_STYLES names it; mend that, or pass --into")
    if os.path.lexists(parent / name):
        raise OutputError(f"{parent / name}: exists already; choose another name, or another folder with --into")
    return parent


def _renamed(text: str, name: str) -> str:
    """Give a style's text its new title; a name of its own, which must be the folder's, goes."""
    import json
    import re

    title = json.dumps(name.replace("-", " ").replace("_", " ").capitalize())
    head, bracket, rest = re.split(r"(?m)^(?=\s*\[)", text, maxsplit=1)[0], "", ""
    rest = text[len(head) :]
    head = re.sub(r"(?m)^\s*name\s*=.*\n?", "", head)
    head = re.sub(r"(?m)^(\s*title\s*=\s*)(\"[^\"\n]*\"|'[^'\n]*')", lambda m: m[1] + title, head, count=1)
    return head + bracket + rest


def _header(name: str, look: "Style", parent: Path, palette: Path | None, elsewhere: bool) -> str:
    """Say what the file is, how it is used, and where to begin."""
    from mapstyle import __version__
    from mapstyle.style import style_folders

    searched = not elsewhere or parent.resolve() in {folder.resolve() for folder in style_folders()}
    called = name if searched else str(parent / name)
    numbers = [s for s in settings_of(look) if isinstance(s.value, float) and s.range.startswith("0 to ")]
    first = [s for s in numbers if s.key.startswith("painter.settings.")][:3]
    first += [s for s in numbers if s.key.startswith("painter.brushes.")][: max(2, 5 - len(first))]
    first += [s for s in settings_of(look) if s.key in ("labels.scale", "diffusion.strength")]
    vary = next((s for s in first), None)
    taken = f", in colours from {_plain_line(palette.name)}" if palette is not None else ""
    lines = [
        f"{name}: a style of your own, by mapstyle {__version__}.",
        f"It began as a copy of '{_plain_line(look.name)}'{taken}.",
        "",
        "Paint with it:",
        f"  mapstyle render town.osm.pbf --style {_plain_line(called)} -o town.png",
        "See it beside the one it began as:",
        f"  mapstyle styles sheet town.osm.pbf --styles {_plain_line(look.name)},{_plain_line(called)} -o both.png",
    ]
    if vary is not None:
        top = float(vary.range.removeprefix("0 to ").split(",")[0])
        now = float(str(vary.value))
        values = dict.fromkeys(f"{v:.2g}" for v in (0, now, min(2 * now or top / 2, top)))
        lines += [
            "Try several values of a setting side by side:",
            f"  mapstyle styles sheet town.osm.pbf --styles {_plain_line(called)} --vary {vary.key}={','.join(values)} "
            "-o tried.png",
        ]
    lines += ["Every setting, its range and what it means:", f"  mapstyle styles show {_plain_line(called)}"]
    if not searched:
        lines += ["Under its name alone it is found once MAPSTYLE_STYLES names the folder that it lies in."]
    if first:
        lines += ["", "Settings to try first (what is not written below is at its default; write it in to change it):"]
        wide = max(len(f"{s.key} = {as_toml(s.value)}") for s in first)
        for setting in first:
            row = f"{setting.key} = {as_toml(setting.value)}"
            lines.append(f"  {row:{wide}}   {setting.range}: {setting.told}")
    lines += ["", "credits below name whom the look was learned from: keep them, and add your own."]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines) + "\n"


def _plain_line(text: str) -> str:
    """Give a text as it may stand in a comment."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _copy_files(look: "Style", into: Path, talk: Any) -> None:
    """Take along what lies beside a style of one's own and is small; weights are told of."""
    import shutil

    assert look.folder is not None
    for file in sorted(look.folder.iterdir()):
        if file.name == "style.toml" or file.name.startswith((".", "sample.")) or not file.is_file():
            continue
        if file.stat().st_size > 16_000_000:
            talk.say(f"note: {file} is not copied, it is large; put it into the new folder if the style needs it")
        else:
            shutil.copyfile(file, into / file.name)


@dataclass(frozen=True)
class Setting:
    """One setting of a style.

    Attributes:
        key: as ``--set`` takes it.
        value: what it is.
        default: what it would be if the style said nothing; None where it must say something.
        range: what it may be.
        told: what it means.
        group: the table it stands in.
        about: what that table is.
    """

    key: str
    value: object
    default: object
    range: str
    told: str
    group: str
    about: str


def settings_of(look: "Style") -> Iterator[Setting]:
    """Give every setting of a style, in its order."""
    from collections.abc import Mapping

    from pydantic import BaseModel

    from mapstyle.cli.ranges import range_of

    def walk(prefix: str, model: BaseModel, about: str) -> Iterator[Setting]:
        below = []
        for key, info in type(model).model_fields.items():
            value, told, here = getattr(model, key), info.description or "", f"{prefix}.{key}"
            if isinstance(value, BaseModel):
                below.append((here, value, told or _first_line(value)))
            elif isinstance(value, Mapping) and value and all(isinstance(v, BaseModel) for v in value.values()):
                below += [(f"{here}.{name}", part, _first_line(part)) for name, part in value.items()]
            else:
                default = None if info.is_required() else info.get_default(call_default_factory=True)
                yield Setting(here, value, default, range_of(type(model), key, value), told, prefix, about)
        for here, part, what in below:
            yield from walk(here, part, what)

    fields = type(look).model_fields
    yield Setting(
        "seed", look.seed, fields["seed"].default, range_of(type(look), "seed", look.seed),
        fields["seed"].description or "", "", "",
    )  # fmt: skip
    for part in ("painter", "diffusion", "levels", "ink", "labels"):
        value = getattr(look, part)
        if value is not None:
            yield from walk(part, value, fields[part].description or "")


def _first_line(thing: object) -> str:
    return (type(thing).__doc__ or "").strip().partition("\n")[0].rstrip(".")


def to_plain(value: object) -> Any:
    """Give a setting as JSON has it."""
    from pydantic import TypeAdapter

    return TypeAdapter(Any).dump_python(value, mode="json")


def as_toml(value: object) -> str:
    """Write a setting as TOML has it, on one line; what is left out has no value there."""
    import json
    from collections.abc import Mapping
    from enum import Enum

    from pydantic import BaseModel

    if value is None:
        return "(left out)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Enum):
        return as_toml(value.value)
    if isinstance(value, BaseModel):
        return as_toml(value.model_dump(exclude_defaults=True))
    if isinstance(value, Mapping):
        rows = (f"{json.dumps(str(k), ensure_ascii=False)} = {as_toml(v)}" for k, v in value.items())
        return "{" + ", ".join(rows) + "}"
    if isinstance(value, (list, tuple, set, frozenset)):
        return "[" + ", ".join(as_toml(v) for v in value) + "]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
