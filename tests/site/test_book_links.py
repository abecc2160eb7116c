"""The automatic links of the website: what is a reference to an equation, and which function a piece of code means."""

import re
import sys
from types import SimpleNamespace

import build_book
import pytest
from docutils import nodes

sys.path.insert(0, str(build_book.BOOK / "_ext"))
import course
import course_links
import course_notebooks

NOTEBOOKS = course_notebooks.read(build_book.NOTEBOOKS)
EACH = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda n: n.number)
OBJECTS = [
    "diffusion_edu.bound", "diffusion_edu.bound.bound", "diffusion_edu.data.SwissRoll",
    "diffusion_edu.diffusion.q_step",
    "diffusion_edu.oracles.Mixture", "diffusion_edu.oracles.Mixture.log_prob", "diffusion_edu.gaussian.Gaussian",
    "diffusion_edu.gaussian.Gaussian.log_prob", "diffusion_edu.gaussian.entropy", "diffusion_edu.schedules.Schedule",
    "diffusion_edu.samplers.sample", "diffusion_edu.training.runs.load", "diffusion_edu.data.load",
]  # fmt: skip


@pytest.fixture
def linker():
    domain = SimpleNamespace(objects=dict.fromkeys(OBJECTS))
    linker = object.__new__(course_links.Linker)
    linker.app = SimpleNamespace(env=SimpleNamespace(get_domain=lambda _: domain))
    return linker


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("by (3.4), (0.6) and (equation 12.10)", ["3.4", "0.6", "12.10"]),
        ("its first half (2.13a)", ["2.13a"]),
        ("q(3.4), x_(3.4), 0.5 (0.05) 2,1 (3.04)", []),
    ],
)
def test_references_in_a_text(text, found):
    assert course_links.NUMBER.findall(text) == found


@pytest.mark.parametrize(
    ("code", "modules", "full"),
    [
        ("q_step", [], "diffusion.q_step"),
        ("diffusion.q_step(cosine, 3, x)", [], "diffusion.q_step"),
        ("bound", [], "bound.bound"),
        ("SwissRoll.log_prob", ["data", "oracles"], "oracles.Mixture.log_prob"),  # inherited: the entry of the base
        ("Gaussian.log_prob", [], "gaussian.Gaussian.log_prob"),
        ("Schedule.alpha_bar", ["schedules"], "schedules.Schedule"),  # a field has no entry: that of its class
        ("Schedule.nonsense", ["schedules"], None),
        ("load", [], None),  # two modules have one
        ("load", ["runs"], "training.runs.load"),
        ("x_t", [], None),
        ("a + b", [], None),
        ("torch.cumprod", [], None),
    ],
)
def test_what_code_means(linker, code, modules, full):
    assert linker.resolve(code, modules) == (full and f"diffusion_edu.{full}")


def test_a_notebook_that_names_the_errata_leads_to_it(linker):
    linker.pages = {"notebooks/03_diffusion": None}
    linker.app.builder = SimpleNamespace(get_relative_uri=lambda _, to: f"../{to}.html")
    title = (build_book.BOOK / "errata.md").read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
    tree = nodes.paragraph("", "", nodes.Text("see "), nodes.emphasis("", title), nodes.emphasis("", "another"))
    linker.link_errata(tree, "notebooks/03_diffusion")
    (link,) = tree.findall(nodes.reference)
    assert (link["refuri"], link.astext()) == ("../errata.html", title)


@EACH
def test_a_notebook_is_read_completely(notebook):
    assert len(notebook.tags()) == len(set(notebook.tags())) > 5
    assert len(notebook.slips()) == len(re.findall(r"\*\*Where tutorials slip", notebook.text))
    assert all(section for _, section, _ in notebook.slips())
    assert 10 <= notebook.minutes() <= 200
    assert len(notebook.table()) >= 4
    assert {anchor for anchor, _, _ in notebook.code()} >= {anchor for anchor, _ in notebook.uses().values()}


def test_uses_follow_the_imports(tmp_path):
    cells = [
        "from diffusion_edu import bound as b\nfrom diffusion_edu.data import SwissRoll",
        "SwissRoll()\nb.bound(x)",
        "b.bound",
    ]
    source = [{"cell_type": "code", "execution_count": i, "source": [c]} for i, c in enumerate(cells, 1)]
    path = tmp_path / "07_x.ipynb"
    path.write_text(course_notebooks.json.dumps({"cells": source}), encoding="utf-8")
    uses = course_notebooks.Notebook(path).uses()
    assert uses["diffusion_edu.data.SwissRoll"] == uses["diffusion_edu.bound.bound"] == ("c001", 2)


def test_shared_code_comes_back_to_the_byte():
    code = "".join(rf"line {i} \"quoted\" \\n\n" for i in range(200))
    page = "<head></head>" + "".join(f'{{"_esm": "{code}rest {i}", "_css": "a"}}' for i in range(3))
    small = course.share_code(page)
    assert len(small) < 0.4 * len(page)
    once = re.search(r'<script type="text/plain" data-shared="@_esm@">(.*?)</script>\n', small, flags=re.S)
    assert small.replace(once[0], "").replace("@_esm@", once[1]) == page
    assert course.share_code(small) == small
    assert course.share_code(page.replace('"_esm"', '"_other"')) == page.replace('"_esm"', '"_other"')
