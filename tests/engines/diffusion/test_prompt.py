"""Prompts: encoded as diffusers' own pipeline does, and what does not fit is said."""

import pytest
import torch

from mapstyle.engines.diffusion.loader import load_base
from mapstyle.engines.diffusion.prompt import encode_prompt, micro_conditioning

WORDS, UNWANTED = "a paper map of a town!", "text, letters"


@pytest.fixture(scope="module")
def base(zoo):
    return load_base(zoo.sdxl, None, torch.float32, vae=False)


@pytest.fixture(scope="module")
def stock(zoo):
    from diffusers import StableDiffusionXLPipeline

    pipeline = StableDiffusionXLPipeline.from_pretrained(zoo.sdxl, local_files_only=True, add_watermarker=False)
    # Off the mapped file: the last bits of a product on the CPU depend on where the weights lie.
    for encoder in (pipeline.text_encoder, pipeline.text_encoder_2):
        for parameter in encoder.parameters():
            parameter.data = parameter.data.clone()
    return pipeline


@pytest.mark.parametrize("prompt", [WORDS, "", "map " * 200])
@pytest.mark.parametrize("negative", [UNWANTED, ""])
def test_equal_to_the_stock_pipeline(base, stock, prompt, negative):
    made = encode_prompt(base, prompt, negative, guidance=True)
    wanted, unwanted, pooled, unwanted_pooled = stock.encode_prompt(
        prompt, device="cpu", do_classifier_free_guidance=True, negative_prompt=negative or None
    )
    assert torch.equal(made.embeds, torch.cat([unwanted, wanted]))
    assert torch.equal(made.pooled, torch.cat([unwanted_pooled, pooled]))
    assert made.embeds.shape == (2, 77, 80)
    assert made.pooled.shape == (2, 48)


def test_without_guidance_only_the_prompt_is_encoded(base):
    both, alone = (encode_prompt(base, WORDS, UNWANTED, guidance=guidance) for guidance in (True, False))
    assert torch.equal(alone.embeds, both.embeds[1:])
    assert torch.equal(alone.pooled, both.pooled[1:])


def test_every_word_matters(base):
    one, other = (
        encode_prompt(base, words, UNWANTED, guidance=True) for words in (WORDS, WORDS.replace("town", "city"))
    )
    assert (one.embeds - other.embeds)[1].abs().max() > 0.01
    assert (one.pooled - other.pooled)[1].abs().max() > 0.01
    assert torch.equal(one.embeds[0], other.embeds[0])


def test_an_empty_negative_prompt_is_zeros_only_when_the_base_says_so(base, zoo):
    assert not encode_prompt(base, WORDS, "", guidance=True).embeds[0].any()
    told = load_base(zoo.sdxl, None, torch.float32, vae=False)
    told.force_zeros = False
    assert encode_prompt(told, WORDS, "", guidance=True).embeds[0].std() > 0.1


@pytest.mark.parametrize("count", [74, 75, 76, 90])
def test_what_is_cut_off_is_said(base, count):
    # "map" and "town" are one token each; start and end take two of the 77.
    words = [("map", "town")[i % 2] for i in range(count)]
    made = encode_prompt(base, " ".join(words), "", guidance=False)
    assert made.dropped.split() == words[75:]
    kept = encode_prompt(base, " ".join(words[:75]), "", guidance=False)
    assert torch.equal(made.embeds, kept.embeds)
    assert kept.dropped == ""


def test_what_is_cut_off_keeps_its_spelling(base):
    made = encode_prompt(base, "map " * 75 + "Café, TOWN", "", guidance=False)
    assert made.dropped == "Café, TOWN"


def test_micro_conditioning_is_as_the_pipeline_has_it(stock):
    theirs = stock._get_add_time_ids((1024, 1024), (8, 8), (512, 512), torch.float32, text_encoder_projection_dim=48)
    assert torch.equal(micro_conditioning(1024, 8, 512), theirs)
