// Runs before require.js: tells RequireJS where the widget modules of this site are.
(function () {
  const base = document.currentScript.src.split("?")[0].replace(/[^/]*$/, "");
  window.require = { baseUrl: base, waitSeconds: 30, paths: { anywidget: base + "anywidget" } };
  // html-manager 1.x calls MathJax 2 (MathJax.Hub.Queue) for the widgets' labels: give MathJax 3 that one method.
  document.addEventListener("DOMContentLoaded", function () {
    const M = window.MathJax;
    if (!M || !M.startup || M.Hub) return;
    M.Hub = {
      Queue: function (command) {
        if (!command || command[0] !== "Typeset" || !/\\\(|\\\[|\$/.test(command[2].textContent)) return;
        M.startup.promise = M.startup.promise.then(function () { return M.typesetPromise([command[2]]); });
      },
    };
  });
})();
