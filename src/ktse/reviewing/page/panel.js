// The panel beside the canvas: what is shown, tools, classes, facts. It keeps what the person has chosen from image to image.

import { badge, linkTo } from "./gallery.js";
import { retag, showTags } from "./tags.js";

const part = (id) => document.getElementById(id);
const VIEWS = [["mask", "Mask", "M"], ["photo", "Photo", "P"], ["fused", "Fused", "F"], ["prediction", "Prediction", "D"], ["heat", "CAM", "H"], ["other", "Other", "J"]];
const HINTS = { photo: "Photo alone.", fused: "Fused mask.", prediction: "Prediction, without tags.", heat: "CAM of", other: "Mask of the other method." };
const TAKEN = { fused: "fused mask", prediction: "prediction", other: "other mask" };
const NOTES = {
  tell: "Draw a short line where the class is: the mask is solved again.",
  deny: "Draw a short line where the class is not: the mask is solved again.",
  shape: "Draw around an area, or click its corners. Enter or a double click closes the line.",
  region: "Press on an area of one colour and score. Drag away from the point for more.",
};

export class Panel {
  constructor(run, editor) {
    Object.assign(this, { run, editor, chosen: null, classes: [] });
    this.byLabel = new Map(run.classes.map((one) => [one.label, one]));
    this.colours = new Uint32Array(run.undecided + 1); // as the canvas has them: blue, green, red from the left
    for (const one of run.classes) {
      const value = parseInt(one.colour.slice(1), 16);
      this.colours[one.label] = ((value & 255) << 16) | (value & 0xff00) | (value >> 16);
    }
    for (const [name, word, key] of VIEWS) {
      const button = document.createElement("button");
      button.dataset.key = key.toLowerCase();
      button.id = `view-${name}`;
      button.innerHTML = `${word} <kbd>${key}</kbd>`;
      part("views").append(button);
    }
    this.use("tell");
    this.deny(false);
    this.remember("opacity", 50, (value) => {
      editor.view.opacity = value / 100;
      part("opacity-value").textContent = `${value} %`;
      if (editor.doc) editor.show(editor.shown);
    });
    this.remember("size", 35, () => this.sayRadius());
    const threshold = part("threshold");
    threshold.addEventListener("input", () => { editor.threshold(+threshold.value, false); this.sayThreshold(); });
    threshold.addEventListener("change", () => { editor.threshold(+threshold.value, true); threshold.blur(); });
    for (const button of part("tell-line").children) button.addEventListener("click", () => { this.deny(button.dataset.denies === "true"); button.blur(); });
    part("cut").addEventListener("change", () => { this.sayThreshold(); part("cut").blur(); });
    part("all").addEventListener("change", () => { this.listClasses(); part("all").blur(); });
  }

  // A slider whose place is kept in the browser.
  remember(id, value, use) {
    const slider = part(id);
    slider.value = localStorage.getItem(`ktse-${id}`) ?? value;
    const changed = () => {
      localStorage.setItem(`ktse-${id}`, slider.value);
      use(+slider.value);
    };
    slider.addEventListener("input", changed);
    slider.addEventListener("change", () => slider.blur());
    queueMicrotask(changed);
  }

  // Another image is coming: its name, what became of the one before, and nothing else yet.
  begin(id, order, before) {
    part("name").textContent = id;
    part("place").textContent = `${(order.indexOf(id) + 1).toLocaleString("en")} of ${order.length.toLocaleString("en")}`;
    part("facts").textContent = part("tags").textContent = "";
    part("saved").replaceChildren(...(before ? [linkTo(before.id), ` is ${before.state}.`] : []));
    part("note").hidden = true;
    part("loading").hidden = false;
    part("loading").textContent = "Loading ...";
    part("hint").hidden = true;
    part("take-line").hidden = true;
    this.editor.bar.clear("tags");
    this.deny(false); // what is not there differs from image to image
    this.doc = null;
    this.enable(false);
  }

  failed(message) {
    part("loading").textContent = message;
    part("skip").disabled = false;
  }

  enable(on) {
    part("editor").dataset.shows = on ? this.doc.id : ""; // what can be edited now
    for (const control of part("editor").querySelectorAll("aside section :is(button, input), footer button")) control.disabled = !on;
  }

  show(doc) {
    this.doc = doc;
    this.enable(true);
    for (const [name] of VIEWS) part(`view-${name}`).disabled = !this.editor.available(name);
    part("view-other").hidden = !this.editor.available("other"); // few runs have one
    part("threshold-line").hidden = part("threshold-note").hidden = !doc.found;
    part("original").disabled = !doc.about.layers.mask;
    const notes = [];
    if (doc.about.kept_out) notes.push("This image is kept out of training: the model does not learn from its mask.");
    notes.push(...(this.editor.gallery.byId.get(doc.id)?.notes ?? []).map((note) => `Noticed by check: ${note}.`));
    if (!doc.about.tags.length) notes.push("This image has no tag, so its mask is empty.");
    if (!doc.about.layers.mask) notes.push("The run has no mask of this image.");
    part("note").textContent = notes.join(" ");
    part("note").hidden = !notes.length;
    this.listClasses();
    this.listCuts(doc);
    this.sayRadius();
    this.edited(doc);
    this.facts(doc);
    showTags(doc.about.tags, this.run.classes, (label, there) => retag(this.editor, label, there));
  }

  facts(doc) {
    const sure = doc.about.confidence;
    const parts = [];
    if (sure !== null) {
      const text = document.createElement("span");
      text.className = "quiet";
      text.textContent = `confidence ${sure.toFixed(2)}`;
      text.title = "How good the mask probably is, compared with the others: 0 worst, 1 best";
      parts.push(text);
    }
    const expected = this.editor.gallery.byId.get(doc.id)?.expected ?? null;
    if (expected !== null) {
      const text = document.createElement("span");
      text.className = "quiet";
      text.textContent = `expected IoU ${expected.toFixed(2)}`;
      text.title = "Mean over the classes of the mask, background aside, if it is like checked masks of the same confidence";
      parts.push(text);
    }
    const mark = badge(doc.about);
    part("facts").replaceChildren(...(mark ? [...parts, mark] : parts));
  }

  edited(doc) {
    part("undo").disabled = !doc.history.past.length;
    part("redo").disabled = !doc.history.future.length;
    this.sayThreshold();
  }

  viewing(name) {
    for (const [other] of VIEWS) part(`view-${other}`).setAttribute("aria-pressed", other === name);
    const heat = name === "heat" ? ` ${this.byLabel.get(this.chosen)?.name ?? "all tags"}.` : "";
    this.hint(name === "mask" ? "" : `${HINTS[name]}${heat} Press M to edit the mask.`);
    part("take-line").hidden = !TAKEN[name];
    part("take").innerHTML = `Use this ${TAKEN[name]} as the mask <kbd>C</kbd>`;
    part("canvas").classList.toggle("paints", name === "mask");
  }

  hint(text) {
    part("hint").textContent = text;
    part("hint").hidden = !text;
  }

  // The classes that may be painted: the tags, or all; and "undecided".
  listClasses() {
    const all = part("all").checked;
    const tags = this.doc?.about.tags ?? [];
    this.classes = this.run.classes.filter((one) => all || tags.includes(one.label));
    const rows = this.classes.map((one, index) => this.row(one.label, one.name, one.colour, index < 9 ? String(index + 1) : ""));
    rows.push(this.row(0, "background", "none", "E"), this.row(this.run.undecided, "undecided", "", "U"));
    part("classes").replaceChildren(...rows);
    const known = this.chosen !== null && [0, this.run.undecided, ...this.classes.map((one) => one.label)].includes(this.chosen);
    this.choose(known ? this.chosen : (this.classes[0]?.label ?? null));
  }

  listCuts(doc) {
    const labels = [...(doc.scores?.labels ?? [])];
    part("cut").replaceChildren(new Option("all classes", ""), ...labels.map((label) => new Option(this.byLabel.get(label).name, label)));
    part("cut").hidden = labels.length < 2;
  }

  row(label, name, colour, key) {
    const row = document.createElement("button");
    row.setAttribute("role", "radio");
    row.dataset.label = label;
    const swatch = document.createElement("i");
    if (colour) swatch.style.background = colour;
    else swatch.className = "undecided";
    row.append(swatch, name);
    if (key) {
      const cap = document.createElement("kbd");
      cap.textContent = key;
      row.append(cap);
    }
    row.addEventListener("click", () => { this.choose(label); row.blur(); });
    return row;
  }

  choose(label) {
    this.chosen = label;
    for (const row of part("classes").children) row.setAttribute("aria-checked", +row.dataset.label === label);
    if (this.editor.shown === "heat") this.editor.show("heat");
  }

  chooseNumber(number) {
    if (this.classes[number - 1]) this.choose(this.classes[number - 1].label);
  }

  // What a line of the tool "tell" says: "this is", or "this is not".
  deny(on) {
    this.denies = on;
    for (const button of part("tell-line").children) button.setAttribute("aria-pressed", String(on) === button.dataset.denies);
    this.sayTool();
  }

  // "tell", "brush", "shape" or "region".
  use(tool) {
    this.editor.outline.clear();
    this.editor.tool = tool;
    this.editor.refresh(); // what "this is not" says is shown with its tool alone
    for (const name of ["tell", "brush", "shape", "region"]) part(`tool-${name}`).setAttribute("aria-pressed", name === tool);
    part("size-line").hidden = tool !== "brush";
    part("tell-line").hidden = tool !== "tell";
    this.sayTool();
  }

  sayTool() {
    const note = NOTES[this.editor.tool === "tell" && this.denies ? "deny" : this.editor.tool];
    part("tool-note").textContent = note ?? "";
    part("tool-note").hidden = !note;
  }

  // Radius of the brush in pixels of the image.
  radius() {
    const share = part("size").value / 100;
    return 0.5 + (Math.min(this.doc?.width ?? 400, this.doc?.height ?? 400) / 4) * share * share;
  }

  resize(step) {
    part("size").value = +part("size").value + step;
    part("size").dispatchEvent(new Event("input"));
    this.editor.hover(this.editor.view.cursor);
  }

  sayRadius() {
    part("size-value").textContent = `${Math.round(2 * this.radius())} px`;
  }

  // The label whose threshold the slider moves; null: all together.
  cutOnly() {
    return part("cut").value ? +part("cut").value : null;
  }

  nextCut() {
    const choice = part("cut");
    if (choice.options.length) choice.selectedIndex = (choice.selectedIndex + 1) % choice.options.length;
    this.sayThreshold();
  }

  threshold() {
    const { threshold, less } = this.doc.edit;
    return threshold + (less[this.cutOnly()] ?? 0);
  }

  sayThreshold() {
    if (!this.doc) return;
    part("threshold").value = this.threshold();
    part("threshold-value").textContent = this.threshold().toFixed(2);
  }
}
