"""Encoder names: ``prefix:target?option=value``."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ...errors import EncoderError
from ..options import loader_options
from .fake import DEFAULT_DIM, FakeEncoder
from .openclip import FORMS as OPEN_CLIP_FORMS
from .openclip import load_open_clip
from .seam import Encoder
from .stored import StoredEncoder
from .transformers_models import load_transformers

FORMS = (
    *OPEN_CLIP_FORMS,
    "transformers:NAME-OR-PATH",
    "transformers:org/name?revision=COMMIT",
    "stored:DIR",
    "world:clip",
    "world:face-clip",
    "world:vectors",
    "world:population/NAME",
    "fake",
    "fake:DIM",
)


def load_encoder(name: str, **options: Any) -> Encoder:
    """The encoder that a name stands for.

    Parameters
    ----------
    name : str
        ``open_clip:ViT-B-32/laion2b_s34b_b79k``, ``open_clip:hf-hub:org/name``, ``open_clip:local-dir:PATH``,
        ``open_clip:ViT-B-32?checkpoint=FILE.safetensors``, ``open_clip:ViT-B-32?random=SEED``,
        ``transformers:NAME-OR-PATH``, ``stored:DIR``, ``world:clip``, ``world:face-clip``, ``fake`` or ``fake:DIM``.
        Options follow a question mark, ``&`` between them, values as they are.
    **options
        The same options as keywords: ``device``, ``batch_size``, and those of the adapter.

    Returns
    -------
    Encoder
        In evaluation mode and float32. Files are downloaded only where `name` names a tag or a hub repository.

    Raises
    ------
    EncoderError
        The name is not one of these forms, or what it names cannot be loaded; the message says what comes nearest.
    MissingExtraError
        The adapter's library is not installed.

    Examples
    --------
    >>> load_encoder("fake:8").encode_texts(["a person"]).shape
    (1, 8)
    """
    if not isinstance(name, str) or not name:
        raise EncoderError(f"encoder name {name!r}; expected one of: {'; '.join(FORMS)}.")
    head, _, query = name.partition("?")
    prefix, colon, target = head.partition(":")
    loader = _LOADERS.get(prefix)
    if loader is None or (not colon and prefix != "fake"):
        near = get_close_matches(prefix, _LOADERS, n=1, cutoff=0.3)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise EncoderError(f"encoder name {name!r} is not understood.{hint} Expected one of: {'; '.join(FORMS)}.")
    if colon and not target:
        raise EncoderError(f"encoder name {name!r} names nothing after the colon. Expected one of: {'; '.join(FORMS)}.")
    return loader(target, **loader_options(name, query, options, loader, EncoderError))


def _fake(target: str) -> Encoder:
    if target and (not target.isdecimal() or not 0 < int(target) <= 65536):
        raise EncoderError(f"fake:{target}: expected fake:DIM with a width from 1 to 65536, such as fake:16.")
    return FakeEncoder(int(target) if target else DEFAULT_DIM)


def _stored(target: str) -> Encoder:
    return StoredEncoder(target)


def _world(target: str, *, device: str = "cpu", batch_size: int = 64, folder: str = "") -> Encoder:
    if target.startswith("population/"):  # stored vectors of many small models; `folder` names another population
        from ..world.population import population

        return population(target.removeprefix("population/"), folder=folder)
    if folder:
        raise EncoderError(f"world:{target} takes no folder; only world:population/NAME does.")
    models = Path(__file__).parents[1] / "world" / "models"
    if target == "vectors":  # what world:clip made of balanced test pictures and of the core suite's texts: no torch
        return StoredEncoder(models.parent / "vectors")
    if target == "face-clip":
        from ..world.face_clip import FaceClip

        return FaceClip()
    shipped = (
        sorted(path.name for path in models.iterdir() if (path / "config.json").is_file()) if models.is_dir() else []
    )
    if target not in shipped:
        names = ", ".join(f"world:{name}" for name in shipped) or "no world model"
        raise EncoderError(f"world:{target} is not there; this installation ships {names}.")
    return load_transformers(
        str(models / target), device=device, batch_size=batch_size, name=f"world:{target}",
        training_data="fairvl world (synthetic)", licence="Apache-2.0",
    )  # fmt: skip


_LOADERS: dict[str, Callable[..., Encoder]] = {
    "open_clip": load_open_clip,
    "transformers": load_transformers,
    "stored": _stored,
    "world": _world,
    "fake": _fake,
}
