// The first page's film: recorded runs of the reverse process (course_landing.py). Between two recorded steps the points
// are moved along a straight line.

document.addEventListener("DOMContentLoaded", () => {
  const box = document.querySelector(".landing-film"), film = window.FILM;
  if (!box || !film) return;
  const canvas = box.querySelector("canvas"), ctx = canvas.getContext("2d"), place = box.querySelector("input");
  const list = box.querySelector("select"), time = box.querySelector("output"), said = box.querySelector(".said"), play = box.querySelector(".play");
  const bytes = (text, Type) => new Type(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
  for (const run of film.runs) {
    for (const side of ["learned", "exact"]) Object.assign(run[side], { x: bytes(run[side].x, Int8Array), u: bytes(run[side].u, Uint8Array) });
    list.add(new Option(run.name === "short" ? "linear, too short" : run.name));
  }
  let who = "learned", frame = 0, last = 0;

  const stops = () => (document.documentElement.dataset.theme === "dark" ? ["#56b4e9", "#3ddbb0", "#f0b429"] : ["#0072b2", "#009e73", "#e69f00"]);
  function colour(u, ends) {
    const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)), k = u < 0.5 ? 0 : 1, a = rgb(ends[k]), b = rgb(ends[k + 1]);
    return `rgb(${a.map((v, i) => Math.round(v + (2 * u - k) * (b[i] - v))).join(",")})`;
  }
  function draw() {
    const run = film.runs[list.selectedIndex], { x, u, off, log_p } = run[who], frames = run.t.length, n = film.points;
    const width = canvas.clientWidth, height = canvas.clientHeight, scale = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * scale)) { canvas.width = Math.round(width * scale); canvas.height = Math.round(height * scale); }
    ctx.setTransform(scale, 0, 0, scale, 0, 0);
    ctx.clearRect(0, 0, width, height);
    const at = place.value * (frames - 1), k = Math.min(Math.floor(at), frames - 2), part = at - k, unit = height / 5.6, ends = stops();
    const size = Math.max(2.6, height / 120);
    for (let i = 0; i < n; i++) {
      const [a, b] = [0, 1].map((d) => { const j = 2 * i + d; return ((1 - part) * x[2 * n * k + j] + part * x[2 * n * (k + 1) + j]) * 4 / 127; });
      ctx.fillStyle = colour(u[i] / 255, ends);
      ctx.beginPath(); ctx.arc(width / 2 + a * unit, height / 2 - b * unit, size, 0, 6.3); ctx.fill();
    }
    const t = Math.round((1 - part) * run.t[k] + part * run.t[k + 1]);
    time.textContent = `t = ${t}`;
    const nats = (v) => v.toFixed(2).replace("-", "−");
    said.textContent = t === run.T ? "Nothing but noise. Press Play, or drag."
      : t > 0 ? `${who === "learned" ? "A small network" : "The exact answer, known for these data,"} takes the noise out, step by step.`
      : off > 0.05 ? `${Math.round(100 * off)} of 100 points miss the spiral: this schedule ends before the data are noise, so the way back starts at the wrong place.`
      : `Data. Their mean log density is ${nats(log_p)} nats; true points have ${nats(-film.entropy)}.`;
    box.drawn = { t, who, run: run.name, count: (box.drawn?.count || 0) + 1 }; // for tests
  }
  function halt() { cancelAnimationFrame(frame); frame = 0; play.textContent = "Play"; }
  function step(now) {
    place.value = Math.min(1, Number(place.value) + Math.min(now - last, 100) / 5000);
    last = now; draw();
    if (place.value >= 1) halt(); else frame = requestAnimationFrame(step);
  }
  function start() {
    if (place.value >= 1) place.value = 0;
    play.textContent = "Pause"; last = performance.now(); frame = requestAnimationFrame(step);
  }
  play.addEventListener("click", () => (frame ? halt() : start()));
  place.addEventListener("input", () => { halt(); draw(); });
  list.addEventListener("change", draw);
  const sides = [...box.querySelectorAll(".who button")];
  sides.forEach((button) => button.addEventListener("click", () => {
    who = button.value;
    sides.forEach((b) => b.setAttribute("aria-pressed", String(b === button)));
    draw();
  }));
  new ResizeObserver(draw).observe(canvas);
  new MutationObserver(draw).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  draw();
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) start();
});
