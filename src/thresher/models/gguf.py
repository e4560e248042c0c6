"""Language models in GGUF files: their weights in float32, converted once into a cache folder."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from thresher.errors import UserError
from thresher.models.feature_cache import cache_folder
from thresher.progress import say
from thresher.quiet import quiet_transformers
from thresher.run.files import file_digest, write_folder


def gguf_file(folder: Path) -> Path | None:
    """The one GGUF file of a folder without other weights; None if there is none."""
    files = sorted(folder.glob("*.gguf")) if folder.is_dir() and not any(folder.glob("*.safetensors")) else []
    return files[0] if len(files) == 1 else None


def converted(path: Path) -> Path:
    """The folder with the model of a GGUF file as safetensors in float32, and its tokenizer; made where it is missing.

    transformers reads GGUF anew for seconds each time, and does not save or train what it has read. Converted models stand in the
    folder `thresher/gguf` of the user's cache, or of that which the variable THRESHER_CACHE names, by the digest of the file.

    Raises UserError: the package gguf is missing, or the file cannot be read.
    """
    place = cache_folder() / "gguf" / f"{path.stem}-{file_digest(path)[:12]}"
    if place.is_dir():
        return place
    say(f"model: {path.name} is converted to float32 safetensors in {place}, once")
    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
            read = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
            # A copy that does not count as quantized, which can be saved.
            del read.config.quantization_config
            model = AutoModelForCausalLM.from_config(read.config, dtype=torch.float32)
            model.load_state_dict(read.state_dict())
    except (OSError, ValueError, ImportError, KeyError, RuntimeError) as error:
        raise UserError(f"{path}: cannot be read as a GGUF model ({str(error).splitlines()[0]})") from error

    def fill(temporary: Path) -> None:
        with quiet_transformers():
            model.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)

    place.parent.mkdir(parents=True, exist_ok=True)
    write_folder(place, fill)
    return place
