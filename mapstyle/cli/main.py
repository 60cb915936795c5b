"""The program: one word a job, errors in one line."""

import json
import os
import re
import signal
import sys

import typer

from mapstyle import __version__
from mapstyle.cli import controls, demo, doctor, explain, finished, models, render, reproduce, styles, tiles

app = typer.Typer(
    name="mapstyle",
    help="Turn your own GIS data into art maps that still tell the truth.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("render")(render.render)
app.command("tiles")(tiles.tiles)
app.command("export")(finished.export)
app.command("verify")(finished.verify)
app.command("status")(finished.status)
app.command("controls")(controls.controls)
app.command("demo")(demo.demo)
app.command("explain")(explain.explain)
app.command("reproduce")(reproduce.reproduce)
app.command("doctor")(doctor.doctor)
app.add_typer(styles.app, name="styles")
app.add_typer(models.app, name="models")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mapstyle {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Say the version."),
) -> None:
    """Turn your own GIS data into art maps that still tell the truth."""


def run() -> None:
    """Run the program; what a user can mend becomes one line on stderr and exit 1."""
    from mapstyle.errors import MapstyleError

    # A polite kill is an interruption: what is half-written goes, as with Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.argv = _with_address(sys.argv)
    try:
        app()
    except MapstyleError as error:
        if "--json" in sys.argv:
            print(json.dumps({"event": "error", "kind": type(error).__name__, "text": str(error)}), flush=True)
        print(f"mapstyle: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        _stopped()
    except SystemExit as end:
        if end.__context__ is not None and isinstance(end.__context__.__cause__, KeyboardInterrupt):
            _stopped()  # typer makes an exit of an interruption
        raise
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except MemoryError:
        print("mapstyle: out of memory; ask for a smaller picture or write .tif, which streams", file=sys.stderr)
        sys.exit(1)


def _with_address(words: list[str]) -> list[str]:
    """Let ``--ray`` stand alone, which options with a value cannot: it means this machine then."""
    out: list[str] = []
    for word, following in zip(words, [*words[1:], ""], strict=True):
        out.append(word)
        if word == "--ray" and not re.fullmatch(r"auto|local|\S+:\d+", following):
            out.append("local")
    return out


def _stopped() -> None:
    if "--json" in sys.argv:
        print(json.dumps({"event": "error", "kind": "KeyboardInterrupt", "text": "stopped"}), flush=True)
    print("mapstyle: stopped; nothing half-written is left", file=sys.stderr)
    sys.exit(130)
