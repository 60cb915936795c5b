"""``mapstyle reproduce``: a picture once more, from its own metadata and the same sources."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mapstyle.cli import options as o

if TYPE_CHECKING:
    from mapstyle.cli.talk import Talk
    from mapstyle.engines.base import EngineSpec
    from mapstyle.exports.metadata import Provenance
    from mapstyle.frame import Grid
    from mapstyle.making import Making
    from mapstyle.style import Style


def reproduce(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A picture that mapstyle made.")],
    sources: o.Sources = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="OUT", help="Where to write [beside FILE, NAME-again]."),
    ] = None,
    style: Annotated[
        str | None, typer.Option("--style", metavar="NAME", help="Where its style is now: a name, or a path to one.")
    ] = None,
    device: o.Device = "auto",
    overwrite: o.Overwrite = False,
    workers: o.Workers = None,
    quiet: o.Quiet = False,
    as_json: o.Json = False,
) -> None:
    """Make a picture again: same frame, style, seed, engine and words; refused when data or style have changed."""
    from mapstyle.cli.explain import printable
    from mapstyle.cli.opening import Opened, layers_for, open_data
    from mapstyle.cli.painting import Request, describe, paint
    from mapstyle.cli.talk import Talk
    from mapstyle.errors import JobError, SourceError
    from mapstyle.exports.picture import check_output
    from mapstyle.exports.reading import read_found, read_record

    talk = Talk(quiet, as_json)
    found = read_found(file)
    if not found.made:
        raise SourceError(f"{file}: says nothing of how mapstyle made it; 'mapstyle explain' shows what it does say")
    record = read_record(file, found.made)
    frame, provenance = record.frame, record.provenance
    words = _words(file, provenance)
    _check_crs(file, frame.grid)
    output = output or file.with_name(f"{file.stem}-again{file.suffix}")
    check_output(output, frame, overwrite)
    look = _style(file, provenance, words["changes"], style)
    data = open_data(sources or (), talk)
    digest = data.digest
    if digest != provenance.sources:
        raise JobError(
            f"{file}: it was made from other data: these sources are {digest[:12]}, its own were "
            f"{printable(provenance.sources[:12])}; name the very files, all of them, unchanged and by their own names"
        )
    opened = Opened(data, frame, layers_for(data, frame), digest)
    request = Request(
        look=look,
        seed=provenance.seed,
        engine=provenance.engine,
        device=device,
        words=words["labels"],
        language=words["language"],
        edge_labels=words["edge_labels"],
        title=provenance.title or None,
        attribution=provenance.attribution or "none",
        overwrite=overwrite,
        workers=workers,
        changes=tuple(words["changes"]),
    )
    _check_model(file, provenance.making, request.chosen[0])
    _tell(provenance, request.chosen[0].identity(), talk)
    describe(opened, request, output, talk)
    paint(opened, request, output, talk)


def _check_crs(file: Path, grid: "Grid") -> None:
    """Refuse a grid in a CRS that no picture of ours can lie in."""
    from mapstyle.cli.explain import printable
    from mapstyle.errors import JobError, SourceError
    from mapstyle.job import check_crs

    try:
        good = check_crs(grid.crs) == grid.crs
    except JobError:
        good = False
    if not good:
        raise SourceError(f"{file}: its metadata is broken: there is no CRS {printable(grid.crs)[:100]}")


def _words(file: Path, provenance: "Provenance") -> dict[str, Any]:
    """Give the options that were kept as given, checked."""
    import shlex

    from mapstyle.choice import EngineChoice
    from mapstyle.cli.explain import printable
    from mapstyle.errors import JobError, SourceError
    from mapstyle.pipeline import EdgeLabels, Words

    more = provenance.more
    if provenance.engine not in (EngineChoice.PAINTER, EngineChoice.SDXL):
        what = printable(provenance.engine)[:100]
        raise JobError(f"{file}: it is no map but '{what}'; 'mapstyle controls' draws such images again")
    try:
        return {
            "labels": Words(more["labels"]).value,
            "language": more["language"],
            "edge_labels": EdgeLabels(more["edge_labels"]).value,
            "changes": shlex.split(more["changes"]),
        }
    except KeyError as error:
        raise SourceError(f"{file}: its metadata is broken: nothing of {error}") from None
    except ValueError as error:
        raise SourceError(f"{file}: its metadata is broken: {error}") from None


def _style(file: Path, provenance: "Provenance", changes: Sequence[str], style: str | None) -> "Style":
    """Load the style as it was; refuse any other."""
    from mapstyle.cli.explain import printable
    from mapstyle.errors import JobError, StyleError
    from mapstyle.style import find_styles, load_style

    cure = "--style PATH points to the one it was painted in"
    name = printable(provenance.style)[:100]
    if style is None and provenance.style not in find_styles():  # a file's word never leads to any other folder
        raise StyleError(f"{file}: no style called '{name}' is here; {cure}")
    try:
        look = load_style(style or provenance.style, changes)
    except StyleError as error:
        raise StyleError(f"{error}" if style else f"{error} {cure}") from None
    if look.digest != provenance.style_digest:
        raise JobError(
            f"{file}: the style '{style or name}' is {look.digest[:12]} now, and was "
            f"{printable(provenance.style_digest[:12])}: it has been changed since, or is another of that name; {cure}"
        )
    return look


def _check_model(file: Path, making: "Making | None", spec: "EngineSpec") -> None:
    """Refuse other settings or weights of a model than it was painted with."""
    from mapstyle.cli.explain import printable
    from mapstyle.engines.diffusion.spec import DiffusionSpec
    from mapstyle.errors import JobError

    if making is None or not isinstance(spec, DiffusionSpec):
        return
    here = spec.described()
    keys = sorted(key for key in {*here, *making.settings} if here.get(key) != making.settings.get(key))
    if keys:
        raise JobError(
            f"{file}: the style was changed since: diffusion.{printable(', diffusion.'.join(keys))[:300]}; "
            f"--style points to it as it was"
        )
    before = [(w.role, w.sha256) for w in making.weights]
    if before != [(part.role, part.found.sha256) for part in spec.parts]:
        known = {sha256 for _, sha256 in before}
        other = [part.found.name for part in spec.parts if part.found.sha256 not in known]
        raise JobError(
            f"{file}: it was painted with other weights than these: {', '.join(other) or 'some are missing'}"
        )


def _tell(provenance: "Provenance", identity: str, talk: "Talk") -> None:
    """Say what the file asks for beyond its style, and what may make the pixels differ all the same."""
    from mapstyle import __version__
    from mapstyle.cli.explain import printable

    if changes := provenance.more.get("changes"):
        talk.say(f"note: with --set {printable(changes)}")
    here = f"mapstyle {__version__}"
    if provenance.software != here:
        talk.say(f"note: it was made with {printable(provenance.software)}, this is {here}: pixels may differ")
    making = provenance.making
    if making is not None and making.identity != identity:
        where = ", ".join(f"{k} {v}" for k, v in making.device.items())
        talk.say(
            f"note: this machine is not the one it was made on, so pixels may differ; it ran on {printable(where)}"
        )
    if making is not None and not making.exact:
        talk.say("note: memory ran out while it was made, and a part was made in another way: pixels may differ")
