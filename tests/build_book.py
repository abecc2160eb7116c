"""Builds the website into book/_build/html. Any warning is an error, and so is a page without its equations' numbers.

python tests/build_book.py            what changed since the last build
python tests/build_book.py --all      every page anew
"""

import re
import subprocess
import sys
from pathlib import Path

BOOK = Path(__file__).resolve().parents[1] / "book"
HTML = BOOK / "_build" / "html"


def build(*options: str) -> int:
    jupyter_book = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    return subprocess.run([*jupyter_book, "build", "-W", "-n", "--keep-going", *options, str(BOOK)]).returncode


def problems() -> list[str]:
    """What a build without warnings can still have got wrong."""
    found = [f"{name} is missing" for name in ("index.html", "intro.html") if not (HTML / name).exists()]
    for text in sorted((BOOK.parent / "notebooks").glob("[0-9]*.py")):
        page = HTML / "notebooks" / f"{text.stem}.html"
        if not page.exists():
            found.append(f"{page.name} is missing")
            continue
        html, source = page.read_text(encoding="utf-8"), text.read_text(encoding="utf-8")
        tags = re.compile(r"\\tag\{([\w.]+)\}")
        if lost := set(tags.findall(source)) - set(tags.findall(html)):
            found.append(f"{page.name} lacks the equations {sorted(lost)}")
        if "<details>" in source and html.count("<details>") < source.count("<details>"):
            found.append(f"{page.name} lacks a folded block")
        if any('alt="' not in tag for tag in re.findall(r"<img [^>]*_images[^>]*>", html)):
            found.append(f"{page.name} has a figure without a description")
    return found


if __name__ == "__main__":
    status = build(*sys.argv[1:])
    for problem in problems():
        print(problem)
        status = 1
    sys.exit(status)
