// An image whose details leave at t*: what is seen of it there, what it costs and what it saves.

function render(context) {
  const { model } = context, T = model.get("T");
  const y = doubles(model, "y"), eps = doubles(model, "eps"), fresh = doubles(model, "fresh"), W = doubles(model, "transform");
  const squares = doubles(model, "squares"), times = doubles(model, "times"), bars = doubles(model, "alpha_bar"), above = doubles(model, "above");
  const D = y.length, side = Math.round(Math.sqrt(D)), coarse = D - squares.length, HIGH = 4;

  // (11.6): the mean divergence of the leaving coordinates from N(0, 1), less their own terms above
  const pays = (bar) => 0.5 * squares.reduce((sum, s) => sum + bar * s - bar - Math.log1p(-bar), 0);
  const saves = (t) => (squares.length / D) * (1 - t / T);
  const cost = Float64Array.from(bars, (bar, i) => pays(bar) - above[i]), saved = Float64Array.from(times, saves);

  // the image of coefficients c: the transform is orthonormal, so its inverse is its transpose
  const image = (c) => Float64Array.from({ length: D }, (_, i) => c.reduce((sum, v, k) => sum + v * W[k * D + i], 0));

  return mount(context, {
    reads: ["t_star"],
    play: { trait: "t_star", from: () => times[0], to: () => times[times.length - 1], seconds: 6, grid: times[1] - times[0] },
    compute: () => {
      const t = model.get("t_star");
      let at = 0;
      times.forEach((v, i) => { if (Math.abs(v - t) < Math.abs(times[at] - t)) at = i; });
      const bar = bars[at], whole = Float64Array.from(y, (v, k) => Math.sqrt(bar) * v + Math.sqrt(1 - bar) * eps[k]);
      const left = whole.map((v, k) => (k < coarse ? v : fresh[k - coarse]));
      return { t: times[at], at, pays: pays(bar), above: above[at], cost: cost[at], saved: saved[at], log_snr: logSnr(bar), with: image(whole), without: image(left) };
    },
    words: ({ t, pays, above, cost, saved, log_snr }) =>
      `t* = ${t}, log SNR ${say(log_snr)}: leaving pays ${say(pays)} nats and saves ${say(above)} of terms, so it costs ${say(cost)}. ` +
      `${(100 * saved).toFixed(0)} % of the work is saved.`,
    panels: [
      {
        label: "Two images of grey cells: x at t* with its own details, and with fresh noise in their place.", ratio: 0.58,
        draw: (pen, now) => {
          const { ctx, width, ink } = pen, gap = 12, cell = (width - gap) / (2 * side);
          [now.with, now.without].forEach((pixels, k) => {
            const x = k * (side * cell + gap);
            pixels.forEach((v, i) => {
              const grey = Math.round(255 * Math.min(1, Math.max(0, (v + 2.5) / 5)));
              ctx.fillStyle = `rgb(${grey},${grey},${grey})`;
              ctx.fillRect(x + (i % side) * cell, 24 + Math.floor(i / side) * cell, cell + 0.5, cell + 0.5);
            });
            ctx.fillStyle = ink; ctx.font = "12px system-ui, sans-serif"; ctx.textAlign = "left"; ctx.textBaseline = "top";
            ctx.fillText(k ? "details from N(0, I)" : "with its own details", x + 2, 5);
          });
        },
      },
      {
        label: "The cost in nats against the share of the work that is saved, a rising curve, with a dot at t*.", ratio: 0.72,
        draw: (pen, now) => {
          const { width: w, height: h, model: orange, ink } = pen;
          const a = axes(pen, [46, 28, w - 16, h - 44], { lim: [0, 55], ticks: [0, 15, 30, 45], label: "work saved, %" }, { lim: [-0.2, HIGH], ticks: [0, 1, 2, 3, 4], label: "cost, nats" });
          a.curve([0, 55], [0, 0], ink, 1);
          a.curve(saved.map((v) => 100 * v), cost, orange, 2.5);
          a.mark(100 * now.saved, now.cost, orange, 6);
        },
      },
    ],
  });
}

export default { render };
