"""Generative models (`AutoModelForImageTextToText`): they answer by writing, and candidates by their probability."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import numpy as np

from ...errors import FusionError
from ..encoders.seam import need
from .folder import quiet, write_folder
from .loading import TYPES, explained, load_config, load_module, open_source, wrong_family
from .pixels import check_images, pictures
from .scoring import check_list, paired
from .seam import FusionModel, Scores
from .words import Words

CONTEXT = 2048  # of models that declare none


@final
class GenerativeFusion(FusionModel):
    """A generative model with its processor. It offers `answer` and `answer_scores`.

    Every image and question is a batch of its own: padding would move the numbers of some architectures.
    """

    family = "generative"

    def __init__(self, module: Any, processor: Any, *, max_new_tokens: int = 16, **known: Any) -> None:
        self.processor = processor
        self.max_new_tokens = max_new_tokens
        text = module.config.get_text_config()
        context = int(getattr(text, "max_position_embeddings", None) or CONTEXT)
        super().__init__(module, Words(processor.tokenizer, context), **known)

    def _primitives(self) -> set[str]:
        return set()

    def _capabilities(self) -> frozenset[str]:
        return frozenset({"answer"})

    def inputs(self, images: Sequence[Any]) -> Any:
        raise self._lacks("primitive for a trainer")

    def _fuse(self, seen: Any, ids: Any, mask: Any) -> Any:
        raise self._lacks("primitive for a trainer")

    def _new_head(self, module: Any, answers: int) -> None:
        raise self._lacks("head; answer_scores takes candidates without one")

    def answer_scores(self, images: Sequence[Any], questions: Sequence[str], answers: Sequence[str]) -> Scores:
        """Log-probability of each candidate after the question, its end included, float32 ``[n, c]``."""
        import torch

        listed = paired(check_images(images), questions, "questions")
        wanted = check_list(answers, "answers")
        out = np.zeros((len(listed), len(wanted)), np.float32)
        ends = self._ends()
        with self.inference():
            for row, (image, question) in enumerate(zip(images, listed, strict=True)):
                prompt = self._prompt(question)
                alone = self._encode(prompt, image)["input_ids"][0]
                for column, answer in enumerate(wanted):
                    batch = self._encode(f"{prompt} {answer}", image)
                    ids = batch["input_ids"][0]
                    same = (ids[: len(alone)] == alone[: len(ids)]).long().cumprod(0).sum()  # an end mark may follow
                    logits = torch.log_softmax(self.module(**batch).logits[0].float(), -1)
                    each = logits[same - 1 : -1].gather(-1, ids[same:, None])[:, 0]
                    out[row, column] = float(each.sum() + torch.logsumexp(logits[-1, ends], -1))
        return out

    def answer(
        self, images: Sequence[Any], questions: Sequence[str], answers: Sequence[str] | None = None
    ) -> list[str]:
        """What the model writes (the likeliest word each time), or the likeliest of `answers`."""
        if answers is not None:
            return super().answer(images, questions, answers)
        listed = paired(check_images(images), questions, "questions")
        written = []
        with self.inference(), quiet():
            for image, question in zip(images, listed, strict=True):
                batch = self._encode(self._prompt(question), image)
                ids = self.module.generate(**batch, do_sample=False, max_new_tokens=self.max_new_tokens)[0]
                if not self.module.config.is_encoder_decoder:
                    ids = ids[batch["input_ids"].shape[1] :]
                written.append(self.processor.tokenizer.decode(ids, skip_special_tokens=True).strip())
        return written

    def _prompt(self, question: str) -> str:
        if getattr(self.processor, "chat_template", None):
            content = [{"type": "image"}, {"type": "text", "text": question}]
            turn = [{"role": "user", "content": content}]
            return str(self.processor.apply_chat_template(turn, add_generation_prompt=True)).rstrip()
        mark = getattr(self.processor, "image_token", None)
        return question if mark is None else f"{mark}\n{question}"

    def _encode(self, prompt: str, image: Any) -> Any:
        return explained(
            self.family,
            self.card.name,
            "input",
            lambda: self.processor(text=[prompt], images=pictures([image]), return_tensors="pt").to(self.device),
        )

    def _ends(self) -> list[int]:
        found = self.module.generation_config.eos_token_id
        ends = list(found) if isinstance(found, (list, tuple)) else [found]
        if None in ends:
            ends = [self.processor.tokenizer.eos_token_id]
        if None in ends:
            raise FusionError(f"{self.card.name}: no end token in its generation settings; candidates need one.")
        return ends

    def save(self, folder: Path | str) -> Path:
        out = Path(folder)
        out.mkdir(parents=True, exist_ok=True)
        self.processor.save_pretrained(out)
        return write_folder(
            self, out, settings={"max_new_tokens": self.max_new_tokens}, architectures=[type(self.module).__name__]
        )


def load_generative(
    target: str, *, revision: str | None = None, device: str = "cpu", batch_size: int = 1, pickled: bool = False,
    max_new_tokens: int = 0,
) -> GenerativeFusion:  # fmt: skip
    """A generative model from a folder that ``save_pretrained`` wrote, or from a repository; see `load_fusion`."""
    transformers = need("transformers")
    source = open_source("generative", target, revision=revision, pickled=pickled)
    config = load_config(source, "AutoConfig")
    if config.model_type in TYPES.values():
        raise wrong_family("generative", target, config.model_type, source.config.get("architectures"))
    if type(config) not in transformers.models.auto.modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        raise FusionError(
            f"generative:{target} is a checkpoint of type {config.model_type!r}, for which AutoModelForImageTextToText "
            "has no class. lxmert:, albef:, blip: and vilt: name the families that are not generative."
        )
    module, _ = load_module(source, transformers.AutoModelForImageTextToText, config, device=device)
    with quiet():
        processor = explained(
            "generative",
            target,
            "processor",
            lambda: transformers.AutoProcessor.from_pretrained(target, **source.options),
        )
    return GenerativeFusion(
        module, processor, batch_size=batch_size,
        max_new_tokens=max_new_tokens or int(source.ours.get("max_new_tokens", 16)), **source.identity,
    )  # fmt: skip
