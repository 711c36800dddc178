"""BLIP: matching, contrast and captioning over the parts that transformers' three BLIP classes share.

The parts bear the names that they have in `BlipForImageTextRetrieval`, `BlipForConditionalGeneration` and
`BlipForQuestionAnswering`, so each of the three reads its own share of a folder that `save` wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, final

import numpy as np

from ...errors import FusionError
from ..encoders.images import PixelTransform
from .folder import write_folder
from .heads import answer_head
from .loading import load_config, load_module, load_settings, load_words, open_source
from .pixels import CLIP_MEAN, CLIP_STD, check_images, from_settings, processor_settings, squash, to_pixels
from .scoring import check_list, paired
from .seam import FusionModel, Scores
from .words import Words, build_words

PARTS = ("encoder", "itc", "itm", "decoder")  # and "reader": a decoder that reads the question's states; "head"
CLASSES = {
    "BlipForImageTextRetrieval": ("encoder", "itc", "itm"),
    "BlipForConditionalGeneration": ("decoder",),
    "BlipForQuestionAnswering": ("encoder", "reader"),
}


@cache
def blip_module() -> Any:
    """The module class; torch and transformers are imported only when a model is asked for."""
    import torch
    from torch import nn
    from transformers import BlipTextModel, BlipVisionModel
    from transformers.models.blip.modeling_blip import BlipPreTrainedModel
    from transformers.models.blip.modeling_blip_text import BlipTextLMHeadModel

    class Blip(BlipPreTrainedModel):  # type: ignore[misc]
        def __init__(self, config: Any, parts: Sequence[str] = PARTS, answers: int = 0) -> None:
            super().__init__(config)
            self.parts = tuple(parts)
            width, common = config.text_config.hidden_size, config.image_text_hidden_size
            self.vision_model = BlipVisionModel(config.vision_config)
            if "encoder" in parts:
                self.text_encoder = BlipTextModel(config.text_config, add_pooling_layer=False)
            if "itc" in parts:
                self.vision_proj = nn.Linear(config.vision_config.hidden_size, common)
                self.text_proj = nn.Linear(width, common)
                self.temp = nn.Parameter(torch.tensor(0.07))
            if "itm" in parts:
                self.itm_head = nn.Linear(width, 2)
            if "decoder" in parts or "reader" in parts:
                self.text_decoder = BlipTextLMHeadModel(config.text_config)
                last, first = "text_decoder.cls.predictions", "text_decoder.bert.embeddings.word_embeddings"
                self._tied_weights_keys = {
                    f"{last}.decoder.bias": f"{last}.bias",
                    f"{last}.decoder.weight": f"{first}.weight",
                }
            if "head" in parts:
                self.answer_head = answer_head(width, answers)
            self.post_init()

        def get_input_embeddings(self) -> Any:
            return (self.text_encoder if "encoder" in self.parts else self.text_decoder).get_input_embeddings()

    return Blip


@final
class BlipFusion(FusionModel):
    """A BLIP with the parts that its checkpoint has."""

    family = "blip"

    def __init__(self, module: Any, words: Words, pixels: PixelTransform, **known: Any) -> None:
        self.pixels = pixels
        super().__init__(module, words, **known)

    @property
    def parts(self) -> set[str]:
        """Which parts the module has."""
        return set(self.module.parts)

    def _image_size(self) -> tuple[int, int]:
        return self.pixels.crop

    def _primitives(self) -> set[str]:
        return (self.parts & {"itc", "itm", "head"}) | ({"lm"} if "decoder" in self.parts else set())

    def inputs(self, images: Sequence[Any]) -> Any:
        return to_pixels(self.pixels, images, self.device)

    def see(self, inputs: Any) -> Any:
        return self.module.vision_model(pixel_values=inputs).last_hidden_state

    def _fuse(self, seen: Any, ids: Any, mask: Any) -> Any:
        if "encoder" not in self.parts:
            raise self._lacks("encoder that reads in both directions")
        return self.module.text_encoder(
            input_ids=ids, attention_mask=mask, encoder_hidden_states=seen, encoder_attention_mask=_all(seen)
        ).last_hidden_state

    def project(self, inputs: Any, ids: Any, mask: Any, *, seen: Any = None) -> tuple[Any, Any, Any]:
        if "itc" not in self.parts:
            raise self._lacks("itc")
        from torch.nn.functional import normalize

        states = self.see(inputs) if seen is None else seen
        text = self.module.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        rows = normalize(self.module.vision_proj(states[:, 0]), dim=-1)
        return rows, normalize(self.module.text_proj(text[:, 0]), dim=-1), 1 / self.module.temp

    def match_logits(self, states: Any) -> Any:
        if "itm" not in self.parts:
            raise self._lacks("itm")
        return self.module.itm_head(states[:, 0])

    def next_logits(self, inputs: Any, ids: Any, mask: Any, *, seen: Any = None) -> Any:
        if "decoder" not in self.parts:
            raise self._lacks("lm")
        states = self.see(inputs) if seen is None else seen
        begin = ids.clone()
        begin[:, 0] = self.module.config.text_config.bos_token_id
        return self.module.text_decoder(
            input_ids=begin, attention_mask=mask, encoder_hidden_states=states, encoder_attention_mask=_all(states),
            is_decoder=True, use_cache=False,
        ).logits  # fmt: skip

    def answer_logits(self, inputs: Any, ids: Any, mask: Any, *, seen: Any = None) -> Any:
        if "head" not in self.parts:
            raise self._lacks("head")
        return self.module.answer_head(self.fuse(inputs, ids, mask, seen=seen)[:, 0])

    def _capabilities(self) -> frozenset[str]:
        return super()._capabilities() | ({"answer"} if "reader" in self.parts else set())

    def answer_scores(self, images: Sequence[Any], questions: Sequence[str], answers: Sequence[str]) -> Scores:
        if "reader" not in self.parts or "head" in self.parts:
            return super().answer_scores(images, questions, answers)
        return _read_and_write(self, images, questions, answers)

    def _new_head(self, module: Any, answers: int) -> None:
        module.answer_head = answer_head(module.config.text_config.hidden_size, answers)
        module.parts = (*(part for part in module.parts if part != "head"), "head")

    def save(self, folder: Path | str) -> Path:
        architectures = [name for name, parts in CLASSES.items() if set(parts) <= self.parts]
        return write_folder(
            self, folder, settings={"parts": list(self.module.parts)}, architectures=architectures,
            processor=processor_settings(self.pixels, "BlipImageProcessor"),
        )  # fmt: skip


def _all(states: Any) -> Any:
    import torch

    return torch.ones(states.shape[:-1], dtype=torch.long, device=states.device)


def _read_and_write(
    model: BlipFusion, images: Sequence[Any], questions: Sequence[str], answers: Sequence[str]
) -> Scores:
    """Log-probability of each answer, its end included, by a decoder that reads the states of the question."""
    import torch

    listed, wanted = paired(check_images(images), questions, "questions"), check_list(answers, "answers")
    for answer in wanted:
        model.words.pieces(answer)
    out = np.zeros((len(listed), len(wanted)), np.float32)
    with model.inference():
        ids, mask = model.tokenize(wanted)
        ids[:, 0] = model.module.config.text_config.bos_token_id
        asked, real = model.tokenize(listed)
        lengths = real.sum(1)
        # One length at a time: transformers' decoder attends to padded states too, whatever its mask says.
        for length in lengths.unique().tolist():
            same = (lengths == length).nonzero()[:, 0].cpu()
            for part in same.split(max(1, model.batch_size // len(wanted))):
                ask, own = asked[part, :length], real[part, :length]
                read = model.fuse(model.inputs([images[place] for place in part.tolist()]), ask, own)
                logits = model.module.text_decoder(
                    input_ids=ids.repeat(len(part), 1), attention_mask=mask.repeat(len(part), 1),
                    encoder_hidden_states=read.repeat_interleave(len(wanted), 0), is_decoder=True, use_cache=False,
                ).logits  # fmt: skip
                chances = torch.log_softmax(logits[:, :-1].float(), -1).unflatten(0, (len(part), len(wanted)))
                each = chances.gather(-1, ids[None, :, 1:, None].expand(len(part), -1, -1, 1))[..., 0]
                out[part.numpy()] = (each * mask[None, :, 1:]).sum(-1).cpu().numpy()
    return out


def build_blip(
    vocabulary: Sequence[str], *, width: int = 64, layers: int = 2, heads: int = 4, hidden: int | None = None,
    image_size: int = 32, patch_size: int = 8, projection: int = 32, max_length: int = 16, dropout: float = 0.0,
    batch_size: int = 64, seed: int = 0,
) -> BlipFusion:  # fmt: skip
    """A small BLIP (itc, itm, lm) with random weights over a list of words.

    Examples
    --------
    >>> model = build_blip(["a", "man", "woman"], width=16, heads=2)
    >>> sorted(model.card.capabilities)
    ['answer', 'fill', 'itc', 'itm', 'lm', 'score']
    """
    import torch
    from transformers import BlipConfig

    words = build_words(vocabulary, max_length, extra=("[DEC]", "[ENC]"))
    size = len(words.tokenizer)
    same = {
        "hidden_size": width, "intermediate_size": hidden or 2 * width, "num_hidden_layers": layers,
        "num_attention_heads": heads, "initializer_range": 0.02,
    }  # fmt: skip
    config = BlipConfig(
        text_config={
            **same, "vocab_size": size, "max_position_embeddings": max_length, "hidden_dropout_prob": dropout,
            "attention_probs_dropout_prob": dropout, "bos_token_id": size - 2, "eos_token_id": 3, "sep_token_id": 3,
            "pad_token_id": 0,
        },
        vision_config={**same, "image_size": image_size, "patch_size": patch_size},
        image_text_hidden_size=projection,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = blip_module()(config)
    return BlipFusion(
        module, words, squash(image_size, CLIP_MEAN, CLIP_STD), name="blip:built", weights=f"random, seed {seed}",
        batch_size=batch_size,
    )  # fmt: skip


def load_blip(
    target: str, *, revision: str | None = None, device: str = "cpu", batch_size: int = 64, max_length: int = 0,
    pickled: bool = False,
) -> BlipFusion:  # fmt: skip
    """A BLIP from a folder that `save` or ``save_pretrained`` wrote, or from a repository; see `load_fusion`.

    A checkpoint of `BlipForImageTextRetrieval` scores; one of `BlipForConditionalGeneration` fills and answers by
    continuing the question; one of `BlipForQuestionAnswering` answers.
    """
    source = open_source("blip", target, revision=revision, pickled=pickled)
    architectures = list(source.config.get("architectures") or ())
    parts = source.ours.get("parts") or [part for name in architectures for part in CLASSES.get(name, ())]
    if not parts:
        raise FusionError(
            f"{source.label}: architectures {architectures} in config.json; expected one of {', '.join(CLASSES)}. "
            "Save the model with one of these classes."
        )
    config = load_config(source, "BlipConfig")
    answers = tuple(source.ours.get("answers", ()))
    module, lacking = load_module(
        source, blip_module(), config, device=device, may_lack=("temp",), parts=tuple(dict.fromkeys(parts)),
        answers=len(answers),
    )  # fmt: skip
    if "temp" in lacking:  # transformers' class has no temperature; training began at this one
        module.temp.data.fill_(0.07)
    text = config.text_config
    words = load_words(
        source, positions=text.max_position_embeddings, usual=35, size=text.vocab_size, max_length=max_length
    )
    return BlipFusion(
        module, words, from_settings(load_settings(source), source.label), answers=answers, batch_size=batch_size,
        **source.identity,
    )  # fmt: skip
