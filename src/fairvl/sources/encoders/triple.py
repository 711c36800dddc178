"""The triple (model, transform, tokenizer) that the field passes around, as an encoder."""

from __future__ import annotations

from typing import Any

from ...errors import EncoderError
from .images import LibraryTransform
from .seam import Encoder, need
from .tokens import count_tokens, tokenizer_context
from .towers import DEFAULT_BATCH, Towers, build_encoder


def from_triple(
    model: Any,
    transform: Any = None,
    tokenizer: Any = None,
    *,
    name: str = "custom",
    weights: str = "given",
    training_data: str | None = None,
    licence: str | None = None,
    batch_size: int = DEFAULT_BATCH,
) -> Encoder:
    """An encoder from (model, transform, tokenizer), as ``load_clip`` of CLIP_benchmark returns them.

    Parameters
    ----------
    model : torch.nn.Module
        With ``encode_image(tensor [n, 3, h, w])`` and ``encode_text(tokens [n, length])``, in evaluation mode. It is
        used as it is, on its own device and in its own precision. The whole triple may be given here as one tuple.
    transform : callable
        RGB PIL image to tensor ``[3, h, w]``: the *validation* transform.
    tokenizer : callable
        List of strings to token ids ``[n, length]``.
    name, weights, training_data, licence : str
        For the card.

    Raises
    ------
    EncoderError
        A part is missing, or a submodule is in training mode.

    Examples
    --------
    >>> from_triple(("model",))
    Traceback (most recent call last):
    ...
    fairvl.errors.EncoderError: from_triple got 1 parts; expected (model, transform, tokenizer).
    """
    if isinstance(model, (tuple, list)):
        if len(model) != 3:
            raise EncoderError(f"from_triple got {len(model)} parts; expected (model, transform, tokenizer).")
        model, transform, tokenizer = model
    for method in ("encode_image", "encode_text", "named_modules"):
        if not callable(getattr(model, method, None)):
            raise EncoderError(
                f"the model ({type(model).__name__}) has no {method}(); expected a CLIP-like torch module."
            )
    for label, part in (("transform", transform), ("tokenizer", tokenizer)):
        if not callable(part):
            raise EncoderError(f"the {label} is {type(part).__name__}; expected a callable.")
    torch = need("torch")
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    towers = Towers(
        module=model,
        image=lambda pixels: model.encode_image(pixels.to(next(model.parameters()).dtype)),
        text=model.encode_text,
        tokenize=lambda texts: torch.as_tensor(tokenizer(texts)),
        count_tokens=count_tokens(tokenizer),
    )
    return build_encoder(
        towers,
        LibraryTransform(transform),
        library="triple",
        name=name,
        weights=weights,
        training_data=training_data,
        licence=licence,
        context_length=tokenizer_context(tokenizer),
        device=device,
        batch_size=batch_size,
    )
