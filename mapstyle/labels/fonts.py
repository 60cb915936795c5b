"""Fonts: which file draws which letters. Never a box in place of a letter."""

import importlib
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from threading import RLock
from typing import Any

from mapstyle.fingerprint import stable_id
from mapstyle.labels.scripts import CJK, SCRIPTS, script_name
from mapstyle.labels.settings import Family, TypeSettings

SUFFIXES = (".ttf", ".otf", ".ttc", ".otc")
_WEIGHTS = ((250, "ExtraLight"), (350, "Light"), (500, ""), (650, "Semibold"), (800, "Bold"), (950, "Black"))
_UNFIT = re.compile(r"mono|emoji|symbol|lastresort|adobeblank|notdef|unifont|barcode|icons?\b|awesome", re.IGNORECASE)
_SLANT = 0.19  # tangent of 11 degrees, near that of Source's own italics
# Zero-width and direction controls: they steer shaping and need no letter in a font.
_UNSEEN = frozenset(range(0x200B, 0x2010)) | frozenset(range(0x202A, 0x202F)) | frozenset(
    {0xAD, 0x34F, 0x61C, 0x2060, 0xFEFF, *range(0x2066, 0x206A), *range(0xFE00, 0xFE10)}
)  # fmt: skip


@dataclass(frozen=True)
class FontStyle:
    """What is asked of a font."""

    family: Family = Family.SANS
    weight: int = 400
    italic: bool = False

    @classmethod
    def of(cls, settings: TypeSettings) -> "FontStyle":
        """Take it from the settings of a kind of label."""
        return cls(settings.family, settings.weight, settings.italic)


class Face:
    """One face of a font file.

    Attributes:
        key: number that names the face by file name and index, the same wherever it is installed.
        path: the file.
        index: which face of a collection.
        slant: how far its letters are made to lean, to stand in for italics that it has not.
    """

    def __init__(self, path: Path, index: int = 0, slant: float = 0.0) -> None:
        self.path = path
        self.index = index
        self.slant = slant
        self.key = stable_id(f"{path.name}#{index}/{slant}") & 0x7FFFFFFF

    @cached_property
    def hb_face(self) -> Any:
        """The face as HarfBuzz has it."""
        import uharfbuzz as hb

        return hb.Face(hb.Blob.from_file_path(str(self.path)), self.index)

    @cached_property
    def hb_font(self) -> Any:
        """The font as HarfBuzz has it, in units of the face."""
        import uharfbuzz as hb

        font = hb.Font(self.hb_face)
        font.synthetic_slant = self.slant
        return font

    @cached_property
    def em(self) -> float:
        """Units to the em."""
        return float(self.hb_face.upem)

    @cached_property
    def letters(self) -> Any:
        """Set of the code points it has letters for."""
        return self.hb_face.unicodes

    def covers(self, text: str) -> bool:
        """Tell whether it has every letter of a text."""
        letters = self.letters
        return all(ord(c) in letters or ord(c) in _UNSEEN for c in text)


def system_folders() -> Iterator[Path]:
    """Give the folders where fonts are installed; ``MAPSTYLE_FONTS`` names further ones, searched first."""
    for part in os.environ.get("MAPSTYLE_FONTS", "").split(os.pathsep):
        if part:
            yield Path(part).expanduser()
    home = Path.home()
    if sys.platform == "darwin":
        yield from (home / "Library/Fonts", Path("/Library/Fonts"), Path("/System/Library/Fonts"))
    elif sys.platform == "win32":
        yield Path(os.environ.get("WINDIR", r"C:\Windows")) / "Fonts"
        yield Path(os.environ.get("LOCALAPPDATA", str(home))) / "Microsoft/Windows/Fonts"
    else:
        data = Path(os.environ.get("XDG_DATA_HOME", home / ".local/share"))
        yield from (data / "fonts", home / ".fonts", Path("/usr/local/share/fonts"), Path("/usr/share/fonts"))


def _files(folders: Iterable[Path]) -> list[Path]:
    found = []
    for folder in folders:
        for here, below, names in os.walk(folder):
            below.sort()
            found += [Path(here, n) for n in sorted(names) if n.lower().endswith(SUFFIXES)]
    return found


class FontBook:
    """All fonts of this machine, opened as they are needed.

    ``notes`` tells once for each script what had to be left out, and what to install.
    """

    def __init__(self, folders: Iterable[Path] | None = None) -> None:
        self._folders = folders
        self._faces: dict[int, Face] = {}
        self._opened: dict[tuple[Path, int, float], Face | None] = {}
        self._order: dict[tuple[FontStyle, str], list[tuple[Path, int]]] = {}
        self._packaged: dict[FontStyle, list[Face]] = {}
        self._missing: dict[str, str] = {}
        self._lock = RLock()

    @cached_property
    def files(self) -> list[Path]:
        """Font files of the system, those of a person's own folders first."""
        files = _files(system_folders() if self._folders is None else self._folders)
        return [f for f in files if not _UNFIT.search(f.stem)]

    @property
    def notes(self) -> tuple[str, ...]:
        """One line for each script that no font could draw so far."""
        return tuple(self._missing[s] for s in sorted(self._missing))

    def face(self, key: int) -> Face:
        """Give a face that was chosen before."""
        return self._faces[key]

    def choose(self, text: str, script: str, style: FontStyle, note: bool = True) -> Face | None:
        """Find a face with every letter of a text in one script; None, and a note, where there is none."""
        with self._lock:
            for own in self._packaged_faces(style):
                if own.covers(text):
                    return own
            # Always in the same order: which font a name gets must not depend on names met before.
            if (style, script) not in self._order:
                self._order[style, script] = list(self._candidates(script, style))
            for path, index in self._order[style, script]:
                found = self._open(path, index)
                if found is not None and found.covers(text):
                    return found
            if note:
                self.miss(script)
            return None

    def miss(self, script: str) -> None:
        """Note that a label in a script had to be left out."""
        self._missing[script] = f"labels in {script_name(script)} letters are left out: {cure(script)}"

    def _packaged_faces(self, style: FontStyle) -> list[Face]:
        """Give the faces that come with us, likest first: upright letters lean where italics lack them."""
        if style not in self._packaged:
            other = Family.SANS if style.family is Family.SERIF else Family.SERIF
            likes = (style, replace(style, italic=False), replace(style, family=other, italic=False))
            files = [
                (_packaged_file(s), _SLANT if style.italic and not s.italic else 0.0) for s in dict.fromkeys(likes)
            ]
            faces = [self._open(path, 0, slant) for path, slant in files if path is not None]
            self._packaged[style] = [f for f in faces if f is not None]
        return self._packaged[style]

    def _open(self, path: Path, index: int, slant: float = 0.0) -> Face | None:
        if (path, index, slant) not in self._opened:
            face: Face | None = Face(path, index, slant)
            try:
                assert face is not None
                if not len(face.letters):
                    face = None
            except Exception:  # a broken font file on someone's disk must not stop a map
                face = None
            self._opened[path, index, slant] = face
            if face is not None:
                self._faces.setdefault(face.key, face)
        found = self._opened[path, index, slant]
        return self._faces[found.key] if found is not None else None

    def _candidates(self, script: str, style: FontStyle) -> Iterator[tuple[Path, int]]:
        """Give files that may have a script: those named for it first, then all, best likeness first."""

        def unlike(path: Path) -> tuple[int, int, int, int, str]:
            stem = path.stem.lower()
            bold, heavy = "bold" in stem or "black" in stem, style.weight >= 600
            wrong_weight = (bold != heavy) + bool(re.search(r"light|thin|medium|condensed|extra|semi|demi", stem))
            wrong_slant = int(("italic" in stem or "oblique" in stem) != style.italic)
            serif = "serif" in stem or "naskh" in stem
            return (
                _name_distance(stem, script),
                int(serif != (style.family is Family.SERIF)),
                wrong_slant,
                wrong_weight,
                path.name,
            )

        for path in sorted(self.files, key=unlike):
            if path.suffix.lower() in (".ttc", ".otc"):
                for index in _collection_order(path, script):
                    yield path, index
            else:
                yield path, 0


def _name_distance(stem: str, script: str) -> int:
    """Tell how far a file's name is from saying that it is for a script: 0 says so, 3 says nothing."""
    if "noto" not in stem:
        return 3
    family = re.sub(r"[^a-z].*$", "", stem)
    if script in CJK:
        return 0 if "cjk" in family or family in ("notosansjp", "notosanssc", "notosanstc", "notosanskr") else 3
    named = script_name(script).lower()
    if family in (f"notosans{named}", f"notoserif{named}", f"notonaskh{named}"):
        return 0
    if script in ("Latn", "Grek", "Cyrl") and family in ("notosans", "notoserif"):
        return 0
    # Cuts for narrow lines of user interfaces, looped and display cuts come after the plain ones.
    return 1 if named in family else 3


def _collection_order(path: Path, script: str) -> list[int]:
    """Order the faces of a collection so that the one drawn for a script's readers comes first."""
    import uharfbuzz as hb

    try:
        blob = hb.Blob.from_file_path(str(path))
        count = min(int(hb.Face(blob).count), 32)
        names = [str(hb.Face(blob, i).get_name(hb.OTNameIdPredefined.FONT_FAMILY) or "") for i in range(count)]
    except Exception:  # a broken collection is no font
        return []
    wanted = {"Hira": "JP", "Kana": "JP", "Hang": "KR", "Bopo": "TC"}.get(script, "SC")
    return sorted(range(count), key=lambda i: (not names[i].endswith(wanted), "Mono" in names[i], i))


@lru_cache(maxsize=64)
def _packaged_file(style: FontStyle) -> Path | None:
    module, stem = {
        Family.SANS: ("font_source_sans_pro", "SourceSansPro"),
        Family.SERIF: ("font_source_serif_pro", "SourceSerifPro"),
    }[style.family]
    try:
        source = importlib.import_module(module)
    except ImportError:
        return None
    weight = next(name for limit, name in _WEIGHTS if style.weight < limit)
    files = source.font_files_ttf
    path = files.get(f"{stem}{weight}{'It' if style.italic else ''}") or files.get(f"{stem}{weight}")
    return Path(path) if path else None


def cure(script: str) -> str:
    """Say what to install so that a script can be drawn."""
    if script in CJK:
        return "no font here has them. Install Noto Sans CJK (Debian, Ubuntu: fonts-noto-cjk)."
    name = script_name(script)
    return f"no font here has them. Install Noto Sans {name} (Debian, Ubuntu: fonts-noto-core)."


@lru_cache(maxsize=1)
def font_book() -> FontBook:
    """Give the process's own font book."""
    return FontBook()


def drawable_scripts() -> list[tuple[str, str | None, str]]:
    """Tell for each script we know its name, the font file that draws it (or None), and what to install."""
    book = FontBook()
    out: list[tuple[str, str | None, str]] = []
    for code, script in SCRIPTS.items():
        face = book.choose(script.letters, code, FontStyle())
        cured = "" if face else f"install {script.package}" if script.package else "reinstall mapstyle"
        out.append((script.name, face.path.name if face else None, cured))
    return out
