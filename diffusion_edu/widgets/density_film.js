// The forward process twice: the density on its grid (Fokker–Planck), and points. Beside it the KL from N(0, I), whose slope is −I.

function render(context) {
  const { model } = context;
  const density = roundMixture(doubles(model, "weights"), doubles(model, "means"), model.get("variance"));
  const taus = doubles(model, "taus"), axis = doubles(model, "axis"), error = doubles(model, "error"), n = axis.length, D = 2;
  const x0 = floats(model, "x0"), eps = floats(model, "eps"), xt = new Float32Array(x0.length), cell = (axis[1] - axis[0]) ** 2;
  const start = new Float64Array(n * n), rest = new Float64Array(n * n);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < n; j++) {
      start[i * n + j] = Math.exp(density(axis[i], axis[j]).logP);
      rest[i * n + j] = -LOG_2PI - (axis[i] ** 2 + axis[j] ** 2) / 2;
    }
  const at = (i) => {
    const tau = taus[i], p = tau > 0 ? forwardOnGrid(start, axis, tau) : start, alpha_bar = Math.exp(-2 * tau);
    let kl = 0;
    for (let c = 0; c < p.length; c++) if (p[c] > 1e-300) kl += cell * p[c] * (Math.log(p[c]) - rest[c]);
    const information = tau > 0 ? D * snr(alpha_bar) * (1 - lookup(error, logSnr(alpha_bar))) : NaN; // (6.22)
    return { i, tau, alpha_bar, p, kl, information };
  };
  const curve = Array.from(taus, (_, i) => at(i).kl).slice(1), times = Array.from(taus).slice(1);

  return mount(context, {
    reads: ["i"],
    play: { trait: "i", from: () => 0, to: () => taus.length - 1, seconds: 8 },
    compute: () => { const now = at(model.get("i")); return { ...now, xt: noised(x0, eps, now.alpha_bar, xt) }; },
    words: ({ tau, alpha_bar, kl, information }) =>
      `τ = ${say(tau)}, ᾱ = ${say(alpha_bar)}: the density is ${say(kl)} nats from N(0, I)` +
      (tau > 0 ? `, and loses ${say(information)} nats per unit of τ.` : "."),
    panels: [
      {
        label: "The density on a grid of the plane, dark where it is high: the roll blurs into a round cloud.", ratio: 1, size: 200,
        draw: (pen, { p, tau }) => {
          const view = plane(pen, 2.6), half = (axis[1] - axis[0]) / 2, top = p.reduce((a, b) => Math.max(a, b), 0);
          pen.ctx.fillStyle = pen.ink;
          for (let i = 0; i < n; i++)
            for (let j = 0; j < n; j++) {
              const share = p[i * n + j] / top;
              if (share < 0.02 || Math.abs(axis[i]) > 2.6 || Math.abs(axis[j]) > 2.6) continue;
              pen.ctx.globalAlpha = 0.9 * share;
              const left = Math.round(view.X(axis[i] - half)), up = Math.round(view.Y(axis[j] + half)); // whole pixels: no seams
              pen.ctx.fillRect(left, up, Math.round(view.X(axis[i] + half)) - left, Math.round(view.Y(axis[j] - half)) - up);
            }
          pen.ctx.globalAlpha = 1;
          view.title(`on a grid, τ = ${say(tau, 2)}`);
        },
      },
      {
        label: "Points of the same process, in blue.", ratio: 1, size: 200,
        draw: (pen, { xt }) => { const view = plane(pen, 2.6); view.points(xt, pen.q); view.title("points"); },
      },
      {
        label: "The KL divergence from N(0, I) against τ on a logarithmic axis: it falls from 1.49 nats to 0. A dashed line of the slope −I touches it at the current τ.", ratio: 1, size: 200,
        draw: (pen, { tau, kl, information }) => {
          const { width: w, height: h, ink, q } = pen, first = times[0], last = times[times.length - 1];
          const a = axes(pen, [46, 30, w - 14, h - 40], { lim: [first, last], log: true, ticks: [0.001, 0.01, 0.1, 1], label: "τ" }, { lim: [0, 1.6], ticks: [0, 0.5, 1, 1.5], label: "KL, nats; slope −I" });
          a.curve(times, curve, ink);
          if (tau > 0) {
            const near = times.filter((t) => Math.abs(Math.log(t / tau)) < 1.2);
            a.curve(near, near.map((t) => kl - tau * information * Math.log(t / tau)), q, 2, [5, 4]);
            a.mark(tau, kl, q);
          }
        },
      },
    ],
  });
}

export default { render };
