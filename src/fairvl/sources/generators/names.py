"""Generator names: ``prefix:target?option=value``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...errors import GeneratorError
from ..options import find_loader, loader_options
from .diffusers_pipelines import load_diffusers
from .folder import INDEX, read_json
from .seam import Generator

FORMS = ("world:text-to-image", "diffusers:NAME-OR-PATH", "diffusers:org/name?revision=COMMIT&dtype=float16")

MODELS = Path(__file__).parents[1] / "world" / "models"


def load_generator(name: str, **options: Any) -> Generator:
    """The generator that a name stands for.

    Parameters
    ----------
    name : str
        ``world:text-to-image`` (ships with the package), or ``diffusers:`` with a local folder or a hub repository.
        Options follow a question mark, ``&`` between them.
    **options
        The same options as keywords: ``steps``, ``guidance``, ``size`` ("512x512"), ``device``, ``dtype`` (float32,
        float16, bfloat16), ``batch_size``, ``revision``, ``variant``. What is left out is the pipeline's own default.

    Raises
    ------
    GeneratorError
        The name or an option is not understood, or what it names cannot be loaded.
    MissingExtraError
        diffusers is not installed.

    Examples
    --------
    >>> load_generator("difusers:sd")
    Traceback (most recent call last):
    ...
    fairvl.errors.GeneratorError: generator name 'difusers:sd' is not understood. Did you mean 'diffusers'? \
Expected one of: world:text-to-image; diffusers:NAME-OR-PATH; diffusers:org/name?revision=COMMIT&dtype=float16.
    """
    loader, target, query = find_loader(name, "generator", _LOADERS, FORMS, GeneratorError)
    given = {key: value for key, value in options.items() if value is not None}
    return loader(target, **loader_options(name, query, given, loader, GeneratorError))


def names_generator(name: object) -> bool:
    """Whether a name stands for a generator rather than an encoder; nothing is loaded.

    Examples
    --------
    >>> [names_generator(name) for name in ("diffusers:sd", "world:text-to-image", "world:clip", "fake")]
    [True, True, False, False]
    """
    prefix, _, target = str(name).partition("?")[0].partition(":")
    return prefix == "diffusers" or (prefix == "world" and target in _shipped())


def _shipped() -> list[str]:
    return sorted(path.parent.name for path in MODELS.glob(f"*/{INDEX}"))


def _world(
    target: str, *, steps: int | None = None, guidance: float | None = None, device: str = "cpu",
    dtype: str = "float32", batch_size: int = 64,
) -> Generator:  # fmt: skip
    shipped = _shipped()
    if target not in shipped:
        names = ", ".join(f"world:{name}" for name in shipped) or "no text-to-image model"
        raise GeneratorError(f"world:{target} is not there; this installation ships {names}.")
    folder = MODELS / target
    recipe = folder / "recipe.json"
    own = read_json(recipe).get("sampling", {}) if recipe.is_file() else {}
    return load_diffusers(
        str(folder), steps=steps if steps is not None else own.get("steps"), device=device, dtype=dtype,
        guidance=guidance if guidance is not None else own.get("guidance", 1.0), batch_size=batch_size,
        name=f"world:{target}", licence="Apache-2.0",
    )  # fmt: skip


_LOADERS: dict[str, Callable[..., Generator]] = {"diffusers": load_diffusers, "world": _world}
