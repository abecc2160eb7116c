"""Judging an answer: properties on random inputs, and a name for the mistake.

An exercise draws small random inputs in two precisions, asks the learner's function for its answer, and holds that
against *properties*: another implementation, Bayes' rule, a limit, autograd, a Monte Carlo mean. Any function that
has them is correct. If one fails, the function is compared with a collection of named wrong formulas, and a mistake
is named only if all answers agree with it. Nothing depends on torch's global random numbers.
"""

import contextlib
import linecache
import math
import textwrap
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from . import record

CORRECT, WRONG, ERROR, NOT_ATTEMPTED = "correct", "not yet right", "stopped by an error", "not attempted yet"
DTYPES = (torch.float64, torch.float32)
SEEDS = (1, 2, 3)


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


class Stop(Exception):
    """Ends the judging of an answer with a result."""

    def __init__(self, status: str, text: str = ""):
        super().__init__(text)
        self.status, self.text = status, text


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
        result = self.judge(answer)
        print(result)
        if result.status == CORRECT and (trouble := record.remember(self.key)):
            print(f"{self.name}: {trouble}")

    def judge(self, answer) -> Result:
        """The result, without printing or remembering it."""
        try:
            if unfinished(answer):
                raise Stop(NOT_ATTEMPTED)
            return Result(self.name, CORRECT, self.verdict(answer))
        except Stop as stop:
            return Result(self.name, stop.status, stop.text)

    def verdict(self, answer) -> str:
        """What was checked; Stop if something is wrong."""
        raise NotImplementedError


@dataclass(frozen=True)
class Exercise(Item):
    """A function to write. `cases(draw)` lists inputs by name, small ones first; the function is called by position."""

    cases: Callable[[Draw], list[dict]] = field(default=None, repr=False)
    properties: tuple[Property, ...] = ()
    mistakes: tuple[Mistake, ...] = ()

    def verdict(self, answer) -> str:
        """What was checked; Stop with the first property that fails."""
        if not callable(answer):
            what = (
                f"checks.{self.name} takes the function itself: checks.{self.name}({self.answer}), without calling it."
            )
            raise Stop(WRONG, what)
        attempt, count = Attempt(answer), 0
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

    def _hold(self, p: Property, attempt: "Attempt", case: dict) -> None:
        got, expected, *atol = p.sides(attempt.named(case), *case.values())
        difference = differs(got, expected, precision(case), *atol)
        if difference:
            why = self.diagnosis(attempt) or p.hint
            inputs = {name: shown(value) for name, value in case.items() if not callable(value)}
            inputs |= dict(part.split(" = ") for part in p.instead.split("; ") if part)
            where = "; ".join(f"{name} = {value}" for name, value in inputs.items())
            raise Stop(
                WRONG,
                f"A correct answer {p.claim}.\nWith {where}\n{difference[0].upper()}{difference[1:]}.\n{why}".strip(),
            )

    def diagnosis(self, attempt: "Attempt") -> str:
        """The sentence of the one mistake that gives all the same answers, or nothing."""
        cases, got = [], []
        for case in self.inputs(DTYPES[:1]):
            with contextlib.suppress(Stop):  # an error in one case, such as an index, does not hide the others
                got.append(attempt.named(case)(*case.values()))
                cases.append(case)
        for mistake in self.mistakes:
            if got and all(same(g, mistake.wrong, case) for g, case in zip(got, cases, strict=True)):
                return str(mistake)
        return plain_mistake(got, cases)


@dataclass(frozen=True)
class Ordering(Item):
    """A prediction: names to be put in order. `values()` computes what the order is by, smallest first. `reasons`
    says why the one name stands before the other, for pairs that are easily swapped; `backwards` what to say of the
    whole order read from the wrong end."""

    values: Callable[[], dict[str, float]] = field(default=None, repr=False)
    reasons: dict[tuple, str] = field(default_factory=dict)
    backwards: str = ""

    def verdict(self, answer) -> str:
        """The values; Stop with the first pair that is the wrong way round."""
        value = self.values()
        right = sorted(value, key=value.get)
        given = list(answer) if isinstance(answer, (list, tuple)) else answer
        if not isinstance(given, list) or len(given) != len(right) or not all(name in given for name in right):
            names = ", ".join(map(repr, sorted(value, key=str)))
            raise Stop(WRONG, f"The answer is a list that has each of these once: {names}. It is {shown(answer)}.")
        if given == right[::-1]:
            raise Stop(WRONG, self.backwards)
        for i, first in enumerate(right):
            for second in right[i + 1 :]:
                if given.index(second) < given.index(first):
                    raise Stop(WRONG, f"{first!r} comes before {second!r}. {self.reasons[first, second]}")
        return "Computed: " + "; ".join(f"{name}: {value[name]:.3g}" for name in right) + "."


class Attempt:
    """The learner's function, called on copies; what goes wrong in it becomes a sentence."""

    def __init__(self, function: Callable):
        self.function = function

    def named(self, case: dict) -> Callable:
        """The function with the inputs' names, for messages."""
        return lambda *inputs: self._call(list(case), inputs)

    def _call(self, names: list[str], inputs: tuple):
        copies = [copied(x) for x in inputs]
        try:
            out = self.function(*copies)
        except NotImplementedError:
            raise Stop(NOT_ATTEMPTED) from None
        except (Exception, SystemExit) as error:
            if "ellipsis" in str(error):
                raise Stop(NOT_ATTEMPTED, f"There is still a ... to be filled in{self._line(error)}.") from None
            raise Stop(ERROR, f"{type(error).__name__}: {error}{self._line(error)}") from None
        for name, before, after in zip(names, inputs, copies, strict=False):
            if not all(map(torch.equal, tensors(before), tensors(after))):
                raise Stop(WRONG, f"It changes its argument {name} in place. Work on a copy, or write {name} * a for "
                           f"{name} *= a.")  # fmt: skip
        return numbers(out, self.function)

    def _line(self, error: BaseException) -> str:
        """Where in the learner's own file or cell the error happened."""
        code = getattr(self.function, "__code__", None)
        frames = [f for f in traceback.extract_tb(error.__traceback__) if code and f.filename == code.co_filename]
        if not frames:
            return ""
        source = linecache.getline(frames[-1].filename, frames[-1].lineno).strip()
        return f", in line {frames[-1].lineno}" + (f": {source}" if source else "")

    def repeat(self, case: dict) -> None:
        """Stop if two calls with the same inputs differ because of global random numbers."""
        answers = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            out = self.named(case)(*case.values())
            answers.append(tuple(map(torch.nan_to_num, out)) if isinstance(out, tuple) else out.nan_to_num())
        if differs(*answers, torch.float64):
            raise Stop(WRONG, "It gives another answer when it is called again with the same input: it draws random "
                       "numbers of its own. All noise comes in as an argument.")  # fmt: skip


def unfinished(answer) -> bool:
    """Whether this is still the stub's ..., alone or inside a list."""
    return answer is ... or answer is None or (isinstance(answer, list | tuple) and any(a is ... for a in answer))


def numbers(out, function: Callable) -> Tensor | tuple[Tensor, ...]:
    """What the function returned, as a tensor or a tuple of tensors."""
    if out is None and does_something(function):
        raise Stop(WRONG, "It returns None. Is there a `return` missing?")
    if unfinished(out):
        raise Stop(NOT_ATTEMPTED)
    if isinstance(out, list | tuple):
        return tuple(numbers(part, function) for part in out)
    if isinstance(out, Tensor):
        return out.detach()
    try:
        return torch.as_tensor(out, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise Stop(WRONG, f"It returns {type(out).__name__}, and not numbers.") from None


def does_something(function: Callable) -> bool:
    """Whether a function that returned None has any code beside a docstring and `...`."""
    code = getattr(function, "__code__", None)
    return code is not None and bool(
        code.co_names or len(code.co_varnames) > code.co_argcount or len(code.co_code) > 12
    )


def copied(x):
    """A copy of a tensor or of a list of tensors; anything else as it is."""
    return [copied(part) for part in x] if isinstance(x, list) else x.clone() if isinstance(x, Tensor) else x


def tensors(x) -> list[Tensor]:
    """A tensor, or the tensors of a list."""
    return [part for part in (x if isinstance(x, list) else [x]) if isinstance(part, Tensor)]


def precision(case: dict) -> torch.dtype:
    """The dtype of a case's points."""
    floats = [x.dtype for value in case.values() for x in tensors(value) if x.is_floating_point()]
    return floats[0] if floats else torch.float64


def differs(got, expected, dtype: torch.dtype, atol: float | Tensor = 0.0) -> str:
    """How the answer differs from what it should be, in words; nothing if it does not."""
    if isinstance(expected, tuple):
        got = in_parts(got, len(expected))
        if not isinstance(got, tuple) or len(got) != len(expected):
            parts = len(got) if isinstance(got, tuple) else 1
            return f"it returns {parts} {'part' if parts == 1 else 'parts'}, and {len(expected)} are wanted"
        parts = [differs(g, e, dtype, atol) for g, e in zip(got, expected, strict=True)]
        return next((f"in part {i} {text}" for i, text in enumerate(parts, start=1) if text), "")
    if isinstance(got, tuple):
        return f"it returns {len(got)} parts, and one is wanted"
    expected = torch.as_tensor(expected, dtype=torch.float64)
    if got.shape != expected.shape:
        return f"it gives the shape {tuple(got.shape)}; right is {tuple(expected.shape)}"
    g, rounding = got.double(), 1e-6 if dtype == torch.float64 else 2e-3
    allowed = rounding * (1 + expected.abs()) + torch.as_tensor(atol, dtype=torch.float64)
    if bool(((g - expected).abs() <= allowed).all()) or torch.equal(g, expected):
        return ""
    note = ""
    if bool(g.isnan().any()):
        note = " (nan comes from 0/0, ∞ − ∞, or the root or log of a negative number)"
    elif got.dtype == torch.float32 and dtype == torch.float64:
        note = " (the answer's numbers are float32 although the input's are float64)"
    return f"it gives {shown(g)}; right is {shown(expected)}{note}"


def in_parts(got, count: int):
    """A tensor that stacks as many parts as are wanted, as a tuple of these; anything else as it is."""
    return tuple(got) if isinstance(got, Tensor) and got.ndim and len(got) == count else got


def same(got, wrong: Callable, case: dict) -> bool:
    """Whether an answer is the one that the wrong formula gives."""
    with contextlib.suppress(Exception):
        other = wrong(*case.values())
        if isinstance(other, tuple):
            got = in_parts(got, len(other))
            pairs = [(g, o) for g, o in zip(got, other, strict=True) if o is not None]
            return isinstance(got, tuple) and not any(differs(g, o, torch.float64) for g, o in pairs)
        return not differs(got, other, torch.float64)
    return False


def plain_mistake(got: list, cases: list[dict]) -> str:
    """What can be said of an answer that has nothing to do with its input."""
    if any(isinstance(g, tuple) for g in got):
        return ""
    if all(bool((g == 0).all()) for g in got):
        return "It is zero whatever the input."
    if len({float(v) for g in got for v in g.reshape(-1)}) == 1:
        return "It is the same number whatever the input."
    for name in cases[0]:
        values = [case[name] for case in cases]
        if all(isinstance(v, Tensor) and not differs(g, v, torch.float64) for g, v in zip(got, values, strict=True)):
            return f"It returns its argument {name} as it came."
    return ""


def shown(value) -> str:
    """A small value in full, a large one by its shape."""
    if isinstance(value, tuple | list):
        if sum(part.numel() for part in tensors(list(value))) > 10:
            return f"({len(value)} tensors of shape {tuple(value[0].shape)})"
        return ", ".join(map(shown, value)).join("()" if isinstance(value, tuple) else "[]")
    if not isinstance(value, Tensor):
        return f"{value:.4g}" if isinstance(value, float) and math.isfinite(value) else repr(value)[:80]
    if value.ndim == 0:
        return f"{value.item():.4g}"
    if value.numel() > 10:
        return f"(numbers of shape {tuple(value.shape)})"
    if value.ndim == 1:
        return "[" + ", ".join(f"{v:.4g}" for v in value.tolist()) + "]"
    return "[" + ", ".join(shown(row) for row in value) + "]"
