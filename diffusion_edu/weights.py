"""Trained weights that come with the package: NAME.safetensors, and its card NAME.json, which says what is known of
them. No code is run by reading them."""

import hashlib
import json
from importlib.resources import files
from pathlib import Path

import safetensors.torch
from torch import Tensor

HOME = files("diffusion_edu") / "pretrained"


def card(name: str) -> dict:
    """What is known of the weights called `name`."""
    return json.loads((HOME / f"{name}.json").read_text(encoding="utf-8"))


def read(file: str, sha256: str) -> bytes:
    """A file's bytes. Raises ValueError if their hash is another."""
    raw = (HOME / file).read_bytes()
    if (found := hashlib.sha256(raw).hexdigest()) != sha256:
        raise ValueError(f"{file} is damaged: its sha256 is {found}, its card says {sha256}")
    return raw


def tensors(name: str) -> dict[str, Tensor]:
    """The weights called `name`. Raises ValueError if they are not those of the card."""
    return safetensors.torch.load(read(f"{name}.safetensors", card(name)["sha256"]))


def as_bytes(named: dict[str, Tensor]) -> bytes:
    """Tensors as the bytes of a safetensors file."""
    return safetensors.torch.save({key: value.contiguous() for key, value in named.items()})


def write(folder: Path, name: str, named: dict[str, Tensor], known: dict) -> dict:
    """Writes NAME.safetensors and its card into `folder`; returns the card: what is `known`, with name and hash."""
    raw = as_bytes(named)
    made = {"name": name, "sha256": hashlib.sha256(raw).hexdigest(), **known}
    (folder / f"{name}.safetensors").write_bytes(raw)
    write_card(folder, made)
    return made


def write_card(folder: Path, made: dict) -> None:
    """Writes a card into `folder` under its name."""
    text = json.dumps(made, indent=2, ensure_ascii=False) + "\n"
    (folder / f"{made['name']}.json").write_text(text, encoding="utf-8")
