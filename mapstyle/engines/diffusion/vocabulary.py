"""CLIP's vocabulary, out of the installed open_clip package, and SDXL's configs completed with it."""

import gzip
import json
import shutil
import zlib
from importlib.util import find_spec
from pathlib import Path

from mapstyle.errors import EngineError

CONFIGS = Path(__file__).parent / "configs" / "sdxl"
"""JSON configs of SDXL base 1.0: all that a single checkpoint needs besides itself, save the vocabulary."""
START, END = "<|startoftext|>", "<|endoftext|>"
WORDS = 49408
"""Tokens of CLIP: 2 x 256 bytes, the merges, start and end."""

_PACKAGE, _FILE = "open_clip_torch", "bpe_simple_vocab_16e6.txt.gz"
_TOKENIZERS = ("tokenizer", "tokenizer_2")
_LARGEST = 20_000_000


def write_configs(folder: Path) -> Path:
    """Copy SDXL's configs into a folder and put CLIP's vocabulary beside its tokenizers.

    Raises:
        EngineError: open_clip is not installed, or its file is not the one CLIP was trained with.
    """
    merges = read_merges()
    vocabulary = json.dumps(number_words(merges))
    lines = "\n".join(["#version: 0.2", *(" ".join(pair) for pair in merges)]) + "\n"
    try:
        shutil.copytree(CONFIGS, folder, dirs_exist_ok=True)
        for name in _TOKENIZERS:
            (folder / name / "vocab.json").write_text(vocabulary, encoding="utf-8")
            (folder / name / "merges.txt").write_text(lines, encoding="utf-8")
    except OSError as error:
        raise EngineError(f"{folder}: cannot write SDXL's configs ({error.strerror or error})") from error
    return folder


def read_merges() -> list[tuple[str, str]]:
    """Read the pairs that CLIP's byte pair encoding joins, the most frequent first."""
    path = _find()
    try:
        with gzip.open(path, "rb") as file:
            text = file.read(_LARGEST).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise EngineError(f"{path}: is damaged; run: pip install --force-reinstall {_PACKAGE}") from error
    # The first line is a title; the file goes on after the merges that CLIP was trained with.
    lines = text.split("\n")[1 : 1 + WORDS - 2 * 256 - 2]
    merges = [(first, second) for first, _, second in (line.partition(" ") for line in lines)]
    if len(merges) != WORDS - 2 * 256 - 2 or not all(first and second for first, second in merges):
        raise EngineError(f"{path}: is not CLIP's vocabulary; run: pip install --force-reinstall {_PACKAGE}")
    return merges


def number_words(merges: list[tuple[str, str]]) -> dict[str, int]:
    """Number CLIP's tokens: bytes as letters ("!" is 0), the same at a word's end, one per merge, start and end."""
    # Bytes that print stand for themselves, the others for letters from U+0100 on (GPT-2's byte pair encoding).
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = [chr(byte) for byte in plain] + [chr(0x100 + place) for place in range(256 - len(plain))]
    words = [*letters, *(letter + "</w>" for letter in letters), *(first + second for first, second in merges)]
    return {word: number for number, word in enumerate([*words, START, END])}


def _find() -> Path:
    # Not by importing it: that takes seconds and needs a torchvision that fits.
    spec = find_spec("open_clip")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (path := Path(folder) / _FILE).is_file():
            return path
    raise EngineError(
        "a single checkpoint holds no vocabulary, and CLIP's comes with a package that is not installed; "
        f"run: pip install {_PACKAGE}"
    )
