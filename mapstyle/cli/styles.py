"""``mapstyle styles``: what looks there are, and what each is made of."""

from typing import Annotated

import typer

from mapstyle.cli import options as o

app = typer.Typer(help="List the styles, or show one.", no_args_is_help=False, invoke_without_command=True)


@app.callback()
def _styles(context: typer.Context) -> None:
    """List the styles, or show one."""
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
) -> None:
    """Show every setting of a style, with its value and what it means, as --set takes it."""
    from collections.abc import Mapping

    from pydantic import BaseModel

    from mapstyle.style import load_style

    look = load_style(name, changes or ())
    typer.echo(f"{look.title}: {look.summary}")
    for credit in look.credits:
        typer.echo(f"  after {credit}")

    def walk(prefix: str, thing: object, told: str) -> None:
        if isinstance(thing, BaseModel):
            for key, info in type(thing).model_fields.items():
                walk(f"{prefix}.{key}" if prefix else key, getattr(thing, key), info.description or "")
        elif isinstance(thing, Mapping) and thing and all(isinstance(v, BaseModel) for v in thing.values()):
            for key, value in thing.items():
                walk(f"{prefix}.{key}", value, told)
        else:
            typer.echo(f"{prefix} = {as_toml(thing)}" + (f"   # {told}" if told else ""))

    for part in ("seed", "painter", "diffusion", "levels", "ink", "labels"):
        walk(part, getattr(look, part), type(look).model_fields[part].description or "")


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
