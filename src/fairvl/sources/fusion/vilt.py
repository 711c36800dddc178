"""ViLT: masked words, matching and answers from text and patches in one transformer.

The parts bear the names that they have in `ViltForMaskedLM`, `ViltForImageAndTextRetrieval` and
`ViltForQuestionAnswering`, so each of the three reads its own share of a folder that `save` wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, final

from ...errors import FusionError
from ..encoders.images import PixelTransform
from .folder import write_folder
from .loading import load_config, load_module, load_settings, load_words, open_source
from .pixels import HALF, ShortestEdge, from_settings, processor_settings, squash, to_pixels
from .seam import FusionModel
from .words import Words, build_words

PARTS = ("mlm", "itm")
CLASSES = {
    "ViltForMaskedLM": ("mlm",),
    "ViltForImageAndTextRetrieval": ("itm",),
    "ViltForQuestionAnswering": ("head",),
}


def _classifier(width: int, answers: int) -> Any:
    from torch import nn

    return nn.Sequential(nn.Linear(width, 2 * width), nn.LayerNorm(2 * width), nn.GELU(), nn.Linear(2 * width, answers))


@cache
def vilt_module() -> Any:
    """The module class; torch and transformers are imported only when a model is asked for."""
    from torch import nn
    from transformers import ViltModel
    from transformers.models.vilt.modeling_vilt import ViltMLMHead, ViltPreTrainedModel

    class Vilt(ViltPreTrainedModel):  # type: ignore[misc]
        def __init__(self, config: Any, parts: Sequence[str] = PARTS, answers: int = 0) -> None:
            super().__init__(config)
            self.parts = tuple(parts)
            self.vilt = ViltModel(config)
            if "mlm" in parts:
                self.mlm_score = ViltMLMHead(config)
                self._tied_weights_keys = {
                    "mlm_score.decoder.weight": "vilt.embeddings.text_embeddings.word_embeddings.weight"
                }
            if "itm" in parts:
                self.rank_output = nn.Linear(config.hidden_size, 1)
            if "head" in parts:
                self.classifier = _classifier(config.hidden_size, answers)
            self.post_init()

    return Vilt


@final
class ViltFusion(FusionModel):
    """A ViLT with the parts that its checkpoint has."""

    family = "vilt"

    def __init__(self, module: Any, words: Words, pixels: PixelTransform | ShortestEdge, **known: Any) -> None:
        self.pixels = pixels
        super().__init__(module, words, **known)

    def _image_size(self) -> tuple[int, int] | None:
        return self.pixels.crop if isinstance(self.pixels, PixelTransform) else None

    def _primitives(self) -> set[str]:
        return set(self.module.parts)

    def inputs(self, images: Sequence[Any]) -> Any:
        """``pixels [n, 3, h, w]``, padded to the largest image, and ``grid [n, 2]``: rows and columns of patches."""
        import torch

        if isinstance(self.pixels, ShortestEdge):
            pixels, sizes = self.pixels.stack(images, self.device)
        else:
            pixels = to_pixels(self.pixels, images, self.device)
            sizes = torch.tensor(self.pixels.crop, device=self.device).expand(len(pixels), 2)
        return {"pixels": pixels, "grid": sizes // self.module.config.patch_size}

    def see(self, inputs: Any) -> Any:
        """``states``: patch embeddings with their positions, in reading order; ``mask``: which of them are real.

        The class itself shuffles the patches with the global random state, which changes no result beyond rounding
        but would make a run depend on every earlier draw.
        """
        import torch

        at = self.module.vilt.embeddings
        patches = at.patch_embeddings(inputs["pixels"])
        n, width, high, wide = patches.shape
        places, mask = patches.new_zeros(n, width, high, wide), patches.new_zeros(n, high, wide, dtype=torch.long)
        for rows, columns in sorted({(rows, columns) for rows, columns in inputs["grid"].tolist()}):
            these = (inputs["grid"] == inputs["grid"].new_tensor([rows, columns])).all(1)
            places[these, :, :rows, :columns] = self._places(rows, columns)
            mask[these, :rows, :columns] = 1
        states = (patches + places).flatten(2).transpose(1, 2)
        first = (at.cls_token + at.position_embeddings[:, :1]).expand(n, -1, -1)
        return {
            "states": at.dropout(torch.cat([first, states], dim=1)),
            "mask": torch.cat([mask.new_ones(n, 1), mask.flatten(1)], dim=1),
        }

    def _places(self, rows: int, columns: int) -> Any:
        from torch.nn.functional import interpolate

        config = self.module.config
        side = config.image_size // config.patch_size
        learned = self.module.vilt.embeddings.position_embeddings[:, 1:].transpose(1, 2).reshape(1, -1, side, side)
        if (rows, columns) == (side, side):
            return learned
        return interpolate(learned, size=(rows, columns), mode="bilinear", align_corners=True)

    def _fuse(self, seen: Any, ids: Any, mask: Any) -> Any:
        states = self.module.vilt(
            input_ids=ids, attention_mask=mask, image_embeds=seen["states"], pixel_mask=seen["mask"], return_dict=False
        )[0]
        return states[:, : ids.shape[1]]

    def word_logits(self, states: Any) -> Any:
        if "mlm" not in self.module.parts:
            raise self._lacks("mlm")
        return self.module.mlm_score(states)

    def match_logits(self, states: Any) -> Any:
        """The class has one logit for a match; against a fixed 0 it is the same two-way choice."""
        import torch

        if "itm" not in self.module.parts:
            raise self._lacks("itm")
        rank = self.module.rank_output(self.module.vilt.pooler(states))
        return torch.cat([torch.zeros_like(rank), rank], dim=-1)

    def answer_logits(self, inputs: Any, ids: Any, mask: Any, *, seen: Any = None) -> Any:
        if "head" not in self.module.parts:
            raise self._lacks("head")
        return self.module.classifier(self.module.vilt.pooler(self.fuse(inputs, ids, mask, seen=seen)))

    def _new_head(self, module: Any, answers: int) -> None:
        module.classifier = _classifier(module.config.hidden_size, answers)
        module.classifier.apply(module._init_weights)
        module.parts = (*(part for part in module.parts if part != "head"), "head")

    def save(self, folder: Path | str) -> Path:
        if self.answers:
            self.module.config.id2label = dict(enumerate(self.answers))
            self.module.config.label2id = {answer: place for place, answer in enumerate(self.answers)}
        architectures = [name for name, parts in CLASSES.items() if set(parts) <= self._primitives()]
        return write_folder(
            self, folder, settings={"parts": list(self.module.parts)}, architectures=architectures,
            processor=self.pixels.settings()
            if isinstance(self.pixels, ShortestEdge)
            else processor_settings(self.pixels, "ViltImageProcessor"),
        )  # fmt: skip


def build_vilt(
    vocabulary: Sequence[str], *, width: int = 64, layers: int = 2, heads: int = 4, hidden: int | None = None,
    image_size: int = 32, patch_size: int = 8, max_length: int = 16, dropout: float = 0.0, batch_size: int = 64,
    seed: int = 0,
) -> ViltFusion:  # fmt: skip
    """A small ViLT (itm, mlm) with random weights over a list of words.

    Examples
    --------
    >>> model = build_vilt(["a", "man", "woman"], width=16, heads=2)
    >>> sorted(model.card.capabilities)
    ['answer', 'fill', 'itm', 'mlm', 'score']
    """
    import torch
    from transformers import ViltConfig

    words = build_words(vocabulary, max_length)
    config = ViltConfig(
        vocab_size=len(words.tokenizer), hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=hidden or 2 * width, max_position_embeddings=max_length, image_size=image_size,
        patch_size=patch_size, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = vilt_module()(config)
    return ViltFusion(
        module, words, squash(image_size, HALF, HALF), name="vilt:built", weights=f"random, seed {seed}",
        batch_size=batch_size,
    )  # fmt: skip


def load_vilt(
    target: str, *, revision: str | None = None, device: str = "cpu", batch_size: int = 64, max_length: int = 0,
    pickled: bool = False,
) -> ViltFusion:  # fmt: skip
    """A ViLT from a folder that `save` or ``save_pretrained`` wrote, or from a repository; see `load_fusion`.

    A checkpoint of `ViltForMaskedLM` fills and answers in place of a mask; one of `ViltForImageAndTextRetrieval`
    scores; one of `ViltForQuestionAnswering` answers.
    """
    source = open_source("vilt", target, revision=revision, pickled=pickled)
    architectures = list(source.config.get("architectures") or ())
    parts = source.ours.get("parts") or [part for name in architectures for part in CLASSES.get(name, ())]
    if not parts:
        raise FusionError(
            f"{source.label}: architectures {architectures} in config.json; expected one of {', '.join(CLASSES)}. "
            "Save the model with one of these classes."
        )
    config = load_config(source, "ViltConfig")
    answers = tuple(config.id2label[place] for place in range(config.num_labels)) if "head" in parts else ()
    module, _ = load_module(
        source, vilt_module(), config, device=device, parts=tuple(dict.fromkeys(parts)), answers=len(answers)
    )
    words = load_words(
        source, positions=config.max_position_embeddings, usual=40, size=config.vocab_size, max_length=max_length
    )
    settings = load_settings(source)
    square = "height" in (settings["size"] if isinstance(settings.get("size"), dict) else {})
    read = from_settings if square else ShortestEdge.from_settings
    return ViltFusion(
        module, words, read(settings, source.label), answers=answers, batch_size=batch_size, **source.identity
    )
