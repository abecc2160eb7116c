"""The website's own checks can fail, and its sources are complete before it is built."""

import json
import re
import tomllib

import build_book
import pytest

GOOD = '<html><body><p id="here"><a href="#here">x</a><img src="data:," alt="a dot"></p></body></html>'


def problems_of(tmp_path, monkeypatch, html):
    monkeypatch.setattr(build_book, "HTML", tmp_path)
    (tmp_path / "other.html").write_text('<p id="there">x</p>', encoding="utf-8")
    path = tmp_path / "page.html"
    path.write_text(html, encoding="utf-8")
    return build_book.of_page(build_book.Page(path))


def test_a_good_page_has_no_problems(tmp_path, monkeypatch):
    assert problems_of(tmp_path, monkeypatch, GOOD) == []


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ('<script src="https://example.org/a.js"></script>', "loads https://example.org/a.js"),
        ('<link href="//example.org/a.css">', "loads //example.org/a.css"),
        ('<video poster="https://example.org/a.png" preload="none"></video>', "loads https://example.org/a.png"),
        ('<a href="nowhere.html">x</a>', "leads to nowhere.html, which does not exist"),
        ('<a href="other.html#nowhere">x</a>', "leads to other.html#nowhere, a place that does not exist"),
        ('<img src="data:," alt="">', "has a picture without a description"),
        ('<video autoplay preload="none"></video>', "has a film that does not wait"),
        ('<video src="data:,"></video>', "has a film that does not wait"),
    ],
)
def test_a_bad_page_is_found_out(tmp_path, monkeypatch, bad, words):
    found = problems_of(tmp_path, monkeypatch, GOOD.replace("</body>", bad + "</body>"))
    assert [p for p in found if words in p]
    assert len(found) == 1


def test_links_to_what_exists_and_to_other_hosts_are_fine(tmp_path, monkeypatch):
    links = '<a href="other.html#there">x</a><a href="other.html?v=1">x</a><a href="https://example.org">x</a>'
    links += '<link rel="canonical" href="https://example.org/page.html">'  # the page's own address
    assert problems_of(tmp_path, monkeypatch, GOOD + links) == []


def test_the_library_that_is_installed_is_whole():
    """Every folder with modules and every file that they read, or a downloaded notebook would miss it."""
    settings = tomllib.loads((build_book.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = {path.parent for path in (build_book.ROOT / "diffusion_edu").rglob("__init__.py")}
    names = {folder.relative_to(build_book.ROOT).as_posix().replace("/", "."): folder for folder in folders}
    assert sorted(settings["packages"]) == sorted(names)
    for name, folder in names.items():
        files = {path for path in folder.iterdir() if path.is_file() and path.suffix not in (".py", ".pyc")}
        taken = {path for pattern in settings["package-data"].get(name, []) for path in folder.glob(pattern)}
        assert files - taken == set(), name


def test_the_reference_page_lists_every_public_module():
    listed = re.findall(
        r"automodule:: diffusion_edu\.([\w.]+)", (build_book.BOOK / "api.md").read_text(encoding="utf-8")
    )
    assert sorted(listed) == sorted(build_book.public_modules())


ROWS = re.findall(r"^(\S.*)\n((?:: .*\n)+)", (build_book.BOOK / "errata.md").read_text(encoding="utf-8"), flags=re.M)


def test_every_row_of_the_errata_says_what_is_printed_and_what_holds_and_leads_to_a_cell():
    shape = r": \*Printed:\* .+\n: \*Holds:\* .+\n: \*Shown:\* .*\{cell\}`\d\d .+?`.*\n"
    assert len(ROWS) >= 30
    assert [term for term, row in ROWS if not re.fullmatch(shape, row)] == []


def test_what_a_slip_costs_is_what_its_cell_shows():
    notebooks = {path.name[:2]: path for path in build_book.NOTEBOOKS.glob("[0-9]*.ipynb")}
    costs = [(term.partition(" · ")[2], row) for term, row in ROWS if " · " in term]
    assert len(costs) >= 9
    for cost, row in costs:
        number, words = re.search(r"\{cell\}`(\d\d) (.+?)`", row).groups()
        cells = json.loads(notebooks[number].read_text(encoding="utf-8"))["cells"]
        (cell,) = (c for c in cells if c["cell_type"] == "code" and words in "".join(c["source"]))
        shown = "".join(line for output in cell["outputs"] for line in output.get("text", ""))
        for value in re.findall(r"[\d.]*\d(?= |$)(?! steps)", cost):
            assert re.search(rf"(?<![\d.]){re.escape(value)}(?![\d])", shown), f"{value} of “{cost}” is not in its cell"


def test_the_contents_list_every_notebook():
    toc = (build_book.BOOK / "_toc.yml").read_text(encoding="utf-8")
    assert re.findall(r"notebooks/(\w+)", toc) == [p.stem for p in sorted(build_book.NOTEBOOKS.glob("[0-9]*.py"))]
