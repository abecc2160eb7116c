// The search page: ranks the sections of sections.js (course_search.py). Works from a folder as it does over HTTP.

// What a student types → what the course calls it. American and British spellings meet in `words` below.
const MEANS = {
  cfg: ["classifier free guidance", "guidance"],
  kl: ["kl divergence"],
  "kullback leibler": ["kl divergence"],
  snr: ["signal to noise ratio"],
  iwae: ["importance weighted bound"],
  hvae: ["hierarchical vae"],
  ddpm: ["ddpm"],
  elbo: ["elbo", "lower bound"],
  "evidence lower bound": ["elbo"],
  "variational lower bound": ["elbo"],
  ode: ["probability flow", "ode"],
  sde: ["reverse sde", "sde"],
  mcmc: ["langevin"],
  "noise schedule": ["schedule"],
  "beta schedule": ["schedule"],
  "score function": ["score"],
  fid: ["quality", "features"],
  bpd: ["bits per pixel", "bits"],
  sampler: ["sampling", "sampler"],
  "loss function": ["loss"],
  install: ["run it yourself"],
};
const EMPTY = new Set("a an and for how in is it of on the to trick what which why".split(" "));
const KIND = { term: 1.35, notebook: 1.15, page: 0.9, code: 0.25 };

function words(text) {
  return text.toLowerCase().normalize("NFKD").replace(/[\u0300-\u036f]/g, "").replace(/[’']s\b/g, "").replace(/\bu-net/g, "unet")
    .replace(/[‐–—-]/g, " ").replace(/([a-z])is(e|ed|es|ing|ation|ations)\b/g, "$1iz$2").replace(/([a-z]{2})our\b/g, "$1or")
    .replace(/reparametr/g, "reparameter").replace(/ll(ing|ed)\b/g, "l$1").replace(/centre/g, "center")
    .match(/[\p{L}\p{N}₀-₉]+/gu)?.map((w) => (w.length > 4 ? w.replace(/(?<![su])s$/, "") : w)) || [];
}

const INDEX = (window.SECTIONS || []).map(([file, page, anchor, title, text, kind]) => {
  const inTitle = words(title), inText = words(text), counts = new Map();
  for (const word of inText) counts.set(word, (counts.get(word) || 0) + 1);
  return { file, page, anchor, title, text, kind, inTitle, counts, length: inText.length, joined: ` ${inText.join(" ")} ` };
});
const rarity = (word) => Math.log(1 + INDEX.length / (1 + INDEX.filter((s) => s.inTitle.includes(word) || s.counts.has(word)).length));

function scored(section, terms, rare) {
  let score = 0, met = 0;
  for (const term of terms) {
    const begins = (word) => word === term || (term.length > 3 && word.startsWith(term));
    const inTitle = section.inTitle.some(begins), often = section.counts.get(term) || [...section.counts].reduce((n, [w, c]) => n + (begins(w) ? c : 0), 0);
    if (inTitle || often) met += 1;
    score += rare.get(term) * ((inTitle ? (section.kind === "code" ? 1 : 6) : 0) + Math.min(2.5, Math.log1p(often) * 1.2 / (1 + section.length / 900)));
  }
  const title = section.inTitle.join(" "), phrase = terms.join(" ");
  if (section.kind === "code") score *= title.endsWith(phrase) ? 1.3 : 1;
  else if (title === phrase) score *= 3;
  else if (` ${title} `.includes(` ${phrase} `)) score *= 1.2 + 1.6 * terms.length / section.inTitle.length;
  else if (terms.length > 1 && section.joined.includes(` ${phrase} `)) score *= 1.5;
  const late = /^(Recap|Quick questions|References)$/.test(section.title) ? 0.4 : 1; // they name everything once more
  return { score: score * late * KIND[section.kind] * (met / terms.length) ** 2, met };
}

function find(query) {
  const all = words(query), some = all.filter((word) => !EMPTY.has(word)), typed = some.length ? some : all, asked = typed.join(" ");
  if (!typed.length) return [];
  const ways = [typed, ...(MEANS[asked] || []).map(words), ...typed.filter((w) => MEANS[w] && w !== asked).map((w) => [...typed.filter((v) => v !== w), ...words(MEANS[w][0])])];
  const best = new Map();
  ways.forEach((terms, i) => {
    const rare = new Map(terms.map((term) => [term, rarity(term)]));
    for (const section of INDEX) {
      const { score, met } = scored(section, terms, rare), worth = score * (i ? 0.95 : 1);
      if (met && met >= terms.length - (terms.length > 1 ? 1 : 0) && worth > (best.get(section)?.score || 0)) best.set(section, { section, score: worth, terms });
    }
  });
  return [...best.values()].sort((a, b) => b.score - a.score).slice(0, 30);
}

function extract({ text }, terms) {
  const at = terms.map((t) => text.toLowerCase().normalize("NFC").search(new RegExp(`\\b${t.slice(0, 6)}`))).filter((i) => i >= 0);
  const middle = at.length ? Math.min(...at) : 0, from = middle > 90 ? text.indexOf(" ", middle - 80) + 1 : 0;
  return (from ? "… " : "") + text.slice(from, from + 190).replace(/\S*$/, "") + (text.length > from + 190 ? "…" : "");
}

function marked(text, terms, into) {
  const starts = terms.filter((t) => t.length > 1).map((t) => t.slice(0, Math.max(4, t.length - 2)).replace(/[^\p{L}\p{N}]/gu, ""));
  if (!starts.length) return into.append(text);
  text.split(new RegExp(`(\\b(?:${starts.join("|")})[\\p{L}\\p{N}-]*)`, "giu")).forEach((piece, i) => {
    if (i % 2) into.appendChild(document.createElement("mark")).textContent = piece; else into.append(piece);
  });
}

document.addEventListener("DOMContentLoaded", () => {
  const query = new URLSearchParams(location.search).get("q") || "", place = document.getElementById("search-results");
  document.querySelectorAll("input[name=q]").forEach((input) => { input.value = query; });
  if (!place || !query.trim()) return;
  const results = find(query), head = place.appendChild(document.createElement("p")), list = place.appendChild(document.createElement("ul"));
  head.setAttribute("role", "status");
  head.textContent = results.length ? `${results.length === 30 ? "The 30 best places" : results.length === 1 ? "One place" : `${results.length} places`} for “${query}”` : `Nothing was found for “${query}”. Try fewer words.`;
  list.className = "search";
  for (const { section, terms } of results) {
    const item = list.appendChild(document.createElement("li")), link = item.appendChild(document.createElement("a"));
    link.href = section.file + (section.anchor ? "#" + section.anchor : "");
    link.textContent = section.title || section.page;
    const where = item.appendChild(document.createElement("span"));
    where.className = "where"; where.textContent = section.kind === "term" ? "Glossary" : section.title === section.page ? "" : section.page;
    marked(extract(section, terms), terms, item.appendChild(document.createElement("p")));
  }
  window.searched = true; // for tests
});
