"""Whether a folder holds a whole diffusers pipeline of safetensors weights, before anything is loaded from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...errors import GeneratorError
from ...fingerprints import file_hash, fingerprint

INDEX = "model_index.json"
LIBRARIES = ("diffusers", "transformers", "stable_diffusion")  # the last: diffusers' own name for its safety checker
WEIGHTLESS = {"scheduler": "scheduler_config.json"}


def check_pipeline_folder(folder: Path) -> dict[str, Any]:
    """The index of the pipeline in `folder`, after a look at every part that it names.

    Raises
    ------
    GeneratorError
        No index, a part that is missing, incomplete or pickled, or one that would run code of its own.
    """
    index = read_json(folder / INDEX)
    name = index.get("_class_name")
    if not isinstance(name, str):
        raise GeneratorError(
            f"{folder / INDEX}: the pipeline class is {name!r}; one that brings code of its own is not run."
        )
    parts = {part: kind for part, kind in index.items() if isinstance(kind, list) and len(kind) == 2 and kind[1]}
    if not parts:
        raise GeneratorError(f"{folder / INDEX}: names no parts; expected the index that save_pretrained writes.")
    for part, (library, kind) in parts.items():
        if library not in LIBRARIES or (folder / part / f"{library}.py").exists():
            raise GeneratorError(
                f"{folder / INDEX}: {part} comes from {library!r}; only classes of diffusers and transformers are "
                "loaded, never code from the folder."
            )
        _check_part(folder / part, part, str(kind))
    return index


def _check_part(place: Path, part: str, kind: str) -> None:
    if not place.is_dir():
        raise GeneratorError(f"{place}: missing, though {INDEX} names it. Fetch or save the pipeline again.")
    if "Scheduler" in kind:
        wanted = ["scheduler_config.json"]
    elif "Tokenizer" in kind:
        wanted = ["tokenizer.json", "vocab.json", "spiece.model", "tokenizer.model"]
    elif "Processor" in kind or "FeatureExtractor" in kind:
        wanted = ["preprocessor_config.json"]
    else:
        _check_weights(place)
        wanted = ["config.json"]
    if not any((place / name).is_file() for name in wanted):
        raise GeneratorError(f"{place}: holds no {' or '.join(wanted)} for {part} ({kind}). Save the pipeline again.")


def _check_weights(place: Path) -> None:
    files = sorted(place.glob("*.safetensors"))
    if not files:
        found = ", ".join(sorted(path.name for path in place.iterdir())[:8]) or "nothing"
        raise GeneratorError(
            f"{place}: no .safetensors weights (found {found}). Save the pipeline with safetensors; a pickled "
            "checkpoint can hold code."
        )
    for index in place.glob("*.safetensors.index*.json"):
        shards = set(read_json(index).get("weight_map", {}).values())
        if lacking := sorted(shard for shard in shards if not (place / shard).is_file()):
            raise GeneratorError(f"{index}: names {', '.join(lacking)}, not there. Fetch the pipeline again.")
    if any(path.stat().st_size == 0 for path in files):
        raise GeneratorError(f"{place}: holds an empty .safetensors file. Fetch the pipeline again.")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file."""
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise GeneratorError(
            f"{path}: not there; expected a folder that DiffusionPipeline.save_pretrained wrote."
        ) from None
    except (OSError, ValueError) as error:
        raise GeneratorError(f"{path}: not readable JSON ({error}).") from None
    if not isinstance(values, dict):
        raise GeneratorError(f"{path}: holds no JSON object.")
    return values


def weights_id(folder: Path) -> str:
    """Hash over all weights and tokenizers of a pipeline folder."""
    files = [*folder.glob("*/*.safetensors"), *folder.glob("*/tokenizer.json"), *folder.glob("*/vocab.json")]
    return "sha256:" + fingerprint({path.relative_to(folder).as_posix(): file_hash(path) for path in sorted(files)})
