"""Judging an answer: properties on random inputs, and a name for the mistake.

An exercise draws small random inputs in two precisions, asks the learner's function for its answer, and holds that
against *properties*: another implementation, Bayes' rule, a limit, autograd, a Monte Carlo mean. Any function that
has them is correct. If one fails, the function is compared with a collection of named wrong formulas, and a mistake
is named only if all answers agree with it. Nothing depends on torch's global random numbers.
"""

import contextlib
import re
import textwrap
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from . import record
from .attempt import CORRECT, ERROR, NOT_ATTEMPTED, WRONG, Attempt, Stop, one_line, unfinished
from .compare import differs, precision, shown

DTYPES = (torch.float64, torch.float32)
SEEDS = (1, 2, 3)


NO_GRADIENT = (
    "The values are right, but the gradient is not: is there a .detach(), .item(), .tolist(), torch.no_grad() or NumPy "
    "between the weights and the answer? Training needs the whole way."
)


class Draw:
    """Random inputs of one dtype, a function of the seed alone."""

    def __init__(self, seed: int, dtype: torch.dtype = torch.float64):
        self.generator, self.dtype = torch.Generator().manual_seed(seed), dtype

    def normal(self, *size: int) -> Tensor:
        """Standard normal numbers."""
        return torch.randn(size, generator=self.generator, dtype=torch.float64).to(self.dtype)

    def uniform(self, low: float, high: float, *size: int) -> Tensor:
        """Numbers between `low` and `high`, such as variances."""
        u = torch.rand(size, generator=self.generator, dtype=torch.float64)
        return (low + (high - low) * u).to(self.dtype)

    def number(self, low: float, high: float) -> float:
        """One number between `low` and `high`."""
        return self.uniform(low, high).item()

    def integer(self, low: int, high: int) -> int:
        """One of low, …, high."""
        return int(torch.randint(low, high + 1, (), generator=self.generator))

    def betas(self) -> Tensor:
        """β_0 = 0, β_1, …, β_T of a random schedule of four to nine steps, (T + 1,)."""
        T = self.integer(4, 9)
        return torch.cat([torch.zeros(1, dtype=self.dtype), self.uniform(0.03, 0.6, T)])


def gradients(value: Tensor, weights: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The gradients of the sum of an answer; zero in those weights on which, for autograd, it does not depend."""
    if not value.requires_grad:
        return tuple(torch.zeros_like(w) for w in weights)
    found = torch.autograd.grad(value.sum(), weights, allow_unused=True)
    return tuple(torch.zeros_like(w) if g is None else g for w, g in zip(weights, found, strict=True))


@dataclass(frozen=True)
class Property:
    """What a correct answer has. `sides(f, *inputs)` returns what f gives and what it should give, and, for a Monte
    Carlo mean, how far apart they may lie. `hint` is shown if no mistake could be named. `instead` says what f was
    given in the place of some inputs, such as "alpha_bar = 0; eps = 1"."""

    claim: str
    sides: Callable[..., tuple]
    hint: str = ""
    instead: str = ""


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that people really give. `wrong(*inputs)` computes it; of several parts, None stands for any."""

    formula: str
    sentence: str
    equation: str
    wrong: Callable

    def __str__(self) -> str:
        formula, _, part = self.formula.removesuffix(")").partition(" (part ")
        what = f"Part {part} equals {formula}" if part else f"This equals {self.formula}"
        return f"{what}. {self.sentence} See ({self.equation})."


@dataclass(frozen=True)
class Result:
    """How an answer was judged: one of the four words above, and what to tell the learner."""

    exercise: str
    status: str
    text: str = ""

    def __str__(self) -> str:
        first, *rest = self.text.split("\n")
        lines = textwrap.wrap(f"{self.exercise}: {self.status}. {first}".strip(), 100)
        return "\n".join(lines + [part for line in rest for part in textwrap.wrap(line, 100)])


@dataclass(frozen=True)
class Item:
    """Which exercise of which notebook is judged; the notebook itself has its text, stub, hints and solution."""

    name: str
    notebook: str
    section: str
    title: str
    minutes: int

    @property
    def answer(self) -> str:
        """The name that the stub gives to the learner's answer."""
        return f"my_{self.name}"

    @property
    def key(self) -> str:
        """Notebook and name, as the progress file has it."""
        return f"{self.notebook}.{self.name}"

    def __call__(self, answer) -> None:
        """Judges the answer and prints what there is to say; a correct one counts as progress."""
        result = self.told(self.judge(answer))
        print(result)
        if result.status == CORRECT and (trouble := record.remember(self.key)):
            print(f"{self.name}: {trouble}")

    def told(self, result: Result) -> Result:
        """What the learner is told of a result."""
        return result

    def judge(self, answer) -> Result:
        """The result, without printing or remembering it. Nothing that an answer does raises an error here."""
        try:
            if unfinished(answer):
                raise Stop(NOT_ATTEMPTED)
            with torch.enable_grad():
                return Result(self.name, CORRECT, self.verdict(answer))
        except Stop as stop:
            return Result(self.name, stop.status, stop.text)
        except Exception as error:
            return Result(self.name, ERROR, f"The answer could not be judged: {type(error).__name__} {one_line(error)}")

    def verdict(self, answer) -> str:
        """What was checked; Stop if something is wrong."""
        raise NotImplementedError


@dataclass(frozen=True)
class Exercise(Item):
    """A function to write. `cases(draw)` lists inputs by name, small ones first; the function is called by position,
    and returns one tensor or a tuple of `parts` tensors."""

    cases: Callable[[Draw], list[dict]] = field(kw_only=True, repr=False)
    properties: tuple[Property, ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    parts: int = 1

    def verdict(self, answer) -> str:
        """What was checked; Stop with the first property that fails."""
        if not callable(answer):
            call = f"checks.{self.name}({self.answer})"
            raise Stop(WRONG, f"checks.{self.name} takes the function itself: {call}, without calling it.")
        attempt, count = Attempt(answer, self.parts), 0
        with torch.random.fork_rng(devices=[]):
            for case in self.inputs():
                count += 1
                if count == 1:
                    attempt.repeat(case)
                for p in self.properties:
                    self._hold(p, attempt, case)
        claims = "; ".join(p.claim for p in self.properties)
        return f"On {count} random inputs it {claims}."

    def inputs(self, dtypes=DTYPES) -> Iterator[dict]:
        """All inputs that an answer is asked for."""
        for seed in SEEDS:
            for dtype in dtypes:
                yield from self.cases(Draw(seed, dtype))

    def _hold(self, p: Property, attempt: Attempt, case: dict) -> None:
        """Stop if the answer does not have the property."""
        try:
            got, expected, *atol = p.sides(attempt.named(case), *case.values())
            difference = differs(got, expected, precision(case), *atol)
        except (RuntimeError, ValueError, IndexError):  # raised by our own code on an answer of another shape or sign
            difference = "what it gives does not fit"
        if difference:
            why = self.diagnosis(attempt) or p.hint
            inputs = {name: shown(value) for name, value in case.items() if not callable(value)}
            inputs |= dict(part.split(" = ") for part in p.instead.split("; ") if part)
            where = "; ".join(f"{name} = {value}" for name, value in inputs.items())
            found = f"{difference[0].upper()}{difference[1:]}."
            raise Stop(WRONG, f"A correct answer {p.claim}.\nWith {where}\n{found}\n{why}".strip())

    def diagnosis(self, attempt: Attempt) -> str:
        """The sentence of the one mistake that gives all the same answers, or nothing."""
        pairs = []
        for case in self.inputs(DTYPES[:1]):
            with contextlib.suppress(Stop):  # an error in one case, such as an index, does not hide the others
                pairs.append((attempt.named(case)(*case.values()), list(case.values())))
        for mistake in self.mistakes:
            if pairs and all(same(got, mistake.wrong, inputs) for got, inputs in pairs):
                return str(mistake)
        return plain_mistake(pairs, list(case)) if pairs and self.parts == 1 else ""


def same(got: Tensor | tuple, wrong: Callable, inputs: list) -> bool:
    """Whether an answer is the one that the wrong formula gives."""
    with contextlib.suppress(Exception):
        return not differs(got, wrong(*inputs), torch.float64)
    return False


def plain_mistake(pairs: list[tuple[Tensor, list]], names: list[str]) -> str:
    """What can be said of answers that have nothing to do with their inputs."""
    values = torch.cat([got.reshape(-1) for got, _ in pairs])
    if len(values) and bool((values == values[0]).all()):
        return f"It is {shown(values[0])} whatever the input."
    for i, name in enumerate(names):
        if all(same(got, lambda *inputs, i=i: inputs[i] + 0.0, inputs) for got, inputs in pairs):
            return f"It returns its argument {name} as it came."
    return ""


HINTED: set[str] = set()  # orderings of which this kernel has seen a wrong one


@dataclass(frozen=True)
class Ordering(Item):
    """A prediction: names to be put in order. `values()` computes what the order is by, smallest first. `reasons`
    says why the one name stands before the other, for pairs that are easily swapped; `backwards` what to say of the
    whole order read from the wrong end."""

    values: Callable[[], dict] = field(kw_only=True, repr=False)
    reasons: dict[tuple, str] = field(default_factory=dict)
    backwards: str = ""

    def told(self, result: Result) -> Result:
        """Of the first wrong order only that it is wrong: the hints come before the explanation."""
        explains = result.text == self.backwards or any(result.text.endswith(why) for why in self.reasons.values())
        if result.status != WRONG or not explains or self.key in HINTED:
            return result
        HINTED.add(self.key)
        return Result(self.name, WRONG, "Another order. The hints below help; a second wrong answer is explained.")

    def verdict(self, answer) -> str:
        """The values; Stop with the first pair that is the wrong way round."""
        value = self.values()
        right = sorted(value, key=value.__getitem__)
        known = {plain(name): name for name in right}
        given = [known.get(plain(name)) for name in entries(answer)]
        if len(given) != len(right) or set(given) != set(right):
            names = ", ".join(map(repr, sorted(value, key=str)))
            raise Stop(WRONG, f"The answer is a list that has each of these once: {names}. It is {shown(answer)}.")
        if given == right[::-1]:
            raise Stop(WRONG, self.backwards)
        for i, first in enumerate(right):
            for second in right[i + 1 :]:
                if given.index(second) < given.index(first):
                    raise Stop(WRONG, f"{first!r} comes before {second!r}. {self.reasons[first, second]}")
        return "Computed: " + "; ".join(f"{name}: {value[name]:.3g}" for name in right) + "."


def entries(answer) -> list:
    """The entries of a list, a tuple, an array or a tensor; none of anything else."""
    if isinstance(answer, Tensor | np.ndarray):
        with contextlib.suppress(Exception):  # sparse ones have no list
            answer = answer.tolist()
    return list(answer) if isinstance(answer, list | tuple) else []


def plain(name) -> str:
    """A name as any keyboard types it: "noise × ½" and "noise*1/2" are the same, and 0.1 in single precision is 0.1."""
    with contextlib.suppress(Exception):
        return f"{float(name.detach() if isinstance(name, Tensor) else name):.6g}"
    if not isinstance(name, str):
        return ""
    text = unicodedata.normalize("NFKC", name).casefold().replace("×", "x").replace("*", "x").replace("⁄", "/")
    return re.sub(r"[^\w/.]", "", text).replace("1/2", "0.5")
