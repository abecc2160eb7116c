// The latent plane of a VAE: the prior's circles, the codes of the data, and p(x|z) at the z under the grip.

function render(context) {
  const { model } = context;
  const decoder = { sizes: model.get("sizes"), weights: floats(model, "weights"), step: false };
  const D = decoder.sizes[decoder.sizes.length - 1] / 2, pictures = D > 2, limit = model.get("limit"), radius = model.get("radius");
  const x = floats(model, "x"), codes = floats(model, "codes"), n = codes.length / 2;
  const aggregate = mixtureLogProb(new Float64Array(n).fill(1 / n), floats(model, "mean"), floats(model, "variance"), 2);
  const truth = doubles(model, "truth"), K = truth.length / (1 + 2 * D), off = model.get("off");
  const exact = K ? mixtureLogProb(truth.slice(0, K), truth.slice(K, K + K * D), truth.slice(K + K * D), D) : null;
  const go = (place) => (m) => { const [z1, z2] = m.get("places")[place]; m.set({ z1, z2 }); };

  return mount(context, {
    reads: ["z1", "z2"],
    buttons: [{ text: "Into a hole", press: go("hole") }, { text: "To the code of a data point", press: go("code") }],
    compute: () => {
      const z = [model.get("z1"), model.get("z2")], { mean, std } = gaussianNet(decoder, z);
      const log_prior = logUnitGaussian(z), near = [];
      for (let i = 0; i < n; i++) if (Math.hypot(codes[2 * i] - z[0], codes[2 * i + 1] - z[1]) < radius) near.push(i);
      return {
        z, mean: [...mean], std: [...std], log_prior, log_aggregate: aggregate(z), near,
        expected: n * Math.PI * radius ** 2 * Math.exp(log_prior), log_p: exact && exact(mean),
      };
    },
    words: ({ z, mean, std, log_prior, log_aggregate, near, expected, log_p }) =>
      (log_p === null ? "" : log_p < off ? "Off the data: 999 of 1,000 true points have more than " : "On the data: ") +
      (log_p === null ? "" : `log p(x) = ${say(log_p)} nats${log_p < off ? "." : ", exactly."} `) +
      `z = (${say(z[0])}, ${say(z[1])}): log p(z) = ${say(log_prior)}, log q(z) = ${say(log_aggregate)} nats, ` +
      `${population(log_aggregate - log_prior)} Within ${radius} of z: the codes of ${near.length} of ` +
      `${n.toLocaleString("en")} data points; of as many draws from the prior about ${say(expected, 2)} would be there. ` +
      (pictures
        ? `The decoder's mean is the picture; its pixels have a standard deviation of ${say(average(std), 2)} on average.`
        : `Decoder: x = (${say(mean[0], 2)}, ${say(mean[1], 2)}), standard deviations ${say(std[0], 2)} and ${say(std[1], 2)}.`),
    panels: [
      {
        label: "The latent plane. Orange circles: one and two standard deviations of the prior. Blue: draws from q for the data points, their codes. A dot marks z.", ratio: 1,
        grips: [{ limit, step: 0.05, name: "z", click: true, at: ({ z }) => z, move: (z1, z2) => ({ z1, z2 }) }],
        ground: (pen) => { const p = plane(pen, limit); p.points(codes, pen.q, 2.4, 0.5); return p; },
        draw: (pen, { z, near }, p) => {
          p.points(chosen(codes, near), pen.q, 5, 1);
          for (const times of [1, 2]) p.ellipse([0, 0], [1, 1], pen.model, times);
          p.ellipse(z, [radius, radius], pen.ink, 1, 1);
          p.dot(z, pen.model, 5);
          p.title("z: codes from q, circles of p");
        },
      },
      pictures
        ? { label: "The decoder's mean as a picture.", ratio: 1, draw: (pen, { mean }) => picture(pen, mean) }
        : {
            label: "The plane of x. Grey: data. Blue: the data points whose codes are near z. Orange: the decoder's mean, with ellipses of one and two standard deviations.", ratio: 1,
            ground: (pen) => { const p = plane(pen, 2.4); p.points(x, pen.data, 2.4, 0.5); return p; },
            draw: (pen, { mean, std, near }, p) => {
              p.points(chosen(x, near), pen.q, 5, 1);
              for (const times of [1, 2]) p.ellipse(mean, std, pen.model, times);
              p.dot(mean, pen.model, 5);
              p.title("x: data, and p(x|z)");
            },
          },
    ],
  });
}

const average = (values) => values.reduce((a, b) => a + b, 0) / values.length;

const chosen = (xy, indices) => indices.flatMap((i) => [xy[2 * i], xy[2 * i + 1]]);

const population = (ratio) =>
  ratio < -2 ? `${say(-ratio, 2)} nats below the prior, a hole: data hardly come here.`
    : ratio < -0.7 ? `${say(-ratio, 2)} nats below the prior: few data come here.`
    : ratio > 0.7 ? `${say(ratio, 2)} nats above the prior: data crowd here.` : "about as the prior has it.";

// values in [−1, 1] as a square of grey levels
function picture({ ctx, width, ink, faint }, values) {
  const side = Math.round(Math.sqrt(values.length)), cell = width / side;
  values.forEach((v, i) => {
    const grey = Math.round(127.5 * (Math.min(Math.max(v, -1), 1) + 1));
    ctx.fillStyle = `rgb(${grey}, ${grey}, ${grey})`;
    ctx.fillRect(Math.floor((i % side) * cell), Math.floor(i / side) * cell, Math.ceil(cell) + 1, Math.ceil(cell) + 1);
  });
  ctx.strokeStyle = faint; ctx.lineWidth = 1;
  ctx.strokeRect(0.5, 0.5, width - 1, width - 1);
}

export default { render };
