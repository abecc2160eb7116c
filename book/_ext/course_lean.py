"""Lean style sheets: of the theme's rules only those that a page or a script of this site can use."""

import re
from pathlib import Path

SHEETS = ("styles/pydata-sphinx-theme.css", "sphinx-design.min.css", "mystnb.*.css", "styles/sphinx-book-theme.css")
WORD = re.compile(r"[A-Za-z0-9_-]+")
CLASS = re.compile(r"\.(-?[A-Za-z_][\w-]*)")
NEVER_ALONE = re.compile(r":(?:not|is|where|has)\([^()]*(?:\([^()]*\)[^()]*)*\)")


def words_of(out: Path) -> set[str]:
    """Every word of every page and script: whatever a class may be called."""
    found = set()
    for path in [*out.rglob("*.html"), *out.rglob("*.js")]:
        if "mathjax" not in path.parts and not path.name.endswith((".ipynb.js", ".py.js")):
            found |= set(WORD.findall(path.read_text(encoding="utf-8", errors="ignore")))
    return found


def split(text: str, at: str) -> list[str]:
    """At the commas that stand in no parentheses."""
    parts, depth = [""], 0
    for letter in text:
        depth += {"(": 1, ")": -1, "[": 1, "]": -1}.get(letter, 0)
        if letter == at and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def lean(css: str, words: set[str]) -> str:
    """The rules one of whose selectors needs no class that is not among the words. At-rules that hold rules are gone
    through, others are kept as they are."""
    css, out, i = re.sub(r"/\*.*?\*/", "", css, flags=re.S), [], 0
    while i < len(css):
        brace, semicolon = css.find("{", i), css.find(";", i)
        if brace < 0:
            out.append(css[i:])
            break
        if 0 <= semicolon < brace:  # @import, @charset
            out.append(css[i : semicolon + 1])
            i = semicolon + 1
            continue
        head, depth, end = css[i:brace].strip(), 1, brace + 1
        while depth:
            depth += {"{": 1, "}": -1}.get(css[end], 0)
            end += 1
        body = css[brace + 1 : end - 1]
        if head.startswith(("@media", "@supports", "@layer", "@container")):
            if inner := lean(body, words):
                out.append(f"{head}{{{inner}}}")
        elif head.startswith("@"):
            out.append(f"{head}{{{body}}}")
        else:
            kept = [s for s in split(head, ",") if set(CLASS.findall(NEVER_ALONE.sub("", s))) <= words]
            if kept:
                out.append(f"{','.join(kept)}{{{body}}}")
        i = end
    return "".join(out)


def lean_sheets(app, error) -> None:
    if error or app.builder.format != "html":
        return
    out = Path(app.outdir)
    words = words_of(out)
    for pattern in SHEETS:
        for sheet in (out / "_static").glob(pattern):
            text = sheet.read_text(encoding="utf-8")
            sheet.write_text(lean(text, words), encoding="utf-8")
