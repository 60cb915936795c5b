"""Where weights lie on this machine, and whether they are what they were when they came."""

import json
import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mapstyle.engines.diffusion import hub
from mapstyle.engines.diffusion.hashes import Digests, Hashes, digest_folder, write_json
from mapstyle.engines.diffusion.profiles import Plan
from mapstyle.engines.diffusion.settings import Diffusion, Weights
from mapstyle.errors import EngineError, explain, nearest
from mapstyle.making import WeightUsed

LOCK = "lock.json"
ADDED = "added.json"

Record = TypeVar("Record", bound=BaseModel)


class MissingWeightsError(EngineError):
    """Weights that are not on this machine."""


class ChangedWeightsError(EngineError):
    """Weights that are not what they were."""


@dataclass(frozen=True)
class Found:
    """Weights on this machine, checked.

    Attributes:
        path: the file, or the folder when a whole folder is loaded.
        name: of the file, the repository or what was added, without suffix.
        source: as the style names it.
        revision: commit on the Hub; empty for files that did not come from there.
        sha256: of the file; of a folder, of its files' digests in order of their names.
        autov2: first 10 digits of ``sha256``.
        autov3: as :func:`mapstyle.engines.diffusion.hashes.digest_file` says; empty for folders.
        licence: as its card states it, or empty.
        civitai: its model version on CivitAI, or None.
        size: bytes of all its files.
        files: names below ``path``, sorted; for a file, its own name.
    """

    path: Path
    name: str
    source: str
    revision: str
    sha256: str
    autov2: str
    autov3: str
    licence: str
    civitai: int | None
    size: int
    files: tuple[str, ...]

    def used(self, role: str, weight: float | None = None) -> WeightUsed:
        """Tell how it took part in a picture; a folder has no hash that others know it by."""
        autov2 = self.autov2 if self.path.is_file() else ""
        return WeightUsed(role, self.name, self.sha256, autov2, self.autov3, weight, self.licence, self.civitai)


class LockedFile(BaseModel):
    """A file as it arrived."""

    model_config = ConfigDict(frozen=True)

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)


class Locked(BaseModel):
    """What was pulled from the Hub for one reference of a style.

    Attributes:
        asked: revision that the style named; empty when it named none.
        revision: the commit that this was.
        main: the one file of weights, or empty when the whole folder is loaded.
        files: everything that was fetched, by its name in the repository.
    """

    model_config = ConfigDict(frozen=True)

    source: str
    file: str = ""
    asked: str = ""
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")
    licence: str = ""
    main: str = ""
    files: dict[str, LockedFile]


class Added(BaseModel):
    """A file or folder of a person's own, under a name."""

    model_config = ConfigDict(frozen=True)

    path: Path
    kind: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)
    licence: str = ""


@dataclass(frozen=True)
class Place:
    """Where weights lie, not yet checked.

    Attributes:
        root: folder of the snapshot, of the added thing, or of the file.
        main: the file of weights below ``root``, or empty when the whole folder is loaded.
        files: all that is needed, below ``root``.
    """

    root: Path
    main: str
    files: tuple[str, ...]
    name: str
    revision: str = ""
    locked: Locked | None = None
    added: Added | None = None

    @property
    def path(self) -> Path:
        """The file or folder that is loaded."""
        return self.root / self.main if self.main else self.root

    @property
    def counted(self) -> tuple[str, ...]:
        """Names of the files whose bytes are these weights: configs beside a lone file are not."""
        return (self.main,) if self.main else self.files

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum((self.root / name).stat().st_size for name in self.files)


class Registry:
    """The folder that remembers what was pulled, what was added and what it hashed to."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder if folder is not None else models_folder()
        self.hashes = Hashes(self.folder)

    def resolve(self, ref: Weights, style: str, folder: Path | None = None) -> Found:
        """Find weights without the network, and check them.

        Args:
            ref: as the style names them.
            style: what ``mapstyle models pull`` needs to fetch them: the style's name, ``--profile NAME`` if need be.
            folder: the style's own, for paths that begin there.

        Raises:
            MissingWeightsError: they are not here; says what fetches them.
            ChangedWeightsError: they are not what the lock or the style says.
            EngineError: they cannot be used.
        """
        place = self.locate(ref, style, folder)
        return self.check(ref, style, place)

    def locate(self, ref: Weights, style: str, folder: Path | None = None) -> Place:
        """Find weights without reading them."""
        for path in _paths(ref.source, folder):
            if path.exists():
                return _on_disk(path, ref.file)
        if (added := self.added().get(ref.source)) is not None:
            if not added.path.exists():
                raise MissingWeightsError(
                    f"{added.path}, added as '{ref.source}', is gone; put it back, or run: "
                    f"mapstyle models add FILE --name {shlex.quote(ref.source)}"
                )
            place = _on_disk(added.path, ref.file)
            return Place(place.root, place.main, place.files, ref.source, added=added)
        if not hub.is_hub_id(ref.source):
            raise MissingWeightsError(self._cure_of_a_path(ref.source))
        place_on_hub = self._in_cache(ref)
        if place_on_hub is None:
            what = f"{ref.source}/{ref.file}" if ref.file else ref.source
            raise MissingWeightsError(f"{what} is not here; run: mapstyle models pull {style}")
        return place_on_hub

    def check(self, ref: Weights, style: str, place: Place, anew: bool = False) -> Found:
        """Hash what was located and compare it with the lock, with what was added and with the style.

        Args:
            ref: what was looked for.
            style: for the cure, as in :meth:`resolve`.
            place: where it was located.
            anew: read everything again, even what seems not to have changed.
        """
        digests = {name: self._hash(place, name, anew) for name in place.files}
        if place.locked is not None:
            for name, digest in digests.items():
                known = place.locked.files.get(name)
                if known is not None and known.sha256 != digest.sha256:
                    _changed(f"{ref.source}/{name}", digest.sha256, "the lock", known.sha256, style)
        lone = digests[place.main] if place.main else None
        counted = [digests[name].sha256 for name in place.counted]
        sha256 = lone.sha256 if lone is not None else digest_folder(counted)
        if place.added is not None and not ref.file and place.added.sha256 != sha256:
            raise ChangedWeightsError(
                f"{place.path} has changed since it was added as '{place.name}' (SHA-256 {sha256[:12]}, it was "
                f"{place.added.sha256[:12]}); if that is right, run: mapstyle models add "
                f"{shlex.quote(str(place.added.path))} --name {shlex.quote(place.name)}"
            )
        if ref.sha256 and ref.sha256 != sha256:
            what = f"{ref.source}/{place.main}" if place.main and place.revision else str(place.path)
            _changed(what, sha256, "the style", ref.sha256, style)
        stated = place.locked or place.added
        return Found(
            path=place.path,
            name=place.name,
            source=ref.source,
            revision=place.revision,
            sha256=sha256,
            autov2=sha256[:10],
            autov3=lone.autov3 if lone is not None else "",
            licence=(stated.licence if stated is not None else "") or ref.licence,
            civitai=ref.civitai,
            size=place.size,
            files=place.files,
        )

    def locks(self) -> list[Locked]:
        """Give all that was pulled."""
        records = self._read(LOCK).get("weights", [])
        return [self._parse(LOCK, Locked, r) for r in (records if isinstance(records, list) else [records])]

    def lock_for(self, ref: Weights) -> Locked | None:
        """Give what was pulled for a reference: at its revision, if it names one."""
        for lock in self.locks():
            if (lock.source, lock.file) == (ref.source, ref.file) and ref.revision in (lock.asked, lock.revision):
                return lock
        return None

    def remember(self, lock: Locked) -> None:
        """Write into the lock what was pulled."""
        key = (lock.source, lock.file, lock.asked)
        kept = [x for x in self.locks() if (x.source, x.file, x.asked) != key]
        records = sorted([*kept, lock], key=lambda x: (x.source, x.file, x.asked))
        write_json(self.folder / LOCK, {"version": 1, "weights": [x.model_dump() for x in records]})

    def added(self) -> dict[str, Added]:
        """Give all that was added, by name."""
        records = self._read(ADDED).get("weights", {})
        return {k: self._parse(ADDED, Added, v) for k, v in (records.items() if isinstance(records, dict) else ())}

    def add(self, name: str, added: Added) -> None:
        """Put a name to a file or folder."""
        records = {**self.added(), name: added}
        write_json(
            self.folder / ADDED, {"version": 1, "weights": {k: v.model_dump(mode="json") for k, v in records.items()}}
        )

    def _in_cache(self, ref: Weights) -> Place | None:
        """Find a repository in the Hub's cache, at the locked commit or at the style's."""
        locked = self.lock_for(ref)
        commit = locked.revision if locked is not None else ref.revision
        if not hub.is_commit(commit):
            return None
        root = hub.snapshot(ref.source, commit)
        names = set(files_below(root))
        if locked is not None:
            main, files = locked.main, tuple(sorted(locked.files))
            # Another program may have fetched more into the same folder; what the loader would take has to be ours.
            if not set(files) <= names or not set(hub.choose(ref.source, names, ref.file, names).files) <= set(files):
                return None
        else:
            try:
                choice = hub.choose(ref.source, names, ref.file, names)
            except EngineError:
                return None
            main, files = choice.main, choice.files
        return Place(root, main, files, _stem(main) if main else ref.source.split("/")[-1], commit, locked)

    def _cure_of_a_path(self, source: str) -> str:
        if _is_path(source):
            return f"{source}: there is no such file or folder of weights; correct 'source' in the style"
        known = self.added()
        hint = f". {nearest(source, known)}" if known else ""
        return f"'{source}' is not here; run: mapstyle models add FILE --name {shlex.quote(source)}{hint}"

    def _hash(self, place: Place, name: str, anew: bool) -> Digests:
        try:
            return self.hashes.of(place.root / name, anew)
        except OSError as error:
            raise EngineError(f"{place.root / name}: cannot be read ({error.strerror or error})") from error

    def _read(self, name: str) -> Mapping[str, Any]:
        file = self.folder / name
        try:
            read = json.loads(file.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError, RecursionError) as error:
            raise EngineError(f"{file}: is damaged ({error}); {_again(name)}") from error
        if not isinstance(read, dict):
            raise EngineError(f"{file}: is damaged (no table); {_again(name)}")
        if read.get("version") != 1:
            raise EngineError(f"{file}: was written by another version of mapstyle; {_again(name)}")
        return read

    def _parse(self, name: str, model: type[Record], record: Any) -> Record:
        try:
            return model.model_validate(record)
        except ValidationError as error:
            told = explain(error, model)
            raise EngineError(f"{self.folder / name}: is damaged ({told}); {_again(name)}") from error


def _again(name: str) -> str:
    """Say how a damaged list is replaced."""
    return "mend it, or delete it and " + ("pull again" if name == LOCK else "add the files again")


def models_folder() -> Path:
    """Give the folder of the registry: ``MAPSTYLE_MODELS``, or ``models`` in the user's data folder."""
    own = os.environ.get("MAPSTYLE_MODELS")
    return Path(own).expanduser() if own else Path(platformdirs.user_data_dir("mapstyle", appauthor=False)) / "models"


def needed(settings: Diffusion, plan: Plan) -> list[tuple[str, Weights]]:
    """List what a style needs for a plan, with the part each plays: base, vae, preview, controlnet, lora, detector."""
    needs: list[tuple[str, Weights]] = [("base", plan.base)]
    if plan.tiny:
        needs.append(("preview", settings.preview_vae))
    elif settings.vae is not None:
        needs.append(("vae", settings.vae))
    used = dict.fromkeys(control.net for control in settings.controls)
    needs += [("controlnet", settings.nets[name]) for name in used]
    needs += [("lora", lora) for lora in plan.loras]
    detectors = dict.fromkeys(control.detector for control in settings.controls)
    needs += [("detector", settings.detectors[name]) for name in detectors if name in settings.detectors]
    return needs


def files_below(folder: Path) -> Iterator[str]:
    """Give the names of the files in a folder of weights: three levels at most, nothing hidden."""
    for depth in ("*", "*/*", "*/*/*"):
        for file in folder.glob(depth):
            name = file.relative_to(folder).as_posix()
            if file.is_file() and not any(part.startswith(".") for part in name.split("/")):
                yield name


def _is_path(source: str) -> bool:
    return ("/" in source or source.endswith(".safetensors")) and not hub.is_hub_id(source)


def _paths(source: str, folder: Path | None) -> Iterator[Path]:
    """Give the places a source may mean; what looks like a repository's name is never looked for where we stand."""
    path = Path(source).expanduser()
    if path.is_absolute():
        yield path
        return
    if folder is not None:
        yield folder / path
    if _is_path(source):
        yield Path.cwd() / path


def _on_disk(path: Path, file: str) -> Place:
    """Place a file or folder that is no repository."""
    if path.is_file():
        if file:
            raise EngineError(f"{path} is a file and has no {file!r} inside; correct 'file' in the style")
        hub.refuse_pickle(str(path))
        return Place(path.parent, path.name, (path.name,), path.stem)
    names = set(files_below(path))
    choice = hub.choose(str(path), names, file, names)
    return Place(path, choice.main, choice.files, _stem(choice.main) if choice.main else path.name)


def _changed(what: str, digest: str, who: str, known: str, style: str) -> None:
    raise ChangedWeightsError(
        f"{what} is not the file it was: its SHA-256 begins {digest[:12]}, {who} says {known[:12]}; "
        f"run: mapstyle models pull {style}, or see what else changed with: mapstyle models check"
    )


def _stem(name: str) -> str:
    return name.rsplit("/", 1)[-1].removesuffix(".safetensors")
