"""``mapstyle models``: the weights that styles need, where they are, and fetching them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mapstyle.cli import options as o

if TYPE_CHECKING:
    from mapstyle.cli.talk import Talk
    from mapstyle.engines.diffusion.pull import Offer
    from mapstyle.engines.diffusion.registry import Registry
    from mapstyle.engines.diffusion.settings import Weights

app = typer.Typer(
    help="List, fetch, check or add the weights of models.", no_args_is_help=False, invoke_without_command=True
)

StyleArgument = Annotated[str, typer.Argument(metavar="STYLE", help="A style's name, or a path to one.")]
Profile = Annotated[str | None, typer.Option("--profile", metavar="NAME", help="Instead of the style's own profile.")]
AllProfiles = Annotated[bool, typer.Option("--all-profiles", help="Every profile that goes with the style.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Agree to the size and the licences shown; do not ask.")]


@dataclass(frozen=True)
class Need:
    """Weights that a style needs, in one or several profiles."""

    style: str
    folder: Path | None
    profiles: tuple[str, ...]
    role: str
    ref: "Weights"

    @property
    def named(self) -> str:
        """Source and file as one."""
        return f"{self.ref.source}/{self.ref.file}" if self.ref.file else self.ref.source

    @property
    def words(self) -> str:
        """What follows ``mapstyle models pull`` to fetch it."""
        import shlex

        return f"{shlex.quote(self.style)} --profile {self.profiles[0]}"


@app.callback()
def _models(context: typer.Context) -> None:
    """List, fetch, check or add the weights of models."""
    if context.invoked_subcommand is None:
        list_models()


@app.command("list")
def list_models(
    style: Annotated[str | None, typer.Argument(metavar="[STYLE]", help="Only this style [all].")] = None,
    all_profiles: AllProfiles = False,
    as_json: o.Json = False,
) -> None:
    """List what each style needs: where it is or that it is missing, its size and its licence."""
    import json

    from mapstyle.engines.diffusion.registry import Registry
    from mapstyle.errors import StyleError
    from mapstyle.style import find_styles

    registry = Registry()
    for name in [style] if style is not None else sorted(find_styles()):
        try:
            needs = list(_needs(name, None, all_profiles))
        except StyleError as error:
            if style is not None:
                raise
            if not as_json:
                typer.echo(f"{name}: {error}")
            continue
        if as_json:
            rows = [_row(registry, need) for need in needs] or [{"style": name, "state": "painter only"}]
            typer.echo("\n".join(json.dumps(row) for row in rows))
            continue
        typer.echo(name if needs else f"{name}: painter only, needs no weights")
        for need in needs:
            row = _row(registry, need)
            size = row["size"] if row["size"] is None else _told_size(row["size"])
            facts = [row["state"], size, _told_licence(row["licence"], row["non_commercial"])]
            typer.echo(f"  {need.role:10} {need.named}")
            typer.echo(f"  {'':10} {', '.join(f for f in facts if f)}; for {', '.join(need.profiles)}")
            if row["path"]:
                typer.echo(f"  {'':10} {row['path']}")
    for called, added in sorted(registry.added().items()) if style is None else ():
        state = "here" if added.path.exists() else "missing"
        if as_json:
            told = {"name": called, "kind": added.kind, "state": state, "path": str(added.path)}
            typer.echo(json.dumps({**told, "size": added.size, "licence": added.licence}))
        else:
            typer.echo(f"added {called}: {added.kind}, {state}, {_told_size(added.size)}, {added.path}")


@app.command("pull")
def pull_models(
    style: StyleArgument,
    profile: Profile = None,
    all_profiles: AllProfiles = False,
    changes: o.Changes = None,
    update: Annotated[bool, typer.Option("--update", help="Take the newest revisions, not the locked ones.")] = False,
    yes: Yes = False,
    quiet: o.Quiet = False,
    as_json: o.Json = False,
) -> None:
    """Fetch what a style needs from the Hugging Face Hub, after showing its size and its licences."""
    import shlex

    from mapstyle.cli.talk import Talk
    from mapstyle.engines.diffusion import hub
    from mapstyle.engines.diffusion.pull import check_room, make_offer
    from mapstyle.engines.diffusion.registry import ChangedWeightsError, MissingWeightsError, Registry

    talk, registry = Talk(quiet, as_json), Registry()
    needs = list(_needs(style, profile, all_profiles, changes or ()))
    if not needs:
        talk.say(f"{style}: painter only; there is nothing to fetch", style=style)
        return
    offers: list[tuple[Need, Offer]] = []
    for need in needs:
        try:
            found = registry.resolve(need.ref, need.words, need.folder)
            if not (update and hub.is_commit(found.revision)):
                talk.say(f"here      {need.role:10} {need.named}", role=need.role, source=need.ref.source, state="here")
                continue
        except (MissingWeightsError, ChangedWeightsError):
            if not hub.is_hub_id(need.ref.source) or need.ref.source in registry.added():
                raise
        offers.append((need, make_offer(registry, need.ref, update)))
    if not offers:
        talk.say(f"all that {style} needs is here", state="here")
        return
    # What was asked for is shown even with --quiet: a licence is agreed to by whoever could read it.
    _show(offers, Talk(False, as_json))
    check_room([offer for _, offer in offers])
    if not yes:
        words = [style, *(["--profile", profile] if profile else []), *(["--all-profiles"] if all_profiles else [])]
        words += [word for change in changes or () for word in ("--set", change)]
        _ask(shlex.join([*words, *(["--update"] if update else [])]), offers, as_json)
    _fetch(registry, offers, talk)


@app.command("check")
def check_models(
    style: Annotated[str | None, typer.Argument(metavar="[STYLE]", help="Only what this style needs [all].")] = None,
    quiet: o.Quiet = False,
    as_json: o.Json = False,
) -> None:
    """Hash everything that was pulled or added again, and tell what changed; exits 1 when something did."""
    from mapstyle.cli.talk import Talk
    from mapstyle.engines.diffusion.registry import MissingWeightsError, Registry
    from mapstyle.errors import EngineError

    talk, registry = Talk(quiet, as_json), Registry()
    wrong = count = 0
    seen: set[tuple[str, str, str]] = set()
    for words, folder, ref in _everything(registry) if style is None else _of_style(style):
        key = (ref.source, ref.file, ref.revision)
        if key in seen:
            continue
        seen.add(key)
        named = f"{ref.source}/{ref.file}" if ref.file else ref.source
        try:
            found = registry.check(ref, words, registry.locate(ref, words, folder), anew=True)
        except EngineError as error:
            state = "missing" if isinstance(error, MissingWeightsError) else "changed"
            wrong += 1
            talk.result(f"{state:8} {error}", source=ref.source, file=ref.file, state=state)
        else:
            facts = {"source": ref.source, "file": ref.file, "state": "ok", "sha256": found.sha256}
            talk.result(f"{'ok':8} {named} {found.sha256[:12]}", **facts)
        count += 1
    if wrong:
        raise EngineError(f"{wrong} of {count} are not what they were; each line above says what mends it")
    talk.say(f"{count} checked, all as they were" if count else "nothing was pulled or added yet", count=count)


@app.command("add")
def add_model(
    path: Annotated[Path, typer.Argument(metavar="FILE_OR_FOLDER", help="A .safetensors file, or a model's folder.")],
    name: Annotated[
        str | None, typer.Option("--name", metavar="N", help="As styles will name it [the file's].")
    ] = None,
    licence: Annotated[str, typer.Option("--licence", metavar="L", help="Its licence [as the file states].")] = "",
    sha256: Annotated[str, typer.Option("--sha256", metavar="H", help="Refuse it if this is not its SHA-256.")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Give a name that is taken to this file.")] = False,
    quiet: o.Quiet = False,
    as_json: o.Json = False,
) -> None:
    """Put a name to weights of your own, so that styles can use them; the file stays where it is."""
    import re

    from mapstyle.cli.talk import Talk
    from mapstyle.engines.diffusion import hub
    from mapstyle.engines.diffusion.identify import identify
    from mapstyle.engines.diffusion.registry import Added, Registry
    from mapstyle.engines.diffusion.settings import Weights
    from mapstyle.errors import EngineError

    talk, registry = Talk(quiet, as_json), Registry()
    path = path.expanduser().absolute()
    if not path.exists():
        raise EngineError(f"{path}: there is no such file or folder")
    wanted = sha256.lower().removeprefix("0x")
    if wanted and not re.fullmatch(r"[0-9a-f]{64}", wanted):
        raise EngineError(f"--sha256 {sha256}: a SHA-256 has 64 hexadecimal digits")
    called = name or path.name.removesuffix(".safetensors")
    if "/" in called or "\\" in called or not called.strip():
        raise EngineError(f"--name {called}: choose a name without slashes, as paths and repositories have them")
    place = registry.locate(Weights(source=str(path)), "")
    what = identify(place.path, place.files)
    found = registry.check(Weights(source=str(path)), "", place, anew=True)
    if wanted and found.sha256 != wanted:
        raise EngineError(f"{path}: its SHA-256 begins {found.sha256[:12]}, not {wanted[:12]}; it is another file")
    taken = registry.added().get(called)
    if taken is not None and taken.sha256 != found.sha256 and not overwrite:
        raise EngineError(
            f"'{called}' is {taken.path} already; choose another --name, or pass --overwrite to give it this one"
        )
    stated = licence or what.licence
    added = Added(path=path, kind=what.kind, sha256=found.sha256, size=found.size, licence=stated)
    registry.add(called, added)
    talk.say(
        f"{called}: {what.kind} '{what.title}', {_told_size(found.size)}, "
        f"{_told_licence(stated, hub.is_non_commercial(stated))}"
        + (f", trigger words: {what.trigger}" if what.trigger else "")
    )
    told = {"kind": what.kind, "sha256": found.sha256, "autov3": found.autov3, "licence": stated, "size": found.size}
    talk.result(f'source = "{called}"', name=called, file=str(path), trigger=what.trigger, **told)


def _needs(style: str, profile: str | None, all_profiles: bool, changes: Sequence[str] = ()) -> Iterator[Need]:
    """Give what a style needs in the profiles that are asked for, each thing once."""
    from mapstyle.engines.diffusion.profiles import PROFILES, resolve
    from mapstyle.engines.diffusion.registry import needed
    from mapstyle.errors import StyleError
    from mapstyle.style import load_style

    look = load_style(style, changes)
    if (settings := look.diffusion) is None:
        return
    own = profile or settings.profile
    merged: dict[tuple[Any, ...], tuple[str, Weights, list[str]]] = {}
    for name in dict.fromkeys([own, *(PROFILES if all_profiles else ())]):
        chosen = settings.model_copy(update={"profile": name})
        try:
            plan = resolve(chosen)
        except StyleError:
            if name == own:
                raise
            continue  # the style's own steps or sampler rule this profile out
        for role, ref in needed(chosen, plan):
            key = (role, ref.source, ref.file, ref.revision)
            merged.setdefault(key, (role, ref, []))[2].append(name)
    for role, ref, names in merged.values():
        yield Need(style, look.folder, tuple(names), role, ref)


def _of_style(style: str) -> Iterator[tuple[str, Path | None, "Weights"]]:
    for need in _needs(style, None, False):
        yield need.words, need.folder, need.ref


def _everything(registry: "Registry") -> Iterator[tuple[str, Path | None, "Weights"]]:
    """Give all that was pulled or added, and what the styles name beside it."""
    from mapstyle.engines.diffusion.registry import MissingWeightsError
    from mapstyle.engines.diffusion.settings import Weights
    from mapstyle.errors import StyleError
    from mapstyle.style import find_styles

    for style in sorted(find_styles()):
        try:
            needs = list(_needs(style, None, True))
        except StyleError:
            continue
        for need in needs:
            try:
                registry.locate(need.ref, need.words, need.folder)
            except MissingWeightsError:
                if registry.lock_for(need.ref) is None:
                    continue  # nobody has fetched it; that is no change
            yield need.words, need.folder, need.ref
    for lock in registry.locks():
        yield "STYLE", None, Weights(source=lock.source, file=lock.file, revision=lock.asked)
    for name in registry.added():
        yield "STYLE", None, Weights(source=name)


def _row(registry: "Registry", need: Need) -> dict[str, Any]:
    from mapstyle.engines.diffusion import hub
    from mapstyle.engines.diffusion.registry import MissingWeightsError
    from mapstyle.errors import EngineError

    lock = registry.lock_for(need.ref)
    path, revision = None, lock.revision if lock is not None else need.ref.revision
    size = sum(f.size for f in lock.files.values()) if lock is not None else None
    licence = (lock.licence if lock is not None else "") or need.ref.licence
    try:
        place = registry.locate(need.ref, need.words, need.folder)
        state, path, size, revision = "here", str(place.path), place.size, place.revision
        licence = (place.added.licence if place.added is not None else "") or licence
    except MissingWeightsError:
        state = "missing"
    except EngineError as error:
        state = f"unusable: {error}"
    return {
        "style": need.style, "profiles": need.profiles, "role": need.role, "source": need.ref.source,
        "file": need.ref.file, "revision": revision, "state": state, "path": path, "size": size, "licence": licence,
        "non_commercial": hub.is_non_commercial(licence),
    }  # fmt: skip


def _show(offers: "list[tuple[Need, Offer]]", talk: "Talk") -> None:
    for need, offer in offers:
        size, missing = _told_size(offer.size), _told_size(offer.missing)
        talk.say(
            f"to fetch  {need.role:10} {need.named}, {size if size == missing else f'{missing} of {size}'}, "
            f"{_told_licence(offer.licence, offer.non_commercial)}" + (f" {offer.link}" if offer.link else ""),
            role=need.role, source=need.ref.source, file=need.ref.file, revision=offer.commit, size=offer.size,
            missing=offer.missing, licence=offer.licence, non_commercial=offer.non_commercial, state="missing",
        )  # fmt: skip
    total = sum(offer.missing for _, offer in offers)
    talk.say(f"together {_told_size(total)}, into the Hub's cache", missing=total)


def _ask(words: str, offers: "list[tuple[Need, Offer]]", as_json: bool) -> None:
    import sys

    from mapstyle.errors import EngineError

    if as_json or not sys.stdin.isatty():
        raise EngineError(f"nothing was fetched; to agree, run: mapstyle models pull {words} --yes")
    limited = ", of which some may not be used commercially" if any(x.non_commercial for _, x in offers) else ""
    if not typer.confirm(f"Fetch {_told_size(sum(x.missing for _, x in offers))}{limited}?", err=True):
        raise EngineError("nothing was fetched")


def _fetch(registry: "Registry", offers: "list[tuple[Need, Offer]]", talk: "Talk") -> None:
    from mapstyle.engines.diffusion.pull import AGAIN, fetch

    done = told = 0
    total = sum(offer.missing for _, offer in offers)
    try:
        with talk.progress("fetching", max(total // 1_000_000, 1), "MB") as advance:

            def count(more: int) -> None:
                nonlocal done, told
                done += more
                if (whole := done // 1_000_000) > told:
                    advance.step(whole - told)
                    told = whole

            for need, offer in offers:
                lock = fetch(registry, offer, count)
                talk.say(f"fetched   {need.role:10} {need.named} at {lock.revision[:12]}", state="here")
    except KeyboardInterrupt:
        typer.echo(f"mapstyle: stopped; {AGAIN}", err=True)
        raise typer.Exit(130) from None


def _told_licence(licence: str, non_commercial: bool) -> str:
    return f"licence {licence or 'not stated'}" + (" (NOT FOR COMMERCIAL USE)" if non_commercial else "")


def _told_size(size: float) -> str:
    from mapstyle.engines.diffusion.pull import told_size

    return told_size(size)
