"""Folders of fusion models: those of transformers, with one small file of ours beside the weights."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...atomic import require_writable, write_atomic
from ...errors import FusionError
from ..encoders.seam import need

if TYPE_CHECKING:
    from .seam import FusionModel

OURS = "fairvl.json"


def write_folder(
    model: FusionModel, folder: Path | str, *, settings: Mapping[str, Any], architectures: Sequence[str] = (),
    processor: Mapping[str, Any] | None = None,
) -> Path:  # fmt: skip
    """Weights (safetensors), configuration, tokenizer, image settings and what transformers has no field for."""
    out = Path(folder)
    require_writable(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / OURS).unlink(missing_ok=True)  # written last: a folder without it was not finished
    if hasattr(model.module, "save_pretrained"):
        with quiet():
            model.module.save_pretrained(out)
        config = read_json(out / "config.json")
        write_atomic(out / "config.json", json.dumps({**config, "architectures": list(architectures)}, indent=2) + "\n")
    else:
        from safetensors.torch import save

        state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.module.state_dict().items()}
        write_atomic(out / "model.safetensors", save(_untied(state)))
    model.words.tokenizer.save_pretrained(out)
    if processor is not None:
        write_atomic(out / "preprocessor_config.json", json.dumps(processor, indent=2) + "\n")
    ours = {
        "family": model.family, "max_length": model.words.max_length, "answers": list(model.answers),
        "licence": model.card.licence, **settings,
    }  # fmt: skip
    write_atomic(out / OURS, json.dumps(ours, indent=2, ensure_ascii=False) + "\n")
    return out


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and no loading report of transformers: what is wrong is raised instead."""
    settings = need("transformers").utils.logging
    level, bars = settings.get_verbosity(), settings.is_progress_bar_enabled() and not sys.stderr.isatty()
    settings.set_verbosity(50)
    if bars:
        settings.disable_progress_bar()
    try:
        yield
    finally:
        settings.set_verbosity(level)
        if bars:
            settings.enable_progress_bar()


def _untied(state: dict[str, Any]) -> dict[str, Any]:
    """Tensors that share memory, each with memory of its own: safetensors holds no aliases."""
    seen: set[int] = set()
    own = {}
    for name, tensor in state.items():
        own[name] = tensor.clone() if tensor.data_ptr() in seen else tensor
        seen.add(tensor.data_ptr())
    return own


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file."""
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise FusionError(f"{path}: not there; expected a folder that save or save_pretrained wrote.") from None
    except (OSError, ValueError) as error:
        raise FusionError(f"{path}: not readable JSON ({error}).") from None
    if not isinstance(values, dict):
        raise FusionError(f"{path}: holds no JSON object.")
    return values
