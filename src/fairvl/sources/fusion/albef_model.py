"""ALBEF as a fusion model: contrast, matching and masked words over the module of `albef`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

from ..encoders.images import PixelTransform
from .albef import AlbefShape, albef_module
from .folder import write_folder
from .heads import answer_head
from .pixels import CLIP_MEAN, CLIP_STD, processor_settings, squash, to_pixels
from .seam import FusionModel
from .words import Words, build_words


@final
class AlbefFusion(FusionModel):
    """An ALBEF, after pretraining or with an answer head."""

    family = "albef"

    def __init__(self, module: Any, words: Words, pixels: PixelTransform, **known: Any) -> None:
        self.pixels = pixels
        super().__init__(module, words, **known)

    def _image_size(self) -> tuple[int, int]:
        return self.pixels.crop

    def _primitives(self) -> set[str]:
        return {"itc", "itm", "mlm"} | ({"head"} if hasattr(self.module, "answer_head") else set())

    def inputs(self, images: Sequence[Any]) -> Any:
        return to_pixels(self.pixels, images, self.device)

    def see(self, inputs: Any) -> Any:
        return self.module.image_states(inputs)

    def _fuse(self, seen: Any, ids: Any, mask: Any) -> Any:
        return self.module.fuse(self.module.text_states(ids, mask), mask, seen)

    def project(self, inputs: Any, ids: Any, mask: Any, *, seen: Any = None) -> tuple[Any, Any, Any]:
        states = self.see(inputs) if seen is None else seen
        text = self.module.project_text(self.module.text_states(ids, mask))
        return self.module.project_image(states), text, 1 / self.module.temp

    def word_logits(self, states: Any) -> Any:
        return self.module.word_logits(states)

    def match_logits(self, states: Any) -> Any:
        return self.module.match_logits(states)

    def answer_logits(self, inputs: Any, ids: Any, mask: Any, *, seen: Any = None) -> Any:
        if not hasattr(self.module, "answer_head"):
            raise self._lacks("head")
        return self.module.answer_head(self.fuse(inputs, ids, mask, seen=seen)[:, 0])

    def _new_head(self, module: Any, answers: int) -> None:
        module.answer_head = answer_head(module.shape.width, answers)

    def save(self, folder: Path | str) -> Path:
        return write_folder(
            self, folder, settings={"shape": self.module.shape.as_dict()},
            processor=processor_settings(self.pixels, "BlipImageProcessor"),
        )  # fmt: skip


def build_albef(
    vocabulary: Sequence[str], *, width: int = 64, layers: int = 2, heads: int = 4, hidden: int | None = None,
    image_size: int = 32, patch_size: int = 8, projection: int = 32, max_length: int = 16, dropout: float = 0.0,
    batch_size: int = 64, seed: int = 0,
) -> AlbefFusion:  # fmt: skip
    """A small ALBEF (itc, itm, mlm) with random weights over a list of words.

    `layers` counts each of its three stacks: image, text, fusion.

    Examples
    --------
    >>> model = build_albef(["a", "man", "woman"], width=16, heads=2)
    >>> sorted(model.card.capabilities)
    ['answer', 'fill', 'itc', 'itm', 'mlm', 'score']
    """
    words = build_words(vocabulary, max_length)
    shape = AlbefShape(
        image_size=image_size, patch_size=patch_size, width=width, vision_layers=layers, heads=heads,
        text_layers=layers, fusion_layers=layers, hidden=hidden or 2 * width, vocabulary=len(words.tokenizer),
        positions=max_length, projection=projection, queue=0, dropout=dropout,
    )  # fmt: skip
    return AlbefFusion(
        albef_module(shape, seed=seed), words, squash(image_size, CLIP_MEAN, CLIP_STD), name="albef:built",
        weights=f"random, seed {seed}", batch_size=batch_size,
    )  # fmt: skip
