"""Scripts: which one a letter belongs to, and what a font for it is called."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Script:
    """A system of writing.

    Attributes:
        name: in English, as in the names of Noto fonts.
        letters: a few letters that any font for it has.
        package: the Debian package whose fonts draw it; empty where a dependency of ours does.
    """

    name: str
    letters: str
    package: str = "fonts-noto-core"


SCRIPTS: Mapping[str, Script] = {
    "Latn": Script("Latin", "Aaéłẵ", ""),
    "Grek": Script("Greek", "Αθή", ""),
    "Cyrl": Script("Cyrillic", "Жяїљ", ""),
    "Arab": Script("Arabic", "بسم"),
    "Hebr": Script("Hebrew", "שלום"),
    "Deva": Script("Devanagari", "कखग"),
    "Beng": Script("Bengali", "কখগ"),
    "Guru": Script("Gurmukhi", "ਕਖਗ"),
    "Gujr": Script("Gujarati", "કખગ"),
    "Orya": Script("Oriya", "କଖଗ"),
    "Taml": Script("Tamil", "கசட"),
    "Telu": Script("Telugu", "కఖగ"),
    "Knda": Script("Kannada", "ಕಖಗ"),
    "Mlym": Script("Malayalam", "കഖഗ"),
    "Sinh": Script("Sinhala", "කඛග"),
    "Thai": Script("Thai", "กขค"),
    "Laoo": Script("Lao", "ກຂຄ"),
    "Khmr": Script("Khmer", "កខគ"),
    "Mymr": Script("Myanmar", "ကခဂ"),
    "Tibt": Script("Tibetan", "ཀཁག"),
    "Geor": Script("Georgian", "აბგ"),
    "Armn": Script("Armenian", "Աբգ"),
    "Ethi": Script("Ethiopic", "አበገ"),
    "Tfng": Script("Tifinagh", "ⴰⴱⴳ"),
    "Cher": Script("Cherokee", "ᎠᎡᎢ"),
    "Cans": Script("CanadianAboriginal", "ᐊᐃᐅ"),
    "Mong": Script("Mongolian", "ᠠᠡᠢ"),
    "Syrc": Script("Syriac", "ܐܒܓ"),
    "Thaa": Script("Thaana", "ހށނ"),
    "Nkoo": Script("NKo", "ߊߋߌ"),
    "Java": Script("Javanese", "ꦏꦒꦔ"),
    "Olck": Script("OlChiki", "ᱚᱛᱜ"),
    "Hani": Script("Chinese", "北京市臺", "fonts-noto-cjk"),
    "Hira": Script("Hiragana", "あいう", "fonts-noto-cjk"),
    "Kana": Script("Katakana", "アイウ", "fonts-noto-cjk"),
    "Hang": Script("Hangul", "서울한", "fonts-noto-cjk"),
    "Bopo": Script("Bopomofo", "ㄅㄆㄇ", "fonts-noto-cjk"),
}
"""Scripts that ``mapstyle doctor`` looks for, by ISO 15924 code."""

CJK = frozenset({"Hani", "Hira", "Kana", "Hang", "Bopo"})
"""Scripts that come in one font, and in which a line may break between any two letters."""

CONNECTED = frozenset(
    {"Arab", "Syrc", "Mong", "Nkoo", "Mand", "Deva", "Beng", "Guru", "Mymr", "Khmr", "Tibt", "Thaa", "Rohg", "Adlm"}
)  # fmt: skip
"""Scripts whose letters join or stack, so that space between them would tear words apart."""


def script_name(code: str) -> str:
    """Give a script's name in English, or its code where we have none."""
    return SCRIPTS[code].name if code in SCRIPTS else code


@lru_cache(maxsize=8192)
def script_of(letter: str) -> str:
    """Give the ISO 15924 code of a letter's script; empty for what all scripts share."""
    import uharfbuzz as hb

    if letter.isascii():
        return "Latn" if letter.isalpha() else ""
    if unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return ""  # marks follow the letter they sit on
    buffer = hb.Buffer()
    buffer.add_str(letter)
    buffer.guess_segment_properties()
    return buffer.script or ""


def scripts_in(text: str) -> list[str]:
    """Give one script for each character; shared ones take that of the letter before, else of the first."""
    found = [script_of(c) for c in text]
    last = next((s for s in found if s), "Latn")
    out = []
    for script in found:
        last = script or last
        out.append(last)
    return out
