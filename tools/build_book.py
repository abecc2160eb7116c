"""Builds the website into book/_build/html. Any warning is an error, and so is what `problems` finds.

python tools/build_book.py            what changed since the last build
python tools/build_book.py --all      every page anew
python tools/build_book.py --serve 8000     … and serves it on 127.0.0.1
"""

import functools
import http.server
import pkgutil
import re
import shutil
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote, urldefrag

import diffusion_edu

ROOT = Path(__file__).resolve().parents[1]
BOOK, NOTEBOOKS = ROOT / "book", ROOT / "notebooks"
HTML = BOOK / "_build" / "html"
WEIGHT = 600 * 1024  # a notebook's page with its pictures, third-party scripts aside
TAG = re.compile(r"\\tag\{([\w.]+)\}")
COMMANDS = {"cli", "__main__"}  # the program; the README describes it
WINGS = ("images", "training", "pretrained", "films")  # whose modules have entries of their own


def build(*options: str) -> int:
    for folder in ("_modules", "_images", "_downloads"):  # Sphinx leaves old files in them
        shutil.rmtree(HTML / folder, ignore_errors=True)
    jupyter_book = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    return subprocess.run([*jupyter_book, "build", "-W", "-n", "--keep-going", *options, str(BOOK)]).returncode


class Page(HTMLParser):
    """What a built page refers to."""

    LOADED: ClassVar = {"script": "src", "img": "src", "source": "src", "video": "src", "iframe": "src", "link": "href"}

    def __init__(self, path: Path):
        super().__init__()
        self.path, self.text = path, path.read_text(encoding="utf-8")
        self.ids, self.links, self.loaded, self.tags = set(), [], [], []
        self.feed(self.text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        self.ids |= {attributes[name] for name in ("id", "name") if attributes.get(name)}
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"])
        if attributes.get("rel") != "canonical":  # the page's own address, which is not loaded
            self.loaded += [attributes[name] for name in {self.LOADED.get(tag), "poster"} & set(attributes)]

    def pictures(self) -> list[dict]:
        return [attributes for tag, attributes in self.tags if tag == "img"]

    def weight(self) -> int:
        """Bytes of the page and of its own pictures. Films are loaded when they are asked for, the halves of a wide
        picture only on a phone, and there instead of it."""
        own = [src for src in self.loaded if "_images/" in src and not re.search(r"-[a-d]\.png$", src)]
        files = {self.path.parent / src for src in own}
        return self.path.stat().st_size + sum(file.stat().st_size for file in files)


@cache
def page(path: Path) -> Page:
    return Page(path)


def pages() -> list[Page]:
    return [page(path) for path in sorted(HTML.rglob("*.html")) if "_static" not in path.parts]


def is_elsewhere(url: str) -> bool:
    return re.match(r"(https?:)?//", url) is not None


def of_page(page: Page) -> list[str]:
    """Other hosts, dead links, pictures without alternative text, films that start by themselves."""
    found = [f"loads {url}" for url in page.loaded if is_elsewhere(url)]
    for url in page.loaded + page.links:
        if is_elsewhere(url) or re.match(r"(data|mailto|javascript):", url):
            continue
        file, anchor = map(unquote, urldefrag(url))
        file = file.partition("?")[0]
        if page.path.name == "404.html":  # its one link leads to the server's first page
            continue
        target = (page.path.parent / file).resolve() if file else page.path
        if not target.exists():
            found.append(f"leads to {url}, which does not exist")
        elif anchor and target.suffix == ".html" and anchor not in ids(target):
            found.append(f"leads to {url}, a place that does not exist")
    found += [f"has a picture without a description: {i.get('src')}" for i in page.pictures() if not i.get("alt")]
    for tag, attributes in page.tags:
        if tag == "video" and ("autoplay" in attributes or attributes.get("preload") != "none"):
            found.append("has a film that does not wait to be asked for")
    return [f"{page.path.relative_to(HTML)} {problem}" for problem in dict.fromkeys(found)]


def ids(path: Path) -> set[str]:
    return page(path).ids


def of_notebook(text: Path) -> list[str]:
    """What the page of a notebook lacks."""
    path, found = HTML / "notebooks" / f"{text.stem}.html", []
    if not path.exists():
        return [f"{path.name} is missing"]
    built, source = page(path), text.read_text(encoding="utf-8")
    if lost := {tag for tag in TAG.findall(source) if "eq-" + tag.replace(".", "-") not in built.ids}:
        found.append(f"{path.name} lacks the equations {sorted(lost)}")
    if built.text.count("<details>") < source.count("<details>"):
        found.append(f"{path.name} lacks a folded block")
    for name in (text.name, f"{text.stem}.ipynb"):
        if f"../_downloads/{name}" not in built.links:
            found.append(f"{path.name} has no link to download {name}")
    stored = text.with_suffix(".ipynb").read_text(encoding="utf-8")
    if stored.count("widget-view+json") > built.text.count("widget-view+json"):
        found.append(f"{path.name} lacks a widget")
    if (weight := built.weight()) > WEIGHT:
        found.append(f"{path.name} weighs {weight / 1024:.0f} KiB with its pictures, more than {WEIGHT // 1024}")
    return found


def public_modules() -> set[str]:
    """The package's modules and those of its wings, `images.quality` among them."""
    own = {module.name for module in pkgutil.iter_modules(diffusion_edu.__path__)} - COMMANDS
    wings = {
        f"{wing}.{path.stem}" for wing in WINGS for path in (Path(diffusion_edu.__path__[0]) / wing).glob("[a-z]*.py")
    }
    return own | wings


def problems() -> list[str]:
    """What a build without warnings can still have got wrong."""
    page.cache_clear()
    found = [f"{name} is missing" for name in ("index.html", "intro.html", "search.html") if not (HTML / name).exists()]
    if found:
        return found
    for text in sorted(NOTEBOOKS.glob("[0-9]*.py")):
        found += of_notebook(text)
    for built in pages():
        found += of_page(built)
    documented = set().union(*(ids(path) for path in (HTML / "api").glob("*.html")))
    lost = {m for m in public_modules() if f"module-diffusion_edu.{m}" not in documented}
    found += [f"the reference lacks the module {module}" for module in sorted(lost)]
    rows = re.findall(r"<dt>.*?(?=<dt>|</dl>)", page(HTML / "errata.html").text, flags=re.S)
    found += [f"errata.html, row {i}: no cell" for i, row in enumerate(rows, 1) if not re.search(r'\.html#c\d+"', row)]
    return found + ([] if rows else ["errata.html has no rows"])


def serve(port: int) -> None:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=HTML)
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        sys.exit(f"port {port}: {error.strerror}; try make serve PORT={port + 1}")
    with server:
        print(f"http://127.0.0.1:{server.server_port}/   (Ctrl+C ends)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


def main(arguments: list[str]) -> int:
    port = None
    if "--serve" in arguments:
        at = arguments.index("--serve")
        port, arguments = int(arguments[at + 1]), arguments[:at] + arguments[at + 2 :]
    status = build(*arguments)
    for problem in problems():
        print(problem)
        status = 1
    if port is not None:
        serve(port)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
