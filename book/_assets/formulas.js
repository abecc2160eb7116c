// Sets the formulas, and sees that none is out of reach: one that is wider than its column is broken before its relations
// and sums, a numbered one into rows with its number below; what is wider still is set smaller, and last of all scrolls.

// In turns, those in view first, so that the page answers and its figures come alive in between.
async function setFormulas() {
  const soon = (element) => { const { top, bottom } = element.getBoundingClientRect(); return bottom > 0 && top < innerHeight; };
  const all = [...document.querySelectorAll(".math")];
  const turns = [all.filter(soon)], rest = all.filter((element) => !turns[0].includes(element));
  while (rest.length) turns.push(rest.splice(0, 20));
  for (const turn of turns) {
    if (turn.length) await MathJax.typesetPromise(turn);
    await new Promise((next) => setTimeout(next));
  }
  await fitFormulas();
  window.formulasSet = true; // for tests
  let width = innerWidth, timer = 0;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth; clearTimeout(timer); timer = setTimeout(fit, 150);
  });
  // what is folded has no width: it is fitted when it opens
  document.addEventListener("toggle", (event) => { if (event.target.open) fit(event.target); }, true);
}

// One after the other: two at once would each measure what the other is changing.
let fitting = Promise.resolve();
const fit = (where = document) => { fitting = fitting.then(() => fitFormulas(where)); };

async function fitFormulas(where = document) {
  const displays = [...where.querySelectorAll("div.math")].filter((e) => e.clientWidth);
  const tight = displays.filter((e) => { unbroken(e, true); return isWide(e.querySelector("mjx-container")); });
  for (const formula of tight) if (!formula.rows) formula.rows = rowsOf(formula);
  const fresh = tight.map((formula) => formula.rows).filter((rows) => rows && !rows.isConnected);
  for (const formula of tight) if (formula.rows && !formula.rows.isConnected) formula.append(formula.rows);
  if (fresh.length) await MathJax.typesetPromise(fresh);
  for (const formula of displays) if (!tight.includes(formula) || !formula.rows) reachable(formula.querySelector("mjx-container"), formula);
  for (const formula of tight) {
    if (!formula.rows) continue;
    unbroken(formula, false);
    formula.rows.querySelectorAll(":scope > div").forEach((row) => { const set = row.querySelector("mjx-container"); if (set) squeeze(set, row); });
  }
  for (const inline of where.querySelectorAll("span.math mjx-container, td mjx-container:not([display])")) {
    const column = inline.closest("p, li, td, th, dd, dt, summary, h1, h2, h3, h4, figcaption, div");
    if (column?.clientWidth) squeeze(inline, column);
  }
  for (const output of document.querySelectorAll("article pre")) output.tabIndex = isWide(output) ? 0 : -1; // as the theme does, once all is in place
}

const isWide = (element) => element && element.scrollWidth > element.clientWidth + 1;

function unbroken(formula, whole) {
  const set = formula.querySelector("mjx-container");
  formula.classList.toggle("in-rows", !whole);
  if (set) set.hidden = !whole;
  if (formula.rows) formula.rows.hidden = whole;
}

// The rows of a formula, each to be set by itself. Null for one that has no place to break, such as a matrix.
function rowsOf(formula) {
  const [item] = MathJax.startup.document.getMathItemsWithin(formula);
  if (!item) return null;
  let tex = item.math.trim();
  const tag = /\\tag\{([^}]*)\}/.exec(tex);
  tex = tex.replace(/\\tag\{[^}]*\}/, "").trim();
  const around = /^\\begin\{(aligned|split|gathered|align\*?)\}([^]*)\\end\{\1\}([.,;]?)$/.exec(tex);
  if (around) tex = around[2].trim() + around[3];
  const rows = document.createElement("div");
  rows.className = "rows";
  for (const part of parted(tex)) {
    const row = rows.appendChild(document.createElement("div"));
    row.textContent = `\\(\\displaystyle {}${part} \\)`;
    if (/^(=|\\[lg]eq?\b|\\approx|\\sim|\\propto|[+-]|\\(times|cdot)\b)/.test(part) && row !== rows.firstChild) row.className = "goes-on";
  }
  if (tag) {
    const number = rows.appendChild(document.createElement("p"));
    number.className = "number"; number.textContent = `(${tag[1]})`;
  }
  return rows;
}

// TeX cut at its line ends and its wide blanks, outside of braces and environments, without the marks of alignment.
function parted(tex) {
  const parts = [""];
  let depth = 0;
  for (const [piece] of tex.matchAll(/\\\\(?:\[[^\]]*\])?|\\begin\{[^}]*\}|\\end\{[^}]*\}|\\left\b|\\right\b|\\q?quad\b|\\[A-Za-z]+|\\.|[{}&]|[^\\{}&]+/g)) {
    if (piece === "{" || piece.startsWith("\\begin") || piece === "\\left") depth += 1;
    if (piece === "}" || piece.startsWith("\\end") || piece === "\\right") depth -= 1;
    if (depth === 0 && (piece.startsWith("\\\\") || /^\\q?quad$/.test(piece))) parts.push("");
    else if (depth === 0 && piece === "&") parts[parts.length - 1] += " ";
    else parts[parts.length - 1] += piece;
  }
  return parts.map((part) => part.trim()).filter((part) => part && part !== ",");
}

// Breaks a formula in a line of its column, if it must; then makes it smaller, by a fifth at most; then lets it scroll.
function squeeze(formula, column) {
  formula.style.fontSize = "";
  formula.classList.remove("scrolls");
  const room = column.clientWidth - parseFloat(getComputedStyle(column).paddingLeft) - parseFloat(getComputedStyle(column).paddingRight);
  const widest = () => Math.max(...[...formula.querySelectorAll(".piece, mjx-math")].map((e) => e.getBoundingClientRect().width));
  if (widest() > room) breakable(formula.querySelector("mjx-math"));
  for (let size = 100; size >= 80 && widest() > room + 1; size -= 5) formula.style.fontSize = `${size}%`;
  reachable(formula, column, widest() > room + 1);
}

const CODES = new Set([..."=≈≤≥∼→⟶∝≡<>+−,;|∣∥±⋅×"].map((c) => "mjx-c" + c.codePointAt(0).toString(16).toUpperCase()));
const mayBreak = (e) => e.matches("mjx-mo") && [...e.querySelectorAll("mjx-c")].some((c) => CODES.has(c.className.split(" ")[0]));

// Puts what stands between two places to break into a piece that does not break.
function breakable(math) {
  if (!math || math.classList.contains("breaks")) return;
  math.classList.add("breaks");
  let piece = null, last = null;
  for (const child of [...math.childNodes]) {
    const inner = child.matches?.("mjx-mrow, mjx-texatom, mjx-mstyle") && child.children.length > 4;
    if (inner) { breakable(child); piece = null; last = child; continue; }
    const before = mayBreak(child) && !/mjx-c2C|mjx-c3B/.test(child.querySelector("mjx-c").className); // before a relation, after a comma
    if (!piece || before || (last && mayBreak(last) && !before && /mjx-c2C|mjx-c3B/.test(last.querySelector("mjx-c").className))) {
      piece = document.createElement("span");
      piece.className = "piece";
      child.before(piece);
    }
    piece.append(child);
    last = child;
  }
}

// The keyboard can only scroll what it can reach.
function reachable(formula, place, wide = isWide(formula)) {
  if (!formula) return;
  formula.classList.toggle("scrolls", wide);
  if (wide) {
    const tag = /\(\d+\.\d+\w?\)/.exec((formula.closest(".equation") || formula).textContent);
    formula.tabIndex = 0;
    formula.setAttribute("role", "group");
    formula.setAttribute("aria-label", `Equation${tag ? " " + tag[0] : ""}, wider than the page: arrow keys scroll it`);
  } else for (const name of ["tabindex", "role", "aria-label"]) formula.removeAttribute(name);
}
