// Langevin dynamics on the roll: points after k steps of the size c s₀², with or without refusing, and E log p + H against theory.

function render(context) {
  const { model } = context;
  const density = roundMixture(doubles(model, "weights"), doubles(model, "means"), model.get("variance"));
  const means = doubles(model, "means"), s2 = model.get("variance"), H = model.get("entropy"), K = model.get("steps");
  const starts = floats(model, "starts"), n = starts.length / 6, { uniform, normal } = randoms(model.get("seed"));
  const eps = [], u = [];
  for (let k = 0; k < K; k++) { eps.push(Float64Array.from({ length: 2 * n }, normal)); u.push(Float64Array.from({ length: n }, uniform)); }
  const all = Array.from({ length: K + 1 }, (_, k) => k);
  let run = { key: "" };

  // The law across a straight strand, from the truth: v ← (1 − c)² v + 2c in units of s₀², and −½ (v − 1) nats.
  const theory = (c, adjusted) => {
    const nats = [0];
    for (let k = 0, v = 1; k < K; k++) { v = (1 - c) ** 2 * v + 2 * c; nats.push(adjusted ? 0 : -0.5 * (v - 1)); }
    return nats;
  };
  function walk(c, adjusted, start, k) {
    const key = [c, adjusted, start].join();
    if (run.key !== key) {
      const x = Float64Array.from(starts.subarray(2 * n * start, 2 * n * (start + 1)));
      run = { key, states: [{ x, at: Array.from({ length: n }, (_, i) => density(x[2 * i], x[2 * i + 1])), accepted: 1 }] };
    }
    while (run.states.length <= k) {
      const j = run.states.length - 1, { x, at } = run.states[j];
      run.states.push(langevinStep(density, x, c * s2, eps[j], adjusted ? u[j] : null, at));
    }
    return run.states;
  }

  return mount(context, {
    reads: ["c", "k", "start", "adjusted"],
    play: { trait: "k", from: () => 0, to: () => K, seconds: 8 },
    buttons: [{ text: "Accept or refuse (MALA)", trait: "adjusted" }],
    compute: () => {
      const c = model.get("c"), k = model.get("k"), start = model.get("start"), adjusted = model.get("adjusted");
      const states = walk(c, adjusted, start, k), nats = states.slice(0, k + 1).map(({ at }) => H + mean(at.map((a) => a.logP)));
      const now = states[k], logs = now.at.map((a) => a.logP), se = Math.sqrt(mean(logs.map((v) => (v + H - nats[k]) ** 2)) / n);
      const line = theory(c, adjusted), rest = adjusted ? 0 : -0.5 * (1 / (1 - c / 2) - 1);
      const before = k ? { x: states[k - 1].x, eps: eps[k - 1], u: u[k - 1] } : null;
      return { c, k, start, adjusted, x: now.x, accepted: mean(states.slice(1, k + 1).map((s) => s.accepted)), nats, se, line, rest, before };
    },
    words: ({ c, k, start, adjusted, nats, se, rest, accepted }) =>
      `${k} step${k === 1 ? "" : "s"} of c = ${say(c)}: E log p + H = ${say(nats[k], 2)} ± ${say(2 * se, 1)} nats, theory at rest ${say(rest, 2)}. ` +
      (adjusted && k ? `${Math.round(100 * accepted)} % of the proposals were accepted. ` : "") +
      (start === 1 ? "All points began at the inner end." : start === 2 ? "The points began at N(0, I)." : "The points began where data lie."),
    panels: [
      {
        label: "The points in the plane, in orange, over the curve of the roll in grey.", ratio: 1,
        draw: (pen, { x, k }) => {
          const p = plane(pen, 2.6);
          p.points(means, pen.data, 2, 0.5);
          p.points(x, pen.model);
          p.title(`${k} steps`);
        },
      },
      {
        label: "Against the number of steps: the mean exact log density plus the entropy, in orange, and theory for a straight strand, in black. Zero is right.", ratio: 1,
        draw: (pen, { nats, line, k }) => {
          const { width: w, height: h, ink, model: orange, q } = pen;
          const low = Math.min(-0.5, Math.min(...line) * 1.3), ticks = low < -2 ? [-4, -3, -2, -1, 0] : [-2, -1.5, -1, -0.5, 0];
          const a = axes(pen, [52, 30, w - 22, h - 40], { lim: [0, K], ticks: [0, K / 2, K], label: "steps" }, { lim: [low, 0.5], ticks: ticks.filter((v) => v >= low), label: "E log p + H, nats" });
          a.curve([0, K], [0, 0], q, 1, [4, 4]);
          a.curve(all.slice(0, nats.length), nats, orange, 2.5);
          a.curve(all, line, ink, 1.5);
          a.mark(k, nats[k], orange);
        },
      },
    ],
  });
}

const mean = (values) => values.reduce((sum, v) => sum + v, 0) / Math.max(values.length, 1);

export default { render };
