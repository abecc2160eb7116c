// The mathematics that runs in the browser: the library's formulas, number for number (tests/browser compares them).
// Arrays over t have T + 1 entries; entry 0 stands for clean data, as in schedules.py.

const KINDS = ["constant", "linear", "cosine", "sigmoid"];

// β_1 … β_T behind a 0 (schedules.py). For "constant" every β is beta_T.
function betas(kind, T, beta_1, beta_T) {
  const beta = new Float64Array(T + 1);
  const f = (t) => Math.cos(((Math.PI / 2) * (t / T + 0.008)) / 1.008) ** 2;
  for (let t = 1; t <= T; t++) {
    const u = T > 1 ? (t - 1) / (T - 1) : 0;
    if (kind === "constant") beta[t] = beta_T;
    else if (kind === "linear") beta[t] = beta_1 + (beta_T - beta_1) * u;
    else if (kind === "sigmoid") beta[t] = beta_1 + (beta_T - beta_1) / (1 + Math.exp(6 - 12 * u));
    else beta[t] = Math.min(1 - f(t) / f(t - 1), 0.999);
  }
  return beta;
}

// ᾱ_t = Π (1 − β_s)
function alphaBars(beta) {
  const alphaBar = new Float64Array(beta.length);
  let product = 1;
  for (let t = 0; t < beta.length; t++) alphaBar[t] = product *= 1 - beta[t];
  return alphaBar;
}

const snr = (alphaBar) => alphaBar / (1 - alphaBar);
const logSnr = (alphaBar) => Math.log(alphaBar) - Math.log1p(-alphaBar);

// E KL(q(x_t|x₀) ‖ N(0, I)) in nats, equation (3.6): square is E|x₀|² over the data, D its dimensions.
function klFromNoise(alphaBar, square, D) {
  return 0.5 * (alphaBar * square - D * alphaBar - D * Math.log1p(-alphaBar));
}

// q(x_{t−1}|x_t, x₀), equation (3.9): the factors of x₀ and x_t in its mean, and its variance β̃_t.
function posterior(beta, alphaBar, t) {
  const rest = 1 - alphaBar[t];
  return {
    c0: (Math.sqrt(alphaBar[t - 1]) * beta[t]) / rest,
    ct: (Math.sqrt(1 - beta[t]) * (1 - alphaBar[t - 1])) / rest,
    variance: ((1 - alphaBar[t - 1]) / rest) * beta[t],
  };
}

// x_t = √ᾱ x₀ + √(1−ᾱ) ε for all points at once, into `out` (ddpm.py, noised).
function noised(x0, eps, alphaBar, out) {
  const signal = Math.sqrt(alphaBar), noise = Math.sqrt(1 - alphaBar);
  for (let i = 0; i < x0.length; i++) out[i] = signal * x0[i] + noise * eps[i];
  return out;
}
