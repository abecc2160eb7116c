"""Calling a learner's function: what it returns becomes tensors, and what goes wrong in it becomes one sentence."""

import traceback
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..gaussian import Gaussian
from .compare import differs, tensors

CORRECT, WRONG, ERROR, NOT_ATTEMPTED = "correct", "not yet right", "stopped by an error", "not attempted yet"
RETURN = "It returns None. Is there a `return` missing?"


class Stop(Exception):
    """Ends the judging of an answer with a result."""

    def __init__(self, status: str, text: str = ""):
        super().__init__(text)
        self.status, self.text = status, text


class Attempt:
    """The learner's function, called on copies. It answers with one tensor, or with a tuple of `parts` tensors."""

    def __init__(self, function: Callable, parts: int = 1):
        self.function, self.parts = function, parts

    def named(self, case: dict) -> Callable:
        """The function with the inputs' names, for messages."""
        return lambda *inputs: self._call(list(case), inputs)

    def _call(self, names: list[str], inputs: tuple) -> Tensor | tuple[Tensor, ...]:
        copies = [copied(x) for x in inputs]
        try:
            with torch.enable_grad():  # the function cannot switch gradients off for us
                out = self.function(*copies)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise self._stopped(error) from None
        for name, before, after in zip(names, inputs, copies, strict=False):
            if not unchanged(before, after):
                raise Stop(WRONG, f"It changes its argument {name} in place. Work on a copy, or write {name} * a for "
                           f"{name} *= a.")  # fmt: skip
        if out is None and does_something(self.function):
            raise Stop(WRONG, RETURN)
        if unfinished(out):
            raise Stop(NOT_ATTEMPTED)
        return numbers(out) if self.parts == 1 else in_parts(out, self.parts)

    def _stopped(self, error: BaseException) -> Stop:
        said, line = one_line(error), self._line(error)
        if isinstance(error, NotImplementedError) and not said:
            return Stop(NOT_ATTEMPTED)
        if "ellipsis" in said:
            return Stop(NOT_ATTEMPTED, f"There is still a ... to be filled in{line}.")
        return Stop(ERROR, f"{type(error).__name__}{': ' * bool(said)}{said}{line}")

    def _line(self, error: BaseException) -> str:
        """Where in the learner's own file or cell the error happened."""
        code = getattr(self.function, "__code__", None)
        frames = [f for f in traceback.extract_tb(error.__traceback__) if code and f.filename == code.co_filename]
        if not frames:
            return ""
        source = (frames[-1].line or "").strip()
        return f", in line {frames[-1].lineno}" + (f": {source}" if source else "")

    def repeat(self, case: dict) -> None:
        """Stop if two calls with the same inputs differ because of global random numbers."""
        answers = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            out = self.named(case)(*case.values())
            answers.append(tuple(part.nan_to_num() for part in (out if isinstance(out, tuple) else (out,))))
        if differs(answers[0], answers[1], torch.float64):
            raise Stop(WRONG, "It gives another answer when it is called again with the same input: it draws random "
                       "numbers of its own. All noise comes in as an argument.")  # fmt: skip


def unfinished(answer) -> bool:
    """Whether this is still the stub's ..., alone or inside a list."""
    return answer is ... or answer is None or (isinstance(answer, list | tuple) and any(a is ... for a in answer))


def numbers(out) -> Tensor:
    """A tensor, an array, a number or a regular list of these as a tensor of floating-point numbers, its gradient kept.
    Stop, with what it is, for anything else."""
    try:
        if isinstance(out, list | tuple):
            return torch.stack([numbers(part) for part in out]) if out else torch.zeros(0)
        value = out.to_dense().cpu() if isinstance(out, Tensor) else torch.as_tensor(np.asarray(out))
        if not value.is_complex():
            return value if value.is_floating_point() else value.double()
    except Stop:
        raise
    except Exception:
        kind = type(out).__name__
        what = (
            f"a {kind} whose entries differ in shape" if isinstance(out, list | tuple) else f"{kind}, and not numbers"
        )
        raise Stop(WRONG, f"It returns {what}. A tensor is wanted.") from None
    raise Stop(WRONG, f"It returns complex numbers ({value.dtype}). Real ones are wanted: take .real.")


def in_parts(out, count: int) -> tuple[Tensor, ...]:
    """So many tensors, from a tuple or a list, one tensor that stacks them, or a Gaussian."""
    if isinstance(out, Gaussian):
        out = (out.mean, out.var)
    given = out if isinstance(out, list | tuple) else numbers(out)
    if isinstance(given, Tensor) and (given.ndim == 0 or len(given) != count):
        raise Stop(WRONG, f"It returns one tensor, and {count} are wanted.")
    if len(given) != count:
        raise Stop(WRONG, f"It returns {len(given)} part{'s' * (len(given) != 1)}, and {count} are wanted.")
    return tuple(map(numbers, given))


def does_something(function: Callable) -> bool:
    """Whether a function that returned None has any code beside a docstring and `...`."""
    code = getattr(function, "__code__", None)
    return code is not None and bool(
        code.co_names or len(code.co_varnames) > code.co_argcount or len(code.co_code) > 12
    )


def copied(x):
    """A copy of a tensor or of a list of tensors; anything else as it is."""
    return [copied(part) for part in x] if isinstance(x, list) else x.clone() if isinstance(x, Tensor) else x


def unchanged(before, after) -> bool:
    """Whether a tensor, or a list of tensors, is as it was."""
    old, new = tensors(before), tensors(after)
    return len(old) == len(new) and all(
        a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b) for a, b in zip(old, new, strict=True)
    )


def one_line(error: BaseException) -> str:
    """What an error says, on one line of at most 200 characters; nothing if it cannot say it."""
    try:
        return " ".join(str(error).split())[:200]
    except Exception:
        return ""
