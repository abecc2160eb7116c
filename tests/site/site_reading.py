"""What a reader of the built website sees, in a real browser: `make site`. Formulas, films, search, paper."""

import re

import pytest
from build_book import BOOK, HTML, Page
from site_tools import NARROW, THEME, WIDE, loaded, nothing, served, site_pages, widgets_of

NOTEBOOKS = [name for name in site_pages() if name.startswith("notebooks/")]
# Where the site will be: empty until the settings say.
ADDRESS = re.search(r'^ *html_baseurl: "(.*?)"', (BOOK / "_config.yml").read_text(encoding="utf-8"), re.M)[1]


@pytest.fixture(scope="module")
def address():
    with served(HTML) as address:
        yield address


def test_a_numbered_formula_keeps_its_number_when_it_is_broken(tab, address):
    tab.set_viewport_size(NARROW)
    loaded(tab, address + "notebooks/03_diffusion.html")
    broken = """[...document.querySelectorAll('div.math.in-rows[id^=eq-]')]
      .map((e) => [e.id, e.querySelector('.number')?.textContent])"""
    found = tab.evaluate(broken)
    assert len(found) > 10
    assert [row for row in found if row[1] != f"({row[0].removeprefix('eq-').replace('-', '.')})"] == []
    tab.set_viewport_size({"width": 1600, "height": 900})
    tab.wait_for_timeout(600)
    assert len(tab.evaluate(broken)) < 5
    assert tab.locator("#eq-3-13 mjx-container").first.is_visible()
    assert tab.locator("#eq-3-13 .rows").is_hidden()


FILMS = [name for name in site_pages() if any(tag == "video" for tag, _ in Page(HTML / name).tags)]
# Whether a film shows a picture of many greys or colours, and what lies over its lower edge.
PICTURE = """(film) => {
  const canvas = document.createElement("canvas"), { left, bottom, width } = film.getBoundingClientRect();
  canvas.width = canvas.height = 64;
  const pen = canvas.getContext("2d");
  pen.drawImage(film, 0, 0, 64, 64);
  const data = pen.getImageData(0, 0, 64, 64).data, seen = new Set();
  for (let i = 0; i < data.length; i += 4) seen.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
  return { colours: seen.size, free: document.elementFromPoint(left + width / 2, bottom - 4) === film,
    controls: film.controls };
}"""


@pytest.mark.parametrize("name", FILMS)
@pytest.mark.parametrize("size", [NARROW, WIDE], ids=lambda s: s["width"])
def test_every_film_starts_and_shows_its_picture(tab, address, name, size):
    tab.set_viewport_size(size)
    loaded(tab, address + name, widgets_of(name))
    for film in tab.query_selector_all("video"):
        film.evaluate("(e) => e.scrollIntoView({ block: 'center' })")
        tab.wait_for_function("(e) => e.currentTime > 0.2 && !e.paused", arg=film)
        seen = film.evaluate(PICTURE)
        assert seen["colours"] > 20, seen
        assert seen["free"], "something lies over the picture"
        assert not seen["controls"]
        bar = film.evaluate_handle("(e) => e.nextElementSibling")
        bar.query_selector("button").click()
        tab.wait_for_function("(e) => e.paused", arg=film)
        bar.query_selector("input").fill("0.5")
        tab.wait_for_function("(e) => Math.abs(e.currentTime / e.duration - 0.5) < 0.1", arg=film)
    nothing(tab.log.take())


def test_a_browser_without_a_decoder_says_so(tab, address):
    tab.add_init_script("HTMLMediaElement.prototype.canPlayType = (kind) => kind.includes('mp4') ? '' : 'maybe'")
    loaded(tab, address + "notebooks/05_mnist.html")  # its films are mp4
    assert set(tab.locator(".film-bar").all_inner_texts()) == {
        "This browser has no decoder for the film; what you see is one picture of it."
    }
    nothing(tab.log.take())


# What a student types → the page and the title of the place that should come first.
QUERIES = {
    "reparameterization trick": ("glossary.html", "reparameterisation"),
    "KL": ("glossary.html", "KL divergence"),
    "score": ("glossary.html", "score"),
    "ELBO": ("glossary.html", "ELBO"),
    "evidence lower bound": ("glossary.html", "ELBO"),
    "DDIM": ("glossary.html", "DDIM"),
    "U-Net": ("notebooks/05_mnist.html", "network"),
    "SNR": ("glossary.html", "signal-to-noise ratio"),
    "posterior collapse": ("glossary.html", "posterior collapse"),
    "Tweedie": ("glossary.html", "Tweedie"),
    "probability flow ode": ("glossary.html", "probability flow"),
    "importance weighted": ("glossary.html", "importance-weighted bound"),
}


@pytest.mark.parametrize("query", QUERIES)
def test_the_search_finds_the_right_place_first(tab, address, query):
    page, title = QUERIES[query]
    tab.goto(f"{address}search.html?q={query}")
    tab.wait_for_function("window.searched")
    first = tab.locator("#search-results li").first
    assert title in first.locator("a").inner_text()
    assert page in first.locator("a").get_attribute("href")
    for text in tab.locator("#search-results li").all_inner_texts():
        assert not re.search(r"\\|\$|\{|\}", re.sub(r"`[^`]*`", "", text.partition("The library")[0])), text
    first.locator("a").click()
    tab.wait_for_url(f"**/{page}*")
    nothing(tab.log.take())


def test_the_search_says_that_it_found_nothing(tab, address):
    tab.goto(address + "search.html?q=zzzyx")
    tab.wait_for_function("window.searched")
    assert "Nothing was found" in tab.locator("#search-results").inner_text()
    assert tab.locator("#search-results li").count() == 0


# On paper: code that is wider than its box, and what is folded.
CUT = """() => [...document.querySelectorAll("article pre")]
  .filter((e) => e.clientWidth && e.scrollWidth > e.clientWidth + 1)
  .map((e) => e.textContent.slice(0, 80))"""
FOLDED = """() => [...document.querySelectorAll("article details > :not(summary)")]
  .filter((e) => !e.getBoundingClientRect().height
  && e.textContent.trim() && getComputedStyle(e).display !== "none").map((e) => e.textContent.slice(0, 60))"""


@pytest.mark.parametrize("name", NOTEBOOKS[::3])
def test_paper_holds_every_line_of_code_and_every_solution(tab, address, name):
    loaded(tab, address + name, widgets_of(name))
    tab.evaluate("""addEventListener('beforeprint', () => {
      window.printed = document.querySelectorAll('article details:not([open])').length;
    })""")
    closed = tab.locator("article details:not([open])").count()
    assert closed > 5
    tab.pdf()
    assert tab.evaluate("window.printed") == 0
    assert tab.locator("article details:not([open])").count() == closed, "it is folded again afterwards"
    tab.set_viewport_size({"width": 680, "height": 1000})  # A4 without its margins
    tab.emulate_media(media="print")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert tab.evaluate(CUT) == []
    assert tab.evaluate(FOLDED) == []
    tab.emulate_media(media="screen")
    kept = tab.evaluate("Object.keys(localStorage).filter((key) => key.includes('-question-'))")
    assert kept == [], "what is opened for paper is no answer"


def test_the_map_fills_its_first_page(tab, address):
    loaded(tab, address + "map.html")
    tab.set_viewport_size({"width": 680, "height": 1000})
    tab.emulate_media(media="print")
    height = tab.evaluate("""[...document.querySelectorAll('svg.ideas')].filter((s) => s.getClientRects().length)[0]
      .getBoundingClientRect().height""")
    assert height < 950, "it does not fit on a page of paper and would leave the first one empty"
    tab.emulate_media(media="screen")


@pytest.mark.parametrize("size", [NARROW, WIDE], ids=lambda s: s["width"])
def test_titles_get_smaller_and_have_one_style_of_numbers(tab, address, size):
    tab.set_viewport_size(size)
    for name in NOTEBOOKS[::4]:
        loaded(tab, address + name)
        sizes = tab.evaluate("""() => ["h1", "h2", "h3", "p"].map((t) => document.querySelector("article " + t))
          .filter(Boolean).map((e) => parseFloat(getComputedStyle(e).fontSize))""")
        assert sizes == sorted(set(sizes), reverse=True)
        titles = [t.strip() for t in tab.locator("article h2").all_inner_texts()]
        numbered = [t for t in titles if not re.match("Quick questions|Project|Recap|References", t)]
        found = [re.match(r"(\d+)\u2002\S", t) for t in numbered]
        assert all(found), titles
        assert [int(m[1]) for m in found] == list(range(1, len(numbered) + 1))
        family = tab.evaluate("document.fonts.check('17px \"Source Sans\"')")
        assert family


def test_boxes_have_colours_of_their_own(tab, address):
    loaded(tab, address + "notebooks/03_diffusion.html")
    kinds = ["exercise", "predict", "slip"]
    counts = {kind: tab.locator(f".box.{kind}").count() for kind in kinds}
    assert all(counts.values()), counts
    colour = "(kind) => getComputedStyle(document.querySelector('.box.' + kind)).borderLeftColor"
    colours = [tab.evaluate(colour, kind) for kind in kinds]
    assert len(set(colours)) == 3
    text = (HTML / "notebooks" / "03_diffusion.html").read_text(encoding="utf-8")
    assert counts["exercise"] == text.count("<strong>Exercise:")
    for box in tab.query_selector_all(".box.exercise"):  # what to write, the stub, hints and the solution
        assert box.query_selector(".cell")
        assert len(box.query_selector_all("details")) >= 3


def test_the_switch_hides_the_code_and_remembers(tab, address):
    loaded(tab, address + "notebooks/03_diffusion.html")
    cell = tab.locator("article .cell:not(.box *) > .cell_input").first
    assert cell.is_visible()
    tab.get_by_role("button", name="Essay").click()
    assert cell.is_hidden()
    assert tab.locator(".box.exercise .cell_input").first.is_visible(), "a stub belongs to its exercise"
    loaded(tab, address + "notebooks/01_vae.html")
    assert tab.locator("article .cell:not(.box *) > .cell_input").first.is_hidden()
    assert tab.get_by_role("button", name="Essay").get_attribute("aria-pressed") == "true"
    tab.get_by_role("button", name="With code").click()
    tab.reload()
    assert tab.locator("article .cell:not(.box *) > .cell_input").first.is_visible()
    nothing(tab.log.take())


def test_folded_code_is_whole_when_it_is_opened(tab, address):
    loaded(tab, address + "notebooks/03_diffusion.html")
    folded = tab.locator("details.folded")
    assert folded.count() > 5
    first = folded.first
    assert re.match(r"Show the (plot|check).* \(\d+ lines\)", first.locator("summary").inner_text())
    first.locator("summary").click()
    assert first.locator("pre").is_visible()
    lines = int(re.search(r"\((\d+) lines", first.locator("summary").inner_text())[1])
    assert first.locator("pre .line").count() == lines


def test_quick_questions_keep_their_answer_and_a_score(tab, address):
    page = address + "notebooks/03_diffusion.html"
    loaded(tab, page)
    score = tab.locator("p.score")
    assert "Choose an answer" in score.inner_text()
    choices = tab.locator("details.choice")
    first = choices.nth(0)
    first.evaluate("(e) => { e.open = true; }")  # as the browser's search in the page opens it
    first.locator("summary").click()  # closes it, which is no answer
    assert first.get_attribute("open") is None
    assert "Choose an answer" in score.inner_text()
    first.locator("summary").click()
    tab.wait_for_function("document.querySelector('p.score').textContent.includes('right at the first try')")
    right = "right" in first.get_attribute("class").split()
    assert score.inner_text().startswith(f"{int(right)} of ")
    choices.nth(3).locator("summary").click()  # a second look changes nothing
    before = score.inner_text()
    loaded(tab, page)
    assert tab.locator("p.score").inner_text() == before
    tab.get_by_role("button", name="Start again").click()
    assert "Choose an answer" in tab.locator("p.score").inner_text()
    nothing(tab.log.take())


@pytest.mark.parametrize(
    "name", [n for n in NOTEBOOKS if re.search(r"= \[(<wbr>)?\.\.\.\]", (HTML / n).read_text("utf-8"))]
)
def test_an_order_is_answered_by_clicks(tab, address, name):
    loaded(tab, address + name)
    for group in tab.query_selector_all(".ordering"):
        said = group.evaluate_handle("(e) => e.nextElementSibling")
        buttons = group.query_selector_all("button")
        items = [b.get_attribute("data-item") for b in buttons]
        solution = group.evaluate("""(e) => [...e.closest('.box').querySelectorAll('details pre')]
          .map((p) => p.textContent).join()""")
        right = sorted(items, key=lambda item: solution.index(item))
        for item in reversed(right):
            buttons[items.index(item)].click()
        assert "Not yet right" in said.text_content()
        buttons[items.index(right[-1])].click()
        for item in right:
            buttons[items.index(item)].click()
        assert said.text_content() == "Correct."
    assert tab.locator(".ordering").count() >= 1
    tab.evaluate("localStorage.clear()")
    nothing(tab.log.take())


def test_the_first_page_can_be_touched_and_is_light(tab, address):
    sizes = {}
    tab.on("response", lambda r: sizes.update({r.url: len(r.body())}))
    loaded(tab, address + "intro.html")
    tab.wait_for_load_state("networkidle")
    assert sum(sizes.values()) <= 700 * 1024, sorted(sizes.items(), key=lambda i: -i[1])[:8]
    assert not [url for url in sizes if "mathjax" in url]
    film, numbers = tab.locator(".landing-film"), "document.querySelector('.landing-film').drawn"
    film.locator(".play").click()
    film.locator("input").fill("0.5")
    half = tab.evaluate(numbers)
    assert 0 < half["t"] < 1000
    film.get_by_role("button", name="exact").click()
    film.locator("select").select_option("linear, too short")
    now = tab.evaluate(numbers)
    assert (now["who"], now["run"]) == ("exact", "short")
    film.locator("input").fill("1")
    assert "true points have −1.35" in film.locator(".said").inner_text()
    rows = tab.locator("article table tbody tr").all_inner_texts()
    assert len(rows) == len(NOTEBOOKS)
    assert all(re.search(r"\d+\s*min", row) for row in rows)
    nothing(tab.log.take())


@pytest.mark.parametrize("name", [n for n in site_pages() if n not in ("index.html", "404.html")])
def test_every_page_describes_itself(name):
    tags = [a for tag, a in Page(HTML / name).tags if tag == "meta"]
    (said,) = [a["content"] for a in tags if a.get("name") == "description"]
    assert 40 < len(said) <= 165
    assert "\\" not in said
    (image,) = [a["content"] for a in tags if a.get("property") == "og:image"]
    assert image.startswith("http") if ADDRESS else ((HTML / name).parent / image).exists()
    assert len([a for a in tags if a.get("name") == "viewport"]) == 1
    own = [a["href"] for tag, a in Page(HTML / name).tags if tag == "link" and a.get("rel") == "canonical"]
    assert own == ([f"{ADDRESS.rstrip('/')}/{name}"] if ADDRESS else [])


@pytest.mark.parametrize("size", [NARROW, WIDE], ids=lambda s: s["width"])
def test_a_card_of_the_map_shows_its_formula(tab, address, size):
    tab.set_viewport_size(size)
    loaded(tab, address + "map.html")
    shown = tab.locator(".idea-shown")
    assert shown.is_hidden()
    for number in (3, 8, 20):
        tab.locator("svg.ideas:visible a.idea").nth(number).focus()
        assert shown.is_visible()
        formulas = shown.locator("mjx-container:visible")
        assert formulas.count() >= 1
        assert min(formula.bounding_box()["height"] for formula in formulas.all()) > 10
        box = shown.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= size["width"]
    for theme in ("light", "dark"):  # a colour for each notebook, and no two have the same
        tab.evaluate(THEME, theme)
        colours = tab.evaluate("""[...document.querySelectorAll('svg.ideas a.idea')].map((card) =>
          [card.classList[1], getComputedStyle(card.querySelector("rect")).stroke])""")
        pairs = set(map(tuple, colours))
        assert len(pairs) == len({kind for kind, _ in pairs}) == len({colour for _, colour in pairs}) >= 11
    nothing(tab.log.take())


def test_wrong_and_right_stand_side_by_side(tab, address):
    tab.set_viewport_size(WIDE)
    loaded(tab, address + "errata.html")
    rows = tab.evaluate("""() => [...document.querySelectorAll("article dl > dt")]
      .map((t) => [t.nextElementSibling, t.nextElementSibling.nextElementSibling]
      .map((e) => { const { left, top } = e.getBoundingClientRect(); return [left, Math.round(top)]; }))""")
    assert len(rows) > 20
    assert all(wrong[1] == right[1] and wrong[0] < right[0] for wrong, right in rows)
    assert "Turner (2021)" in tab.locator("article").inner_text()
