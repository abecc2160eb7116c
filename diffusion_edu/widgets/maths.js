// The mathematics that runs in the browser: the library's formulas, number for number (tests/widgets/ compare them).
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

// A table over λ = log SNR from exact.py (its LOG_SNR: −12 … 14 in steps of 1/8), by the cubic through four neighbours.
function lookup(table, logSnr) {
  const u = Math.min(Math.max((logSnr + 12) * 8, 0), table.length - 1), i = Math.min(Math.max(Math.floor(u), 1), table.length - 3);
  const a = u - i + 1, b = u - i, c = u - i - 1, d = u - i - 2;
  return (-b * c * d * table[i - 1]) / 6 + (a * c * d * table[i]) / 2 - (a * b * d * table[i + 1]) / 2 + (a * b * c * table[i + 2]) / 6;
}

// KL(q(x_t) ‖ N(0, I)) in nats, equation (3.8), by (3.25): of all x_t together, not of one x₀'s. `aggregate` is a table of exact.py;
// for data stretched by the factor `stretch` and shifted, `square` is E|x₀|² after it.
function klOfMarginal(aggregate, alphaBar, square, D, stretch = 1) {
  const logRatio = logSnr(alphaBar) + 2 * Math.log(stretch);
  const information = 0.5 * D * Math.log1p(Math.exp(logRatio)) - lookup(aggregate, logRatio);
  return klFromNoise(alphaBar, square, D) - information;
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

// L₀, L₁, …, L_{T−1}, L_T of the exact denoiser, nats, averaged over data and noise, equation (3.17). `error` is a table of exact.py;
// sigma: "best" (3.21), "β" or "β̃", whose first value is β̃_2 as in diffusion.py; square: E|x₀|².
function boundTerms(beta, alphaBar, sigma, error, square, D) {
  const T = beta.length - 1, terms = new Float64Array(T + 1);
  for (let t = 1; t <= T; t++) {
    const { c0, variance } = posterior(beta, alphaBar, t), distance = c0 ** 2 * (1 - alphaBar[t]) * lookup(error, logSnr(alphaBar[t]));
    const small = t > 1 ? variance : T > 1 ? posterior(beta, alphaBar, 2).variance : beta[1];
    const sigma2 = sigma === "best" ? variance + distance : sigma === "β" ? beta[t] : small, ratio = variance / sigma2;
    terms[t - 1] = 0.5 * D * (distance / sigma2 + (t > 1 ? ratio - 1 - Math.log(ratio) : Math.log(2 * Math.PI * sigma2)));
  }
  terms[T] = klFromNoise(alphaBar[T], square, D);
  return terms;
}

// x_t = √ᾱ x₀ + √(1−ᾱ) ε for all points at once, into `out` (ddpm.py, noised).
function noised(x0, eps, alphaBar, out) {
  const signal = Math.sqrt(alphaBar), noise = Math.sqrt(1 - alphaBar);
  for (let i = 0; i < x0.length; i++) out[i] = signal * x0[i] + noise * eps[i];
  return out;
}

// The networks of nets.py. `weights` is flat: layer by layer the matrix (out, in) row by row, then the bias.
function mlp(sizes, weights, x) {
  let at = 0;
  for (let l = 1; l < sizes.length; l++) {
    const [m, n] = [sizes[l - 1], sizes[l]], out = new Float64Array(n), bias = at + m * n;
    for (let j = 0; j < n; j++, at += m) {
      let sum = weights[bias + j];
      for (let i = 0; i < m; i++) sum += weights[at + i] * x[i];
      out[j] = l < sizes.length - 1 ? sum / (1 + Math.exp(-sum)) : sum; // SiLU between the layers
    }
    at = bias + n;
    x = out;
  }
  return x;
}

// GaussianNet, or StepNet if `step`: the mean and the standard deviation of the Gaussian that z leads to.
function gaussianNet({ sizes, weights, step }, z) {
  const out = mlp(sizes, weights, z), D = out.length / 2, mean = new Float64Array(D), std = new Float64Array(D);
  for (let d = 0; d < D; d++) {
    mean[d] = out[d] + (step ? z[d] : 0);
    std[d] = Math.exp(0.5 * Math.min(Math.max(out[D + d], -12), 4));
  }
  return { mean, std };
}

const LOG_2PI = Math.log(2 * Math.PI);

// log N(x; 0, I), nats
const logUnitGaussian = (x) => -0.5 * x.reduce((sum, v) => sum + LOG_2PI + v * v, 0);

// x → log Σ_k w_k N(x; m_k, diag v_k), nats (oracles.py, Mixture). `weights` (K,) add up to 1; m and v are (K, D), row by row.
function mixtureLogProb(weights, m, v, D) {
  const logs = Float64Array.from(weights, (w, k) => {
    let log = Math.log(w);
    for (let d = 0; d < D; d++) log -= 0.5 * (LOG_2PI + Math.log(v[k * D + d]));
    return log;
  });
  const terms = new Float64Array(logs.length);
  return (x) => {
    let top = -Infinity, sum = 0;
    for (let k = 0; k < logs.length; k++) {
      let square = 0;
      for (let d = 0, i = k * D; d < D; d++, i++) square += (x[d] - m[i]) ** 2 / v[i];
      terms[k] = logs[k] - 0.5 * square;
      if (terms[k] > top) top = terms[k];
    }
    for (let k = 0; k < logs.length; k++) sum += Math.exp(terms[k] - top);
    return top + Math.log(sum);
  };
}

// The roll, or any mixture of equal round Gaussians (oracles.py): x, y → log p, its slope and the slope's
// divergence. `weights` (K,) add up to 1, `means` are (K, 2), row by row, v the variance of all. What is e^−60 of the nearest component is left out.
function roundMixture(weights, means, v) {
  const K = weights.length, square = new Float64Array(K), front = -Math.log(2 * Math.PI * v);
  return (x, y) => {
    let near = Infinity, sum = 0, sx = 0, sy = 0, spread = 0;
    for (let k = 0; k < K; k++) {
      const dx = means[2 * k] - x, dy = means[2 * k + 1] - y;
      square[k] = dx * dx + dy * dy;
      if (square[k] < near) near = square[k];
    }
    for (let k = 0; k < K; k++) {
      const behind = (square[k] - near) / (2 * v);
      if (behind > 60) continue;
      const r = weights[k] * Math.exp(-behind);
      sum += r; sx += r * (means[2 * k] - x); sy += r * (means[2 * k + 1] - y); spread += r * square[k];
    }
    sx /= sum * v; sy /= sum * v;
    return { logP: front + Math.log(sum) - near / (2 * v), sx, sy, div: spread / sum / (v * v) - 2 / v - sx * sx - sy * sy };
  };
}

// Random numbers that are a function of the seed alone: mulberry32, and from it normal ones (Box & Muller).
function randoms(seed) {
  let a = seed >>> 0;
  const uniform = () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 4294967296;
  };
  return { uniform, normal: () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()) };
}

// One Langevin step (langevin.py, ula_step and mala_step) of all points x (n, 2), in steps of h, with the noise eps (n, 2) and, where
// `u` (n,) is given, each proposal accepted or refused. `here` holds log p and score at x, or is made.
function langevinStep(density, x, h, eps, u, here) {
  const n = x.length / 2, out = new Float64Array(x.length), there = new Array(n), root = Math.sqrt(2 * h);
  let accepted = 0;
  for (let i = 0; i < n; i++) {
    const at = here ? here[i] : density(x[2 * i], x[2 * i + 1]);
    const y = [x[2 * i] + h * at.sx + root * eps[2 * i], x[2 * i + 1] + h * at.sy + root * eps[2 * i + 1]];
    const to = density(y[0], y[1]);
    let take = true;
    if (u) {
      const forth = (eps[2 * i] ** 2 + eps[2 * i + 1] ** 2) / 2;
      const back = ((x[2 * i] - y[0] - h * to.sx) ** 2 + (x[2 * i + 1] - y[1] - h * to.sy) ** 2) / (4 * h);
      take = Math.log(u[i]) < to.logP - at.logP + forth - back;
    }
    accepted += take;
    out[2 * i] = take ? y[0] : x[2 * i]; out[2 * i + 1] = take ? y[1] : x[2 * i + 1];
    there[i] = take ? to : at;
  }
  return { x: out, at: there, accepted: accepted / n };
}

// The forward process on a grid (fokker_planck.py). Matrices (n, n) lie row by row. E = exp(τA), A the walk between n cells `spacing`
// apart whose rest is N(0, 1), cut into pieces of which a Taylor series needs few terms, and squared back.
function matmul(a, b, n) {
  const out = new Float64Array(n * n);
  for (let i = 0; i < n; i++)
    for (let k = 0; k < n; k++) {
      const v = a[i * n + k];
      if (v !== 0) for (let j = 0, o = i * n, r = k * n; j < n; j++) out[o + j] += v * b[r + j];
    }
  return out;
}
function forwardMatrix(axis, tau) {
  const n = axis.length, spacing = axis[1] - axis[0], A = new Float64Array(n * n);
  for (let j = 0; j < n; j++)
    for (const i of [j - 1, j + 1]) {
      if (i < 0 || i >= n) continue;
      const rate = Math.exp((axis[j] ** 2 - axis[i] ** 2) / 4) / spacing ** 2; // √(π_i/π_j)
      A[i * n + j] = rate; A[j * n + j] -= rate;
    }
  const halvings = Math.max(0, Math.ceil(Math.log2((8 * tau) / spacing ** 2))), part = tau / 2 ** halvings;
  let E = new Float64Array(n * n), term = new Float64Array(n * n);
  for (let i = 0; i < n; i++) E[i * n + i] = term[i * n + i] = 1;
  for (let k = 1; k <= 10; k++) {
    term = matmul(term, A, n).map((v) => (v * part) / k);
    E = E.map((v, i) => v + term[i]);
  }
  for (let k = 0; k < halvings; k++) E = matmul(E, E, n);
  return E;
}
// E p Eᵀ
function forwardOnGrid(p, axis, tau) {
  const n = axis.length, E = forwardMatrix(axis, tau), Et = new Float64Array(n * n);
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) Et[j * n + i] = E[i * n + j];
  return matmul(matmul(E, p, n), Et, n);
}
