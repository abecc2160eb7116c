// What helps a reader of the pages. Each part is a function that is called once the page is read.

document.addEventListener("DOMContentLoaded", () => {
  readingSwitch();
  questions();
  orderings();
  mapOfIdeas();
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
    const kinds = [...film.querySelectorAll("source")].map(({ type }) => (type === "video/mp4" ? 'video/mp4; codecs="avc1.42E01E"' : type));
    if (!kinds.some((kind) => film.canPlayType(kind))) { // Firefox on a Linux without ffmpeg, for one
      bar.textContent = "This browser has no decoder for the film; what you see is one picture of it.";
      return;
    }
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

// Quick questions: the first choice that a click opens is the answer (what paper or the search opens is none, nor is closing it). It is kept, with the score, in this browser only.
function questions() {
  const page = location.pathname.split("/").pop();
  const asked = [...document.querySelectorAll("article p > strong:first-child")].filter((e) => /^Question\b/.test(e.textContent)).map((e) => e.parentElement);
  if (!asked.length) return;
  const score = document.createElement("p"), said = score.appendChild(document.createElement("span")), forget = score.appendChild(document.createElement("button"));
  score.className = "score"; score.setAttribute("role", "status");
  forget.type = "button"; forget.textContent = "Start again";
  const all = asked.map((paragraph, number) => {
    const choices = [];
    for (let e = paragraph.nextElementSibling; e?.tagName === "DETAILS"; e = e.nextElementSibling) choices.push(e);
    return { choices, name: `${page}-question-${number}` };
  }).filter(({ choices }) => choices.length);
  const isRight = (choice) => /^\s*Yes\b/.test(choice.querySelector(":scope > :not(summary)")?.textContent || "");
  const show = () => {
    let answered = 0, right = 0;
    for (const { choices, name } of all) {
      const answer = kept(name);
      choices.forEach((choice, i) => {
        choice.classList.add("choice");
        choice.classList.toggle("right", answer !== null && isRight(choice));
        choice.classList.toggle("wrong", answer === String(i) && !isRight(choice));
      });
      if (answer === null) continue;
      answered += 1;
      if (choices[answer] && isRight(choices[answer])) right += 1;
    }
    said.textContent = answered ? `${right} of ${all.length} right at the first try${answered < all.length ? `, ${all.length - answered} still open` : ""}. Only this browser knows. ` : "Choose an answer to each. ";
    forget.hidden = !answered;
  };
  for (const { choices, name } of all)
    choices.forEach((choice, i) => choice.querySelector("summary").addEventListener("click", () => { if (!choice.open && kept(name) === null) { keep(name, String(i)); show(); } }));
  forget.addEventListener("click", () => { for (const { choices, name } of all) { drop(name); choices.forEach((c) => { c.open = false; }); } show(); });
  asked[0].before(score);
  show();
}

// An exercise that asks for an order is answered by clicks. The right order is that of its solution.
function orderings() {
  document.querySelectorAll(".box.exercise").forEach((box) => {
    const stub = box.querySelector(".cell_input"), name = /^\s*(my_\w+) = \[\.\.\.\]/m.exec(stub?.textContent || "")?.[1];
    const solution = name && [...box.querySelectorAll("details pre")].map((pre) => new RegExp(`${name} = \\[([^\\]]*)\\]`).exec(pre.textContent)).find(Boolean);
    if (!solution) return;
    const right = [...solution[1].matchAll(/'([^']*)'|"([^"]*)"|([-\d.]+)/g)].map((m) => m[1] ?? m[2] ?? m[3]);
    const place = document.createElement("div"), said = document.createElement("p");
    place.className = "ordering"; place.setAttribute("role", "group"); place.setAttribute("aria-label", "Click in order");
    said.setAttribute("role", "status");
    let chosen = [];
    const buttons = [...right].sort().map((item) => {
      const button = place.appendChild(document.createElement("button"));
      button.type = "button"; button.dataset.item = item;
      button.addEventListener("click", () => { chosen = chosen.includes(item) ? chosen.slice(0, chosen.indexOf(item)) : [...chosen, item]; show(); });
      return button;
    });
    function show() {
      for (const button of buttons) {
        const at = chosen.indexOf(button.dataset.item);
        button.textContent = (at < 0 ? "" : `${at + 1}. `) + button.dataset.item.replace(/_t\b/g, "ₜ");
        button.setAttribute("aria-pressed", String(at >= 0));
      }
      const done = chosen.length === right.length, correct = done && chosen.every((item, i) => item === right[i]);
      said.textContent = correct ? "Correct." : done ? "Not yet right. A click takes an item and those after it back; the hints are below." : chosen.length ? `${right.length - chosen.length} to go.` : "Click them in order, the first one first.";
      if (correct) keep(`${location.pathname.split("/").pop()}-${name}`, "correct");
    }
    if (kept(`${location.pathname.split("/").pop()}-${name}`)) chosen = [...right];
    stub.closest(".cell").before(place, said);
    show();
  });
}

function drop(name) { try { localStorage.removeItem("course-" + name); } catch { /* a private window */ } }

// On the map: the formula of the card under the mouse or with the focus, as it stands in the list below.
function mapOfIdeas() {
  const formulas = document.querySelectorAll("ul.ideas > li"), shown = document.createElement("div");
  if (!formulas.length) return;
  shown.className = "idea-shown"; shown.hidden = true; shown.setAttribute("aria-hidden", "true");
  document.body.append(shown);
  document.querySelectorAll("svg.ideas").forEach((map) => [...map.querySelectorAll("a.idea")].forEach((card, i) => {
    const show = () => {
      const formula = formulas[i].querySelector(".idea-formula .math"), box = card.getBoundingClientRect(); // in rows on a phone
      if (!formula) return;
      shown.replaceChildren(formula.cloneNode(true));
      shown.hidden = false;
      const { width, height } = shown.getBoundingClientRect();
      shown.style.left = `${Math.max(8, Math.min(innerWidth - width - 8, box.left + box.width / 2 - width / 2))}px`;
      shown.style.top = `${box.bottom + height + 8 < innerHeight ? box.bottom + 6 : box.top - height - 6}px`;
    };
    for (const event of ["pointerenter", "focus"]) card.addEventListener(event, show);
    for (const event of ["pointerleave", "blur"]) card.addEventListener(event, () => { shown.hidden = true; });
  }));
}
