// The bound explorer: the terms of the exact denoiser's bound, and what they leave above the entropy.

const SIGMAS = ["best", "β", "β̃"], FINE = 5; // above log SNR 5 the noise is fainter than the roll is thick
const NAMES = ["cosine", "linear, β ∝ 1/T", "sigmoid, β ∝ 1/T", "linear with the β of Ho et al."];
const LENGTHS = [10, 13, 16, 21, 25, 30, 40, 50, 65, 80, 100, 130, 160, 200, 250, 320, 400, 500, 650, 800, 1000];
// the slider is logarithmic, in steps of a tenth of a decade: the nearest of these
const lengthNear = (T) => LENGTHS.reduce((best, n) => (Math.abs(Math.log(n / T)) < Math.abs(Math.log(best / T)) ? n : best));

// null where β would not be below 1
function build(schedule, T) {
  if (schedule === 0) return betas("cosine", T);
  if (schedule === 3) return betas("linear", T, 1e-4, 0.02);
  return T > 20 ? betas(schedule === 1 ? "linear" : "sigmoid", T, 0.1 / T, 20 / T) : null;
}

// Adds a step's nats to the places above FINE, from 0 to FINE, below 0, in the shares of its way from `low` to `high`.
function spread(places, nats, low, high) {
  const above = (edge) => Math.min(Math.max((high - edge) / (high - low), 0), 1), fine = above(FINE), middle = above(0);
  places[0] += nats * fine; places[1] += nats * (middle - fine); places[2] += nats * (1 - middle);
}

function render(context) {
  const { model } = context, D = 2, entropy = model.get("entropy"), square = model.get("square");
  const error = doubles(model, "error"), aggregate = doubles(model, "aggregate"), known = new Map();

  // The terms at one T, added up by where they sit on the log SNR axis.
  function terms(schedule, T, sigma) {
    const beta = build(schedule, T);
    if (!beta) return null;
    const alphaBar = alphaBars(beta), log_snr = Float64Array.from(alphaBar, logSnr), L = boundTerms(beta, alphaBar, sigma, error, square, D);
    const bands = [0, 0, 0];
    for (let t = 2; t <= T; t++) spread(bands, L[t - 1], log_snr[t], log_snr[t - 1]);
    const total = L.reduce((sum, v) => sum + v, 0);
    return { T, L, bands, log_snr, L_0: L[0], L_T: L[T], alpha_bar_T: alphaBar[T], neg_elbo: total, gap: total - entropy };
  }
  // What each place pays of the gap: a term less the information that its step must bring; the decoder counts as fine.
  function prices({ L, log_snr, T }) {
    const information = (l) => 0.5 * D * Math.log1p(Math.exp(l)) - lookup(aggregate, l);
    const paid = [L[0] - entropy + information(log_snr[1]), 0, 0, L[T] - information(log_snr[T])];
    for (let t = 2; t <= T; t++) spread(paid, L[t - 1] - information(log_snr[t - 1]) + information(log_snr[t]), log_snr[t], log_snr[t - 1]);
    return paid;
  }
  function againstT(schedule) {
    if (!known.has(schedule)) known.set(schedule, SIGMAS.map((sigma) => LENGTHS.map((T) => terms(schedule, T, sigma)).filter(Boolean)));
    return known.get(schedule);
  }

  function compute() {
    const schedule = model.get("schedule"), sigma = SIGMAS[model.get("sigma")], T = lengthNear(model.get("T")), all = againstT(schedule);
    const now = terms(schedule, T, sigma), saved = now && now.gap - (sigma === "best" ? now : terms(schedule, T, "best")).gap;
    return { schedule, sigma, T, now, saved, entropy, prices: now && prices(now), stack: all[model.get("sigma")], curves: all.map((rows) => rows.map((r) => r.gap)) };
  }

  return mount(context, {
    reads: ["schedule", "sigma", "T"],
    compute, words,
    panels: [
      {
        label: "The negative bound against T, stacked: from L₀, below zero, up by the KL terms at high, middle and low signal-to-noise ratio and by L_T. A black line marks the entropy H, an upright the chosen T.",
        ratio: 0.95, size: 250, draw: drawStack,
      },
      {
        label: "Nats per unit of log SNR: a box for each KL term of the chosen chain, from the log SNR after its step to the one before. A black line shows what infinitely many small steps would cost; what sticks out above it is the price of the steps.",
        ratio: 0.95, size: 250, draw: (pen, numbers) => drawRate(pen, numbers, (l) => (0.5 * D * lookup(error, l)) / (1 + Math.exp(-l))),
      },
      {
        label: "The gap between the negative bound and the entropy, in nats, against T on logarithmic axes, for three choices of the reverse variance. A dot marks the chosen one.",
        ratio: 0.6, size: 420, draw: drawGaps,
      },
    ],
  });
}

const T_AXIS = { lim: [10, 1000], log: true, ticks: [10, 100, 1000], label: "T" };

function drawStack(pen, { stack, T, entropy }) {
  const { ctx, width: w, height: h, ink, model, error } = pen;
  const edges = stack.map(({ L_0, L_T, bands: [fine, middle, coarse] }) => [L_0, L_0 + fine, L_0 + fine + middle, L_0 + fine + middle + coarse, L_0 + fine + middle + coarse + L_T]);
  const layers = [[model, 0.85, "KLs, log SNR > 5"], [model, 0.5, "KLs, 0 to 5"], [model, 0.22, "KLs, below 0"], [error, 0.8, "L_T"]];
  const highest = Math.max(...edges.map((e) => e[4])), top = highest < 5 ? 5 : Math.ceil(highest / 4) * 4;
  const a = axes(pen, [44, 24, w - 20, h - 38], T_AXIS, { lim: [-8, top], ticks: [-8, -4, 0, 4, 8, 12, 16, 20].filter((v) => v <= top), label: "nats: from L₀ up to −ELBO" });
  ctx.save(); ctx.beginPath(); ctx.rect(44, 24, w - 64, h - 62); ctx.clip();
  layers.forEach(([colour, alpha], k) => {
    ctx.fillStyle = colour; ctx.globalAlpha = alpha; ctx.beginPath();
    stack.forEach((s, i) => ctx[i ? "lineTo" : "moveTo"](a.X(s.T), a.Y(edges[i][k])));
    for (let i = stack.length - 1; i >= 0; i--) ctx.lineTo(a.X(stack[i].T), a.Y(edges[i][k + 1]));
    ctx.fill();
  });
  ctx.restore();
  const Ts = stack.map((s) => s.T);
  a.curve(Ts, edges.map((e) => e[0]), model, 2);
  a.curve([10, 1000], [entropy, entropy], ink, 2);
  a.upright(T, ink);
  ctx.fillStyle = ink; ctx.textAlign = "right"; ctx.textBaseline = "middle";
  layers.forEach(([, , name], k) => {
    const right = k === 3 ? Math.min(9, stack.length - 1) : stack.length - 1, i = Math.max(right - 3, 0); // L_T is large on the left
    const [low, high] = [edges[i][k], edges[i][k + 1]].map(a.Y);
    if (low - high > 12 && low + high > 80) plate(pen, name, a.X(stack[right].T) - 6, (low + high) / 2);
  });
  plate(pen, "L₀", a.X(stack.at(-6).T), Math.min(a.Y(edges.at(-6)[0]) + 12, h - 50));
  ctx.textAlign = T > 300 ? "right" : "left"; plate(pen, `T = ${T}`, a.X(T) + (T > 300 ? -6 : 6), h - 50);
  ctx.textAlign = "left"; plate(pen, "H", a.X(10) + 6, a.Y(entropy) - 11);
}

function drawRate(pen, { now, T }, rate) {
  const { ctx, width: w, height: h, ink, model } = pen, low = -8, high = 14, top = 2.4, x = Array.from({ length: 177 }, (_, i) => low + i / 8);
  const a = axes(pen, [44, 24, w - 20, h - 38], { lim: [low, high], ticks: [-5, 0, 5, 10], label: "log SNR: noise … data" }, { lim: [0, top], ticks: [0, 1, 2], label: "nats per unit of log SNR" });
  if (now) {
    const { L, log_snr } = now;
    ctx.save(); ctx.beginPath(); ctx.rect(44, 24, w - 64, h - 62); ctx.clip();
    ctx.fillStyle = model; ctx.globalAlpha = 0.45; ctx.strokeStyle = model; ctx.lineWidth = 1; ctx.beginPath();
    for (let t = T; t >= 2; t--) {
      const [from, to] = [a.X(log_snr[t]), a.X(log_snr[t - 1])], y = a.Y(L[t - 1] / (log_snr[t - 1] - log_snr[t]));
      ctx.rect(from, y, to - from, h - 38 - y);
    }
    ctx.fill(); ctx.globalAlpha = 1; if (T <= 30) ctx.stroke();
    ctx.restore();
    const first = log_snr[1];
    ctx.fillStyle = ink; ctx.textAlign = "left"; ctx.textBaseline = "top"; ctx.fillText("L₀ →", a.X(first) + 5, 28);
    ctx.setLineDash([4, 4]); a.upright(first, ink); ctx.setLineDash([]);
  }
  a.curve(x, x.map(rate), ink, 2);
}

function drawGaps(pen, { T, now, curves, stack, sigma }) {
  const { width: w, height: h, ink, model, extra, error } = pen, colours = [model, extra, error];
  const a = axes(pen, [52, 24, w - 20, h - 38], T_AXIS, { lim: [2e-3, 10], log: true, ticks: [0.01, 0.1, 1, 10], label: "−ELBO − H, nats" });
  a.upright(T, ink);
  curves.forEach((y, i) => a.curve(stack.map((s) => s.T), y, colours[i], SIGMAS[i] === sigma ? 3 : 1.5));
  const end = stack[stack.length - 1].T;
  a.note("σ² = β̃", end, curves[2].at(-1) * 1.25, error, "right"); a.note("β", end, curves[1].at(-1) * 1.25, extra, "right");
  pen.ctx.textBaseline = "top"; pen.ctx.fillStyle = model; pen.ctx.fillText("best", a.X(end), a.Y(curves[0].at(-1)) + 8);
  const i = SIGMAS.indexOf(sigma);
  if (now) a.mark(T, now.gap, colours[i]);
}

function words({ schedule, sigma, T, now, saved, entropy, prices }) {
  if (!now) return `${NAMES[schedule]}, T = ${T}: β_T = 20/T is not below 1. This schedule needs T above 20.`;
  const sum = now.bands.reduce((a, b) => a + b, 0), H = say(entropy, 4);
  const head = `${say(now.gap)} nats above H = ${H}.`, how = sigma === "best" ? "the best" : "= " + sigma;
  const rest = ` ${NAMES[schedule]}, T = ${T}, σ² ${how}: L₀ ${say(now.L_0)}, Σ Lₜ₋₁ ${say(sum)}, L_T ${say(now.L_T)}; −ELBO = ${say(now.neg_elbo, 4)} nats.`;
  const places = ["where log SNR > 5 and in the decoder", "at log SNR 0 to 5", "at log SNR below 0", "because x_T is not N(0, I)"];
  const most = prices.indexOf(Math.max(...prices));
  const more = [` Of the gap, ${say(Math.min(prices[most], now.gap))} are paid ${places[most]}.`];
  if (sigma === "β̃") more.push(` The best σ² would save ${say(saved)} nats.`);
  if (now.L_T > 0.05) more.unshift(` Warning: ᾱ_T = ${say(now.alpha_bar_T)}, x_T is not yet noise. Of L_T, ${say(Math.max(prices[3], 0), 2)} nats are lost; the rest is what x_T still knows of x₀.`);
  return head + more.join("") + rest;
}

export default { render };
