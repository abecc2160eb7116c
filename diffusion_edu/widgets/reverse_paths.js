// From noise to the roll with any amount η of noise on the way: the same start and the same ε for every η, and one law.

function render(context) {
  const { model } = context;
  const weights = doubles(model, "weights"), means = doubles(model, "means"), v = model.get("variance");
  const levels = doubles(model, "levels"), entropies = doubles(model, "entropies"), start = doubles(model, "start");
  const n = start.length / 2, N = levels.length - 1, SHOWN = 5, { normal } = randoms(model.get("seed"));
  const eps = Array.from({ length: N }, () => Float64Array.from({ length: 2 * n }, normal));
  const sigmoid = (x) => 1 / (1 + Math.exp(-x));
  const curve = (l) => Float64Array.from(means, (m) => m * Math.sqrt(sigmoid(l)));
  const laws = Array.from(levels, (l) => roundMixture(weights, curve(l), sigmoid(l) * v + sigmoid(-l)));
  let run = { key: null };

  // x + h ½(1−ᾱ)(x + (1 + η²) s) + η √((1−ᾱ) h) ε, one step after the other up to number i; and log p less the drift's divergence
  function walk(eta, i) {
    const look = (x, j) => Array.from({ length: n }, (_, k) => laws[j](x[2 * k], x[2 * k + 1]));
    const spread = (at, j) => 0.5 * sigmoid(-levels[j]) * (2 + (1 + eta * eta) * at.div);
    if (run.key !== eta) {
      const at = look(start, 0);
      run = { key: eta, states: [{ x: Float64Array.from(start), at, sum: at.map((a) => a.logP) }] };
    }
    while (run.states.length <= i) {
      const j = run.states.length - 1, { x, at, sum } = run.states[j], h = levels[j + 1] - levels[j], rate = sigmoid(-levels[j]);
      const next = new Float64Array(2 * n), shake = eta * Math.sqrt(rate * h), push = 1 + eta * eta;
      for (let k = 0; k < n; k++) {
        next[2 * k] = x[2 * k] + 0.5 * h * rate * (x[2 * k] + push * at[k].sx) + shake * eps[j][2 * k];
        next[2 * k + 1] = x[2 * k + 1] + 0.5 * h * rate * (x[2 * k + 1] + push * at[k].sy) + shake * eps[j][2 * k + 1];
      }
      const there = look(next, j + 1);
      run.states.push({ x: next, at: there, sum: sum.map((v, k) => v - 0.5 * h * (spread(at[k], j) + spread(there[k], j + 1))) });
    }
    return run.states;
  }

  return mount(context, {
    reads: ["eta", "i"],
    play: { trait: "i", from: () => 0, to: () => N, seconds: 8 },
    compute: () => {
      const eta = model.get("eta"), i = model.get("i"), states = walk(eta, i), now = states[i];
      const nats = states.slice(0, i + 1).map(({ at }, j) => entropies[j] + mean(at.map((a) => a.logP)));
      const se = Math.sqrt(mean(now.at.map((a) => (a.logP + entropies[i] - nats[i]) ** 2)) / n);
      const paths = Array.from({ length: SHOWN }, (_, k) => states.slice(0, i + 1).map(({ x }) => [x[2 * k], x[2 * k + 1]]));
      const before = i ? { x: states[i - 1].x, eps: eps[i - 1] } : null;
      const exact = now.at.map((a) => a.logP);
      return { eta, i, level: levels[i], x: now.x, nats, se, paths, before, exact, sum: now.sum };
    },
    words: ({ eta, level, nats, se, i }) =>
      `At log SNR ${say(level)} with η = ${say(eta)}: E log p + H = ${say(nats[i], 2)} ± ${say(2 * se, 2)} nats. Zero is right, for every η. ` +
      (eta === 0
        ? "Without noise each point keeps to one smooth way, and what the drift spreads out on it gives log p itself."
        : "The same noise is on the way for every η, only its size differs. With noise the spreading alone does not give log p."),
    panels: [
      {
        label: "The points in the plane, in orange, over the curve of the roll in grey, with the paths of five of them in blue.", ratio: 1, size: 200,
        draw: (pen, { x, paths, level }) => {
          const p = plane(pen, 2.8);
          p.points(curve(level), pen.data, 2, 0.5);
          p.points(x, pen.model);
          pen.ctx.strokeStyle = pen.q; pen.ctx.lineWidth = 1.2;
          for (const path of paths) stroke(pen.ctx, path.map(([a, b]) => [p.X(a), p.Y(b)]));
          for (const path of paths) p.dot(path[path.length - 1], pen.q, 4);
          p.title(`log SNR ${say(level)}`);
        },
      },
      {
        label: "Against log SNR: the mean exact log density of the points plus the entropy of that level, in orange. Zero, in black, is right.", ratio: 1, size: 200,
        draw: (pen, { nats, i }) => {
          const { width: w, height: h, ink, model: orange } = pen;
          const lim = [levels[0], levels[N]];
          const a = axes(pen, [46, 30, w - 14, h - 40], { lim, ticks: [-4, 0, 4, 8], label: "log SNR" }, { lim: [-1, 1], ticks: [-1, -0.5, 0, 0.5, 1], label: "E log p + H, nats" });
          a.curve(lim, [0, 0], ink, 1.5);
          a.curve(Array.from(levels).slice(0, nats.length), nats.map((v) => Math.max(-1, Math.min(1, v))), orange, 2.5);
          a.mark(levels[i], Math.max(-1, Math.min(1, nats[i])), orange);
        },
      },
      {
        label: "Each point's log density as the path adds it up, against the exact one. Without noise the dots lie on the diagonal, with noise they leave it.", ratio: 1, size: 200,
        draw: (pen, { exact, sum }) => {
          const { width: w, height: h, ink, model: orange } = pen, held = (v, top) => Math.max(-8, Math.min(top, v));
          const xs = { lim: [-8, 2], ticks: [-8, -4, 0], label: "exact log p, nats" };
          const a = axes(pen, [46, 30, w - 14, h - 40], xs, { lim: [-8, 12], ticks: [-8, -4, 0, 4, 8], label: "by the path (7.10), nats" });
          a.curve(xs.lim, xs.lim, ink, 1.5);
          exact.forEach((v, k) => a.mark(held(v, 2), held(sum[k], 12), orange, 2.5));
        },
      },
    ],
  });
}

const mean = (values) => values.reduce((sum, v) => sum + v, 0) / Math.max(values.length, 1);

export default { render };
