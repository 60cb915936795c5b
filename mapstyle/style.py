"""The look: a folder with a ``style.toml`` that gathers the settings of every stage."""

import os
import shlex
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator

from mapstyle.controls import CONTROLS
from mapstyle.engines.diffusion.settings import Diffusion, Weights
from mapstyle.engines.painter import Recipe
from mapstyle.errors import StyleError, explain, nearest
from mapstyle.fingerprint import fingerprint
from mapstyle.ink import InkSettings
from mapstyle.labels.settings import LabelSettings
from mapstyle.levels import Levels

FILE = "style.toml"
PICTURES = ("painter", "imagery")
"""Pictures that a diffusion control may come from, beside the drawn ones."""


class Style(BaseModel):
    """One look. Each part is described where it is used."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="the folder's name")
    title: str = Field(description="the name people see")
    summary: str = Field(description="one sentence on how it looks")
    seed: int = Field(1, ge=0, lt=2**31, description="the map's seed when none is given")
    painter: Recipe = Field(description="medium and brushes of the CPU engine")
    diffusion: Diffusion | None = Field(None, description="what SDXL makes of it; a style without is painted only")
    levels: Levels = Field(default_factory=Levels, description="what appears from which level, line widths")
    ink: InkSettings = Field(default_factory=InkSettings, description="lines drawn back over the ground")
    labels: LabelSettings = Field(default_factory=LabelSettings, description="type")
    credits: tuple[str, ...] = Field((), description="whom and what the look was learned from")

    _folder: Path | None = PrivateAttr(None)
    _changes: tuple[str, ...] = PrivateAttr(())

    @field_validator("diffusion")
    @classmethod
    def _check_controls(cls, diffusion: Diffusion | None) -> Diffusion | None:
        for control in diffusion.controls if diffusion else ():
            if control.image not in CONTROLS and control.image not in PICTURES:
                raise ValueError(
                    f"no control called '{control.image}'. {nearest(control.image, {*CONTROLS, *PICTURES})}"
                )
        return diffusion

    @property
    def folder(self) -> Path | None:
        """Where it was read from; paths in it begin there."""
        return self._folder

    @property
    def words(self) -> str:
        """What names this style on a command line that fetches its weights: name or path, and what was changed."""
        name = self.name if find_styles().get(self.name, Path()).resolve() == self._folder else str(self._folder)
        words = [name]
        for change in self._changes:
            key, _, value = change.partition("=")
            if key.strip() == "diffusion.profile":
                words += ["--profile", value.strip().strip("'\"")]
            elif key.strip().startswith("diffusion."):
                words += ["--set", change]
        return shlex.join(words)

    @property
    def digest(self) -> str:
        """Digest of everything in the style that decides pixels, but for the engine that paints with a model."""
        brushes = {name: brush.model_dump() for name, brush in self.painter.brushes.items()}
        return fingerprint(
            self.painter.medium,
            self.painter.settings,
            list(brushes),
            brushes,
            self.levels,
            self.ink,
            self.labels,
        )


def style_folders() -> Iterator[Path]:
    """Give the folders that hold styles, a person's own first."""
    for part in os.environ.get("MAPSTYLE_STYLES", "").split(os.pathsep):
        if part:
            yield Path(part).expanduser()
    yield Path(platformdirs.user_config_dir("mapstyle", appauthor=False)) / "styles"
    yield packaged("styles")


def packaged(name: str) -> Path:
    """Give a folder of ours (``styles`` or ``sample_data``), in a checkout or in an installed wheel."""
    here = Path(__file__).resolve().parent
    installed = here / f"_{name}"
    return installed if installed.is_dir() else here.parent / name


def find_styles() -> dict[str, Path]:
    """Give every style's folder by name; the first folder that has a name wins."""
    found: dict[str, Path] = {}
    for folder in style_folders():
        if folder.is_dir():
            for child in sorted(folder.iterdir()):
                if (child / FILE).is_file():
                    found.setdefault(child.name, child)
    return found


def load_style(name: str, changes: Sequence[str] = ()) -> Style:
    """Read a style by name or path and put ``KEY=VALUE`` changes into it.

    Raises:
        StyleError: it is unknown, or breaks its rules; names file, key and reason.
    """
    path = Path(name).expanduser()
    if path.name == FILE and path.is_file():
        folder = path.parent
    elif (path / FILE).is_file():
        folder = path
    else:
        known = find_styles()
        if name not in known:
            raise StyleError(f"no style called '{name}'. {nearest(name, known)}")
        folder = known[name]
    file = folder / FILE
    try:
        if file.stat().st_size > 1_000_000:
            raise StyleError(f"{file}: larger than 1 MB, which no style is")
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise StyleError(f"{file}: not TOML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise StyleError(f"{file}: cannot be read: {error}") from None
    for change in changes:
        apply_change(raw, change)
    raw.setdefault("name", folder.resolve().name)
    try:
        style = Style.model_validate(raw)
    except ValidationError as error:
        raise StyleError(f"{file}: {explain(error, Style)}") from None
    style._folder, style._changes = folder.resolve(), tuple(changes)
    return style


def apply_change(raw: dict[str, Any], change: str) -> None:
    """Put one ``KEY=VALUE`` into a style's table; the value is read as TOML, else taken as text."""
    key, equals, text = change.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise StyleError(f"--set {change}: write it as KEY=VALUE, as in painter.settings.granulation=0.4")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    table: Any = raw
    for i, part in enumerate(parts[:-1]):
        if not isinstance(table, dict):
            raise StyleError(f"--set {change}: '{'.'.join(parts[:i])}' holds no further settings")
        if part not in table:
            table[part] = _default(parts[: i + 1], parts[-1])
        table = table[part]
    if not isinstance(table, dict):
        raise StyleError(f"--set {change}: '{'.'.join(parts[:-1])}' holds no further settings")
    table[parts[-1]] = value


def _default(path: Sequence[str], changed: str) -> dict[str, Any]:
    """Give what a table holds that a style leaves out, so that one of its settings can be changed alone."""
    model: Any = Style
    for part in path[:-1]:
        field = model.model_fields.get(part)
        kinds = () if field is None else (field.annotation, *get_args(field.annotation))
        model = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
        if model is None:
            return {}
    field = model.model_fields.get(path[-1])
    value = None if field is None else field.get_default(call_default_factory=True)
    # Other weights have another licence and other hashes: nothing of theirs is kept.
    if not isinstance(value, BaseModel) or (isinstance(value, Weights) and changed == "source"):
        return {}
    return value.model_dump()
