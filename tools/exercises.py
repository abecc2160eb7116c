"""Puts the exercises into the notebooks' text files, and keeps them as diffusion_edu/checks has them.

python tools/exercises.py write [NN ...]   insert what is missing, renew what is there; then execute with notebooks.py
python tools/exercises.py check [NN ...]   say what is missing or differs

A new exercise goes before the line that PLACES names. Project and quick questions go before the recap. Texts, stubs,
hints and solutions are edited in diffusion_edu/checks, never in the notebooks.
"""

import re
import sys

from diffusion_edu import checks
from diffusion_edu.checks.cells import as_text, cells, heading, project
from diffusion_edu.checks.questions import cell
from notebooks import texts

PLACES = {
    "log_normal": "# %% [markdown]\n# What does knowing nothing score?",
    "too_sure": '# %% mystnb={"image": {"alt": "The ruler: four models as orange dots',
    "noisy_log_prob": '# %% mystnb={"image": {"alt": "Five panels from clean to noisy',
    "noise_guess": "# %% [markdown]\n# Seen as arrows, the score is a wind",
    "paired_gap": "# %% [markdown]\n# How much does it help? Take a model",
    "log_likelihood": "# %%\nz = vae.prior().sample(seeded(3), shape=(100_000,))",
    "elbo": "# ### A model in which everything is exact",
    "lopsided": '# %% mystnb={"image": {"alt": "Gap of the bound in nats against the variance of q',
    "pathwise_gradient": "# For a Gaussian, $\\partial_m \\log q",
    "kl": "# %%\nmu, v, nu, w = torch.tensor(",
    "spoilt_gap": "# %% [markdown]\n# Now make one posterior wrong on purpose",
    "consistency": "# A chain of three scalars shows the size of it.",
    "middle": "# %% [markdown]\n# Now solve (2.12), with $t = 1$, for $q(z_1",
    "broken_bounds": "# %%\ndef log_gauss(var, square):",
    "information": "# %%\nfrom diffusion_edu.oracles import Mixture\n\n\ndef information(",
    "jump": "# The share of signal against noise is the",
    "steps_needed": "# %%\ndef second_moment(data):",
    "posterior": "# `gaussian.condition` knows nothing of diffusion.",
    "kl_term": "# The means (3.9) and (3.10) differ only in $x_0$ against",
    "quietest": "# First per term. One consistency term",
    "best_variance": "# The best $\\sigma_t^2$ is $\\sigma_t^{*2}$: set the derivative to zero.",
    "x0_from_v": "# The library has the conversions. Here we go round",
    "noise_weight": "# **Step 4: subtract.** The means",
    "simple_loss": "# This is no longer the bound. What was left out?",
    "ancestral_step": "# Written out, and against the library's loop",
    "five_steps": "# %%\nfrom diffusion_edu import pretrained, widgets",
    "honest_bits": "# ## 2. Laws of pixels",
    "grey_log_prob": '# %% mystnb={"image": {"alt": "Probability against grey level for three',
    "variance_table": "# What is that worth? The steps $t \\le 30$",
    "frechet": "# **Coverage** (Naeem et al. 2020).",
    "same_n": "# The 1,000 images are one draw, the floor is",
}
RECAP = "# ## Recap"
IMPORT = re.compile(r"^from diffusion_edu import (.+)$", re.M)
HEAD = re.compile(r"^# %%", re.M)


def blocks(number: str) -> list[tuple[str, str, str]]:
    """For everything that belongs into a notebook: how it begins, its cells as text, and the line it goes before."""
    items = [item for item in checks.EXERCISES if item.notebook == number]
    made = [(f"# {heading(item)}", as_text(cells(item)), PLACES[item.name]) for item in items]
    made.append(("# ## Quick questions\n", as_text([("markdown", cell(number))]), RECAP))
    for work in (work for work in checks.PROJECTS if work.notebook == number):
        made.append((f"# ## Project: {work.title}\n", as_text([("markdown", project(work))]), RECAP))
    return made


def with_exercises(text: str, number: str) -> str:
    """The notebook's text with its exercises in place."""
    for start, block, place in blocks(number):
        text = renewed(text, start, block) if start in text else inserted(text, block, place)
    return with_import(text)


def renewed(text: str, start: str, block: str) -> str:
    """The text with the cells that begin with this line replaced."""
    at = [match.start() for match in HEAD.finditer(text)] + [len(text)]
    first = max(i for i, place in enumerate(at) if place < text.index(start))
    end = at[first + len(HEAD.findall(block))]
    return text[: at[first]] + block + ("\n" if end < len(text) else "") + text[end:]


def inserted(text: str, block: str, place: str) -> str:
    """The text with the cells before the line `place`; if that stands inside a cell, the cell is split there."""
    if text.count("\n" + place) != 1:
        raise ValueError(f"the line {place!r} must stand once in the text")
    before, after = text.split("\n" + place)
    before = re.sub(r"(\n#?)+$", "", before)
    if before.endswith("\n# %% [markdown]"):  # the line begins its cell
        before = before.removesuffix("\n# %% [markdown]").rstrip("\n")
    head = "" if place.startswith("# %%") else "# %% [markdown]\n"
    return f"{before}\n\n{block}\n{head}{place}{after}"


def with_import(text: str) -> str:
    """The text with `checks` among the first names that it imports from the library."""
    first = IMPORT.search(text)
    names = first[1].split(", ") if first else []
    if not first or "checks" in names:
        return text
    line = f"from diffusion_edu import {', '.join(sorted([*names, 'checks']))}"
    return text[: first.start()] + line + text[first.end() :]


def main(argv: list[str]) -> int:
    if not argv or argv[0] not in ("write", "check"):
        print(__doc__)
        return 2
    status = 0
    for path in texts(argv[1:]):
        old, number = path.read_text(encoding="utf-8"), path.name[:2]
        if number not in {item.notebook for item in checks.EXERCISES}:
            continue
        new = with_exercises(old, number)
        if new != old and argv[0] == "write":
            path.write_text(new, encoding="utf-8", newline="\n")
            print(f"{path.name}: written")
        elif new != old:
            missing = [start.strip("# *\n") for start, *_ in blocks(number) if start not in old]
            print(f"{path.name}: missing: {'; '.join(missing)}" if missing else f"{path.name}: exercises differ")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
