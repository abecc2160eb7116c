// The knot explorer: T knots on the axis of log SNR over the price density g, what each step costs, and their sum against ℓ²/T.

const LOW = -8, HIGH = 12, NEAR = 0.05; // the axis; and how close two knots may come

function render(context) {
  const { model } = context, D = 2, entropy = model.get("entropy"), square = model.get("square"), length = model.get("length");
  const error = doubles(model, "error"), slope = doubles(model, "slope"), aggregate = doubles(model, "aggregate"), density = doubles(model, "density");
  const presets = ["best", "cosine", "even"].map((name) => doubles(model, name)), most = model.get("most");
  const preset = (kind, T) => Array.from(presets[kind].subarray((T * (T - 1)) / 2, (T * (T + 1)) / 2)); // T = 1, 2, … in a row
  const place = (l) => (l - LOW) / (HIGH - LOW);

  // L₀, L₁ … L_{T−1}, L_T by (8.4), nats; and what each step costs: its term less the information that it must bring.
  function terms(knots) {
    const T = knots.length, m = knots.map((l) => spline(error, slope, l) / (1 + Math.exp(l))), bar = (l) => 1 / (1 + Math.exp(-l));
    const L = [0.5 * D * Math.log(2 * Math.PI * Math.E * m[0])];
    for (let t = 1; t < T; t++) L.push(0.5 * D * Math.log1p((Math.exp(knots[t - 1]) - Math.exp(knots[t])) * m[t]));
    L.push(klFromNoise(bar(knots[T - 1]), square, D));
    const known = (l) => 0.5 * D * Math.log1p(Math.exp(l)) - lookup(aggregate, l); // I(x₀; x_t)
    const paid = L.map((term, t) => {
      if (t === 0) return term - entropy + known(knots[0]);
      return t < T ? term - known(knots[t - 1]) + known(knots[t]) : term - known(knots[T - 1]);
    });
    return { L, paid, price: L.reduce((a, b) => a + b, 0) - entropy };
  }

  function compute() {
    const knots = Array.from(model.get("knots")), T = knots.length, at = Math.min(Math.max(model.get("chosen"), 1), T);
    const { L, paid, price } = terms(knots), best = terms(preset(0, T)).price;
    return { T, knots, chosen: at, L, paid, price, best, limit: length ** 2 / T };
  }
  const set = (knots, chosen) => { model.set({ knots, T: knots.length, chosen }); model.save_changes(); };
  const choose = (kind) => set(preset(kind, model.get("knots").length), 1);

  // Moves a knot; it stays between its neighbours.
  function move(t, value) {
    const knots = Array.from(model.get("knots")), T = knots.length;
    const high = t > 1 ? knots[t - 2] - NEAR : HIGH, low = t < T ? knots[t] + NEAR : LOW;
    knots[t - 1] = Math.max(Math.min(value, high), low);
    set(knots, t);
  }

  return mount(context, {
    reads: ["knots", "chosen"],
    compute, words,
    buttons: [{ text: "Best", press: () => choose(0) }, { text: "Cosine", press: () => choose(1) }, { text: "Even in λ", press: () => choose(2) }],
    panels: [
      { label: "The price density g against log SNR. Below it lie the knots, which can be dragged; bars show the nats that each step costs, over the way that it takes.", ratio: 0.85, draw: drawKnots },
      { label: "The running total of these prices, from the clean end on the right to the noisy end on the left, up to the price of the schedule. Dashed: ℓ²/T. Grey: the price of the best knots.", ratio: 0.85, draw: drawTotal },
    ],
    setup({ model, views: [view] }) { // the knots: a grip of its own kind for each, on one line
      let grips = [];
      const box = view.box, canvas = view.canvas;
      const where = (event) => { const r = canvas.getBoundingClientRect(); return LOW + ((event.clientX - r.left - LEFT) / (r.width - LEFT - RIGHT)) * (HIGH - LOW); };
      function build(T) {
        grips.forEach((g) => g.remove());
        grips = Array.from({ length: T }, (_, i) => {
          const g = box.appendChild(document.createElement("button")), t = i + 1;
          let held = false;
          g.type = "button"; g.className = "dedu-grip"; g.style.width = "24px"; g.style.marginLeft = "-12px";
          g.addEventListener("pointerdown", (event) => { held = true; g.setPointerCapture(event.pointerId); set(Array.from(model.get("knots")), t); });
          g.addEventListener("pointermove", (event) => held && move(t, where(event)));
          for (const end of ["pointerup", "pointercancel"]) g.addEventListener(end, () => { held = false; });
          g.addEventListener("focus", () => model.get("chosen") !== t && set(Array.from(model.get("knots")), t));
          g.addEventListener("keydown", (event) => {
            const way = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
            if (!way) return;
            event.preventDefault(); event.stopPropagation();
            move(t, model.get("knots")[i] + way * (event.shiftKey ? 0.5 : 0.1));
          });
          return g;
        });
      }
      function follow() {
        const knots = model.get("knots");
        if (grips.length !== knots.length) build(knots.length);
        const w = canvas.clientWidth, h = canvas.clientHeight;
        grips.forEach((g, i) => {
          g.style.left = LEFT + place(knots[i]) * (w - LEFT - RIGHT) + "px"; g.style.top = h - BELOW + "px";
          g.setAttribute("aria-label", `knot ${i + 1} at log SNR ${say(knots[i])}; arrow keys move it`);
        });
      }
      model.on("change:T", () => {
        const T = Math.min(Math.max(model.get("T"), 1), most);
        if (model.get("knots").length !== T) set(preset(0, T), 1);
      });
      model.on("change:knots", follow);
      new ResizeObserver(follow).observe(box);
      follow();
    },
  });

  function drawKnots(pen, { knots, paid, T, chosen }) {
    const { ctx, width: w, height: h, ink, model: orange, q, error: red } = pen, bottom = h - 62, top = 26;
    const highest = Math.max(0.2, ...paid) * 1.08, step = highest > 1 ? 0.5 : highest > 0.4 ? 0.2 : 0.05;
    const ticks = Array.from({ length: Math.floor(highest / step) + 1 }, (_, i) => i * step);
    const a = axes(pen, [LEFT, top, w - RIGHT, bottom], { lim: [LOW, HIGH], ticks: [-8, -4, 0, 4, 8, 12] }, { lim: [0, highest], ticks, label: "nats: bars, of each step; line, g per unit² of λ" });
    ctx.fillStyle = orange; ctx.strokeStyle = ink; ctx.lineWidth = 1;
    const bar = (from, to, nats, colour) => {
      ctx.fillStyle = colour; ctx.globalAlpha = 0.55;
      const y = a.Y(Math.max(nats, 0));
      ctx.fillRect(a.X(from), y, Math.max(a.X(to) - a.X(from), 1), bottom - y);
      ctx.globalAlpha = 1; ctx.strokeRect(a.X(from) + 0.5, y, Math.max(a.X(to) - a.X(from), 1), bottom - y);
    };
    for (let t = 1; t < T; t++) bar(knots[t], knots[t - 1], paid[t], orange);
    bar(knots[0], Math.min(knots[0] + 0.4, HIGH), paid[0], q); // L₀
    bar(Math.max(knots[T - 1] - 0.4, LOW), knots[T - 1], paid[T], red); // L_T
    const x = Array.from({ length: 161 }, (_, i) => LOW + i / 8);
    a.curve(x, x.map((l) => lookup(density, l)), ink, 2);
    ctx.font = "12px system-ui, sans-serif"; ctx.fillStyle = ink; ctx.textAlign = "center"; ctx.textBaseline = "top";
    ctx.fillText("log SNR λ: noise … data", (LEFT + w - RIGHT) / 2, h - 16);
    knots.forEach((l, i) => {
      ctx.fillStyle = i + 1 === chosen ? orange : q; ctx.strokeStyle = ink; ctx.lineWidth = 1.5;
      ctx.beginPath(); ctx.arc(a.X(l), h - BELOW, i + 1 === chosen ? 7 : 5.5, 0, 7); ctx.fill(); ctx.stroke();
    });
  }

  function drawTotal(pen, { knots, paid, price, limit, best, T }) {
    const { width: w, height: h, ink, model: orange, data } = pen, high = 1.15 * Math.max(price, limit), step = high > 1 ? 0.5 : high > 0.4 ? 0.2 : high > 0.15 ? 0.1 : 0.02;
    const ticks = Array.from({ length: Math.floor(high / step) + 1 }, (_, i) => i * step);
    const a = axes(pen, [LEFT, 26, w - RIGHT, h - 62], { lim: [LOW, HIGH], ticks: [-8, -4, 0, 4, 8, 12], label: "log SNR λ: noise … data" }, { lim: [0, high], ticks, label: "nats so far; dashed ℓ²/T, grey the best" });
    a.curve([LOW, HIGH], [best, best], data, 2);
    a.curve([LOW, HIGH], [limit, limit], ink, 1.5, [5, 4]);
    const x = [HIGH, knots[0]], y = [0, 0];
    let sum = paid[0];
    x.push(knots[0]); y.push(sum);
    for (let t = 1; t < T; t++) { sum += paid[t]; x.push(knots[t]); y.push(sum); }
    x.push(knots[T - 1], LOW); y.push(price, price);
    a.curve(x, y, orange, 2.5);
    a.mark(LOW, price, orange);
  }

  function words({ T, knots, chosen, paid, price, best, limit }) {
    const small = (nats) => (nats < 1e-4 ? "nothing" : say(nats, 2)), end = `L₀ costs ${small(paid[0])}, L_T ${small(paid[T])}`;
    return `${T} knot${T === 1 ? "" : "s"}: the price is ${say(price)} nats; the best knots cost ${say(best)}, ℓ²/T is ${say(limit)}. ` +
      `Knot ${chosen} lies at λ = ${say(knots[chosen - 1])}${chosen > 1 ? `, its step costs ${say(paid[chosen - 1], 2)}` : ""}. ${end}.`;
  }
}

// exact.py's cubic spline over λ = −12 … 14 in steps of 1/8, from its values and its slopes there
function spline(value, slope, l) {
  const u = Math.min(Math.max((l + 12) * 8, 0), value.length - 1), i = Math.min(Math.floor(u), value.length - 2), a = u - i, b = 1 - a;
  return b * b * ((1 + 2 * a) * value[i] + (a * slope[i]) / 8) + a * a * ((1 + 2 * b) * value[i + 1] - (b * slope[i + 1]) / 8);
}

const LEFT = 50, RIGHT = 18, BELOW = 36; // of the axes; BELOW: where the knots lie, from the panel's lower edge

export default { render };
