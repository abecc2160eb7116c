"""What the tests share: the Monte Carlo check, noise that is a function of a seed, and what some of them need."""

import importlib.util
import math

import pytest
import torch

needs_ffmpeg = pytest.mark.skipif(importlib.util.find_spec("imageio_ffmpeg") is None, reason="needs imageio-ffmpeg")


def assert_mean(values: torch.Tensor, expected, errors: float = 4.0, floor: float = 1e-12) -> None:
    """The mean of `values` over the first axis is `expected` to within `errors` standard errors, element by
    element. At four, chance alone breaks one seeded comparison in 16,000; `floor` is for rounding."""
    mean = values.mean(0)
    allowed = errors * values.std(0) / math.sqrt(len(values)) + floor
    off = (mean - torch.as_tensor(expected)).abs()
    assert bool((off <= allowed).all()), f"mean {mean}, expected {expected}, allowed to be off by {allowed}"


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*size: int, seed: int = 0) -> torch.Tensor:
    """Standard normal float64 numbers, a function of the seed."""
    return torch.randn(*size, generator=generator(seed), dtype=torch.float64)


def tensor(values, columns: int | None = None) -> torch.Tensor:
    """Numbers that a page has computed, in float64; a typed array comes as a dict. In rows of so many if given."""
    out = torch.tensor(list(values.values()) if isinstance(values, dict) else values, dtype=torch.float64)
    return out if columns is None else out.reshape(-1, columns)
