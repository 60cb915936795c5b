"""A vocabulary of 519 tokens in the manner of CLIP's, and the two tokenizers of SDXL made from it."""

import json
from pathlib import Path
from typing import Any

START, END = "<|startoftext|>", "<|endoftext|>"
MERGES = (("m", "a"), ("ma", "p</w>"), ("t", "o"), ("to", "w"), ("tow", "n</w>"))
LENGTH = 77


def vocabulary() -> dict[str, int]:
    """Number the tokens: 256 byte characters ("!" is 0), the same at a word's end, one per merge, start, end.

    The end token comes last because SDXL's encoders find it as the highest id of a prompt.
    """
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    characters = [chr(byte) for byte in printable]
    characters += [chr(0x100 + place) for place in range(256 - len(printable))]
    words = [*characters, *(character + "</w>" for character in characters)]
    words += [first + second for first, second in MERGES]
    return {word: number for number, word in enumerate([*words, START, END])}


def tokenizers() -> tuple[Any, Any]:
    """Make SDXL's two tokenizers: the first pads with the end token, the second with "!"."""
    from transformers import CLIPTokenizer

    def tokenizer(pad: str) -> Any:
        return CLIPTokenizer(vocab=vocabulary(), merges=list(MERGES), model_max_length=LENGTH, pad_token=pad)

    return tokenizer(END), tokenizer("!")


def write_old_tokenizer(folder: Path, pad: str) -> None:
    """Write a tokenizer as the published SDXL folders hold it: vocabulary and merges in files of their own."""
    folder.mkdir(parents=True)
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": pad}
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": LENGTH, "add_prefix_space": False, **special}
    (folder / "vocab.json").write_text(json.dumps(vocabulary()), encoding="utf-8")
    merges = ["#version: 0.2", *(" ".join(pair) for pair in MERGES)]
    (folder / "merges.txt").write_text("\n".join(merges) + "\n", encoding="utf-8")
    (folder / "special_tokens_map.json").write_text(json.dumps(special), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
