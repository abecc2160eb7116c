"""How long a notebook takes to read, from a count, and its exercises, from the minutes that diffusion_edu.checks gives.

python tools/reading_time.py [NN ...]   print the counts, the minutes, and what the head of each notebook says

The head of a notebook says: **Time** about NN minutes to read, and NN for the exercises, both estimates. Words are read
at 200 a minute; for the rest see SECONDS. Exercises with their hints and solutions have minutes
of their own. Neither these nor the project and the references are counted.
"""

import re
import sys

import jupytext

from diffusion_edu import checks
from notebooks import statements, texts

SECONDS = {"words": 0.3, "formulas": 2, "equation lines": 20, "code lines": 6, "printed lines": 4, "figures": 30}
SECONDS |= {"widgets": 120}
DISPLAY = re.compile(r"\$\$(.+?)\$\$", re.S)
INLINE = re.compile(r"\$[^$]+\$")
EXERCISE = re.compile(r"^\*\*Exercise: |^<details><summary>Hint |^(def|class) my_\w+|^my_\w+ = .*\.\.\.", re.M)
HEAD = re.compile(r"\*\*Time\*\* about (\d+) minutes to read(?:, and (\d+) for the exercises)?")


def counts(text: str) -> dict[str, int]:
    """How much of each kind a notebook's text (py:percent) has for its reader."""
    found = dict.fromkeys(SECONDS, 0)
    for cell in jupytext.reads(text, fmt="py:percent").cells:
        if EXERCISE.search(cell.source) or cell.source.startswith("## Project: "):
            continue
        if cell.cell_type == "markdown":
            for kind, number in prose(cell.source.partition("**References**")[0]).items():
                found[kind] += number
        else:
            lines = [line for line in statements(cell.source) if not line.startswith(("import ", "from "))]
            found["code lines"] += len(lines)
            found["printed lines"] += sum(line.startswith("print(") for line in lines)
            found["widgets"] += len(re.findall(r"\bwidgets\.\w+\(", cell.source))
            found["figures"] += "mystnb" in cell.metadata
    return found


def prose(markdown: str) -> dict[str, int]:
    """Words, formulas in the text, and lines of displayed equations."""
    displayed = DISPLAY.findall(markdown)
    rest = DISPLAY.sub(" ", markdown)
    words = re.sub(r"<[^>]+>|\]\([^)]*\)", " ", INLINE.sub(" ", rest))
    return {
        "words": sum(any(c.isalnum() for c in word) for word in words.split()),
        "formulas": len(INLINE.findall(rest)),
        "equation lines": sum(1 + part.count("\\\\") for part in displayed),
    }


def reading_minutes(text: str) -> float:
    """Minutes to read a notebook's text."""
    return sum(SECONDS[kind] * number for kind, number in counts(text).items()) / 60


def exercise_minutes(number: str) -> int:
    """Minutes for all exercises of notebook `number`, without its project."""
    return sum(item.minutes for item in checks.EXERCISES if item.notebook == number)


def stated(text: str) -> tuple[int, int]:
    """Minutes to read and for the exercises, as the notebook's head gives them; 0 where it has no exercises."""
    found = HEAD.search(" ".join(line.removeprefix("# ") for line in text.split("\n")))
    if not found:
        raise ValueError("the head has no «**Time** about NN minutes to read, and NN for the exercises»")
    return int(found[1]), int(found[2] or 0)


def main(argv: list[str]) -> None:
    for path in texts(argv):
        text = path.read_text(encoding="utf-8")
        print(path.stem, ", ".join(f"{number} {kind}" for kind, number in counts(text).items()))
        print(f"  to read {reading_minutes(text):.0f} min, exercises {exercise_minutes(path.name[:2])} min, ", end="")
        try:
            print("the head says {} and {}".format(*stated(text)))
        except ValueError as error:
            print(error)


if __name__ == "__main__":
    main(sys.argv[1:])
