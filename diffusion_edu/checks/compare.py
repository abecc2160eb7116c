"""Comparing an answer's tensors with what they should be, and saying in words how they differ."""

import re

import torch
from torch import Tensor


def tensors(x) -> list[Tensor]:
    """A tensor, or the tensors of a list or tuple."""
    return [part for part in (x if isinstance(x, list | tuple) else [x]) if isinstance(part, Tensor)]


def precision(case: dict) -> torch.dtype:
    """The dtype of a case's points."""
    floats = [x.dtype for value in case.values() for x in tensors(value) if x.is_floating_point()]
    return floats[0] if floats else torch.float64


def differs(got, expected, dtype: torch.dtype, atol: float | Tensor = 0.0) -> str:
    """How one tensor differs from another, or a tuple of them from as many, in words; nothing if they do not. None is
    no tensor and differs from nothing."""
    pairs = [pair if isinstance(pair, tuple) else (pair,) for pair in (got, expected)]
    for number, (g, e) in enumerate(zip(*pairs, strict=True), start=1):
        if e is not None and (text := difference(g.detach(), e, dtype, atol)):
            return f"in part {number} it gives {text}" if len(pairs[0]) > 1 else f"it gives {text}"
    return ""


def difference(got: Tensor, expected, dtype: torch.dtype, atol: float | Tensor) -> str:
    """«this; right is that», or nothing. Where one number is right, it may come in a list of one."""
    expected = torch.as_tensor(expected, dtype=torch.float64).detach()
    if got.shape == (1,) and expected.ndim == 0:
        got = got.reshape(())
    if got.shape != expected.shape:
        return f"the shape {tuple(got.shape)}; right is {tuple(expected.shape)}"
    rounding = 1e-6 if dtype == torch.float64 else 2e-3
    allowed = rounding * (1 + expected.abs()) + torch.as_tensor(atol, dtype=torch.float64)
    if bool((((got.double() - expected).abs() <= allowed) | (got == expected)).all()):
        return ""
    return f"{shown(got)}; right is {shown(expected)}{note(got, expected, dtype)}"


def note(got: Tensor, expected: Tensor, dtype: torch.dtype) -> str:
    """What the numbers alone tell of the mistake, in brackets."""
    if bool(got.isnan().any()):
        return " (nan comes from 0/0, ∞ − ∞, or the root or log of a negative number)"
    if bool(got.isinf().any()):
        return " (∞ comes from a division by 0, the log of 0, or exp of a large number)"
    if torch.finfo(got.dtype).eps > torch.finfo(dtype).eps:
        return f" (the answer's numbers are {str(got.dtype)[6:]} although the input's are {str(dtype)[6:]})"
    if shown(got) == shown(expected):
        return f" (the largest difference is {(got - expected).abs().max().item():.2g})"
    return ""


def shown(value) -> str:
    """A small value in full, a large one by its shape, and by its type what cannot be shown."""
    try:
        if isinstance(value, Tensor):
            return shown_tensor(value)
        if found := tensors(value):
            return shown_list(value, found)
        return f"{value:.4g}" if isinstance(value, float) else re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))[:120]
    except Exception:
        return f"({type(value).__name__})"


def shown_list(value: list | tuple, found: list[Tensor]) -> str:
    """A list or a tuple with tensors in it."""
    if sum(part.numel() for part in found) > 10:
        return f"({len(value)} tensors of shape {tuple(found[0].shape)})"
    return ", ".join(map(shown, value)).join("()" if isinstance(value, tuple) else "[]")


def shown_tensor(value: Tensor) -> str:
    """Numbers to four digits, row by row; more than ten by their shape."""
    if value.ndim == 0:
        return f"{value.item():.4g}"
    return (
        "[" + ", ".join(map(shown_tensor, value)) + "]"
        if value.numel() <= 10
        else f"(numbers of shape {tuple(value.shape)})"
    )
