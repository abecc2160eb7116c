// The forward process: points at √ᾱ_t x₀ + √(1−ᾱ_t) ε, and how far q(xₜ|x₀) is from noise.

function render(context) {
  const { model } = context;
  const x0 = floats(model, "x0"), eps = floats(model, "eps"), alphaBar = doubles(model, "alpha_bar");
  const T = alphaBar.length - 1, D = 2, square = model.get("square"), xt = new Float32Array(x0.length);
  const times = Array.from(alphaBar, (_, t) => t), nats = Array.from(alphaBar, (a) => klFromNoise(a, square, D));
  const ticks = [0, T / 2, T];

  return mount(context, {
    reads: ["t"],
    play: { trait: "t", from: () => 0, to: () => T, seconds: 8 },
    compute: () => {
      const t = model.get("t"), a = alphaBar[t];
      return { t, alpha_bar: a, snr: snr(a), nats: klFromNoise(a, square, D), xt: noised(x0, eps, a, xt) };
    },
    words: ({ t, alpha_bar, snr, nats }) =>
      `t = ${t}: signal keeps a share ᾱ = ${say(alpha_bar)} of the variance, SNR = ${say(snr)}. ` +
      (t ? `q(xₜ|x₀) is ${say(nats)} nats from N(0, I): ${nearness(nats)}` : "This is the data; x₀ is known exactly."),
    panels: [
      {
        label: "The points xₜ in the plane. They start as the swiss roll and end as a round cloud.", ratio: 1,
        draw: (pen, { t, xt }) => {
          const p = plane(pen, 3.2);
          p.points(xt, t ? pen.q : pen.data);
          p.title(`t = ${t}`);
        },
      },
      {
        label: "Two curves against t: ᾱ falls from 1 to 0; below it the distance to pure noise falls in nats, on a logarithmic axis. A dot marks the current t.", ratio: 1,
        ground: (pen) => {
          const { width: w, height: h, q, extra } = pen, left = 52, right = w - 22;
          const up = axes(pen, [left, 24, right, h * 0.44], { lim: [0, T], ticks, format: () => "" }, { lim: [0, 1], ticks: [0, 0.5, 1], label: "ᾱ, share of signal" });
          up.curve(times, alphaBar, q);
          const low = axes(pen, [left, h * 0.56, right, h - 38], { lim: [0, T], ticks, label: "t" }, { lim: [1e-4, 10], log: true, ticks: [1e-4, 1e-2, 1], label: "nats from N(0, I)" });
          low.curve(times.slice(1), nats.slice(1), extra);
          return { up, low };
        },
        draw: ({ ink, q, extra }, { t, alpha_bar, nats: now }, { up, low }) => {
          up.upright(t, ink); up.mark(t, alpha_bar, q);
          low.upright(t, ink); if (t) low.mark(t, now, extra);
        },
      },
    ],
  });
}

const nearness = (nats) =>
  nats > 3 ? "x₀ can still be read off." : nats > 0.3 ? "x₀ still shows through." : nats > 0.05 ? "a trace of x₀ is left."
    : nats > 0.001 ? "almost noise." : "noise, for every purpose.";

export default { render };
