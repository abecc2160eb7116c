// What the widgets share: panels that keep their sharpness and follow the theme, axes, a play button, a line of words.

const floats = (model, name) => view(model, name, Float32Array);
const doubles = (model, name) => view(model, name, Float64Array);
const halves = (model, name) => Float64Array.from(view(model, name, Uint16Array), (h) => {
  const sign = h & 0x8000 ? -1 : 1, e = (h >> 10) & 31, m = h & 1023; // IEEE 754 binary16, finite
  return sign * (e ? (1 + m / 1024) * 2 ** (e - 15) : m * 2 ** -24);
});
function view(model, name, Type) {
  const d = model.get(name); // a DataView; copied, because its offset need not suit the type
  return new Type(d.buffer.slice(d.byteOffset, d.byteOffset + d.byteLength));
}

// Numbers as the text line says them: a true minus sign, few digits.
function say(x, digits = 3) {
  if (!Number.isFinite(x)) return x > 0 ? "∞" : x < 0 ? "−∞" : "undefined";
  if (x === 0) return "0";
  const size = Math.abs(x);
  const text = size >= 1e6 || size < 1e-4 ? x.toExponential(digits - 1) : Number(x.toPrecision(digits)).toString();
  return text.replace(/e([+-])(\d+)/, (_, s, n) => "·10" + (s === "-" ? "⁻" : "") + [...n].map((d) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[d]).join(""))
    .replace(/-/g, "−");
}

// x_T in a text is an index: cut into pieces, every second of which is one.
const indices = (text) => text.split(/(?<=[\p{L}\u0300-\u036f\]])_(\p{L}|\d)(?![\p{L}\d])/u);
function put(element, text) {
  if (element.said === text) return;
  element.said = text;
  element.replaceChildren(...indices(text).map((piece, i) => { if (i % 2 === 0) return piece; const sub = document.createElement("sub"); sub.textContent = piece; return sub; }));
}

// Colours have the meaning of plots.py, lightened where the page is dark. Letters in one of them are darker on a light page.
const LETTERS = { "#767676": "#5c5c5c", "#e69f00": "#8a5a00", "#d55e00": "#a84a00", "#009e73": "#00704f" };
function palette(el) {
  const ink = getComputedStyle(el).color;
  const [r, g, b] = (ink.match(/[\d.]+/g) || [0, 0, 0]).map(Number);
  const dark = 0.3 * r + 0.6 * g + 0.1 * b > 128;
  return dark
    ? { dark, ink, faint: "rgba(255,255,255,0.25)", data: "#b0b0b0", q: "#56b4e9", model: "#f0b429", error: "#ff8a4c", extra: "#3ddbb0" }
    : { dark, ink, faint: "rgba(0,0,0,0.18)", data: "#767676", q: "#0072b2", model: "#e69f00", error: "#d55e00", extra: "#009e73" };
}

// A pen whose letters have true indices and enough contrast.
function lettered(ctx) {
  const fill = ctx.fillText, size = ctx.measureText;
  const each = (text, act) => {
    const pieces = indices(String(text)), font = ctx.font, small = font.replace(/[\d.]+px/, (px) => 0.75 * parseFloat(px) + "px");
    let at = 0;
    pieces.forEach((piece, i) => { ctx.font = i % 2 ? small : font; act(piece, at, i % 2 ? 3 : 0); at += size.call(ctx, piece).width; });
    ctx.font = font;
    return at;
  };
  ctx.measureText = (text) => ({ width: each(text, () => {}) });
  ctx.fillText = (text, x, y) => {
    const colour = ctx.fillStyle, align = ctx.textAlign, width = ctx.measureText(text).width;
    ctx.fillStyle = (ctx.light && LETTERS[colour]) || colour;
    ctx.textAlign = "left";
    each(text, (piece, at, down) => fill.call(ctx, piece, x + at - (align === "right" ? width : align === "center" ? width / 2 : 0), y + down));
    ctx.textAlign = align; ctx.fillStyle = colour;
  };
  return ctx;
}

// Letters on a plate of the page's own ground, which are read on any colour.
function plate({ ctx, dark, ink }, text, x, y) {
  const width = ctx.measureText(text).width, left = x - (ctx.textAlign === "right" ? width : ctx.textAlign === "center" ? width / 2 : 0);
  ctx.save();
  ctx.globalAlpha = 1; ctx.fillStyle = dark ? "rgba(18, 18, 18, 0.86)" : "rgba(255, 255, 255, 0.86)";
  ctx.fillRect(left - 3, y - 8, width + 6, 16);
  ctx.restore();
  ctx.fillStyle = ink; ctx.textBaseline = "middle"; ctx.fillText(text, x, y);
}

// mount: builds the widget's part of the page and keeps it up to date.
//   panels: [{ label, ratio, draw(pen, numbers, still), ground(pen) → still, grips, size }]   ratio is height / width; label
//           describes the picture to those who do not see it; ground, where there is one, draws what no control changes, once
//           per size and theme, and hands draw its axes; grips: see grip below; size: the least width in pixels at which
//           panels stand side by side
//   reads:  the traits whose change asks for a new picture
//   compute(model) → numbers                          everything that is drawn or said; also at root.numbers, for tests
//   words(numbers) → text                             what is seen, in words and numbers
//   play:   { trait, from, to, seconds, grid } or absent    (from, to: functions of the model; grid: the trait's step, 1)
//   buttons: [{ text, trait }] toggles of boolean traits, or [{ text, press(model) }]
//   idle(numbers) → the names of the controls that do nothing now, which are put out of use
const FIRST = new WeakMap(); // what each model was when it was shown first: Reset goes back there
function mount({ model, el }, { panels, reads, compute, words, play, buttons = [], idle, setup }) {
  const make = (tag, cls, parent) => { const e = document.createElement(tag); e.className = cls; parent.appendChild(e); return e; };
  const root = make("div", "dedu", el), row = make("div", "dedu-panels", root), bar = make("div", "dedu-bar", root);
  const line = make("p", "dedu-words", root);
  line.setAttribute("role", "status");
  root.model = model; // for tests
  const views = panels.map((panel) => {
    const box = make("div", "dedu-panel", row), canvas = make("canvas", "", box);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", panel.label);
    if (panel.size) box.style.flexBasis = panel.size + "px";
    return { ...panel, box, canvas, ctx: lettered(canvas.getContext("2d")), grips: (panel.grips || []).map((g) => grip(model, box, g)) };
  });
  const state = { colours: palette(el), frames: 0 };

  const pen = (v) => ({ ...state.colours, ctx: v.ctx, width: v.width, height: v.height, view: v });
  function fit() {
    for (const v of views) {
      const width = v.box.clientWidth, scale = window.devicePixelRatio || 1;
      v.width = width; v.height = Math.round(width * v.ratio); v.scale = scale;
      v.canvas.width = Math.round(width * scale); v.canvas.height = Math.round(v.height * scale);
      v.canvas.style.height = v.height + "px";
      v.ctx.setTransform(scale, 0, 0, scale, 0, 0);
    }
    recolour(); // JupyterLab puts the element in its place late; before, it has no colours
  }
  function recolour() {
    state.colours = palette(el);
    for (const v of views) v.ctx.light = !state.colours.dark;
    for (const v of views) {
      if (!v.ground || !v.width) continue;
      v.ctx.clearRect(0, 0, v.width, v.height);
      v.still = v.ground(pen(v));
      v.under ||= document.createElement("canvas");
      v.under.width = v.canvas.width; v.under.height = v.canvas.height;
      v.under.getContext("2d").drawImage(v.canvas, 0, 0);
    }
    draw();
  }
  function draw() {
    const start = performance.now();
    const numbers = (root.numbers = compute(model));
    for (const v of views) {
      if (!v.width) continue;
      v.ctx.clearRect(0, 0, v.width, v.height);
      if (v.ground) v.ctx.drawImage(v.under, 0, 0, v.under.width / v.scale, v.under.height / v.scale);
      v.draw(pen(v), numbers, v.still);
      for (const place of v.grips) place(numbers);
    }
    const text = words(numbers);
    put(line, text);
    if (idle) putOut(el.closest(".dedu-box"), idle(numbers));
    root.drawn = { count: (state.frames += 1), at: performance.now(), ms: performance.now() - start };
  }

  const stop = play ? player(model, make("button", "dedu-play", bar), line, play) : () => {};
  for (const { text, trait, press } of buttons) {
    const button = make("button", "", bar);
    button.type = "button"; put(button, text);
    const show = () => trait && button.setAttribute("aria-pressed", String(model.get(trait)));
    button.addEventListener("click", () => {
      if (press) press(model); else model.set(trait, !model.get(trait));
      model.save_changes(); show();
    });
    if (trait) model.on("change:" + trait, show);
    show();
  }
  const own = [...new Set([...reads, ...buttons.map((b) => b.trait).filter(Boolean), ...(play ? [play.trait] : [])])];
  if (!FIRST.has(model)) FIRST.set(model, Object.fromEntries(own.map((name) => [name, model.get(name)])));
  const reset = make("button", "dedu-reset", bar);
  reset.type = "button"; reset.textContent = "Reset";
  reset.addEventListener("click", () => { stop(); model.set(FIRST.get(model)); model.save_changes(); });
  for (const name of reads) model.on("change:" + name, draw);
  const size = new ResizeObserver(fit), theme = new MutationObserver(recolour);
  views.forEach((v) => size.observe(v.box));
  for (const e of [document.documentElement, document.body])
    theme.observe(e, { attributes: true, attributeFilter: ["data-theme", "data-mode", "data-jp-theme-light", "data-jp-theme-name", "class"] });
  const unname = nameControls(el, () => idle && root.numbers && putOut(el.closest(".dedu-box"), idle(root.numbers)));
  if (setup) setup({ model, root, views, draw });
  fit();
  setTimeout(recolour, 0); // the theme's style may come with the page, after this element
  return () => {
    stop(); size.disconnect(); theme.disconnect(); unname();
    for (const name of reads) model.off("change:" + name, draw);
  };
}

// A grip: a button over a panel that mouse, finger and arrow keys (with Shift: five times as far) move in the plane
// [−limit, limit]², whose mark the panel draws. { limit, step, name, at(numbers) → [x, y], move(x, y) → traits, click }
// With `click` a click elsewhere in the panel brings it there. Returns what puts it in its place.
function grip(model, box, { limit, step = 0.1, name, at, move, click = false }) {
  const button = box.appendChild(document.createElement("button")), canvas = box.querySelector("canvas");
  let now = [0, 0], held = false;
  button.type = "button"; button.className = "dedu-grip";
  const inside = (v) => Math.min(Math.max(v, -limit), limit);
  const to = (x, y) => { model.set(move(inside(x), inside(y))); model.save_changes(); };
  const follow = (event) => {
    const r = canvas.getBoundingClientRect(), scale = (2 * limit) / r.width;
    to((event.clientX - r.left - r.width / 2) * scale, (r.top + r.height / 2 - event.clientY) * scale);
  };
  button.addEventListener("pointerdown", (event) => { held = true; button.setPointerCapture(event.pointerId); });
  button.addEventListener("pointermove", (event) => held && follow(event));
  for (const end of ["pointerup", "pointercancel"]) button.addEventListener(end, () => { held = false; });
  if (click) canvas.addEventListener("click", follow);
  button.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!way) return;
    event.preventDefault(); event.stopPropagation(); // JupyterLab listens to arrow keys too
    const far = event.shiftKey ? 5 * step : step;
    to(now[0] + far * way[0], now[1] + far * way[1]);
  });
  return (numbers) => {
    now = at(numbers);
    const width = canvas.clientWidth, scale = width / (2 * limit);
    button.style.left = width / 2 + now[0] * scale + "px";
    button.style.top = canvas.clientHeight / 2 - now[1] * scale + "px";
    button.setAttribute("aria-label", `${name} at (${say(now[0])}, ${say(now[1])}); arrow keys move it`);
  };
}

// A play button that moves one trait from its first to its last value, and says which of the two it would do.
function player(model, button, line, { trait, from, to, seconds, grid = 1 }) {
  let frame = 0, last = 0, value = 0;
  button.type = "button";
  const show = () => { button.textContent = frame ? "Pause" : "Play"; line.setAttribute("aria-live", frame ? "off" : "polite"); };
  function halt() { cancelAnimationFrame(frame); frame = 0; show(); }
  function step(now) {
    const a = from(model), b = to(model);
    value += ((b - a) * Math.min(now - last, 100)) / (1000 * seconds);
    last = now;
    const done = b > a ? value >= b : value <= b;
    model.set(trait, done ? b : Math.round(value / grid) * grid);
    model.save_changes();
    if (done) halt(); else frame = requestAnimationFrame(step);
  }
  button.addEventListener("click", () => {
    if (frame) return halt();
    value = model.get(trait) === to(model) ? from(model) : model.get(trait);
    last = performance.now();
    frame = requestAnimationFrame(step);
    show();
  });
  show();
  return halt;
}

// Controls that do nothing under the present choice cannot be used, and look it.
function putOut(box, names) {
  for (const control of box?.querySelectorAll(".widget-inline-hbox") || []) {
    const name = control.querySelector(".widget-label")?.said;
    if (name) control.toggleAttribute("inert", names.includes(name));
  }
}

// ipywidgets' sliders have no accessible names of their own: give them their visible label. Lists keep their keys.
function nameControls(el, named) {
  let box = null;
  const name = () => {
    box = box || el.closest(".dedu-box");
    if (!box) return;
    // else JupyterLab takes the arrow keys of a drop-down list and goes to another cell
    for (const list of box.querySelectorAll("select")) list.setAttribute("data-lm-suppress-shortcuts", "true");
    for (const control of box.querySelectorAll(".widget-inline-hbox")) {
      const label = control.querySelector(".widget-label"), text = label && label.textContent.trim();
      if (!text) continue;
      if (text !== label.said?.replace(/_(.)/g, "$1")) put(label, text);
      for (const handle of control.querySelectorAll(".noUi-handle"))
        if (handle.getAttribute("aria-label") !== text) handle.setAttribute("aria-label", text);
      for (const out of control.querySelectorAll(".widget-readout"))
        if (!out.hasAttribute("aria-label")) { out.setAttribute("role", "textbox"); out.setAttribute("aria-label", text + " value"); }
    }
  };
  const observer = new MutationObserver(name);
  const timer = setInterval(() => { if (!el.isConnected) return; clearInterval(timer); name(); named(); const b = el.closest(".dedu-box"); if (b) observer.observe(b, { childList: true, subtree: true }); }, 50);
  return () => { clearInterval(timer); observer.disconnect(); };
}

// --- drawing ---

// Points (x, y, x, y, …) of the plane [−limit, limit]², which fills the panel.
function plane(pen, limit) {
  const { ctx, width, height, faint, ink } = pen;
  const scale = width / (2 * limit), X = (x) => width / 2 + x * scale, Y = (y) => height / 2 - y * scale;
  ctx.strokeStyle = faint; ctx.lineWidth = 1;
  ctx.strokeRect(0.5, 0.5, width - 1, height - 1);
  ctx.fillStyle = ink; ctx.font = "12px system-ui, sans-serif";
  return {
    X, Y, scale,
    points(xy, colour, size = 2.4, alpha = 0.65) {
      ctx.fillStyle = colour; ctx.globalAlpha = alpha;
      ctx.beginPath();
      for (let i = 0; i < xy.length; i += 2) { const x = X(xy[i]), y = Y(xy[i + 1]); ctx.moveTo(x + size / 2, y); ctx.arc(x, y, size / 2, 0, 6.3); }
      ctx.fill(); ctx.globalAlpha = 1;
    },
    title(text) { ctx.fillStyle = ink; ctx.textAlign = "left"; ctx.textBaseline = "top"; ctx.fillText(text, 8, 7); },
    // the ellipse `times` standard deviations around the mean of a diagonal Gaussian
    ellipse([x, y], [sx, sy], colour, times = 1, width = 2, dash = []) {
      ctx.strokeStyle = colour; ctx.lineWidth = width; ctx.setLineDash(dash); ctx.beginPath();
      ctx.ellipse(X(x), Y(y), times * sx * scale, times * sy * scale, 0, 0, 2 * Math.PI);
      ctx.stroke(); ctx.setLineDash([]);
    },
    // a dot with a rim that stands out from points of its own colour; one that is outside stays whole, at the edge
    dot([x, y], colour, size = 6) {
      const near = (v, end) => Math.min(Math.max(v, size + 1), end - size - 1);
      ctx.fillStyle = colour; ctx.strokeStyle = ink; ctx.lineWidth = 2;
      ctx.beginPath(); ctx.arc(near(X(x), width), near(Y(y), height), size, 0, 7); ctx.fill(); ctx.stroke();
    },
  };
}

// Axes in the box [left, top, right, bottom] of the panel. xs and ys are { lim, ticks, label, log, format }.
function axes(pen, [left, top, right, bottom], xs, ys) {
  const { ctx, ink, faint } = pen;
  const scaler = ({ lim: [a, b], log }, low, high) => {
    const f = log ? Math.log10 : (v) => v, size = (high - low) / (f(b) - f(a)), start = low - f(a) * size;
    return log ? (v) => start + Math.log10(v) * size : (v) => start + v * size;
  };
  const X = scaler(xs, left, right), Y = scaler(ys, bottom, top);
  ctx.font = "12px system-ui, sans-serif"; ctx.lineWidth = 1;
  ctx.strokeStyle = faint; ctx.fillStyle = ink;
  ctx.textAlign = "center"; ctx.textBaseline = "top";
  for (const v of xs.ticks || []) { stroke(ctx, [[X(v), top], [X(v), bottom]]); ctx.fillText((xs.format || say)(v), X(v), bottom + 4); }
  ctx.textAlign = "right"; ctx.textBaseline = "middle";
  for (const v of ys.ticks || []) { stroke(ctx, [[left, Y(v)], [right, Y(v)]]); ctx.fillText((ys.format || say)(v), left - 5, Y(v)); }
  ctx.textAlign = "center"; ctx.textBaseline = "top";
  if (xs.label) ctx.fillText(xs.label, (left + right) / 2, bottom + 18);
  ctx.textAlign = "left"; ctx.textBaseline = "bottom";
  if (ys.label) ctx.fillText(ys.label, Math.max(2, left - 40), top - 9);
  const [low, high] = ys.lim;
  return {
    X, Y,
    // a curve over the given x; values outside the axes are cut off at their edge
    curve(x, y, colour, width = 2, dash = []) {
      ctx.save(); ctx.beginPath(); ctx.rect(left, top - 1, right - left, bottom - top + 2); ctx.clip();
      ctx.strokeStyle = colour; ctx.lineWidth = width; ctx.setLineDash(dash); ctx.beginPath();
      let pen_down = false;
      for (let i = 0; i < x.length; i++) {
        if (!Number.isFinite(y[i])) { pen_down = false; continue; }
        const v = Math.min(Math.max(y[i], low / (ys.log ? 1e3 : 1) - (ys.log ? 0 : high - low)), high * (ys.log ? 1e3 : 1) + (ys.log ? 0 : high - low));
        ctx[pen_down ? "lineTo" : "moveTo"](X(x[i]), Y(v)); pen_down = true;
      }
      ctx.stroke(); ctx.restore();
    },
    mark(x, y, colour, size = 4.5) { // none where the curve has left the axes
      const v = Math.min(Math.max(y, low), high);
      if (Math.abs(Y(y) - Y(v)) > 1) return;
      ctx.fillStyle = colour; ctx.beginPath(); ctx.arc(X(x), Y(v), size, 0, 7); ctx.fill();
    },
    upright(x, colour) { ctx.strokeStyle = colour; ctx.lineWidth = 1; stroke(ctx, [[X(x), top], [X(x), bottom]]); },
    note(text, x, y, colour, align = "left") { ctx.fillStyle = colour; ctx.textAlign = align; ctx.textBaseline = "bottom"; ctx.fillText(text, X(x), Y(y)); },
  };
}

function stroke(ctx, path) {
  ctx.beginPath();
  path.forEach(([x, y], i) => ctx[i ? "lineTo" : "moveTo"](x, y));
  ctx.stroke();
}
