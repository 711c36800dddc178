"""Small text-to-image pipelines of the real classes with random weights, for tests; nothing is downloaded."""

from __future__ import annotations

from functools import cache

WORDS = (
    "a", "photo", "of", "the", "face", "male", "female", "man", "woman", "person", "doctor", "nurse", "pilot",
    "teacher", "mechanic", "florist", "chef", "clerk", "actress", "king", "cheerful",
)  # fmt: skip
WINDOW = 16
FAMILIES = ("stable-diffusion", "xl", "sd3", "flux")


@cache
def clip_tokenizer(pad="<|endoftext|>"):
    """Every word of WORDS is one token; `pad` may differ from the end of the text, as in Stable Diffusion XL."""
    from transformers import AddedToken, CLIPTokenizer

    vocab = {"<|startoftext|>": 0, "<|endoftext|>": 1, "!": 2}
    letters = sorted({letter for word in WORDS for letter in word})
    for token in (*letters, *(letter + "</w>" for letter in letters)):
        vocab[token] = len(vocab)
    tokenizer = CLIPTokenizer(vocab=vocab, merges=[], model_max_length=WINDOW, pad_token=pad)
    tokenizer.add_tokens([AddedToken(word, single_word=True) for word in WORDS])
    assert all(len(tokenizer(word).input_ids) == 3 for word in WORDS)
    return tokenizer


@cache
def t5_tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocab = {"<pad>": 0, "</s>": 1, "<unk>": 2} | {word: 3 + place for place, word in enumerate(WORDS)}
    words = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=512
    )


def clip_tower(width, projected=False, seed=0, act="quick_gelu"):
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(seed)
    config = CLIPTextConfig(
        vocab_size=len(clip_tokenizer()), hidden_size=width, intermediate_size=2 * width, projection_dim=width,
        num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=WINDOW, bos_token_id=0, eos_token_id=1,
        pad_token_id=1, initializer_factor=2.0, hidden_act=act,
    )  # fmt: skip
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config).eval()


def t5_tower(width, seed=0):
    import torch
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(seed)
    config = T5Config(
        vocab_size=len(t5_tokenizer()), d_model=width, d_kv=8, d_ff=2 * width, num_layers=2, num_heads=2,
        pad_token_id=0, eos_token_id=1, decoder_start_token_id=0,
    )  # fmt: skip
    return T5EncoderModel(config).eval()


def _vae(channels):
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, 8), norm_num_groups=4, latent_channels=channels, layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, sample_size=16,
        use_quant_conv=channels == 4, use_post_quant_conv=channels == 4, shift_factor=0.0, scaling_factor=0.5,
    ).eval()  # fmt: skip


def tiny_pipeline(family="stable-diffusion", seed=0, **changes):
    """One pipeline of a family; `changes` replaces components."""
    import torch

    return _BUILD[family](torch, seed, changes)


def _stable_diffusion(torch, seed, changes):
    from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel

    text = clip_tower(32, seed=seed)
    torch.manual_seed(seed + 1)
    parts = {
        "vae": _vae(4),
        "text_encoder": text,
        "tokenizer": clip_tokenizer(),
        "unet": UNet2DConditionModel(
            block_out_channels=(8, 16), layers_per_block=1, sample_size=8, cross_attention_dim=32, norm_num_groups=4,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), attention_head_dim=4,
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        ).eval(),
        "scheduler": DDIMScheduler(clip_sample=False, steps_offset=1),
        "safety_checker": None,
        "feature_extractor": None,
    } | changes  # fmt: skip
    return _quiet(StableDiffusionPipeline(**parts, requires_safety_checker=False))


def _xl(torch, seed, changes):
    from diffusers import DDIMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel

    first, second = clip_tower(32, seed=seed), clip_tower(24, projected=True, seed=seed + 7, act="gelu")
    torch.manual_seed(seed + 1)
    parts = {
        "vae": _vae(4),
        "text_encoder": first,
        "text_encoder_2": second,
        "tokenizer": clip_tokenizer(),
        "tokenizer_2": clip_tokenizer(pad="!"),
        "unet": UNet2DConditionModel(
            block_out_channels=(8, 16), layers_per_block=1, sample_size=8, cross_attention_dim=56, norm_num_groups=4,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), attention_head_dim=4,
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), addition_embed_type="text_time",
            addition_time_embed_dim=8, projection_class_embeddings_input_dim=6 * 8 + 24,
        ).eval(),
        "scheduler": DDIMScheduler(clip_sample=False, steps_offset=1),
    } | changes  # fmt: skip
    return _quiet(StableDiffusionXLPipeline(**parts, add_watermarker=False))


def _sd3(torch, seed, changes):
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline

    towers = clip_tower(16, True, seed), clip_tower(8, True, seed + 7), t5_tower(32, seed + 8)
    torch.manual_seed(seed + 1)
    parts = {
        "vae": _vae(8),
        "text_encoder": towers[0],
        "text_encoder_2": towers[1],
        "text_encoder_3": towers[2],
        "tokenizer": clip_tokenizer(),
        "tokenizer_2": clip_tokenizer(pad="!"),
        "tokenizer_3": t5_tokenizer(),
        "transformer": SD3Transformer2DModel(
            sample_size=8, patch_size=1, in_channels=8, num_layers=2, attention_head_dim=8, num_attention_heads=2,
            joint_attention_dim=32, caption_projection_dim=16, pooled_projection_dim=24, out_channels=8,
        ).eval(),
        "scheduler": FlowMatchEulerDiscreteScheduler(),
    } | changes  # fmt: skip
    return _quiet(StableDiffusion3Pipeline(**parts))


def _flux(torch, seed, changes):
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

    towers = clip_tower(16, seed=seed), t5_tower(32, seed + 8)
    torch.manual_seed(seed + 1)
    parts = {
        "vae": _vae(1),
        "text_encoder": towers[0],
        "text_encoder_2": towers[1],
        "tokenizer": clip_tokenizer(),
        "tokenizer_2": t5_tokenizer(),
        "transformer": FluxTransformer2DModel(
            patch_size=1, in_channels=4, num_layers=1, num_single_layers=1, attention_head_dim=16,
            num_attention_heads=2, joint_attention_dim=32, pooled_projection_dim=16, axes_dims_rope=[4, 4, 8],
        ).eval(),
        "scheduler": FlowMatchEulerDiscreteScheduler(),
    } | changes  # fmt: skip
    return _quiet(FluxPipeline(**parts))


def _quiet(pipeline):
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


_BUILD = {"stable-diffusion": _stable_diffusion, "xl": _xl, "sd3": _sd3, "flux": _flux}
