// The reverse process, replayed: recorded runs of a network and of the exact denoiser, from the same noise.

// Table `number` of those that Packed (reverse_film.py) put into a trait: `length` int8 with one scale.
function tables(model, name, length) {
  const values = view(model, name, Int8Array), scales = floats(model, name + "_scales");
  return (number) => Float32Array.from(values.subarray(number * length, (number + 1) * length), (v) => v * scales[number]);
}

// Which frame a run shows at a level of the clock: x_T at its start, x₀ at its end, else the last that is not above it.
function frameAt(logSnr, level, first, last) {
  if (level <= first) return 0;
  if (level >= last) return logSnr.length;
  let k = 0;
  while (k + 1 < logSnr.length && logSnr[k + 1] <= level) k++;
  return k;
}

// E[ε|x_t] = −√(1−ᾱ) ∇ log p(x_t) at points (x, y, x, y, …), by the mixture's K rows of weight, mean, variance
// (oracles.py, Mixture.eps_mean).
function mixtureEps(parts, alphaBar, xy) {
  const K = parts.length / 4, root = Math.sqrt(alphaBar), noise = Math.sqrt(1 - alphaBar);
  const mx = new Float64Array(K), my = new Float64Array(K), inverse = new Float64Array(K), logs = new Float64Array(K);
  for (let k = 0; k < K; k++) {
    const variance = alphaBar * parts[4 * k + 3] + 1 - alphaBar;
    mx[k] = root * parts[4 * k + 1]; my[k] = root * parts[4 * k + 2];
    inverse[k] = 1 / variance; logs[k] = Math.log(parts[4 * k]) - Math.log(variance);
  }
  const out = new Float64Array(xy.length), terms = new Float64Array(K);
  for (let i = 0; i < xy.length; i += 2) {
    let top = -Infinity, sum = 0, sx = 0, sy = 0;
    for (let k = 0; k < K; k++) {
      const dx = mx[k] - xy[i], dy = my[k] - xy[i + 1];
      terms[k] = logs[k] - 0.5 * inverse[k] * (dx * dx + dy * dy);
      if (terms[k] > top) top = terms[k];
    }
    for (let k = 0; k < K; k++) {
      if (terms[k] < top - 40) continue; // less than a part in 10¹⁷
      const r = Math.exp(terms[k] - top);
      sum += r; sx += r * inverse[k] * (mx[k] - xy[i]); sy += r * inverse[k] * (my[k] - xy[i + 1]);
    }
    out[i] = (-noise * sx) / sum; out[i + 1] = (-noise * sy) / sum;
  }
  return out;
}

// Along the roll from inside to outside, blue over green to orange (films/draw.py): colour number 0 … n − 1 of n.
function alongRoll({ q, extra, model }, i, n) {
  const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)), stops = [q, extra, model].map(rgb);
  const u = (2 * i) / (n - 1), k = Math.min(Math.floor(u), 1);
  return `rgb(${stops[k].map((c, j) => Math.round(c + (u - k) * (stops[k + 1][j] - c))).join(", ")})`;
}

const LIMIT = 3.2, TRAILS = 16, SHADES = 12; // half the width of the picture; how many points leave a trail

function render(context) {
  const { model } = context;
  const films = model.get("films"), about = model.get("about"), parts = doubles(model, "mixture"), grid = about.grid;
  const count = model.get("states").byteLength / (model.get("states_scales").byteLength / 4);
  const state = tables(model, "states", count), learnedField = tables(model, "fields", grid.length);
  const curve = []; // the mixture's means, but none nearer than 0.04 to the one before
  for (let k = 0; k < parts.length; k += 4)
    if (!curve.length || Math.hypot(parts[k + 1] - curve.at(-2), parts[k + 2] - curve.at(-1)) > 0.04) curve.push(parts[k + 1], parts[k + 2]);
  const kept = new Map();
  const keep = (key, make) => kept.get(key) || (kept.set(key, make()), kept.get(key));
  // Which of the SHADES each point has: by the place on the curve that is nearest to where it ends.
  const shadesOf = (xy) => Array.from({ length: xy.length / 2 }, (_, i) => {
    let best = 0, near = Infinity;
    for (let k = 0; k < curve.length; k += 2) {
      const d = (curve[k] - xy[2 * i]) ** 2 + (curve[k + 1] - xy[2 * i + 1]) ** 2;
      if (d < near) { near = d; best = k; }
    }
    return Math.floor((best / curve.length) * SHADES);
  });
  const percent = (share) => say(100 * share, 2) + " %";

  function compute() {
    const at = { schedule: model.get("schedule"), steps: model.get("steps"), level: model.get("level") };
    const film = films[at.schedule][at.steps], k = frameAt(film.log_snr, at.level, about.first, about.last);
    const now = { ...at, film, k, name: about.names[at.schedule], t: film.t[k], done: film.done[k], apart: film.apart[k] };
    now.trails = model.get("trails"); now.field = model.get("field");
    for (const side of ["learned", "exact"])
      now[side] = film[side].slice(0, k + 1).map((number) => keep("s" + number, () => state(number)));
    now.shades = Object.fromEntries(["learned", "exact"].map((side) => [side, keep("c" + film[side].at(-1), () => shadesOf(state(film[side].at(-1))))]));
    if (now.field) {
      const j = Math.min(k, film.field.length - 1); // at t = 0 the field of the last step
      now.learnedField = keep("l" + film.field[j], () => learnedField(film.field[j]));
      now.exactField = keep("e" + film.field[j], () => mixtureEps(parts, film.alpha_bar[j], grid));
      now.epsApart = film.eps_apart[j];
    }
    return now;
  }

  function words(now) {
    const arrows = now.field ? `At the learned points ε̂ and E[ε|x_t], the arrows, are ${say(now.epsApart, 2)} apart (root mean square). A step goes against them. ` : "";
    return arrows + story(now);
  }
  function story({ film, name, k, t, done, level, apart }) {
    const head = `Schedule ${name}, ${film.steps} steps (T = ${film.T}). `;
    if (k === 0)
      return head + (film.log_snr[0] > level
        ? `Its chain begins at log SNR ${say(film.log_snr[0], 2)}, so at log SNR ${say(level, 2)} all points still wait as noise from N(0, I).`
        : "Both sides begin with the same noise from N(0, I) and will take the same noise in each step.");
    if (t > 0)
      return head + `After step ${done}: t = ${t}, log SNR ${say(film.log_snr[k], 2)}. The learned points are ${say(apart, 2)} away from the exact ones (root mean square).`;
    const { mean_log_p: p, outlier_share: off } = film, exact = -about.entropy - p.exact, learned = p.exact - p.learned;
    const verdict = off.exact > 0.02 ? "Even the exact denoiser misses the roll: the steps are too long, the network is not to blame. "
      : off.learned > 0.01 ? "Most of what is lost is the network's. " : "Both ends look like the data. ";
    return verdict + head + `Done. Learned: mean log p(x₀) = ${say(p.learned)} nats, ${percent(off.learned)} off the roll; ` +
      `exact: ${say(p.exact)} nats, ${percent(off.exact)}; true points: ${say(-about.entropy)} nats, 0.1 %.`;
  }

  function side(key, label) {
    return {
      label, ratio: 1,
      draw: (pen, now) => {
        const { ctx, faint, ink } = pen, p = plane(pen, LIMIT), xs = now[key], colour = key === "learned" ? pen.model : ink;
        p.points(curve, faint, 2, 1);
        if (now.field) arrows(ctx, p, grid, now[key + "Field"], pen.q);
        if (now.trails && xs.length > 1) {
          ctx.strokeStyle = colour; ctx.lineWidth = 1; ctx.globalAlpha = 0.6; ctx.beginPath();
          for (let i = 0; i < 2 * TRAILS && i < count; i += 2)
            for (let k = 0; k < xs.length; k++) ctx[k ? "lineTo" : "moveTo"](p.X(xs[k][i]), p.Y(xs[k][i + 1]));
          ctx.stroke(); ctx.globalAlpha = 1;
        }
        const last = xs[xs.length - 1], shades = now.shades[key];
        for (let shade = 0; shade < SHADES; shade++) {
          const own = [], large = [];
          shades.forEach((s, i) => s === shade && (now.trails && i < TRAILS ? large : own).push(last[2 * i], last[2 * i + 1]));
          p.points(own, alongRoll(pen, shade, SHADES), 3.6, 0.9);
          p.points(large, alongRoll(pen, shade, SHADES), 6.5, 1);
        }
        p.title(`${key}, t = ${now.t}`);
      },
    };
  }

  return mount(context, {
    reads: ["level", "schedule", "steps", "trails", "field"],
    play: { trait: "level", from: () => about.first, to: () => about.last, seconds: 8, grid: about.step },
    buttons: [{ text: "Trails", trait: "trails" }, { text: "Field of ε", trait: "field" }],
    compute, words,
    panels: [
      side("learned", "Points of the network's reverse run: from a round cloud of noise to the swiss roll, which is drawn faintly."),
      side("exact", "The same for the exact denoiser, from the same noise."),
    ],
  });
}

// The field (u, v, u, v, …) at the grid's points; an arrow for |ε| = 1 is 0.16 long, none is longer than 0.45.
function arrows(ctx, p, grid, field, colour) {
  ctx.strokeStyle = colour; ctx.lineWidth = 1.2; ctx.globalAlpha = 0.7; ctx.beginPath();
  for (let i = 0; i < grid.length; i += 2) {
    const size = Math.hypot(field[i], field[i + 1]), scale = Math.min(0.16, 0.45 / size);
    const x = p.X(grid[i]), y = p.Y(grid[i + 1]), u = field[i] * scale * p.scale, v = -field[i + 1] * scale * p.scale;
    ctx.moveTo(x, y); ctx.lineTo(x + u, y + v);
    ctx.lineTo(x + 0.7 * u - 0.15 * v, y + 0.7 * v + 0.15 * u);
    ctx.moveTo(x + u, y + v); ctx.lineTo(x + 0.7 * u + 0.15 * v, y + 0.7 * v - 0.15 * u);
  }
  ctx.stroke(); ctx.globalAlpha = 1;
}

export default { render };
