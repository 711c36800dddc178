"""Options of a name, ``prefix:target?option=value``, and keywords, as the types that its loader declares."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from ..errors import FairVLError

Loaded = TypeVar("Loaded")
TRUTHS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def find_loader(
    name: object, kind: str, loaders: Mapping[str, Callable[..., Loaded]], forms: Sequence[str],
    error: type[FairVLError],
) -> tuple[Callable[..., Loaded], str, str]:  # fmt: skip
    """The loader of ``prefix:target?query``, the target and the query; what is not understood is raised as `error`.

    Examples
    --------
    >>> find_loader("disk:a/b?steps=4", "model", {"disk": print}, ["disk:PATH"], FairVLError)[1:]
    ('a/b', 'steps=4')
    """
    expected = f"Expected one of: {'; '.join(forms)}."
    if not isinstance(name, str):
        raise error(f"{kind} name {name!r}. {expected}")
    head, _, query = name.partition("?")
    prefix, _, target = head.partition(":")
    loader = loaders.get(prefix)
    if loader is None or not target:
        near = get_close_matches(prefix, loaders, n=1)
        hint = f" Did you mean {near[0]!r}?" if near and near[0] != prefix else ""
        raise error(f"{kind} name {name!r} is not understood.{hint} {expected}")
    return loader, target, query


def loader_options(
    name: str, query: str, keywords: Mapping[str, Any], loader: Callable[..., Any], error: type[FairVLError]
) -> dict[str, Any]:
    """Keyword arguments for `loader`; what is wrong with `query` or `keywords` is raised as `error`.

    Examples
    --------
    >>> def load(target, *, steps: int = 1, guided: bool = False): ...
    >>> loader_options("x:y?steps=4", "steps=4", {"guided": True}, load, FairVLError)
    {'guided': True, 'steps': 4}
    """
    merged = dict(keywords)
    for item in filter(None, query.split("&")):
        key, equals, value = item.partition("=")
        if not equals or key in merged:
            raise error(f"option {item!r} in {name!r}: expected key=value, each key once.")
        merged[key] = value
    parameters = inspect.signature(loader).parameters
    known = [key for key, parameter in parameters.items() if parameter.kind is parameter.KEYWORD_ONLY]
    for key, value in merged.items():
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise error(f"unknown option {key!r} in {name!r}.{hint} Known options: {', '.join(known) or 'none'}.")
        try:
            merged[key] = _typed(value, str(parameters[key].annotation), least=1 if key == "batch_size" else 0)
        except (TypeError, ValueError) as wrong:
            raise error(f"option {key}={value!r} in {name!r}: expected {wrong}.") from None
    return merged


def _typed(value: Any, annotation: str, *, least: int) -> Any:
    kind = annotation.partition(" ")[0]
    if kind == "bool":
        if isinstance(value, bool):
            return value
        if str(value).lower() not in TRUTHS:
            raise ValueError("1 or 0")
        return TRUTHS[str(value).lower()]
    if kind in ("int", "float"):
        try:
            number = int(value) if kind == "int" else float(value)
        except (TypeError, ValueError):
            number = -1
        if not number >= least and kind == "int":
            raise ValueError("a whole number")
        if not number >= 0:
            raise ValueError("a number")
        return number
    return value if "tuple" in annotation else str(value)
