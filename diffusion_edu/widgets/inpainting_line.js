// Inpainting: x₁ is dragged, x₂ is drawn by one of four methods, and the exact p(x₂|x₁) stands beside it.

function render(context) {
  const { model } = context, limit = model.get("limit"), LARGEST = 1.6, TRACED = 25;
  const weights = doubles(model, "weights"), means = doubles(model, "means"), v = model.get("variance"), K = weights.length;
  const alphaBar = doubles(model, "alpha_bar"), T = alphaBar.length - 1, n = model.get("samples"), delta = model.get("delta"), N = 16;
  const beta = Float64Array.from(alphaBar, (a, t) => (t ? 1 - a / alphaBar[t - 1] : 0)), r = new Float64Array(K);
  let run = { key: "" };

  // E[x₀|x_t] and Cov[x₀, x₀₁|x_t] of the roll (oracles.py, x0_mean and x0_cov)
  function look(bar, x, y) {
    const a = Math.sqrt(bar), all = bar * v + 1 - bar, gain = (a * v) / all;
    let near = Infinity, sum = 0, mx = 0, my = 0, xx = 0, xy = 0;
    for (let k = 0; k < K; k++) {
      r[k] = (a * means[2 * k] - x) ** 2 + (a * means[2 * k + 1] - y) ** 2;
      if (r[k] < near) near = r[k];
    }
    for (let k = 0; k < K; k++) {
      const behind = (r[k] - near) / (2 * all);
      if (behind > 60) continue;
      const p = weights[k] * Math.exp(-behind), u = means[2 * k], w = means[2 * k + 1];
      sum += p; mx += p * u; my += p * w; xx += p * u * u; xy += p * u * w;
    }
    mx /= sum; my /= sum;
    const keep = 1 - a * gain;
    return { x: keep * mx + gain * x, y: keep * my + gain * y, cxx: keep * v + keep * keep * (xx / sum - mx * mx), cxy: keep * keep * (xy / sum - mx * my) };
  }

  // x̂₀ and what is added to it: Cov[x₀, x₀₁|x_t] (x₁ − x̂₀₁)/r², which is (1−ᾱ)/√ᾱ ∇ log N(x₁; x̂₀₁, r²); and that log
  function pushed(bar, x, y, x1, extra) {
    const at = look(bar, x, y), r2 = 1 - bar + extra, miss = x1 - at.x;
    return { ...at, px: (at.cxx * miss) / r2, py: (at.cxy * miss) / r2, log: -0.5 * ((miss * miss) / r2 + Math.log(r2) + LOG_2PI) };
  }

  const draw = (size, normal) => Float64Array.from({ length: size }, normal);
  function step(t, x, x0, push, eps) {
    const { c0, ct } = posterior(beta, alphaBar, t), shake = t > 1 ? Math.sqrt(beta[t]) : 0, next = new Float64Array(2 * n);
    for (let i = 0; i < 2 * n; i++) next[i] = c0 * (x0[i] + push[i]) + ct * x[i] + shake * eps[i];
    return next;
  }
  function replace(t, x, x1, eps) {
    for (let i = 0; i < n; i++) x[2 * i] = Math.sqrt(alphaBar[t]) * x1 + Math.sqrt(1 - alphaBar[t]) * eps[i];
  }
  function guesses(bar, x, x1, extra) {
    const x0 = new Float64Array(2 * n), push = new Float64Array(2 * n), log = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      const g = bar < 1 ? pushed(bar, x[2 * i], x[2 * i + 1], x1, extra) : null, miss = x1 - x[2 * i];
      if (g) { x0[2 * i] = g.x; x0[2 * i + 1] = g.y; push[2 * i] = g.px; push[2 * i + 1] = g.py; }
      log[i] = g ? g.log : -0.5 * ((miss * miss) / extra + Math.log(extra) + LOG_2PI);
    }
    return { x0, push, log };
  }
  const none = new Float64Array(2 * n);

  function stepped(x1, rounds, guided, { normal }) {
    let x = draw(2 * n, normal), traced = null;
    for (let t = T; t > 0; t--)
      for (let turn = 0; turn < rounds; turn++) {
        if (turn) { const back = draw(2 * n, normal); x = x.map((value, i) => Math.sqrt(1 - beta[t]) * value + Math.sqrt(beta[t]) * back[i]); }
        const { x0, push } = guesses(alphaBar[t], x, x1, 0), eps = draw(2 * n, normal), known = draw(n, normal), before = x;
        x = step(t, x, x0, guided ? push : none, eps);
        if (!guided) replace(t - 1, x, x1, known);
        if (t === TRACED && turn === rounds - 1) traced = { t, before, eps, known, after: x.slice() };
      }
    return { x, traced };
  }

  // conditioning.py, particles: runs of N, weighed by what guidance changed
  function particles(x1, { normal, uniform }) {
    let x = draw(2 * n, normal), at = guesses(alphaBar[T], x, x1, delta * delta), logW = at.log.slice(), traced = null;
    for (let t = T; t > 0; t--) {
      const eps = draw(2 * n, normal), { c0, ct } = posterior(beta, alphaBar, t), before = x, was = at, wasW = logW.slice(), last = new Float64Array(2 * n);
      for (let i = 0; i < 2 * n; i++) last[i] = c0 * (was.x0[i] + was.push[i]) + ct * x[i] + Math.sqrt(beta[t]) * eps[i];
      x = last; at = guesses(alphaBar[t - 1], x, x1, delta * delta);
      for (let i = 0; i < n; i++) {
        let ratio = 0;
        for (const d of [2 * i, 2 * i + 1]) ratio += ((x[d] - c0 * (was.x0[d] + was.push[d]) - ct * before[d]) ** 2 - (x[d] - c0 * was.x0[d] - ct * before[d]) ** 2) / (2 * beta[t]);
        logW[i] += at.log[i] - was.log[i] + ratio;
      }
      if (t === TRACED) traced = { t, before, eps, log_w: wasW, after: x.slice(), log_w_after: logW.slice() };
      for (let first = 0; first < n; first += N) resample(first, t);
    }
    return { x, traced };

    function resample(first, t) {
      let top = -Infinity, sum = 0, squares = 0;
      for (let i = first; i < first + N; i++) top = Math.max(top, logW[i]);
      const w = Array.from({ length: N }, (_, j) => Math.exp(logW[first + j] - top));
      for (const p of w) { sum += p; squares += p * p; }
      if (t > 1 && (sum * sum) / squares >= N / 2) return;
      const tick = uniform(), kept = x.slice(2 * first, 2 * (first + N)), old = { x0: at.x0.slice(), push: at.push.slice(), log: at.log.slice() };
      for (let j = 0, k = 0, c = w[0] / sum; j < N; j++) {
        while ((j + tick) / N > c && k < N - 1) c += w[++k] / sum;
        for (const d of [0, 1]) {
          x[2 * (first + j) + d] = kept[2 * k + d];
          for (const name of ["x0", "push"]) at[name][2 * (first + j) + d] = old[name][2 * (first + k) + d];
        }
        at.log[first + j] = old.log[first + k]; logW[first + j] = 0;
      }
    }
  }

  // p(x₂|x₁): a mixture on the line (oracles.py, conditional)
  function law(x1) {
    const logs = Float64Array.from(weights, (w, k) => Math.log(w) - (x1 - means[2 * k]) ** 2 / (2 * v)), top = Math.max(...logs);
    const w = logs.map((l) => Math.max(Math.exp(l - top), 1e-300)), sum = w.reduce((a, b) => a + b, 0);
    return mixtureLogProb(w.map((p) => p / sum), Float64Array.from({ length: K }, (_, k) => means[2 * k + 1]), new Float64Array(K).fill(v), 1);
  }

  return mount(context, {
    reads: ["x1", "method"],
    compute: () => {
      const x1 = Math.min(Math.max(model.get("x1"), -LARGEST), LARGEST), method = model.get("method"), key = `${x1} ${method}`;
      if (run.key !== key) {
        const numbers = randoms(model.get("seed"));
        run = { key, ...(method === 3 ? particles(x1, numbers) : stepped(x1, method === 1 ? 5 : 1, method === 2, numbers)) };
      }
      const logProb = law(x1), line = Array.from({ length: 441 }, (_, i) => -2.2 + i / 100), exact = line.map((y) => logProb([y]));
      const H = -line.reduce((sum, _, i) => sum + Math.exp(exact[i]) * exact[i], 0) / 100;
      const x2 = Array.from({ length: n }, (_, i) => run.x[2 * i + 1]), logP = x2.map((y) => logProb([y]));
      const stray = logP.filter((l) => l < -6).length / n, nats = mean(logP) + H;
      return { x1, method, x: run.x, traced: run.traced, line, density: exact.map(Math.exp), H, logP, nats, stray };
    },
    words: ({ x1, nats, stray }) =>
      `x₁ = ${say(x1, 2)}: E log p(x₂|x₁) + H = ${say(nats, 2)} nats, zero is right; ${say(100 * stray, 2)} % of the points lie where true ones never do.`,
    panels: [
      {
        label: "The plane with the roll in grey, the line of the known x₁ in red, which can be dragged, and the samples in orange.", ratio: 1,
        grips: [{ limit, step: 0.05, name: "x₁", at: ({ x1 }) => [x1, -2.1], move: (x) => ({ x1: Math.min(Math.max(x, -LARGEST), LARGEST) }), click: true }],
        draw: (pen, { x1, x }) => {
          const p = plane(pen, limit);
          p.points(means, pen.data, 2, 0.6);
          pen.ctx.strokeStyle = pen.error; pen.ctx.lineWidth = 2;
          stroke(pen.ctx, [[p.X(x1), p.Y(-2.1)], [p.X(x1), p.Y(2.3)]]);
          p.points(x, pen.model, 3.4, 0.8);
          p.dot([x1, -2.1], pen.error, 8);
          p.title("drag x₁");
        },
      },
      {
        label: "The histogram of the drawn x₂ in orange against the exact density p(x₂|x₁) as a line.", ratio: 1,
        draw: (pen, { line, density, x }) => {
          const { width: w, height: h, ctx } = pen, BINS = 55, lim = [-2.2, 2.2], size = (lim[1] - lim[0]) / BINS, count = new Float64Array(BINS);
          for (let i = 0; i < n; i++) { const b = Math.floor((x[2 * i + 1] - lim[0]) / size); if (b >= 0 && b < BINS) count[b] += 1 / n / size; }
          const top = 1.25 * Math.max(...density), a = axes(pen, [40, 30, w - 14, h - 40], { lim, ticks: [-2, -1, 0, 1, 2], label: "x₂" }, { lim: [0, top], ticks: [0], label: "p(x₂ | x₁)" });
          ctx.fillStyle = pen.model; ctx.globalAlpha = 0.7;
          count.forEach((c, b) => { const y = a.Y(Math.min(c, top)); ctx.fillRect(a.X(lim[0] + b * size), y, a.X(size) - a.X(0) - 1, a.Y(0) - y); });
          ctx.globalAlpha = 1;
          a.curve(line, density, pen.ink, 1.8);
        },
      },
    ],
  });
}

const mean = (values) => values.reduce((sum, v) => sum + v, 0) / Math.max(values.length, 1);

export default { render };
