// What helps a reader of the pages. Each part is a function that is called once the page is read.

document.addEventListener("DOMContentLoaded", () => {
  readingSwitch();
  films();
  tables();
  printing();
});

// Films start by themselves only while they are in view, and only for those who have not asked for less motion. Their
// controls are below the picture: a button, and a slider for the place in the film.
function films() {
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const seen = new IntersectionObserver((changes) => {
    for (const { target, isIntersecting } of changes) {
      if (!isIntersecting) target.pause();
      else if (!still.matches && !target.dataset.stopped) target.play().catch(() => {});
    }
  }, { threshold: 0.5 });
  document.querySelectorAll("video").forEach((film) => {
    film.controls = false;
    film.classList.add("film");
    const bar = document.createElement("div"), button = bar.appendChild(document.createElement("button"));
    const place = bar.appendChild(document.createElement("input")), what = film.getAttribute("aria-label") || "film";
    bar.className = "film-bar";
    button.type = "button";
    Object.assign(place, { type: "range", min: 0, max: 1, step: 0.01, value: 0 });
    place.setAttribute("aria-label", `Place in the film: ${what}`);
    film.after(bar);
    const show = () => { button.textContent = film.paused ? "Play" : "Pause"; button.setAttribute("aria-label", `${button.textContent}: ${what}`); };
    // who pauses a film that is in view has paused it for good
    const toggle = () => {
      if (film.paused) { delete film.dataset.stopped; film.play().catch(() => {}); } else { film.dataset.stopped = "yes"; film.pause(); }
    };
    button.addEventListener("click", toggle);
    film.addEventListener("click", toggle);
    for (const event of ["play", "pause"]) film.addEventListener(event, show);
    film.addEventListener("timeupdate", () => { if (film.duration && document.activeElement !== place) place.value = film.currentTime / film.duration; });
    place.addEventListener("input", () => {
      film.dataset.stopped = "yes"; film.pause();
      const go = () => { film.currentTime = place.value * film.duration; };
      if (film.duration) go(); else { film.addEventListener("loadedmetadata", go, { once: true }); film.load(); }
    });
    show();
    seen.observe(film);
  });
  still.addEventListener("change", () => { if (still.matches) document.querySelectorAll("video").forEach((film) => film.pause()); });
}

// On paper nothing is folded.
function printing() {
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    opened.forEach((part) => { part.open = true; });
  });
  addEventListener("afterprint", () => { opened.forEach((part) => { part.open = false; }); opened = []; });
}

// A table that is wider than a phone becomes a list of its rows, each cell under the name of its column. Tables of numbers
// stay tables and scroll.
function tables() {
  const all = [...document.querySelectorAll(".bd-article table")].filter((table) => table.tHead?.rows.length === 1 && !table.closest(".cell_output"));
  for (const table of all) {
    const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
    for (const row of table.tBodies[0]?.rows || []) [...row.cells].forEach((cell, i) => { cell.dataset.column = names[i] || ""; });
    table.classList.add("stacks");
  }
}

// With its code or as an essay: one choice for all notebooks, remembered in this browser.
function readingSwitch() {
  const place = document.querySelector(".reading-switch");
  if (!place) return;
  const buttons = [...place.querySelectorAll("button")];
  const show = (way) => {
    document.documentElement.dataset.reading = way;
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.value === way)));
  };
  buttons.forEach((button) => button.addEventListener("click", () => { show(button.value); keep("reading", button.value); }));
  show(kept("reading") === "essay" ? "essay" : "code");
}

// What this browser remembers, and nobody else: nothing where it is not allowed to.
function kept(name) { try { return localStorage.getItem("course-" + name); } catch { return null; } }
function keep(name, value) { try { localStorage.setItem("course-" + name, value); } catch { /* a private window */ } }
