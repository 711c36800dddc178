"""A torch model with an image and a text tower, in evaluation mode, as an encoder."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ...arrays import blocks
from ...errors import EncoderError, FairVLError
from ...fingerprints import fingerprint
from .images import PixelTransform, Transform, check_images, probe_hash, stack
from .seam import EncoderCard, TextLengthWarning, Vectors, as_vectors, check_texts, empty_vectors, need

DEFAULT_BATCH = 64
PROBE_TEXTS = ("a photo of a person", "A doctor, smiling: 2 cats & naïve dogs!", "")


@dataclass(frozen=True)
class Towers:
    """The parts of a loaded model that differ between libraries.

    Attributes
    ----------
    module : torch.nn.Module
        The whole model; every submodule must be in evaluation mode.
    image : callable
        What `Transform.to_input` returns to features ``[n, d]``.
    text : callable
        What `tokenize` returns to features ``[n, d]``.
    tokenize : callable
        Texts to token ids ``[n, length]``, cut at the context length.
    count_tokens : callable, optional
        Texts to their uncut lengths in tokens.
    unknown : callable, optional
        A text to its words that the vocabulary lacks.
    """

    module: Any
    image: Callable[[Any], Any]
    text: Callable[[Any], Any]
    tokenize: Callable[[list[str]], Any]
    count_tokens: Callable[[list[str]], list[int]] | None = None
    unknown: Callable[[str], list[str]] | None = None


@final
class TorchEncoder:
    """An encoder around a torch model; made by `load_encoder` and `from_triple`.

    ``encode_pixels`` and ``unknown_words`` exist only where the model offers them: ask with ``getattr``.
    """

    encode_pixels: Callable[[Any], Any]
    unknown_words: Callable[[Sequence[str]], list[str]]
    over_length: Callable[[Sequence[str]], list[int]]

    def __init__(
        self, card: EncoderCard, towers: Towers, transform: Transform, *, device: Any, batch_size: int = DEFAULT_BATCH
    ) -> None:
        self.card = card
        self.preprocess = transform
        self._towers = towers
        self._device = device
        self._batch_size = batch_size
        self._warned = False
        if isinstance(transform, PixelTransform):
            self.encode_pixels = self._encode_pixels
        if towers.unknown is not None:
            self.unknown_words = self._unknown_words
        if towers.count_tokens is not None and card.context_length is not None:
            self.over_length = self._over_length

    @property
    def module(self) -> Any:
        """The torch model."""
        return self._towers.module

    def encode_images(self, images: Sequence[Any]) -> Vectors:
        """float32 ``[n, d]`` of PIL images or uint8 arrays, through the validation transform."""
        checked = check_images(images)
        if not len(checked):
            return empty_vectors(self.card.dim)
        parts = [
            self.encode_preprocessed(stack(self.preprocess, checked[rows]))
            for rows in blocks(len(checked), self._batch_size)
        ]
        return np.concatenate(parts)

    def encode_preprocessed(self, batch: NDArray[Any]) -> Vectors:
        """float32 ``[n, d]`` of stacked results of ``preprocess``."""
        if not len(batch):
            return empty_vectors(self.card.dim)
        parts = []
        with _inference(self.module):
            for rows in blocks(len(batch), self._batch_size):
                features = self._towers.image(self.preprocess.to_input(batch[rows], self._device))
                parts.append(as_vectors(features, rows.stop - rows.start, self.card.name, dim=self.card.dim))
        return np.concatenate(parts)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """float32 ``[n, d]`` of texts; those over the context length are cut, and a warning says so once."""
        checked = check_texts(texts)
        if not checked:
            return empty_vectors(self.card.dim)
        self._warn_over_length(checked)
        row_of = {text: row for row, text in enumerate(dict.fromkeys(checked))}  # captions repeat: each text once
        distinct = list(row_of)
        parts = []
        with _inference(self.module):
            for rows in blocks(len(distinct), self._batch_size):
                features = self._towers.text(self._towers.tokenize(distinct[rows]).to(self._device))
                parts.append(as_vectors(features, rows.stop - rows.start, self.card.name, dim=self.card.dim))
        return np.concatenate(parts)[[row_of[text] for text in checked]]

    def _warn_over_length(self, texts: list[str]) -> None:
        if self._warned or not hasattr(self, "over_length"):
            return
        if cut := self._over_length(texts):
            self._warned = True
            warnings.warn(
                f"{self.card.name}: {len(cut)} of {len(texts)} texts exceed the context of {self.card.context_length} "
                f"tokens and are cut, first: {texts[cut[0]][:60]!r}. encoder.over_length(texts) lists them; this "
                "warning appears once.",
                TextLengthWarning,
                stacklevel=3,
            )

    def _over_length(self, texts: Sequence[str]) -> list[int]:
        """Positions of the texts that exceed the context length."""
        assert self._towers.count_tokens is not None
        assert self.card.context_length is not None
        lengths = self._towers.count_tokens(check_texts(texts))
        return [position for position, length in enumerate(lengths) if length > self.card.context_length]

    def _unknown_words(self, texts: Sequence[str]) -> list[str]:
        """Words that the vocabulary lacks, each once, in order of appearance."""
        assert self._towers.unknown is not None
        return list(dict.fromkeys(word for text in check_texts(texts) for word in self._towers.unknown(text)))

    def _encode_pixels(self, pixels: Any) -> Any:
        """Features ``[n, d]`` of a float tensor ``[n, 3, h, w]`` in [0, 1], differentiable in the pixels."""
        if getattr(pixels, "ndim", 0) != 4 or pixels.shape[1] != 3 or not pixels.is_floating_point():
            raise EncoderError("encode_pixels expects a float tensor [n, 3, h, w] with values in [0, 1].")
        require_eval(self.module)
        transform = self.preprocess
        assert isinstance(transform, PixelTransform)
        return self._towers.image(transform.normalise(transform.resize_pixels(pixels.to(self._device))))


def build_encoder(
    towers: Towers,
    transform: Transform,
    *,
    library: str,
    name: str,
    weights: str,
    revision: str | None = None,
    training_data: str | None = None,
    licence: str | None = None,
    context_length: int | None = None,
    text_settings: str = "",
    device: Any = "cpu",
    batch_size: int = DEFAULT_BATCH,
) -> TorchEncoder:
    """The encoder of a loaded model: probes it once for its width and for the preprocessing fingerprint."""
    require_eval(towers.module)
    try:
        with _inference(towers.module):
            tokens = towers.tokenize(list(PROBE_TEXTS))
            features = as_vectors(towers.text(tokens.to(device)), len(PROBE_TEXTS), name)
        image_probe = probe_hash(transform)
        if (features == features[0]).all():
            raise EncoderError(
                f"{name}: the text tower gives one vector for all texts; tokenizer and model do not match."
            )
    except FairVLError:
        raise
    except Exception as error:
        raise EncoderError(
            f"{name}: the model cannot encode a probe ({type(error).__name__}: {error}). "
            "Its tokenizer, transform and weights probably do not belong together."
        ) from error
    preprocessing = fingerprint(
        {
            "transform": transform.describe(),
            "image_probe": image_probe,
            "text": text_settings,
            "text_probe": tokens.tolist(),
        }
    )
    card = EncoderCard(
        library=library,
        name=name,
        weights=weights,
        revision=revision,
        preprocessing=preprocessing,
        dim=int(features.shape[1]),
        dtype=str(next(iter(towers.module.parameters())).dtype).removeprefix("torch."),
        parameters=sum(parameter.numel() for parameter in towers.module.parameters()),
        training_data=training_data,
        licence=licence,
        context_length=context_length,
    )
    return TorchEncoder(card, towers, transform, device=device, batch_size=batch_size)


def require_eval(module: Any) -> None:
    """Refuse a model with any submodule in training mode: its results depend on the batch or on chance."""
    training = [(name, part) for name, part in module.named_modules() if part.training]
    if training:
        name, part = next(((n, p) for n, p in training if _changes_results(p)), training[0])
        raise EncoderError(
            f"{len(training)} submodules are in training mode, e.g. {name or 'the model itself'} "
            f"({type(part).__name__}); batch normalisation and dropout would make results depend on the batch or on "
            "chance. Call model.eval() first."
        )


def pick_device(device: str) -> Any:
    """A torch device from ``cpu``, ``cuda``, ``cuda:1``, ``mps`` or ``auto``."""
    torch = need("torch")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise EncoderError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}. Try 'cpu'.") from error
    return chosen


@contextmanager
def offline() -> Iterator[None]:
    """No hub request inside: what the user did not name is not downloaded; files in the local cache are found."""
    constants: Any = need("huggingface_hub.constants")
    before = constants.HF_HUB_OFFLINE
    try:  # before the flag changes: transformers 4 copies it when it is imported
        hub: Any = import_module("transformers.utils.hub")
    except ModuleNotFoundError:
        hub = None
    copied = getattr(hub, "_is_offline_mode", None)
    constants.HF_HUB_OFFLINE = True
    if copied is not None:
        hub._is_offline_mode = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
        if copied is not None:
            hub._is_offline_mode = copied


@contextmanager
def _inference(module: Any) -> Iterator[None]:
    import torch

    require_eval(module)
    with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
        yield


def _changes_results(module: Any) -> bool:
    kind = type(module).__name__
    return ("Norm" in kind and hasattr(module, "running_mean")) or "Drop" in kind
