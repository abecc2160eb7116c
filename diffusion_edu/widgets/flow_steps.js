// Lines from noise to data, and steps of Euler along the flow that they make on average.

function render(context) {
  const { model } = context;
  const weights = doubles(model, "weights"), means = doubles(model, "means"), v = model.get("variance"), H = model.get("entropy");
  const start = doubles(model, "start"), data = doubles(model, "data"), ends = doubles(model, "ends"), n = start.length / 2;
  const roll = roundMixture(weights, means, v), NOISE = 20, SHOWN = 40;

  // the exact velocity (x − x̂₀)/τ, with x̂₀ by Tweedie's formula at x/c
  function velocity(tau) {
    const c = Math.hypot(1 - tau, tau), bar = 1 / (1 + Math.exp(-Math.max(-NOISE, 2 * Math.log((1 - tau) / tau))));
    const law = roundMixture(weights, Float64Array.from(means, (m) => m * Math.sqrt(bar)), bar * v + 1 - bar), root = Math.sqrt(bar);
    return (x, y) => {
      const { sx, sy } = law(x / c, y / c);
      return [(x - (x / c + (1 - bar) * sx) / root) / tau, (y - (y / c + (1 - bar) * sy) / root) / tau];
    };
  }

  function along(steps, own) {
    const states = [Float64Array.from(start)];
    for (let k = steps; k > 0; k--) {
      const x = states[states.length - 1], next = new Float64Array(2 * n), u = own ? null : velocity(k / steps);
      for (let i = 0; i < n; i++) {
        const slope = own ? [start[2 * i] - ends[2 * i], start[2 * i + 1] - ends[2 * i + 1]] : u(x[2 * i], x[2 * i + 1]);
        next[2 * i] = x[2 * i] - slope[0] / steps; next[2 * i + 1] = x[2 * i + 1] - slope[1] / steps;
      }
      states.push(next);
    }
    return states;
  }

  return mount(context, {
    reads: ["pairs", "steps"],
    play: { trait: "steps", from: () => 1, to: () => 64, seconds: 6 },
    compute: () => {
      const own = model.get("pairs") === 1, steps = model.get("steps"), states = along(steps, own), to = own ? ends : data;
      const x = states[steps], logs = Float64Array.from({ length: n }, (_, i) => roll(x[2 * i], x[2 * i + 1]).logP);
      const mean = logs.reduce((sum, l) => sum + l, 0) / n + H;
      const cost = start.reduce((sum, s, i) => sum + (s - to[i]) ** 2, 0) / n;
      return { own, steps, states, to, x, mean, cost };
    },
    words: ({ own, steps, mean, cost }) =>
      `${steps} ${steps === 1 ? "step" : "steps"}: E log p + H = ${say(mean, 3)} nats, zero is right. The lines cost E|ε − x₀|² = ${say(cost, 3)}. ` +
      (own ? "They do not cross, so the flow follows them, and one step is enough." : "Where lines cross, the flow takes the mean of their slopes."),
    panels: [
      {
        label: "Lines from points of noise, in blue, to points of data, in orange.", ratio: 1,
        draw: (pen, { to, own }) => {
          const p = plane(pen, 2.8);
          pen.ctx.strokeStyle = pen.data; pen.ctx.lineWidth = 1;
          for (let i = 0; i < Math.min(SHOWN, n); i++) stroke(pen.ctx, [[p.X(start[2 * i]), p.Y(start[2 * i + 1])], [p.X(to[2 * i]), p.Y(to[2 * i + 1])]]);
          p.points(start.subarray(0, 2 * SHOWN), pen.q, 3);
          p.points(to.subarray(0, 2 * SHOWN), pen.model, 3);
          p.title(own ? "lines to the flow's own ends" : "lines, joined at random");
        },
      },
      {
        label: "The same noise taken along the flow in steps, as grey polygons, and where it ends, in orange, over the curve of the roll.", ratio: 1,
        draw: (pen, { states, x, steps }) => {
          const p = plane(pen, 2.8);
          pen.ctx.strokeStyle = pen.data; pen.ctx.lineWidth = 1;
          for (let i = 0; i < Math.min(SHOWN, n); i++) stroke(pen.ctx, states.map((s) => [p.X(s[2 * i]), p.Y(s[2 * i + 1])]));
          p.points(means, pen.data, 1.5, 0.6);
          p.points(x, pen.model, 3);
          p.title(`${steps} ${steps === 1 ? "step" : "steps"} of Euler`);
        },
      },
    ],
  });
}

export default { render };
