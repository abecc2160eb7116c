// The posterior explorer: q(xₜ₋₁|xₜ, x₀) between the x₀ and the xₜ that are dragged.

function render(context) {
  const { model } = context, limit = model.get("limit");
  const points = floats(model, "points"), beta = doubles(model, "beta"), alphaBar = doubles(model, "alpha_bar");
  const T = beta.length - 1, times = Array.from({ length: T }, (_, i) => i + 1), all = times.map((t) => posterior(beta, alphaBar, t));

  function compute() {
    const t = model.get("t"), x0 = model.get("x0"), xt = model.get("xt"), { c0, ct, variance } = all[t - 1];
    const alpha = 1 - beta[t], before = alphaBar[t - 1];
    return {
      t, x0, xt, c0, ct, variance, beta: beta[t],
      mean: [0, 1].map((d) => c0 * x0[d] + ct * xt[d]),
      prior: { mean: x0.map((v) => Math.sqrt(before) * v), variance: 1 - before }, // q(xₜ₋₁|x₀), equation (3.4)
      likelihood: { mean: xt.map((v) => v / Math.sqrt(alpha)), variance: beta[t] / alpha }, // q(xₜ|xₜ₋₁) as a function of xₜ₋₁
      share: beta[t] / (1 - alphaBar[t]), // of the posterior's precision, what q(xₜ₋₁|x₀) brings
    };
  }

  const grips = ["x0", "xt"].map((trait) => ({
    limit, name: trait === "x0" ? "x₀" : "xₜ", at: (numbers) => numbers[trait], move: (x, y) => ({ [trait]: [x, y] }),
  }));

  return mount(context, {
    reads: ["x0", "xt", "t"],
    compute,
    words: (numbers) => words(numbers, T),
    panels: [
      {
        label: "The plane with x₀ and xₜ, which can be dragged. Solid circles of one and two standard deviations show q(xₜ₋₁|xₜ, x₀); dashed circles of one standard deviation show its factors, around √ᾱₜ₋₁ x₀ and around xₜ/√αₜ.",
        ratio: 1, grips, draw: drawPlane,
        ground: (pen) => { const p = plane(pen, limit); p.points(points, pen.data, 2, 0.35); return p; },
      },
      {
        label: "Above, the coefficients of x₀ and of xₜ in the posterior's mean against t. Below, the standard deviation of the posterior and that of the forward step. Dots mark the current t.",
        ratio: 1,
        ground: (pen) => {
          const { width: w, height: h, ink, data, extra, q } = pen, left = 52, right = w - 14;
          const x = { lim: [1, T], ticks: [1, Math.round((T + 1) / 2), T] };
          const up = axes(pen, [left, 24, right, h * 0.44], { ...x, format: () => "" }, { lim: [0, 1], ticks: [0, 0.5, 1], label: "coefficient of x₀ (grey), of xₜ (green)" });
          up.curve(times, all.map((p) => p.c0), data); up.curve(times, all.map((p) => p.ct), extra);
          const low = axes(pen, [left, h * 0.56, right, h - 38], { ...x, label: "t" }, { lim: [0, 1], ticks: [0, 0.5, 1], label: "standard deviation: √β̃ₜ; dashed √βₜ" });
          low.curve(times, times.map((t) => Math.sqrt(beta[t])), ink, 1.5, [4, 4]);
          low.curve(times, all.map((p) => Math.sqrt(p.variance)), q);
          return { up, low };
        },
        draw: ({ ink, data, extra, q }, { t, c0, ct, variance }, { up, low }) => {
          up.upright(t, ink); up.mark(t, c0, data); up.mark(t, ct, extra);
          low.upright(t, ink); low.mark(t, Math.sqrt(variance), q);
        },
      },
    ],
  });
}

function drawPlane(pen, { t, x0, xt, mean, variance, prior, likelihood }, p) {
  const { ctx, ink, data, extra, q } = pen, both = (v) => [Math.sqrt(v), Math.sqrt(v)];
  ctx.save(); ctx.beginPath(); ctx.rect(1, 1, pen.width - 2, pen.height - 2); ctx.clip();
  if (t > 1) p.ellipse(prior.mean, both(prior.variance), data, 1, 1.5, [5, 4]);
  p.ellipse(likelihood.mean, both(likelihood.variance), extra, 1, 1.5, [5, 4]);
  for (const [end, colour] of [[x0, data], [xt, extra]]) {
    ctx.strokeStyle = colour; ctx.lineWidth = 1.5;
    stroke(ctx, [end, mean].map(([x, y]) => [p.X(x), p.Y(y)]));
  }
  if (t > 1) for (const times of [1, 2]) p.ellipse(mean, both(variance), q, times, 3 - times);
  ctx.restore();
  p.dot(x0, data, 8); p.dot(xt, extra, 8); p.dot(mean, q, 5);
  ctx.font = "bold 14px system-ui, sans-serif"; ctx.fillStyle = ink; ctx.textBaseline = "bottom";
  for (const [[x, y], name] of [[x0, "x₀"], [xt, "xₜ"]]) {
    const end = p.X(x) > pen.width - 34;
    ctx.textAlign = end ? "right" : "left"; ctx.fillText(name, p.X(x) + (end ? -10 : 10), Math.max(p.Y(y) - 6, 16));
  }
  ctx.font = "12px system-ui, sans-serif";
  p.title(t > 1 ? `t = ${t}: μ̃ₜ, 1σ and 2σ` : "t = 1: a point");
  ctx.textBaseline = "bottom"; ctx.fillText("dashed, 1σ: q(xₜ₋₁|x₀) grey, q(xₜ|xₜ₋₁) green", 8, pen.height - 7);
}

function words({ t, c0, ct, variance, beta, mean, share }, T) {
  const sum = `μ̃ₜ = ${say(c0)} x₀ + ${say(ct)} xₜ = (${mean.map((v) => say(v, 2)).join(", ")})`;
  if (t === 1) return `t = 1 of ${T}: ${sum}, and β̃₁ = 0. Who knows x₀ has nothing left to guess: the posterior is the point x₀ itself, wherever x₁ is.`;
  const from = share > 0.995 ? "xₜ tells next to nothing; the posterior is q(xₜ₋₁|x₀)."
    : `Of its precision ${say(100 * (1 - share), 2)} % come from xₜ, ${say(100 * share, 2)} % from x₀.`;
  return `t = ${t} of ${T}: ${sum}; β̃ₜ = ${say(variance)}, less than βₜ = ${say(beta)}. ${from}`;
}

export default { render };
