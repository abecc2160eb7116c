"""The widgets of the built website as a reader sees them: `make site`. Contrast, measured from the pixels of every
canvas; thumbs for thumbs; a text line that does not move the page; Reset; controls in view on a phone."""

import pytest
from browsing import PageLog
from build_book import HTML
from site_tools import NARROW, WIDE, WIDGETS, loaded, nothing, served, site_pages, widgets_of

PAGES = [name for name in site_pages() if widgets_of(name)]


# Before and after each piece of text is drawn its place is read. The pixel that changed most has the colour of the
# letters, the pixels that changed were their ground: the contrast of the two, as WCAG 2 computes it, where it is worst
# but for a tenth.
MEASURE = """
window.letters = [];
const fill = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
  const m = CanvasRenderingContext2D.prototype.measureText.call(this, text);
  const t = this.getTransform(), left = Math.floor((x - m.actualBoundingBoxLeft) * t.a),
    top = Math.floor((y - m.actualBoundingBoxAscent) * t.d);
  const w = Math.ceil((m.actualBoundingBoxLeft + m.actualBoundingBoxRight) * t.a) + 1,
    h = Math.ceil((m.actualBoundingBoxAscent + m.actualBoundingBoxDescent) * t.d) + 1;
  if (!window.measuring || w < 3 || h < 3 || !text.trim()) return fill.call(this, text, x, y);
  let ground = [255, 255, 255];
  for (let e = this.canvas; e; e = e.parentElement) {
    const c = getComputedStyle(e).backgroundColor.match(/[\\d.]+/g).map(Number);
    if (c.length < 4 || c[3] > 0.5) { ground = c; break; }
  }
  const read = () => {
    const d = this.getImageData(left, top, w, h).data, out = [];
    for (let i = 0; i < d.length; i += 4) { const a = d[i + 3] / 255; out.push([0, 1, 2].map((k) =>
      a * d[i + k] + (1 - a) * ground[k])); }
    return out;
  };
  const linear = (v) => (v <= 10.3 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const before = read();
  fill.call(this, text, x, y);
  const after = read(), change = after.map((c, i) => Math.abs(light(c) - light(before[i]))), most = Math.max(...change);
  const ink = after[change.indexOf(most)]; // the pixel that a letter covers most
  const ratios = before.filter((_, i) => change[i] > 0.4 * most)
    .map((b) => [ink, b]).map(([c, b]) => { const [hi, lo] = [light(c), light(b)].sort((p, q) => q - p);
      return (hi + 0.05) / (lo + 0.05); }).sort((a, b) => a - b);
  window.letters.push([text, Math.round(100 * ratios[Math.floor(ratios.length / 10)]) / 100,
    this.canvas.getAttribute("aria-label").slice(0, 40)]);
};
"""
REDRAW = """(t) => { window.letters = []; window.measuring = true;
  Object.assign(document.documentElement.dataset, { theme: t, mode: t });
  let count = -1; // some draw later
  return new Promise((done) => { const timer = setInterval(() => {
    if (window.letters.length && window.letters.length === count) {
      clearInterval(timer); window.measuring = false; done(window.letters);
    }
    count = window.letters.length;
  }, 400); }); }"""


@pytest.fixture(scope="module", params=PAGES)
def shown(request, tabs):
    """A page with widgets, loaded once for all tests of it, in their order: the first finds the widgets as they are
    at the start. It knows its name."""
    page = tabs.new_page()
    page.log, page.name = PageLog().listen(page), request.param
    page.add_init_script(MEASURE)
    with served(HTML) as address:
        loaded(page, address + request.param, widgets_of(request.param))
        yield page
        page.close()


# A number that tells whether the numbers of a widget are others.
STATE = """(box) => {
  const text = JSON.stringify(box.querySelector(".dedu").numbers);
  let hash = 7;
  for (let i = 0; i < text.length; i++) hash = (31 * hash + text.charCodeAt(i)) | 0;
  return hash;
}"""


def becomes(tab, box, state: int, same: bool) -> bool:
    """Whether the widget has this state, or has another one, within half a second: some draw later."""
    for _ in range(10):
        if (box.evaluate(STATE) == state) == same:
            return True
        tab.wait_for_timeout(50)
    return False


def test_reset_leads_back(shown):
    shown.set_viewport_size(WIDE)
    for box in shown.query_selector_all(WIDGETS):
        first = box.evaluate(STATE)
        handle = box.query_selector(".noUi-handle")
        for key in ("ArrowRight", "ArrowLeft", "ArrowLeft"):
            if handle and box.evaluate(STATE) == first:
                handle.press(key)
                becomes(shown, box, first, same=False)
        if not handle:  # a grip, which arrow keys move, or a button
            grip = box.query_selector(".dedu-grip")
            grip.press("Shift+ArrowRight") if grip else box.query_selector(".dedu-bar button").click()
        assert becomes(shown, box, first, same=False)
        reset = box.query_selector(".dedu-reset")
        assert reset.inner_text() == "Reset"
        reset.click()
        assert becomes(shown, box, first, same=True)
    nothing(shown.log.take())


ONE_INK = """{ const pen = CanvasRenderingContext2D.prototype, fill = pen.fillText;
  pen.fillText = function (...text) { this.fillStyle = "INK"; return fill.apply(this, text); }; }"""


# With letters of one colour in every canvas, whose contrast with white is known: the least grey that WCAG allows, the
# first that it does not, and a pale one.
@pytest.mark.parametrize(("ink", "ratio"), [("#767676", 4.54), ("#777777", 4.48), ("#999999", 2.85)])
def test_the_check_of_contrast_measures_it_as_wcag_does(tab, ink, ratio):
    name = next(name for name in PAGES if "11_" in name)
    tab.add_init_script(MEASURE)
    tab.add_init_script(ONE_INK.replace("INK", ink))
    with served(HTML) as address:
        loaded(tab, address + name, widgets_of(name))
        measured = [found for _, found, _ in tab.evaluate(REDRAW, "light")]
    assert len(measured) > 5
    assert measured == pytest.approx([ratio] * len(measured), abs=0.05)
    assert [found < 4.5 for found in measured].count(True) >= (len(measured) / 2 if ratio < 4.5 else 0)


def test_letters_in_a_canvas_have_enough_contrast_in_light_and_dark(shown):
    found = []
    for theme in ("dark", "light"):
        letters = shown.evaluate(REDRAW, theme)
        assert len(letters) > widgets_of(shown.name)
        found += [f"{theme}: “{text}” {ratio} : 1, {where}" for text, ratio, where in letters if ratio < 4.5]
        assert not [text for text, _, _ in letters if "_" in text]
    nothing(found)


LOOKS = """(box) => {
  const size = (e) => { const { width, height, left } = e.getBoundingClientRect(); return { width, height, left }; };
  const all = (what) => [...box.querySelectorAll(what)];
  return {
    width: size(box).width, thumbs: all(".noUi-handle").map(size), buttons: all("button").map(size),
    sliders: all(".widget-inline-hbox").map(size), words: size(box.querySelector(".dedu-words")).height,
    texts: all(".widget-label, button, .dedu-words").map((e) => e.innerText),
  };
}"""
# The heights of the line of text after each key on each slider.
HEIGHTS = """async (box) => {
  const found = [], words = box.querySelector(".dedu-words");
  for (const handle of box.querySelectorAll(".noUi-handle:not([inert] *)"))
    for (const key of ["Home", "End", "ArrowLeft"]) {
      handle.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
      await new Promise((next) => setTimeout(next, 40));
      found.push(words.getBoundingClientRect().height);
    }
  return found;
}"""


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=lambda s: s["width"])
def test_thumbs_sliders_labels_and_the_line_of_text(shown, size):
    shown.set_viewport_size(size)
    shown.wait_for_timeout(300)
    found = []
    for number, box in enumerate(shown.query_selector_all(WIDGETS)):
        seen = box.evaluate(LOOKS)
        found += [f"{number}: a thumb of {t}" for t in seen["thumbs"] if min(t["width"], t["height"]) < 24]
        found += [f"{number}: a button of {b}" for b in seen["buttons"] if min(b["width"], b["height"]) < 24]
        found += [f"{number}: an underscore in “{text}”" for text in seen["texts"] if "_" in text or "\\(" in text]
        if size == NARROW:
            narrow = [s for s in seen["sliders"] if s["width"] < 0.9 * seen["width"]]
            found += [f"{number}: a slider of {s} in {seen['width']}" for s in narrow]
        lefts = {round(s["left"]) for s in seen["sliders"]}
        if len(lefts) > 3:
            found.append(f"{number}: controls begin at {sorted(lefts)}")
        heights = set(box.evaluate(HEIGHTS)) - {seen["words"]}
        found += [f"{number}: the line of text is {now} px high, was {seen['words']}" for now in heights]
    nothing(found + shown.log.take())


# Where the controls are, and the canvas, once it has been scrolled to the lower edge and nothing moves any more: what
# comes into view may grow.
PLACED = """async ([box, canvas]) => {
  const controls = box.querySelector(".widget-hbox");
  let before = "";
  for (;;) {
    canvas.scrollIntoView({ block: "end" });
    await new Promise((next) => setTimeout(next, 60));
    const { top, height } = canvas.getBoundingClientRect(), of = controls?.getBoundingClientRect();
    const now = of ? [of.top, of.bottom, top, height] : [];
    if (String(now) === before) return now;
    before = String(now);
  }
}"""


def test_on_a_phone_control_and_effect_are_on_one_screen(shown):
    shown.set_viewport_size(NARROW)
    found = []
    for number, box in enumerate(shown.query_selector_all(WIDGETS)):
        for k, canvas in enumerate(box.query_selector_all("canvas")):
            seen = shown.evaluate(PLACED, [box, canvas])
            if seen and not (seen[0] >= 0 and seen[1] <= NARROW["height"] and seen[1] - seen[2] < 0.15 * seen[3]):
                found.append(f"widget {number}, picture {k}: top and bottom of the controls, top and height: {seen}")
    nothing(found)
