// What guidance samples: points follow the guided probability flow, and their own log density with them.

function render(context) {
  const { model } = context;
  const whole = { weights: doubles(model, "weights"), means: doubles(model, "means") };
  const part = { weights: doubles(model, "part_weights"), means: doubles(model, "part_means") };
  const v = model.get("variance"), levels = doubles(model, "levels"), start = doubles(model, "start"), u = doubles(model, "u");
  const logZ = doubles(model, "log_z"), target = doubles(model, "target"), BINS = target.length / logZ.length, n = start.length / 2;
  const sigmoid = (x) => 1 / (1 + Math.exp(-x));
  let run = { key: null };

  // log p of √ᾱ m_k + noise, its slope and the divergence of that: E_k[|s_k|²] − 2/v − |E_k s_k|², at one point
  function look({ weights, means }, bar, x, y) {
    const a = Math.sqrt(bar), var_ = bar * v + 1 - bar, K = weights.length;
    let near = Infinity, sum = 0, sx = 0, sy = 0, square = 0;
    for (let k = 0; k < K; k++) {
      const dx = a * means[2 * k] - x, dy = a * means[2 * k + 1] - y, d = dx * dx + dy * dy;
      if (d < near) near = d;
    }
    for (let k = 0; k < K; k++) {
      const dx = a * means[2 * k] - x, dy = a * means[2 * k + 1] - y, d = dx * dx + dy * dy, behind = (d - near) / (2 * var_);
      if (behind > 60) continue;
      const r = weights[k] * Math.exp(-behind);
      sum += r; sx += r * dx; sy += r * dy; square += r * d;
    }
    sx /= sum * var_; sy /= sum * var_;
    return { logP: Math.log(sum) - Math.log(2 * Math.PI * var_) - near / (2 * var_), sx, sy, div: square / sum / (var_ * var_) - 2 / var_ - sx * sx - sy * sy };
  }

  // the guided score and its divergence at log SNR l
  function score(w, l, x, y) {
    const bar = sigmoid(l), a = look(whole, bar, x, y), b = look(part, bar, x, y);
    return { sx: a.sx + w * (b.sx - a.sx), sy: a.sy + w * (b.sy - a.sy), div: a.div + w * (b.div - a.div) };
  }

  // the field of (x, y, ∫ divergence): ½(1−ᾱ)(x + s)
  function field(w, l, [x, y]) {
    const rate = 0.5 * sigmoid(-l), s = score(w, l, x, y);
    return [rate * (x + s.sx), rate * (y + s.sy), rate * (2 + s.div)];
  }

  // the points and log densities at the end (guidance.py, sample_with_density), in steps of Runge and Kutta
  function samples(w) {
    if (run.key === w) return run;
    const x = new Float64Array(2 * n), logP = new Float64Array(n), tilted = new Float64Array(n);
    const last = levels[levels.length - 1], scale = Math.sqrt(sigmoid(last)), k = Math.min(Math.round(w * 10), logZ.length - 1);
    const plus = (p, h, q) => [p[0] + h * q[0], p[1] + h * q[1], p[2] + h * q[2]];
    for (let i = 0; i < n; i++) {
      let p = [start[2 * i], start[2 * i + 1], 0];
      for (let j = 0; j + 1 < levels.length; j++) {
        const l = levels[j], h = levels[j + 1] - l;
        const a = field(w, l, p), b = field(w, l + h / 2, plus(p, h / 2, a)), c = field(w, l + h / 2, plus(p, h / 2, b)), d = field(w, l + h, plus(p, h, c));
        p = plus(plus(plus(plus(p, h / 6, a), h / 3, b), h / 3, c), h / 6, d);
      }
      x[2 * i] = p[0] / scale; x[2 * i + 1] = p[1] / scale;
      logP[i] = logUnitGaussian([start[2 * i], start[2 * i + 1]]) - p[2] + 2 * Math.log(scale);
      const all = look(whole, 1, x[2 * i], x[2 * i + 1]).logP, one = look(part, 1, x[2 * i], x[2 * i + 1]).logP;
      tilted[i] = all + w * (one - Math.log(3) - all) - logZ[k];
    }
    return (run = { key: w, x, logP, tilted });
  }

  function along(x) {
    const count = new Float64Array(BINS);
    for (let i = 0; i < n; i++) {
      let best = 0, near = Infinity;
      for (let k = 0; k < u.length; k++) {
        const d = (whole.means[2 * k] - x[2 * i]) ** 2 + (whole.means[2 * k + 1] - x[2 * i + 1]) ** 2;
        if (d < near) { near = d; best = k; }
      }
      count[Math.min(BINS - 1, Math.floor(u[best] * BINS))] += 1 / n;
    }
    return count;
  }

  return mount(context, {
    reads: ["weight", "level"],
    play: { trait: "weight", from: () => 0, to: () => 5, seconds: 10, grid: 0.1 },
    compute: () => {
      const weight = model.get("weight"), level = model.get("level"), k = Math.round(weight * 10);
      const { x, logP, tilted } = samples(weight), off = Float64Array.from(logP, (p, i) => p - tilted[i]);
      const kl = mean(off), se = Math.sqrt(mean(off.map((d) => (d - kl) ** 2)) / n), arrows = [];
      for (let a = -2.1; a < 2.2; a += 0.35) for (let b = -2.1; b < 2.2; b += 0.35) {
        const s = score(weight, level, a, b);
        arrows.push([a, b, s.sx, s.sy]);
      }
      return { weight, level, x, logP, tilted, kl, se, arrows, share: along(x), target: target.slice(k * BINS, (k + 1) * BINS) };
    },
    words: ({ weight, kl, se }) =>
      `Weight ${say(weight)}, in the convention of Ho and Salimans ${say(weight - 1)}: KL(guided ‖ tilted) = ${say(kl, 2)} ± ${say(2 * se, 2)} nats. ` +
      (Math.abs(weight - 1) < 0.05 ? "At weight 1 guidance is exact." : weight < 1 ? "Points belong to no third: too little of the label." : "The ends of the third are left out."),
    panels: [
      {
        label: "The plane with the roll in grey and its middle third in black. Arrows show the guided score at the chosen noise level, orange points what is sampled.", ratio: 1, size: 230,
        draw: (pen, { x, arrows, level, weight }) => {
          const p = plane(pen, 2.4), { ctx } = pen;
          p.points(whole.means, pen.data, 2, 0.5);
          p.points(part.means, pen.ink, 2.4, 0.9);
          p.points(x, pen.model, 3, 0.8);
          ctx.strokeStyle = pen.ink; ctx.lineWidth = 0.8; ctx.globalAlpha = 0.6;
          const longest = Math.max(...arrows.map(([, , sx, sy]) => Math.hypot(sx, sy)));
          for (const [a, b, sx, sy] of arrows) {
            const size = Math.hypot(sx, sy) + 1e-12, to = (0.32 * Math.sqrt(size / longest)) / size, X = p.X(a + sx * to), Y = p.Y(b + sy * to);
            stroke(ctx, [[p.X(a), p.Y(b)], [X, Y]]);
            ctx.fillStyle = pen.ink; ctx.fillRect(X - 1.2, Y - 1.2, 2.4, 2.4);
          }
          ctx.globalAlpha = 1;
          p.title(`w = ${say(weight)}, arrows at log SNR ${say(level)}`);
        },
      },
      {
        label: "The share of points along the roll: the tilted law as a black line, what is sampled in orange.", ratio: 1, size: 230,
        draw: (pen, { share, target }) => {
          const { width: w, height: h, ctx } = pen, top = 0.32;
          const a = axes(pen, [44, 30, w - 14, h - 40], { lim: [0, 1], ticks: [0, 0.5, 1], label: "u along the roll" }, { lim: [0, top], ticks: [0, 0.1, 0.2, 0.3], label: "share of points" });
          ctx.fillStyle = pen.model; ctx.globalAlpha = 0.7;
          share.forEach((s, k) => ctx.fillRect(a.X(k / BINS), a.Y(Math.min(s, top)), a.X(1 / BINS) - a.X(0) - 1, a.Y(0) - a.Y(Math.min(s, top))));
          ctx.globalAlpha = 1;
          const xs = [], ys = [];
          target.forEach((s, k) => { xs.push(k / BINS, (k + 1) / BINS); ys.push(s, s); });
          a.curve(xs, ys, pen.ink, 1.8);
        },
      },
      {
        label: "A dial from 0 to 4 nats: how far the law of the samples is from the tilted law.", ratio: 1, size: 180,
        draw: (pen, { kl }) => {
          const { ctx, width: w, height: h, ink, faint } = pen, R = 0.36 * w, X = w / 2, Y = 0.62 * h, most = 4;
          const angle = (nats) => Math.PI * (1 + Math.min(Math.max(nats, 0), most) / most);
          ctx.lineWidth = 12; ctx.strokeStyle = faint; ctx.beginPath(); ctx.arc(X, Y, R, Math.PI, 2 * Math.PI); ctx.stroke();
          ctx.strokeStyle = pen.error; ctx.beginPath(); ctx.arc(X, Y, R, Math.PI, angle(kl)); ctx.stroke();
          ctx.strokeStyle = ink; ctx.lineWidth = 3;
          stroke(ctx, [[X, Y], [X + 0.85 * R * Math.cos(angle(kl)), Y + 0.85 * R * Math.sin(angle(kl))]]);
          ctx.fillStyle = ink; ctx.font = "12px system-ui, sans-serif"; ctx.textAlign = "center"; ctx.textBaseline = "middle";
          for (let t = 0; t <= most; t++) ctx.fillText(say(t), X + 1.2 * R * Math.cos(angle(t)), Y + 1.2 * R * Math.sin(angle(t)));
          ctx.font = "16px system-ui, sans-serif"; ctx.fillText(`${say(kl, 2)} nats`, X, Y + 24);
          ctx.font = "12px system-ui, sans-serif"; ctx.fillText("KL(guided ‖ tilted)", X, Y + 46);
        },
      },
    ],
  });
}

const mean = (values) => values.reduce((sum, v) => sum + v, 0) / Math.max(values.length, 1);

export default { render };
