"""Every error a user can meet; each message is one line that names the thing and the cure."""

from collections.abc import Iterable
from difflib import get_close_matches


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
