"""What every fusion model is: a module that reads image and text together, and what can be asked of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy, deepcopy
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...errors import FairVLError, FusionError
from ...fingerprints import fingerprint
from ..encoders.towers import require_eval
from . import scoring
from .words import Words

Scores = NDArray[np.float32]
CAPABILITIES = ("score", "answer", "fill", "itc", "itm", "mlm", "lm", "head")


@dataclass(frozen=True, kw_only=True)
class FusionCard:
    """What gave a score, an answer or a word: enough to load the same model again.

    Attributes
    ----------
    family : str
        ``lxmert``, ``albef``, ``blip``, ``vilt`` or ``generative``.
    name, weights, revision : str
        Model without paths of one machine, hash of its weights (or ``random``, ``in memory``), commit of a repository.
    parameters : int
    image_size : (height, width), optional
        What images are resized to; None where the model reads regions or images of any size.
    max_length : int
        Texts are cut and padded to this many tokens.
    licence : str, optional
    capabilities : frozenset of str
        What can be asked: ``score`` ``answer`` ``fill``; and what a trainer can use: ``itc`` (`project`), ``itm``
        (`match_logits`), ``mlm`` (`word_logits`), ``lm`` (`next_logits`), ``head`` (`answer_logits`).

    Examples
    --------
    >>> card = FusionCard(family="blip", name="mine", weights="random", parameters=9, capabilities={"score", "itm"})
    >>> FusionCard.from_dict(card.as_dict()) == card
    True
    """

    family: str
    name: str
    weights: str
    revision: str | None = None
    parameters: int
    image_size: tuple[int, int] | None = None
    max_length: int = 0
    licence: str | None = None
    capabilities: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "capabilities", frozenset(self.capabilities))
        if self.image_size is not None:
            object.__setattr__(self, "image_size", tuple(self.image_size))
        if unknown := self.capabilities - set(CAPABILITIES):
            raise FusionError(f"card capabilities {sorted(unknown)}; expected some of {', '.join(CAPABILITIES)}.")

    @property
    def fingerprint(self) -> str:
        """Hash over every field."""
        return fingerprint(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        size = None if self.image_size is None else list(self.image_size)
        return {**asdict(self), "image_size": size, "capabilities": sorted(self.capabilities)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FusionCard:
        """A card from `as_dict`; fields that this version does not know are left out."""
        missing = [name for name in ("family", "name", "weights", "parameters") if name not in values]
        if missing:
            raise FusionError(f"fusion card without {missing}; found the fields {sorted(values)}.")
        known = {field.name for field in fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known})


class FusionModel(ABC):
    """A model that reads image and text together.

    Questions (numpy out, no gradient, evaluation mode required): `score`, `score_all`, `answer_scores`, `answer`,
    `fill`. Primitives for a trainer (tensors in and out, differentiable): `tokenize`, `inputs`, `see`, `project`,
    `fuse`, `word_logits`, `match_logits`, `next_logits`, `answer_logits`. A primitive that the family lacks raises
    FusionError; ``card.capabilities`` says beforehand.

    Images are PIL images or uint8 arrays ``[h, w, 3]``; LXMERT also reads `RegionFeatures`. Every text is padded to
    ``card.max_length`` tokens, so that a batch cannot change a number.
    """

    family: ClassVar[str]

    def __init__(
        self, module: Any, words: Words, *, name: str = "", weights: str = "in memory", revision: str | None = None,
        licence: str | None = None, answers: Sequence[str] = (), batch_size: int = 64,
    ) -> None:  # fmt: skip
        if batch_size < 1:
            raise FusionError(f"batch_size={batch_size}; expected a whole number from 1.")
        self.module = module.eval()
        self.words = words
        self.answers = tuple(answers)
        self.batch_size = batch_size
        self.card = FusionCard(
            family=self.family,
            name=name or type(module).__name__,
            weights=weights,
            revision=revision,
            parameters=sum(parameter.numel() for parameter in module.parameters()),
            image_size=self._image_size(),
            max_length=words.max_length,
            licence=licence,
            capabilities=self._capabilities(),
        )

    # What each family brings

    @abstractmethod
    def _primitives(self) -> set[str]:
        """Which of itc, itm, mlm, lm, head the module has the weights for."""

    @abstractmethod
    def inputs(self, images: Sequence[Any]) -> Any:
        """A tensor, or a dict of tensors, whose first axis is the image: decoded, resized, normalised."""

    @abstractmethod
    def _fuse(self, seen: Any, ids: Any, mask: Any) -> Any: ...

    @abstractmethod
    def save(self, folder: Path | str) -> Path:
        """Write a folder that ``load_fusion(f"{family}:{folder}")`` reads back bit for bit."""

    @abstractmethod
    def _new_head(self, module: Any, answers: int) -> None:
        """Give `module` a fresh head for so many answers."""

    def _image_size(self) -> tuple[int, int] | None:
        return None

    def _capabilities(self) -> frozenset[str]:
        has = self._primitives()
        if {"itm", "itc"} & has:
            has.add("score")
        if {"mlm", "lm"} & has:
            has |= {"fill", "answer"}
        if "head" in has:
            has.add("answer")
        return frozenset(has)

    # Primitives

    def tokenize(self, texts: Sequence[str]) -> tuple[Any, Any]:
        """Token ids and mask of texts, int64 ``[n, max_length]``, on the module's device."""
        ids, mask = self.words.encode(texts)
        return ids.to(self.device), mask.to(self.device)

    def see(self, inputs: Any) -> Any:
        """What depends on the image alone; computed once, it may be given to the other primitives as ``seen=``."""
        return inputs

    def project(self, inputs: Any, ids: Any, mask: Any, *, seen: Any = None) -> tuple[Any, Any, Any]:
        """Unit rows of images, unit rows of texts, and the scale of their cosine (itc)."""
        raise self._lacks("itc")

    def fuse(self, inputs: Any, ids: Any, mask: Any, *, seen: Any = None) -> Any:
        """States ``[n, l, d]`` of the text that has read the image, in both directions."""
        return self._fuse(self.see(inputs) if seen is None else seen, ids, mask)

    def word_logits(self, states: Any) -> Any:
        """Logits ``[n, l, V]`` of the word at each place (mlm)."""
        raise self._lacks("mlm")

    def match_logits(self, states: Any) -> Any:
        """Logits ``[n, 2]``; index 1 says that image and text match (itm)."""
        raise self._lacks("itm")

    def next_logits(self, inputs: Any, ids: Any, mask: Any, *, seen: Any = None) -> Any:
        """Logits ``[n, l, V]``; row t predicts ``ids[:, t + 1]`` from the image and ``ids[:, : t + 1]`` (lm)."""
        raise self._lacks("lm")

    def answer_logits(self, inputs: Any, ids: Any, mask: Any, *, seen: Any = None) -> Any:
        """Logits ``[n, c]`` of the answers in ``model.answers`` (head)."""
        raise self._lacks("head")

    # Questions

    def score(self, images: Sequence[Any], texts: Sequence[str]) -> Scores:
        """Whether image i and text i belong together, float32 ``[n]``.

        The log-odds of a match where the model has a matching head, else the scaled cosine of its two projections.
        """
        return scoring.score(self, images, texts)

    def score_all(self, images: Sequence[Any], texts: Sequence[str]) -> Scores:
        """`score` of every image with every text, float32 ``[n, m]``."""
        return scoring.score_all(self, images, texts)

    def answer_scores(self, images: Sequence[Any], questions: Sequence[str], answers: Sequence[str]) -> Scores:
        """Log-probability of each candidate answer, float32 ``[n, c]``.

        From the answer head where there is one (log-softmax over all of its answers); else the answer's pieces and
        the end of the text after the question (decoders), or the answer's pieces in place of a mask that follows the
        question (mlm); both summed over the pieces.
        """
        return scoring.answer_scores(self, images, questions, answers)

    def answer(
        self, images: Sequence[Any], questions: Sequence[str], answers: Sequence[str] | None = None
    ) -> list[str]:
        """The likeliest of `answers`, by default of the model's own."""
        if "answer" not in self.card.capabilities:
            raise self._lacks("answer")
        candidates = list(self.answers if answers is None else answers)
        if not candidates:
            raise FusionError(
                f"{self.card.name} has no list of answers of its own. Pass answers=[...], or model.with_answers(...) "
                "and train it."
            )
        best = self.answer_scores(images, questions, candidates).argmax(axis=1)
        return [candidates[place] for place in best]

    def fill(self, images: Sequence[Any], texts: Sequence[str], candidates: Sequence[str]) -> Scores:
        """Log-probability of each candidate in place of the one ``[MASK]`` of each text, float32 ``[n, c]``.

        A candidate of several pieces takes as many masks and its log-probabilities are summed. Models that only
        predict the next word (lm) give the log-probability of the whole text with the candidate in it: its
        differences between candidates are their log-odds, its level is not that of a single word.
        """
        return scoring.fill(self, images, texts, candidates)

    # Around

    @property
    def device(self) -> Any:
        """Where the module is."""
        return next(iter(self.module.parameters())).device

    def with_answers(self, answers: Sequence[str], seed: int = 0) -> FusionModel:
        """A copy with a fresh head for these answers, its weights drawn with `seed`."""
        import torch

        listed = scoring.check_list(answers, "answers")
        other = copy(self)
        other.module = deepcopy(self.module)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._new_head(other.module, len(listed))
        other.module.to(self.device).train(self.module.training)
        other.answers = tuple(listed)
        other.card = replace(
            self.card,
            weights=f"{self.card.weights} + head of {len(listed)} answers, seed {seed}",
            parameters=sum(parameter.numel() for parameter in other.module.parameters()),
            capabilities=other._capabilities(),
        )
        return other

    @contextmanager
    def inference(self) -> Iterator[None]:
        """Inside: no gradient, full precision; refused while any submodule is in training mode."""
        import torch

        try:
            require_eval(self.module)
        except FairVLError as error:
            raise FusionError(f"{self.card.name}: {error}") from None
        with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
            yield

    def _lacks(self, capability: str) -> FusionError:
        return FusionError(
            f"{self.card.name} ({self.family}) has no {capability}: it offers "
            f"{', '.join(sorted(self.card.capabilities)) or 'nothing'}. Leave that objective out, or load a checkpoint "
            "that has the weights for it."
        )
