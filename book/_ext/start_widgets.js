// html-manager, anywidget, and the start of a page's widgets; course_widgets.py puts the modules in their place. The
// licences lie in licences/ beside this file. Loaded with `defer`: it runs once the page is read, and waits for nothing.
(function () {
const place = document.currentScript.src.replace(/[^/]*$/, "");
const modules = {};
// Each module as it comes: what it needs has come before it. html-manager has its fonts beside the address it is told.
function define(name, needs, make) {
  modules[name] = make(...needs.map((need) => need === "module" ? { uri: place + name + ".js" } : modules[need]));
}

/* the modules */

const json = (kind) => document.querySelectorAll(`script[type="application/vnd.jupyter.widget-${kind}+json"]`);
const load = async (name) => modules[name] || Promise.reject(new Error(`this website has no widgets of ${name}`));

async function start() {
  unshare(); // see site.js
  const manager = new modules["@jupyter-widgets/html-manager"].HTMLManager({ loader: load });
  const models = await manager.set_state(JSON.parse(json("state")[0].textContent));
  for (const view of json("view")) { // one after the other: the first is alive before the last is begun
    const { model_id } = JSON.parse(view.textContent), area = document.createElement("div");
    area.className = "widget-subarea";
    view.before(area);
    await manager.display_view(manager.create_view(models.find((model) => model.model_id === model_id)), area);
  }
}

start();
})();
