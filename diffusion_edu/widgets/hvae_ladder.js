// A hierarchical VAE sampled from the top down: one chain z_T … z₁, x, and the fan of what else could come below the levels held.

function render(context) {
  const { model } = context;
  const sizes = model.get("sizes"), steps = model.get("steps"), T = sizes.length;
  const decoders = split(sizes, halves(model, "weights")).map((weights, t) => ({ sizes: sizes[t], weights, step: steps[t] }));
  const level = (all, t) => all.subarray((t * all.length) / (T + 1), ((t + 1) * all.length) / (T + 1));
  const clouds = halves(model, "clouds"), eps = halves(model, "eps"), fanEps = halves(model, "fan_eps");
  const D = 2, n = fanEps.length / D / (T + 1), count = eps.length / D / (T + 1);

  // z_t from the z above it (none above z_T: the prior) and a noise: mean + std · ε
  function draw(t, above, e, at) {
    if (t === T) return [e[at], e[at + 1]];
    const { mean, std } = gaussianNet(decoders[t], above);
    return [mean[0] + std[0] * e[at], mean[1] + std[1] * e[at + 1]];
  }
  function chainOf(draws) {
    const z = [];
    for (let t = T; t >= 0; t--) z[t] = draw(t, z[t + 1], level(eps, t), D * draws[t]);
    return z;
  }
  // n chains that share the levels above `held`: points[t] for each level below, and the spread of x
  function fanBelow(held, z) {
    const points = [];
    for (let t = T - held; t >= 0; t--) {
      const out = new Float64Array(n * D), e = level(fanEps, t), above = points[t + 1];
      const shared = !above && t < T ? gaussianNet(decoders[t], z[t + 1]) : null;
      for (let i = 0; i < n * D; i += D) {
        const p = above ? gaussianNet(decoders[t], [above[i], above[i + 1]]) : shared;
        for (let d = 0; d < D; d++) out[i + d] = p ? p.mean[d] + p.std[d] * e[i + d] : e[i + d];
      }
      points[t] = out;
    }
    return { points, spread: spreadOf(points[0], D) };
  }
  // Remembered, because a fan depends on the levels above it only.
  const known = new Map();
  function fan(held, draws, z) {
    const key = held + ":" + draws.slice(T + 1 - held).join();
    if (!known.has(key)) {
      if (known.size > 400) known.clear();
      known.set(key, fanBelow(held, z));
    }
    return known.get(key);
  }
  const fans = (draws, z) => Array.from({ length: T + 1 }, (_, held) => fan(held, draws, z));
  const anew = (draws, t) => draws.map((k, s) => (s === t ? (k + 1) % count : k));
  // While nothing else happens, the fans that the next press of each button will ask for.
  let timer = 0;
  function prepare(draws) {
    clearTimeout(timer);
    timer = setTimeout(() => { for (let t = 1; t <= T; t++) { const next = anew(draws, t); fans(next, chainOf(next)); } }, 60);
  }

  return mount(context, {
    reads: ["draws", "held"],
    buttons: Array.from({ length: T + 1 }, (_, i) => T - i).map((t) => ({
      text: `New ${name(t)}`, press: (m) => m.set({ draws: anew(m.get("draws"), t), held: T - t }),
    })),
    compute: () => {
      const draws = model.get("draws"), held = model.get("held"), z = chainOf(draws), all = fans(draws, z);
      prepare(draws);
      return { held, draws, z, points: all[held].points, spreads: all.map((f) => f.spread), T };
    },
    words: ({ held, spreads }) =>
      `Held: ${held ? names(T, T + 1 - held) : "nothing"}. Drawn ${n} times: ${names(T - held, 0)}. ` +
      `These x spread by ${say(spreads[held], 2)} around their mean. ` +
      `With nothing held it would be ${spreads.map((s, h) => (h ? `with ${names(T, T + 1 - h)} ` : "") + say(s, 2)).join(", ")}.`,
    setup: ({ views }) => enlargeable(views.slice(0, T + 1), (i) => name(T - i)),
    panels: [
      ...Array.from({ length: T + 1 }, (_, i) => T - i).map((t) => ({
        label: t
          ? `The plane of ${name(t)}. Blue: the codes of data. A dot: the chain's ${name(t)}. Orange, if it is not held: other draws of it.`
          : "The plane of x. Grey: data. A dot: the chain's x. Orange: other draws of x below the levels held.",
        ratio: 1, size: 145,
        draw: (pen, { held, z, points }) => {
          const p = plane(pen, t ? 3.2 : 2.4);
          p.points(level(clouds, t), t ? pen.q : pen.data, 2, 0.35);
          if (points[t]) p.points(points[t], pen.model, 2.6, 0.8);
          p.dot(z[t], points[t] ? pen.model : pen.ink, 5);
          p.title(`${name(t)} ${points[t] ? "drawn" : "held"}`);
        },
      })),
      {
        label: "Bars: how far x spreads with nothing held, and with one level more held at each bar.", ratio: 0.1 + 0.08 * (T + 1),
        draw: (pen, { spreads, held }) => bars(pen, spreads, held),
      },
    ],
  });

  function bars({ ctx, width, height, ink, faint, model: orange }, spreads, held) {
    const top = 30, row = (height - top - 4) / spreads.length, left = 96, longest = width - left - 48;
    ctx.font = "12px system-ui, sans-serif"; ctx.fillStyle = ink; ctx.textBaseline = "middle"; ctx.textAlign = "left";
    ctx.fillText("spread of x with these held", 8, 14);
    spreads.forEach((s, h) => {
      const y = top + (h + 0.5) * row, length = (longest * s) / Math.max(...spreads);
      ctx.fillStyle = orange; ctx.globalAlpha = h === held ? 1 : 0.45;
      ctx.fillRect(left, y - row / 3, length, (2 * row) / 3);
      ctx.globalAlpha = 1; ctx.fillStyle = ink;
      ctx.fillText(h ? names(T, T + 1 - h, ", ") : "nothing", 8, y);
      ctx.fillText(say(s, 2), left + length + 6, y);
    });
    ctx.strokeStyle = faint; ctx.strokeRect(0.5, 0.5, width - 1, height - 1);
  }
}

// A button in the corner of each plane gives it the whole width, with the others in one row below it, and takes it back.
function enlargeable(views, nameOf) {
  const buttons = views.map(({ box }) => box.appendChild(document.createElement("button")));
  const show = (large) => views.forEach(({ box, size }, i) => {
    const it = i === large;
    Object.assign(box.style, { order: it ? -1 : "", flexBasis: it ? "100%" : `${large < 0 ? size : 90}px`, maxWidth: it || large < 0 ? "" : "130px" });
    buttons[i].setAttribute("aria-pressed", String(it));
    buttons[i].setAttribute("aria-label", `${nameOf(i)} ${it ? "smaller" : "larger"}`);
    buttons[i].textContent = it ? "−" : "+";
  });
  buttons.forEach((button, i) => {
    button.type = "button";
    button.style.cssText = "position: absolute; top: 3px; right: 3px; min-width: 32px; padding: 0; border-color: transparent";
    button.addEventListener("click", () => show(button.getAttribute("aria-pressed") === "true" ? -1 : i));
  });
  show(-1);
}

const name = (t) => (t ? "z" + "₀₁₂₃₄₅₆"[t] : "x");

// z₃, z₂ and z₁: the levels from `high` down to `low`
function names(high, low, last = " and ") {
  const all = Array.from({ length: high - low + 1 }, (_, i) => name(high - i));
  return all.length < 2 ? all.join("") : all.slice(0, -1).join(", ") + last + all[all.length - 1];
}

// √ mean |x − mean x|²
function spreadOf(xy, D) {
  let total = 0;
  for (let d = 0; d < D; d++) {
    let sum = 0, square = 0;
    for (let i = d; i < xy.length; i += D) sum += xy[i];
    const mean = (sum * D) / xy.length;
    for (let i = d; i < xy.length; i += D) square += (xy[i] - mean) ** 2;
    total += (square * D) / xy.length;
  }
  return Math.sqrt(total);
}

// the weights of each network, from all in a row
function split(sizes, weights) {
  let at = 0;
  return sizes.map((layers) => {
    let n = 0;
    for (let l = 1; l < layers.length; l++) n += (layers[l - 1] + 1) * layers[l];
    return weights.subarray(at, (at += n));
  });
}

export default { render };
