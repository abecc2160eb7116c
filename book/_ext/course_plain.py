"""Formulas where none can be set: in links, in the search, in labels. And indices written with an underscore."""

import re

from docutils import nodes
from sphinx.transforms import SphinxTransform

GREEK = dict(
    zip(
        "alpha beta gamma delta varepsilon epsilon zeta eta theta kappa lambda mu nu xi pi rho sigma tau phi varphi "
        "chi psi omega Delta Gamma Lambda Omega Phi Pi Psi Sigma Theta ell nabla partial infty sum prod int".split(),
        "αβγδεεζηθκλμνξπρστφφχψωΔΓΛΩΦΠΨΣΘℓ∇∂∞ΣΠ∫",
        strict=True,
    )
)
SIGNS = {
    "le": "≤", "ge": "≥", "leq": "≤", "geq": "≥", "neq": "≠", "ne": "≠", "approx": "≈", "sim": "∼",
    "propto": "∝", "to": "→",
    "times": "×", "cdot": "·", "pm": "±", "mid": "|", "|": "‖", "dots": "…", "cdots": "…", "ldots": "…", "quad": " ",
    "qquad": " ", "in": "∈", "log": "log ", "exp": "exp ", "max": "max ", "min": "min ", "arg": "arg ", "mathsf": "",
    "left": "", "right": "", "big": "", "Big": "", "bigl": "", "bigr": "", "bigg": "", "Bigg": "", "displaystyle": "",
    "mathrm": "", "mathbb": "", "mathbf": "", "mathcal": "", "text": "", "operatorname": "", "tfrac": "", "frac": "",
    "underbrace": "", "rightarrow": "→", "leftarrow": "←", "top": "ᵀ", "begin": "", "end": "",
}  # fmt: skip
MARKS = {"bar": "\u0304", "hat": "\u0302", "tilde": "\u0303", "dot": "\u0307"}
LOWER = dict(zip("0123456789+-=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", strict=True))
LOWER["−"] = "₋"
# one letter, perhaps with a bar, a hat or a tilde, and its index: x_t, ᾱ_T, x_{t−1}; no name of code has this form
INDEX = re.compile(
    r"(?<![\w./\\])([A-Za-z\u0370-\u03ff\u1e00-\u1eff\u1f00-\u1fff][\u0300-\u036f]*)"
    r"_(\{[^{}]{1,8}\}|[A-Za-z0-9]{1,2})(?![\w_])"
)


def plain(tex: str) -> str:
    r"""TeX in Unicode, as well as one line of letters can say it: `\bar\alpha_t` → ᾱₜ. Never a backslash or a brace."""
    text = re.sub(r"\\(?:tag|label)\{[^}]*\}|\\(?:begin|end)\{[^}]*\}(?:\{[^}]*\})?|\\[,;:! ]|&|~", " ", tex)
    text = re.sub(r"\\\\", " ", text)
    for name, mark in MARKS.items():
        text = re.sub(rf"\\{name}\s*\{{?\s*(\\?[A-Za-z]+?|\\[A-Za-z]+)\s*(?:\}}|(?![A-Za-z]))", rf"\1{mark}", text)
    text = re.sub(r"\\t?frac\s*\{?([^{}]*?|\d)\}?\s*\{([^{}]*)\}", r"\1/\2", text)
    text = re.sub(r"\\tfrac\s*(\d)\s*(\d)", r"\1/\2", text)
    text = re.sub(r"\\sqrt\s*", "√", text)
    text = re.sub(r"\\([A-Za-z]+|\|)", lambda m: GREEK.get(m[1], SIGNS.get(m[1], "")), text)
    text = re.sub(r"_(?:\{([^{}]*)\}|([^{}\s_^]))", lambda m: lowered(m[1] or m[2] or ""), text)
    text = re.sub(r"\^\{?2\}?", "²", text)
    text = re.sub(r"\^\{?\*\}?", "*", text)
    return " ".join(re.sub(r"[{}\\^_$]", "", text).replace("-", "−").split())


def lowered(index: str) -> str:
    """An index as a subscript of Unicode, or, where there is none for a letter, as it is."""
    index = plain(index) if "\\" in index else index.replace(" ", "")
    return "".join(LOWER[c] for c in index) if all(c in LOWER for c in index) else index


def plain_text(text: str) -> str:
    """A text in which formulas stand between dollars, without the dollars and the marks of Markdown."""
    text = re.sub(r"\$+([^$]+)\$+", lambda m: plain(m[1]), text)
    return re.sub(r"\*\*([^*]+)\*\*", r"\1", text)


class Indices(SphinxTransform):
    """x_t in a text, where no formula is meant to be, gets a true index."""

    default_priority = 410

    def apply(self, **_) -> None:
        closed = (nodes.literal, nodes.literal_block, nodes.math, nodes.math_block, nodes.raw, nodes.comment)
        for text in list(self.document.findall(nodes.Text)):
            if not INDEX.search(text) or any(isinstance(p, closed) for p in parents(text)):
                continue
            new, end = [], 0
            for match in INDEX.finditer(text):
                new.append(nodes.Text(text[end : match.start()] + match[1]))
                new.append(nodes.subscript("", match[2].strip("{}")))
                end = match.end()
            text.parent.replace(text, [*new, nodes.Text(text[end:])])


def parents(node):
    while (node := node.parent) is not None:
        yield node


def with_indices(html: str) -> str:
    """The same for a piece of HTML: the summary of a folded block."""
    return INDEX.sub(lambda m: f"{m[1]}<sub>{m[2].strip('{}').replace('-', '−')}</sub>", html)
