// The schedule explorer: β, ᾱ and log SNR of the schedule that the controls name, the points at one time, the end in nats.

const PRESETS = {
  "Ho et al., T = 1000": { kind: 1, T: 1000, beta_1: 1e-4, beta_T: 0.02 },
  "the same β, T = 100": { kind: 1, T: 100, beta_1: 1e-4, beta_T: 0.02 },
  "ᾱ_T ≈ 0.6, as in many toy models": { kind: 0, T: 100, beta_T: 0.005 },
};

function render(context) {
  const { model } = context, D = 2;
  const roll = floats(model, "x0"), eps = floats(model, "eps"), aggregate = doubles(model, "aggregate");
  const stretch = model.get("stretch"), shift = model.get("shift"), xt = new Float32Array(roll.length);
  const small = roll.map((v, i) => stretch * v + shift[i % 2]);
  const smallSquare = stretch ** 2 * model.get("square") + shift[0] ** 2 + shift[1] ** 2; // the roll's own mean is 0

  function compute() {
    const T = model.get("T"), kind = KINDS[model.get("kind")], tenth = model.get("tenth");
    const [beta_1, beta_T] = ["beta_1", "beta_T"].map((name) => Number(model.get(name).toPrecision(2))); // what the slider reads
    const beta = betas(kind, T, beta_1, beta_T), alphaBar = alphaBars(beta), log_snr = Float64Array.from(alphaBar, logSnr);
    const t = Math.round(model.get("fraction") * T), end = alphaBar[T], square = tenth ? smallSquare : model.get("square");
    const L_T = klFromNoise(end, square, D), mismatch = Math.max(klOfMarginal(aggregate, end, square, D, tenth ? stretch : 1), 0);
    return { kind, T, t, tenth, beta_1, beta_T, beta, alpha_bar: alphaBar, log_snr, L_T, mismatch, xt: noised(tenth ? small : roll, eps, alphaBar[t], xt) };
  }

  return mount(context, {
    reads: ["kind", "T", "beta_1", "beta_T", "fraction", "tenth"],
    compute, words,
    idle: ({ kind }) => (kind === "cosine" ? ["β₁", "β_T"] : kind === "constant" ? ["β₁"] : []),
    play: { trait: "fraction", from: () => 0, to: () => 1, seconds: 6, grid: 0.005 },
    buttons: [
      ...Object.entries(PRESETS).map(([text, traits]) => ({ text, press: (m) => m.set(traits) })),
      { text: "roll ÷ 10, not centred", trait: "tenth" },
    ],
    panels: [
      {
        label: "Three curves against t/T, one below the other: β on a logarithmic axis, ᾱ from 0 to 1, and log SNR. A dot on each marks the chosen time.",
        ratio: 1.15, draw: drawCurves,
      },
      {
        label: "The points at the chosen time, in the plane. Two circles, one and two standard deviations around 0, show where N(0, I) has its points.",
        ratio: 1, draw: drawPoints,
      },
    ],
  });
}

function drawCurves(pen, { T, t, beta, alpha_bar, log_snr }) {
  const { width: w, height: h, ink, q, model, extra } = pen, left = 52, right = w - 12, x = Array.from(beta, (_, i) => i / T);
  const row = (k) => [left, 22 + k * (h - 20) / 3, right, (k + 1) * (h - 20) / 3 - 14];
  const time = { lim: [0, 1], ticks: [0, 0.5, 1], format: () => "" };
  const charts = [
    [beta, { lim: [1e-5, 1], log: true, ticks: [1e-4, 1e-2, 1], label: "β, noise added by a step" }, model, 1],
    [alpha_bar, { lim: [0, 1], ticks: [0, 0.5, 1], label: "ᾱ, share of signal" }, q, 0],
    [log_snr, { lim: [-12, 12], ticks: [-10, 0, 10], label: "log SNR" }, extra, 1],
  ];
  charts.forEach(([y, axis, colour, first], k) => {
    const last = k === 2 ? { ...time, format: say, label: "t/T" } : time, box = row(k);
    const a = axes(pen, k === 2 ? [box[0], box[1], box[2], h - 36] : box, last, axis);
    a.upright(t / T, ink);
    a.curve(x.slice(first), y.slice(first), colour);
    if (t >= first) a.mark(t / T, y[t], colour);
  });
}

function drawPoints(pen, { t, xt }) {
  const p = plane(pen, 3.2);
  p.points(xt, t ? pen.q : pen.data);
  for (const times of [1, 2]) p.ellipse([0, 0], [1, 1], pen.ink, times, 1, [4, 4]);
  p.title(`t = ${t}; dashed: N(0, I), 1σ and 2σ`);
}

function words({ kind, T, t, tenth, beta_1, beta_T, alpha_bar, log_snr, L_T, mismatch }) {
  const end = alpha_bar[T], some = (nats) => (nats < 1e-6 ? "under 10⁻⁶" : say(nats));
  const ends = kind === "linear" || kind === "sigmoid", about = [];
  if (kind === "cosine") about.push("The cosine schedule computes its own β.");
  if (kind === "constant") about.push("Constant: every β is β_T.");
  if (ends && beta_1 > beta_T) about.push("β₁ is above β_T: β falls along the chain. That is a valid chain, but its first steps, where the fine detail goes, are its largest.");
  if (ends && beta_1 === beta_T) about.push("β₁ equals β_T: this is the constant schedule.");
  const shown = t === 0 ? " Shown: the data." : t < T ? ` Shown: t = ${t}, ᾱ = ${say(alpha_bar[t])}, log SNR = ${say(log_snr[t])}.` : "";
  const left = end < 1e-12 ? "ᾱ_T is below 10⁻¹²" : `ᾱ_T = ${say(end)}`;
  const numbers = ` ${kind}, T = ${T}: ${left}, E[L_T] = ${some(L_T)} nats.`;
  return verdict(end, L_T, mismatch, tenth, some) + numbers + (about.length ? " " + about.join(" ") : "") + shown;
}

function verdict(end, L_T, mismatch, tenth, some) {
  if (L_T < 1e-3) return "x_T is noise, whatever x₀ was.";
  const cost = `Starting from N(0, I) all the same costs KL(q(x_T) ‖ N(0, I)) = ${some(mismatch)} nats`;
  const rest = mismatch < 1e-3 ? ", next to nothing: one x_T still knows its x₀, but the cloud of all x_T looks like N(0, I)."
    : tenth ? ". The samples lie on the roll, but in wrong shares: this roll is too narrow and off the centre."
    : mismatch < 0.05 ? ", little, because this roll has mean 0 and variance 1. Try the roll ÷ 10."
    : ". The samples suffer: the cloud of all x_T is no round Gaussian yet.";
  return `Warning: x_T is not yet noise, ${say(100 * end, 2)} % of the signal's variance is left. ${cost}${rest}`;
}

export default { render };
