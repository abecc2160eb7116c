// What the theme and ipywidgets leave undone. Runs in the head, before the theme's own scripts.

// Font Awesome would replace every <i class="fa …"> by an <svg>, which breaks ipywidgets' Play button and all that is
// linked to it. The theme's style sheet draws the same icons with its font.
window.FontAwesomeConfig = { autoReplaceSvg: false, observeMutations: false };

// From a folder (file://) a page may not fetch another: the search then shows titles without extracts.
if (location.protocol === "file:" && window.DOCUMENTATION_OPTIONS) DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

document.addEventListener("DOMContentLoaded", () => {
  scrollingFormulas();
  films();
});

// A formula wider than the page scrolls sideways. The keyboard can only scroll what it can reach.
function scrollingFormulas() {
  const number = (formula) => { const tag = /\(\d+\.\d+\w?\)/.exec(formula.textContent); return tag ? " " + tag[0] : ""; };
  const look = (formula) => {
    const wide = formula.scrollWidth > formula.clientWidth + 1;
    if (wide === formula.hasAttribute("tabindex")) return;
    if (wide) {
      formula.tabIndex = 0;
      formula.setAttribute("role", "group");
      formula.setAttribute("aria-label", "Equation" + number(formula) + ", wider than the page: arrow keys scroll it");
    } else for (const name of ["tabindex", "role", "aria-label"]) formula.removeAttribute(name);
  };
  const sizes = new ResizeObserver((changes) => changes.forEach((change) => look(change.target)));
  if (!window.MathJax) return;
  window.addEventListener("load", () => {
    if (MathJax.startup) MathJax.startup.promise.then(() =>
      document.querySelectorAll('mjx-container[display="true"]').forEach((formula) => sizes.observe(formula)));
  });
}

// Films start by themselves only while they are in view, and only for those who have not asked for less motion.
function films() {
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const seen = new IntersectionObserver((changes) => {
    for (const { target, isIntersecting } of changes) {
      if (!isIntersecting) target.pause();
      else if (!still.matches && !target.dataset.stopped) target.play().catch(() => {});
    }
  }, { threshold: 0.5 });
  document.querySelectorAll("video.film").forEach((film) => {
    // while it plays, its controls would cover it: they come with the mouse, the finger or the Tab key
    film.tabIndex = 0;
    const show = () => { film.controls = film.paused || film.matches(":hover, :focus"); };
    for (const event of ["play", "pause", "pointerenter", "pointerleave", "focus", "blur"]) film.addEventListener(event, show);
    // who pauses a film that is in view has paused it for good
    film.addEventListener("pause", () => { if (isInView(film)) film.dataset.stopped = "yes"; });
    film.addEventListener("play", () => { delete film.dataset.stopped; });
    seen.observe(film);
  });
  still.addEventListener("change", () => { if (still.matches) document.querySelectorAll("video.film").forEach((film) => film.pause()); });
}

function isInView(element) {
  const { top, bottom, height } = element.getBoundingClientRect();
  return Math.min(bottom, innerHeight) - Math.max(top, 0) >= height / 2;
}
