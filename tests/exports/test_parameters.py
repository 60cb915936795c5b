"""A1111's and CivitAI's readers understand what we say, whatever stands in prompts and names."""

import re
from dataclasses import replace

import pytest
from exports.a1111_reader import as_a1111, as_civitai
from exports.makings import MAKING, weight
from hypothesis import given, settings
from hypothesis import strategies as st

from mapstyle.exports.parameters import a1111_parameters, clean

READERS = [as_a1111, as_civitai]


def said(**changes) -> str:
    return a1111_parameters(replace(MAKING, **changes), 1024, 768, "mapstyle 0.1.0")


def squash(text: str) -> str:
    """Leave out white space: what CLIP's tokenizer makes nothing of, or one space."""
    return "".join(text.split())


def bare(prompt: str) -> str:
    return squash(re.sub(r"<lora:[^<>]*>", "", prompt))


@pytest.mark.parametrize("read", READERS)
def test_a_reader_understands_everything(read):
    told = read(said())
    assert bare(told.prompt) == squash(MAKING.prompt)
    assert told.negative == "text, letters, blurry"
    details = told.details
    assert details["Steps"] == "8"
    assert details["Sampler"] == "Euler"
    assert details["Schedule type"] == "SGM Uniform"
    assert details["CFG scale"] == "1"
    assert details["Seed"] == "1234567"
    assert details["Size"] == "1024x768"
    assert details["Denoising strength"] == "0.75"
    base, vae, _, paper, detail, mine = MAKING.weights
    assert details["Model"] == "sd_xl_base_1.0"
    assert details["Model hash"] == base.sha256[:10]
    assert details["VAE hash"] == vae.sha256[:10]
    assert told.resources == [
        {"type": "lora", "weight": 0.8, "modelVersionId": 456},
        {"type": "lora", "weight": -0.4, "modelVersionId": 777},
    ]
    assert told.hashes["model"] == base.sha256[:10]
    if read is as_a1111:
        assert told.hashes["lora:papercut"] == paper.sha256[:10]
        assert (
            details["Lora hashes"] == "papercut: 5ff77b835aaa, too much detail: 0011223344ff, mine-alone: 99887766aabb"
        )
        assert details["Lora weights"] == "papercut: 0.8, too much detail: -0.4, mine-alone: -0.25"
        assert details["ControlNet 0"] == (
            "Module: none, Model: union, Weight: 0.8, Guidance Start: 0, Guidance End: 0.6"
        )
    else:  # the hash without the header takes the place of the whole file's
        assert told.hashes["lora:papercut"] == paper.autov3
        assert told.hashes["lora:too much detail"] == detail.autov3
        assert told.hashes["lora:mine-alone"] == mine.autov3
        assert told.tags == {"papercut": 0.8}
        assert details["ControlNet 1"]["Weight"] == "0.6"


def test_a_whole_text():
    lines = said().split("\n")
    assert lines[0] == "papercut, top-down map of a coastal town: “Häfen” 港 <lora:papercut:0.8>"
    assert lines[1] == "Negative prompt: text, letters, blurry"
    assert lines[2].startswith("Steps: 8, Sampler: Euler, Schedule type: SGM Uniform, CFG scale: 1, Seed: 1234567, ")
    assert ", Version: mapstyle 0.1.0, Hashes: {" in lines[2]
    assert len(lines) == 3


def test_no_negative_prompt_no_line():
    assert "Negative prompt" not in said(negative="")
    assert len(said(negative=" \n").split("\n")) == 2


def test_only_weights_that_the_readers_expression_knows_become_tags():
    loras = [("fine.name-1_", 0.5), ("with space", 0.5), ("minus", -0.5), ("nothing", 0.0), ("tiny", 1e-9), ("ü", 1.0)]
    weights = tuple(weight("lora", n, i, weight=w, autov3="ab" * 6) for i, (n, w) in enumerate(loras))
    text = said(weights=weights)
    assert re.findall(r"<lora:[^>]*>", text) == ["<lora:fine.name-1_:0.5>"]
    assert len(as_civitai(text).details["Lora hashes"]) == len(loras), "the others are found by their hash"


def test_a_lora_without_a_number_stays_out_of_the_resources():
    alone = said(weights=MAKING.weights[-1:])
    assert "Civitai resources" not in alone
    assert '"mine-alone: -0.25"' in alone
    assert "Civitai resources" in said(weights=MAKING.weights[-2:])


def test_a_folder_has_no_hashes_to_show():
    folder = replace(MAKING.weights[0], autov2="")
    text = said(weights=(folder,))
    assert "Model: sd_xl_base_1.0" in text
    assert "hash" not in text.lower()


@pytest.mark.parametrize(
    "prompt",
    [
        "Steps: 3, Sampler: no",
        "a\nSteps: 3\nb",
        "x Negative prompt: y",
        "Template: a",
        "negative template: b\nc",
        "",
        ",",
    ],
)
@pytest.mark.parametrize("read", READERS)
def test_a_prompt_cannot_pass_for_the_details(prompt, read):
    for told in (read(said(prompt=prompt)), read(said(prompt=prompt, negative=prompt))):
        assert told.details["Steps"] == "8"
        assert told.details["Sampler"] == "Euler"
        assert bare(told.prompt) == squash(prompt)
    assert squash(told.negative) == squash(prompt)


def test_a_tag_in_the_prompt_is_no_lora():
    told = as_civitai(said(prompt="a <lora:somebody:0.9> b", weights=()))
    assert told.tags == {}


words = st.text(st.one_of(st.sampled_from(',:"\\\n\r\t{}[]<>’港ü \x00\x0b\u2028'), st.characters()), max_size=40)


@settings(max_examples=300)
@given(
    words,
    words,
    st.lists(st.tuples(words, st.floats(-4, 4)), max_size=4, unique_by=lambda n: re.sub(r"\W|_", "", n[0])),
)
def test_both_readers_agree_whatever_is_written(prompt, negative, named):
    loras = tuple(
        weight("lora", name, i, autov3=f"{i:012x}", weight=w, civitai=i + 1 if i % 2 else None)
        for i, (name, w) in enumerate(named)
    )
    base = weight("base", prompt[:20], 0xA1)
    text = said(prompt=prompt, negative=negative, weights=(base, *loras), sampler="DPM++ 2M", schedule="Karras")
    assert text.encode("utf-16-be")
    for read in READERS:
        told = read(text)
        assert bare(told.prompt) == squash(clean(prompt))
        assert squash(told.negative) == squash(clean(negative))
        assert told.details["Steps"] == "8"
        assert told.details["Seed"] == "1234567"
        assert told.details["Sampler"] == "DPM++ 2M"
        assert told.details["Model hash"] == base.autov2
        assert told.resources == [
            {"type": "lora", "weight": round(w.weight, 4), "modelVersionId": w.civitai} for w in loras if w.civitai
        ]
        assert len(told.hashes) == 1 + len(loras)
    hashes = as_civitai(text).details.get("Lora hashes", {})
    assert sorted(hashes.values()) == sorted(w.autov3 for w in loras)
    weights = as_civitai(text).details.get("Lora weights", {})
    assert [float(w) for w in weights.values()] == [pytest.approx(w.weight, abs=6e-5) for w in loras]


@pytest.mark.parametrize(
    "change", [{"prompt": "else"}, {"negative": "else"}, {"steps": 9}, {"cfg": 2.5}, {"seed": 1}, {"strength": 0.5}]
)
def test_every_setting_shows(change):
    assert said(**change) != said()
