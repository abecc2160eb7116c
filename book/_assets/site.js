// What the theme and ipywidgets leave undone. Runs in the head, before the theme's own scripts.

// Font Awesome would replace every <i class="fa …"> by an <svg>, which breaks ipywidgets' Play button and all that is
// linked to it. The theme's style sheet draws the same icons with its font.
window.FontAwesomeConfig = { autoReplaceSvg: false, observeMutations: false };

// Bootstrap's menus and the theme's search catch every key before the element that has the focus gets it, and then look
// through the whole page. A widget's keys are none of theirs, but for Ctrl+K and its kind. For what they add while loading.
for (const target of [window, document]) {
  target.addEventListener = function (kind, listener, catches) {
    const others = (event) => { if (event.ctrlKey || event.metaKey || !event.target.closest?.(".dedu-box")) listener.call(target, event); };
    const theirs = kind === "keydown" && catches === true && typeof listener === "function";
    EventTarget.prototype.addEventListener.call(target, kind, theirs ? others : listener, catches);
  };
  EventTarget.prototype.addEventListener.call(window, "load", () => { delete target.addEventListener; });
}

// formulas.js sets the formulas. The menu would make each formula a stop of the Tab key.
window.MathJax = {
  options: { enableMenu: false },
  startup: {
    pageReady: () => setFormulas(),
    ready() { MathJax.Hub = hub; MathJax.startup.defaultReady(); mathjaxReady(); },
  },
};

// html-manager sets the widgets' labels with MathJax 2 (MathJax.Hub.Queue): MathJax 3 gets that one method.
let mathjaxReady;
const whenReady = new Promise((ready) => { mathjaxReady = ready; });
const hub = MathJax.Hub = {
  Queue([what, , element]) {
    if (what === "Typeset" && /\\\(|\\\[|\$/.test(element.textContent)) whenReady.then(() => MathJax.typesetPromise([element]));
  },
};

// Resolves when the page's widgets are drawn, at once if it has none, after five seconds in any case.
function figuresAlive() {
  const wanted = document.querySelectorAll('script[type="application/vnd.jupyter.widget-view+json"]').length;
  const drawn = () => document.querySelectorAll(".widget-subarea .jupyter-widgets canvas, .widget-subarea .jupyter-widgets input").length >= wanted;
  return new Promise((resolve) => {
    if (drawn()) return resolve();
    const watch = new MutationObserver(() => drawn() && done());
    const timer = setTimeout(() => done(), 5000);
    function done() { watch.disconnect(); clearTimeout(timer); resolve(); }
    watch.observe(document.body, { childList: true, subtree: true });
  });
}

// Their script, the second largest, waits for the figures as well.
async function loadFormulas() {
  const link = document.querySelector("link[data-formulas]");
  if (!link) return;
  await figuresAlive();
  document.head.appendChild(document.createElement("script")).src = link.href;
}

document.addEventListener("DOMContentLoaded", () => {
  loadFormulas();
  downloads();
});

// The build keeps only one copy of the code with which all widgets of a page start. start_widgets.js asks for it.
function unshare() {
  const state = document.querySelector('script[type="application/vnd.jupyter.widget-state+json"]');
  document.querySelectorAll("script[data-shared]").forEach((shared) => {
    state.textContent = state.textContent.replaceAll(shared.dataset.shared, () => shared.textContent);
  });
}

// From a folder (file://) a browser shows a linked notebook instead of saving it. A script beside it brings its text.
function downloads() {
  if (location.protocol !== "file:") return;
  document.querySelectorAll(".downloads a.download").forEach((link) => link.addEventListener("click", (event) => {
    event.preventDefault();
    const script = document.head.appendChild(document.createElement("script"));
    script.onload = () => {
      const saved = document.createElement("a");
      saved.download = link.pathname.split("/").pop();
      saved.href = URL.createObjectURL(new Blob([window.downloaded]));
      saved.click();
      setTimeout(() => URL.revokeObjectURL(saved.href), 10000);
      script.remove();
    };
    script.src = link.href + ".js";
  }));
}
