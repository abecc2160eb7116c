"""What the builder makes of a notebook's cells: what it folds, how it writes formulas where none can be set."""

import re
import sys
from types import SimpleNamespace

import build_book
import pytest

sys.path.insert(0, str(build_book.BOOK / "_ext"))
import course_essay
import course_parts
import course_plain
import course_search
import figure_panels
import numpy as np
from PIL import Image, ImageDraw


@pytest.mark.parametrize(
    ("source", "line", "what"),
    [
        ("x = f()\nassert x > 0", 0, ""),  # a single line is not worth folding
        ("x = f()\nassert x > 0\ntorch.testing.assert_close(x, y)", 1, "the check"),
        ("x = f()\n# drawn\nax = plots.curve(x, y)\n_ = ax.legend()", 1, "the plot"),
        ("ax = plots.curve(x, y)\n_ = ax.legend()", 0, "the plot"),
        ("x = f()\nfor a in plots.row(2):\n    plots.points(a, ax)\nassert x", 1, "the plot and the check"),
        ("assert a\nassert b\nx = f()", 0, ""),  # only the end of a cell
        ("ax = g()\nprint(f'{ax}')", 0, ""),  # what is printed is said
        ("def plot_it():\n    plots.points(x)\n    return 1", 0, ""),
        ("for x in xs:\n    assert x > 0\n    assert x < 1", 0, "the check"),
        ("not python (", 0, ""),
    ],
)
def test_what_is_folded(source, line, what):
    assert course_essay.tail_of(source) == (line, what)


def test_lines_of_code_are_elements_and_no_letter_is_lost():
    block = '<div class="highlight"><pre><span></span>a <span class="s">"""b\nc"""</span>\n\nd\n</pre></div>\n'
    lines = course_essay.wrapped_lines(block)
    assert lines.count('<span class="line">') == 4
    assert lines.count("<span") == lines.count("</span>")
    strip = lambda text: course_essay.re.sub("<[^>]*>", "", text)  # noqa: E731
    assert strip(lines) == strip(block)


def test_a_line_goes_on_further_in_than_it_begins():
    block = "<pre>def f():\n    a\n      b\n        c\n{}d\n</pre>".format(20 * " ")
    found = course_essay.re.findall('class="line([^"]*)"', course_essay.wrapped_lines(block))
    assert found == ["", " i4", " i4", " i8", " i12"]


TABLE = """steps    exact   network
   10  0.74231    0.7511
   20  0.41240   ≈ 0.443
   50  0.17212  (none)"""


@pytest.mark.parametrize(
    ("text", "scrolls"),
    [
        (TABLE, True),
        (TABLE.rpartition("\n")[0], False),  # two rows of two numbers are no table
        ("local    293,028    10.7    1.70\nglobal   730,756    10.7    1.66", True),
        ("plain     distance 1.28 ± 0.2,  MMD² 1.9,  share off 0.1\n" * 4, False),  # numbers with words before them
        ("cosine    t ≤ 10: 0.237   t ≤ 200: 0.654\n" * 4, False),
    ],
)
def test_a_printed_table_scrolls_and_other_lines_go_on_below(text, scrolls):
    assert course_essay.is_table(text) == scrolls


def test_the_second_column_of_a_text_may_go_below_the_first():
    block = "<pre><span></span>train:   repeat          Trainer.run\n  x_t = √ᾱ_t x₀   jump\n  for t = T, …, 1\n</pre>"
    lines = course_essay.wrapped_lines(course_essay.columns_below(block))
    assert re.findall(r'<span class="beside"> *([^<]*?)\s*</span>', lines) == ["Trainer.run", "jump"]
    assert re.sub("<[^>]*>", "", lines) == re.sub("<[^>]*>", "", block)


def test_a_long_line_of_code_goes_on_after_a_bracket_and_not_in_a_number():
    line = 'widgets.dial(Roll(nodes=<span class="mi">192</span>), name=<span class="s">"a"</span>)  # f(x) = [1, 2]'
    broken = course_essay.with_places_to_break(line)
    wanted = 'widgets.dial(<wbr>Roll(<wbr>nodes=<span class="mi">192</span>), name=<span class="s">"a"</span>)'
    assert broken == wanted + "  # f(<wbr>x) = [<wbr>1, 2]"
    assert broken.replace("<wbr>", "") == line
    assert course_essay.with_places_to_break("f(x=1)") == "f(x=1)"


@pytest.mark.parametrize(
    ("tex", "text"),
    [
        (r"\bar\alpha_t", "α\u0304ₜ"),
        (r"x_{t-1}", "xₜ₋₁"),
        (r"\mathrm{KL}(q(z_T \mid x) \,\|\, p)", "KL(q(zT | x) ‖ p)"),
        (r"\sqrt{\beta_t}", "√βₜ"),
        (r"|x|^2 \approx \tfrac12", "|x|² ≈ 1/2"),
    ],
)
def test_formulas_in_plain_letters(tex, text):
    assert course_plain.plain(tex) == text
    assert not set(course_plain.plain(tex)) & set("\\{}$_")


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("the end x_T, of", "the end x<sub>T</sub>, of"),
        ("ᾱ_T and β_1", "ᾱ<sub>T</sub> and β<sub>1</sub>"),
        ("x_{t-1} given", "x<sub>t−1</sub> given"),
        ("log_p, q_step and my_x_t stay", "log_p, q_step and my_x_t stay"),
    ],
)
def test_indices(text, html):
    assert course_plain.with_indices(text) == html


def drawn(path, legend=False, high=260):
    """Three panels, each with its axes, a number left and another below them, and a bar of colours on the right. There
    may be a legend below them all, in two parts that lie across the gaps."""
    image = Image.new("RGB", (900, high), "white")
    pen = ImageDraw.Draw(image)
    for left in (90, 370, 650):
        pen.line((left, 20, left, 200, left + 200, 200), fill="black")
        pen.text((left - 40, 100), "2.5", fill="black")
        pen.text((left + 100, 206), "x", fill="black")
    pen.rectangle((870, 40, 880, 200), fill="red")
    if legend:
        for left in (250, 520):
            pen.line((left, 240, left + 120, 240), fill="blue")
            pen.text((left + 124, 235), "a line of the three", fill="black")
    image.save(path)
    return [np.asarray(Image.open(path.with_name(name)).convert("L")) for name in figure_panels.halves(path)]


def pieces(part, rows=slice(None)):
    return len(figure_panels.runs((part[rows] < 250).any(0)))


@pytest.mark.parametrize("legend", [False, True])
def test_each_half_of_a_picture_has_its_own_numbers_and_a_legend_is_whole(tmp_path, legend):
    parts = drawn(tmp_path / "plot.png", legend)
    assert len(parts) == (4 if legend else 2)
    own = pieces(parts[0][:, :90], slice(95, 115))  # "2.5", letter by letter
    of_axes = own + 1  # a line and the number beside it
    assert [pieces(part, slice(95, 115)) for part in parts[:2]] == [2 * of_axes, of_axes + 1]  # and the bar of colours
    assert [pieces(part, slice(205, 220)) for part in parts[:2]] == [2, 1]  # each x below its panel
    for part in parts[2:]:  # a line and its words
        assert pieces(part) > 10
        assert part[:, [0, -1]].min() == 255
    if legend:  # without the margins
        assert max(parts[2][:, :6].min(), parts[3][:, -6:].min()) < 255


def test_a_picture_that_is_not_wide_or_has_one_panel_stays_whole(tmp_path):
    assert drawn(tmp_path / "high.png", high=800) == []
    image = Image.new("RGB", (900, 200), "white")
    pen = ImageDraw.Draw(image)
    pen.rectangle((20, 90, 180, 110), fill="black")  # as wide as a panel: the name of a bar
    pen.line((190, 20, 190, 180, 880, 180), fill="black")
    image.save(tmp_path / "bars.png")
    assert figure_panels.halves(tmp_path / "bars.png") == {}


def test_a_picture_is_cut_close_beside_a_panel_and_not_between_two_letters_of_its_legend():
    ink = np.zeros((100, 600), dtype=bool)
    ink[10:55, :280] = ink[10:55, 320:] = True  # two panels
    ink[60:65, 100:110] = ink[60:65, 400:410] = True  # a number below each
    ink[80:90, 100:500] = True  # a legend across both
    ink[80:90, 284:286] = False  # the space between two of its letters
    assert figure_panels.place_to_cut(ink) == (280 + figure_panels.MARGIN // 2, 65)
    assert figure_panels.MARGIN < 320 - 280  # what comes later is the next panel's


def test_a_key_restyles_its_widget_and_not_the_page():
    css = (build_book.BOOK / "_assets" / "site.css").read_text(encoding="utf-8")
    assert ":has(" not in re.sub(r"/\*.*?\*/", "", css, flags=re.S)  # with 26 of them a key took 4.5 ms, without 0.5


def test_the_typeface_is_small():
    faces = list((build_book.BOOK / "_assets" / "vendor" / "letters").glob("*.woff2"))
    assert faces
    assert sum(face.stat().st_size for face in faces) <= 120 * 1024


REPOSITORY, SITE = "https://github.com/someone/course", "https://someone.github.io/course"


def test_links_elsewhere_come_from_one_setting():
    assert course_parts.elsewhere("", "03_diffusion") == []
    links = dict(course_parts.elsewhere(REPOSITORY, "03_diffusion"))
    assert links == {
        "Repository": "https://github.com/someone/course",
        "Colab": "https://colab.research.google.com/github/someone/course/blob/main/notebooks/03_diffusion.ipynb",
        "Binder": "https://mybinder.org/v2/gh/someone/course/main?labpath=notebooks/03_diffusion.ipynb",
    }
    with pytest.raises(ValueError, match="course_repository must be"):
        course_parts.elsewhere("git@github.com:someone/course", "03_diffusion")


def settings(repository="", site=""):
    linker = SimpleNamespace(pages={"notebooks/03_diffusion": None})
    config = SimpleNamespace(course_repository=repository, html_baseurl=site)
    return SimpleNamespace(course_linker=linker, config=config)


def top_of_page(app):
    """What a notebook's page has under its title."""
    tree = course_parts.nodes.document(None, None)
    section = course_parts.nodes.section("", course_parts.nodes.title("", "Diffusion"), ids=["diffusion"])
    tree += section
    course_parts.add_downloads(app, tree, "notebooks/03_diffusion")
    return section[1].astext()


def test_a_page_offers_what_the_settings_know_of():
    without, wheel = top_of_page(settings()), course_parts.wheel_name()
    assert "http" not in without
    assert f'href="../_downloads/{wheel}"' in without
    assert f'pip install "{wheel}[lab]"' in without
    found = top_of_page(settings(REPOSITORY, SITE))
    for name, url in course_parts.elsewhere(REPOSITORY, "03_diffusion"):
        assert f'<a href="{url}">{name}</a>' in found
    assert f'pip install "diffusion-edu[lab] @ {SITE}/_downloads/{wheel}"' in found
    assert "Save" not in found


@pytest.mark.parametrize(
    ("site", "picture"), [("", "../_static/"), (SITE, f"{SITE}/_static/"), (SITE + "/", f"{SITE}/_static/")]
)
def test_a_picture_for_messages_has_the_sites_address_where_there_is_one(site, picture):
    context = {}
    course_search.Sections().describe(settings(site=site), "notebooks/03_diffusion", "", context, None)
    assert f'property="og:image" content="{picture}reverse.png"' in context["metatags"]


def test_a_lean_sheet_keeps_what_can_be_used():
    import course_lean

    css = "@charset 'x';.used{a:b}.gone,.used .gone{c:d}.gone,p{e:f}@media print{.gone{g:h}.used{i:j}}"
    css += "@media x{.gone{k:l}}"
    css += "p:not(.gone){m:n}@font-face{src:url(x)}.used:is(.gone,.used){o:p}"
    expected = "@charset 'x';.used{a:b}p{e:f}@media print{.used{i:j}}p:not(.gone){m:n}@font-face{src:url(x)}"
    assert course_lean.lean(css, {"used"}) == expected + ".used:is(.gone,.used){o:p}"
