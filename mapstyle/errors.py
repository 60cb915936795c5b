"""Every error a user can meet; each message is one line that names the thing and the cure."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from pydantic import BaseModel, ValidationError


class MapstyleError(Exception):
    """Something a user can mend; the command line prints it as one line and exits 1."""


class SourceError(MapstyleError):
    """A file of geography that is missing, broken, hostile, empty or of no known kind."""


class ExtentError(MapstyleError):
    """A place that is out of range, upside down, or where the data is not."""


class StyleError(MapstyleError):
    """A style that is unknown, or a ``style.toml`` that breaks its rules (file, key and reason)."""


class JobError(MapstyleError):
    """A run whose options do not fit together."""


class FontError(MapstyleError):
    """A label whose letters no font on this machine can draw."""


class OutputError(MapstyleError):
    """A picture that cannot be written: it exists, has no room, or is larger than its format allows."""


class EngineError(MapstyleError):
    """An engine that cannot be loaded here."""


def nearest(wrong: str, known: Iterable[str]) -> str:
    """Say which known name was probably meant: ``Did you mean 'ink'? Known: ...``."""
    names = sorted(known)
    close = get_close_matches(wrong.lower(), [n.lower() for n in names], n=1, cutoff=0.5)
    lookup = {n.lower(): n for n in names}
    hint = f"Did you mean '{lookup[close[0]]}'? " if close else ""
    return f"{hint}Known: {', '.join(names)}."


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Say in one line which key of a settings table is wrong, and why; ``model`` is what was validated."""
    first = error.errors()[0]
    key = ".".join(str(p) for p in first["loc"])
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        reason = "there is no such setting"
        if known := _fields_at(model, first["loc"][:-1]):
            reason += f". {nearest(str(first['loc'][-1]), known)}"
    elif first["type"] == "missing":
        reason = "this setting is missing"
    elif not isinstance(first["input"], (Mapping, BaseModel)):
        reason += f" (it is {first['input']!r})"
    more = error.error_count() - 1
    told = f"{key}: {reason}" if key else reason
    return told + (f" (and {more} more)" if more else "")


def _fields_at(model: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    for part in path:
        field = model.model_fields.get(str(part))
        kind = field.annotation if field else None
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return []
        model = kind
    return list(model.model_fields)
