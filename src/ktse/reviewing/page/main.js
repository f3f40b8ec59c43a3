// Where everything begins: the run is loaded, addresses lead to the gallery or to an image, keys lead to the editor.

import { getRun } from "./api.js";
import { Editor } from "./editor.js";
import { Gallery } from "./gallery.js";
import { fillHelp, keyOf } from "./keys.js";
import { Learning } from "./learning.js";

const part = (id) => document.getElementById(id);

// A message across the page, with what can be done about it; one at a time. Those about the run ("") wait for those about an image.
const bar = {
  about: null,
  waiting: null,
  say(about, text, buttons) {
    if (this.about && about === "") {
      this.waiting = [text, buttons];
      return;
    }
    this.about = about;
    part("bar-text").textContent = text;
    part("bar-buttons").replaceChildren(...Object.entries(buttons).map(([word, work]) => {
      const button = document.createElement("button");
      button.textContent = word;
      button.addEventListener("click", () => { this.clear(about); work(); });
      return button;
    }));
    part("bar").hidden = false;
  },
  clear(about) {
    if (about !== this.about) return;
    part("bar").hidden = true;
    this.about = null;
    const waiting = this.waiting;
    this.waiting = null;
    if (waiting) this.say("", ...waiting);
  },
};

function help() {
  part("help").showModal();
  part("help").scrollTop = 0;
}

function act(editor, key) {
  const { panel, view, doc } = editor;
  if (editor.atOutline(key)) return;
  const work = {
    a: () => editor.decide("accept"), Enter: () => editor.decide("accept"),
    r: () => editor.decide("reject"), q: () => editor.decide("reopen"),
    n: () => editor.go(1), ArrowRight: () => editor.go(1), ArrowLeft: () => editor.go(-1),
    Escape: () => { location.hash = "#/"; },
    m: () => editor.show("mask"), p: () => editor.show("photo"), f: () => editor.show("fused"),
    d: () => editor.show("prediction"), h: () => editor.show("heat"), j: () => editor.show("other"), v: () => doc && editor.turn(),
    c: () => ["fused", "prediction", "other"].includes(editor.shown) && editor.take(editor.shown),
    "+": () => view.zoom(1.25), "=": () => view.zoom(1.25), "-": () => view.zoom(0.8), _: () => view.zoom(0.8),
    0: () => view.fit(),
    t: () => panel.use("tell"), x: () => panel.deny(!panel.denies), b: () => panel.use("brush"), s: () => panel.use("shape"), g: () => panel.use("region"),
    e: () => panel.choose(0), u: () => panel.choose(editor.run.undecided),
    ",": () => panel.resize(-5), "[": () => panel.resize(-5), ".": () => panel.resize(5), "]": () => panel.resize(5),
    ArrowUp: () => doc && editor.threshold(panel.threshold() - 0.01, true),
    ArrowDown: () => doc && editor.threshold(panel.threshold() + 0.01, true),
    k: () => panel.nextCut(),
    l: () => editor.cleanUp("holes"), i: () => editor.cleanUp("islands"), o: () => editor.take("mask"),
    z: () => editor.move(false), y: () => editor.move(true),
    "?": help,
  };
  if (/^[1-9]$/.test(key)) panel.chooseNumber(+key);
  else work[key]?.();
}

async function main() {
  fillHelp(part("keys"));
  for (const button of document.querySelectorAll("button.help")) button.addEventListener("click", help);
  const run = await getRun();
  const gallery = new Gallery(run);
  const editor = new Editor(run, gallery, bar);
  const learning = new Learning(
    () => (part("editor").hidden ? location.reload() : bar.say("", "The model has learned from your masks.", { "Load the new masks": () => location.reload(), Later: () => {} })),
    (text) => bar.say("", text, { Close: () => {} }),
  );

  async function follow() {
    const named = location.hash.match(/^#\/image\/(.+)$/);
    const id = named && decodeURIComponent(named[1]);
    if (id && gallery.byId.has(id)) {
      if (!part("gallery").hidden) gallery.hide();
      const order = editor.order.includes(id) && editor.id ? editor.order : gallery.shown.map((image) => image.id);
      await editor.open(id, order.includes(id) ? order : gallery.images.map((image) => image.id));
    } else {
      editor.order = [];
      if (!part("editor").hidden) await editor.close();
      gallery.show();
    }
  }

  addEventListener("hashchange", follow);
  addEventListener("keydown", (event) => {
    const key = keyOf(event);
    if (!key) return;
    if (part("editor").hidden) {
      if (key === "?") help();
      if (key === "w") learning.start();
      return;
    }
    event.preventDefault();
    if (key === "w") learning.start();
    else act(editor, key);
  });
  for (const button of document.querySelectorAll("[data-key]")) {
    button.addEventListener("click", () => { act(editor, button.dataset.key); button.blur(); });
  }
  await follow();
}

main().catch((error) => bar.say("", error.message, { "Load again": () => location.reload() }));
