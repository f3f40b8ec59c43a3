// One image: load it, show it, edit it, decide. Whatever arrives late belongs to an image that is no longer shown, and is dropped.

import { fillHoles, region, removeIslands, shape, stroke } from "./areas.js";
import { go } from "./gallery.js";
import { Doc } from "./doc.js";
import { Panel } from "./panel.js";
import { postSolve } from "./api.js";
import { marksOf, NOT, PAINTED, takeSolution } from "./marks.js";
import { Outline } from "./outline.js";
import { listen } from "./pointer.js";
import { cutAt, recut, strongest } from "./scores.js";
import { View } from "./view.js";

const part = (id) => document.getElementById(id);
const VIEWS = ["mask", "photo", "fused", "prediction", "heat", "other"];

export class Editor {
  constructor(run, gallery, bar) {
    Object.assign(this, { run, gallery, bar, doc: null, loading: null, order: [] });
    this.view = new View(part("canvas"));
    this.outline = new Outline(this.view);
    this.panel = new Panel(run, this);
    this.shown = "mask";
    this.tool = "tell"; // "tell", "brush", "shape" or "region"
    this.forget = listen(part("canvas"), this.view, {
      mayPaint: () => this.doc && this.shown === "mask" && this.value() !== null,
      begin: (at) => {
        this.doc.history.begin();
        this.path = [at];
        this.paint(at);
      },
      move: (at) => this.paint(at),
      end: () => this.finish(),
      cancel: () => {
        this.outline.show();
        this.doc?.history.cancel();
        this.refresh();
      },
      hover: (at) => this.hover(at),
    });
    addEventListener("beforeunload", (event) => this.doc?.dirty && event.preventDefault());
  }

  // Open an image; `order` is what comes before and after.
  async open(id, order) {
    this.forget();
    this.loading?.abort();
    this.doc?.flush().catch(() => {}); // the bar says if it fails
    this.solving?.abort();
    this.solving = null;
    const mine = (this.loading = new AbortController());
    this.outline.clear();
    Object.assign(this, { doc: null, order, id, shown: "mask" });
    this.reveal(true);
    this.view.clear();
    this.panel.begin(id, order, this.before);
    this.before = null;
    try {
      const doc = await Doc.load(id, this.run, mine.signal);
      if (this.loading !== mine) return;
      this.begin(doc);
    } catch (error) {
      if (this.loading === mine && error.name !== "AbortError") this.panel.failed(error.message);
    }
  }

  reveal(on) {
    part("editor").hidden = !on;
    document.body.classList.toggle("editing", on);
  }

  begin(doc) {
    this.doc = doc;
    doc.onSaved = (text, error) => this.saved(doc, text, error);
    this.view.show(doc.photo, doc.width, doc.height);
    this.panel.show(doc);
    this.show("mask");
  }

  async close() {
    this.forget();
    this.loading?.abort();
    this.loading = null;
    const doc = this.doc;
    this.doc = null;
    this.reveal(false);
    this.view.clear();
    await doc?.flush().catch(() => {});
  }

  saved(doc, text, error) {
    Object.assign(this.gallery.byId.get(doc.id), { state: doc.about.state, revision: doc.about.revision, draft: doc.about.draft });
    if (this.doc === doc) {
      part("saved").textContent = text || (doc.about.draft ? "Saved; not accepted yet" : "");
      this.panel.facts(doc);
    }
    if (!error) this.bar.clear(doc.id);
    else if (error.status === 409) {
      this.bar.say(doc.id, `${doc.id}: ${error.message}`, {
        "Load the other mask": () => { doc.dirty = false; this.bar.clear(doc.id); this.open(doc.id, this.order); },
        "Keep mine": () => { doc.about.revision = error.content.revision; doc.changed(); },
      });
    } else this.bar.say(doc.id, `${doc.id}: ${error.message}`, error.status === 422 ? { Close: () => {} } : { "Try again": () => doc.changed() });
  }

  // ---- what is shown

  async show(name) {
    const doc = this.doc;
    if (!doc || !this.available(name)) return;
    this.shown = name;
    if (name !== "mask") this.outline.clear();
    this.panel.viewing(name);
    part("loading").hidden = true;
    if (name === "mask") this.refresh();
    else if (name === "photo") this.view.setNothing();
    else {
      try {
        const found = await (name === "heat" ? doc.heat() : doc.layer(name));
        if (this.doc !== doc || this.shown !== name) return;
        if (name === "heat") this.view.setHeat(found, this.panel.chosen);
        else this.view.setLabel(found, this.panel.colours, this.run.undecided);
      } catch (error) {
        if (this.doc === doc) this.bar.say(doc.id, `${doc.id}: ${error.message}`, { Close: () => {} });
      }
    }
  }

  available(name) {
    const layers = this.doc.about.layers;
    if (name === "heat") return this.doc.about.tags.length > 0 && (layers.cam || layers.scores);
    return name === "mask" || name === "photo" || layers[name];
  }

  turn() {
    const there = VIEWS.filter((name) => this.available(name));
    this.show(there[(there.indexOf(this.shown) + 1) % there.length]);
  }

  refresh(box) {
    if (!this.doc || this.shown !== "mask") return;
    const { label, hand } = this.doc.edit, denied = this.tool === "tell" ? (at) => hand[at] >= NOT : null;
    this.view.setLabel(label, this.panel.colours, this.run.undecided, box, denied);
  }

  hover(at) {
    const paints = at && this.doc && this.shown === "mask" && ["tell", "brush"].includes(this.tool) && this.value() !== null;
    this.view.cursor = paints ? { ...at, radius: this.radius() } : null;
    if (this.outline.points.length && !this.doc?.history.before) this.outline.show(at);
    this.view.draw();
  }

  // ---- edits

  // The label that the tool paints; null if no class is chosen.
  value() {
    return this.panel.chosen;
  }

  // Radius of what is drawn, in pixels of the image; that of a scribble is the same on the screen at each zoom.
  radius() {
    return this.tool === "brush" ? this.panel.radius() : Math.max(0.8, (4 * (devicePixelRatio || 1)) / this.view.scale);
  }

  paint(at) {
    const { doc, path } = this;
    const { label, hand } = doc.edit;
    if (this.tool === "brush" || this.tool === "tell") {
      const denied = this.tool === "tell" && this.panel.denies && this.value() !== this.run.undecided;
      const code = denied ? NOT + this.value() : PAINTED;
      const box = stroke(label, hand, doc.width, doc.height, path.at(-1), at, this.radius(), this.value(), code);
      if (box) this.refresh(box);
    } else if (this.tool === "shape") {
      this.view.path = [...this.outline.points, ...path];
      this.view.draw();
    } else { // the further the hand moves, the more colours are alike
      label.set(doc.history.before.label);
      hand.set(doc.history.before.hand);
      const far = (Math.hypot(at.x - path[0].x, at.y - path[0].y) * this.view.scale) / (devicePixelRatio || 1);
      region(label, hand, doc.width, doc.height, { photo: doc.colours, found: doc.found }, path[0], 16 + far / 2, this.value());
      this.refresh();
    }
    path.push(at);
  }

  finish() {
    if (this.tool === "shape") this.enclose(this.outline.add(this.path));
    this.commit();
    if (this.tool === "tell" || this.solving) this.solve();
  }

  // Paint what a closed line surrounds, if there is one.
  enclose(points) {
    if (!points) return;
    const { doc } = this;
    if (!doc.history.before) doc.history.begin();
    shape(doc.label, doc.edit.hand, doc.width, doc.height, points, this.value());
    this.view.path = null;
    this.refresh();
    this.commit();
  }

  // Keys while corners are set: close the line, forget it, take back the last corner; false if there are none.
  atOutline(key) {
    if (!this.outline.points.length) return false;
    if (key === "Enter") this.enclose(this.outline.close());
    else if (key === "Escape") this.outline.clear();
    else if (key === "z") this.outline.back();
    else return false;
    return true;
  }

  // Solve the mask again from all that the person has said; the answer belongs to the step before it.
  async solve() {
    const { doc } = this;
    this.solving?.abort();
    const mine = (this.solving = new AbortController());
    const slow = setTimeout(() => this.solving === mine && this.panel.hint("Solving the mask again ..."), 250);
    const { past } = doc.history;
    const [step, marks] = [past.at(-1), marksOf(doc.edit, doc.width, doc.height, doc.about.solved, this.run.undecided)];
    try {
      const shares = await postSolve(doc.id, doc.edit.threshold, marks, mine.signal);
      if (this.doc !== doc || this.solving !== mine || doc.history.before) return; // what is being drawn asks again
      this.solving = null;
      if (past.at(-1) !== step) return; // the person has taken it back
      const { label: solution } = strongest(shares, doc.width, doc.height);
      const { label, hand, threshold } = doc.edit;
      doc.history.begin();
      takeSolution(label, hand, solution, doc.found && ((at) => cutAt(doc.found, at, threshold)), this.run.undecided);
      this.refresh();
      this.commit(true);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.solving = null;
      if (this.doc === doc) this.bar.say(doc.id, `${doc.id}: ${error.message}`, { Close: () => {} });
    } finally {
      clearTimeout(slow);
      if (this.shown === "mask" && this.solving !== mine) this.panel.hint("");
    }
  }

  commit(joined = false) {
    if (!this.doc?.history.commit(joined)) return;
    this.doc.changed();
    this.panel.edited(this.doc);
  }

  // One edit of the whole mask as one step of the history.
  step(change) {
    if (!this.doc) return;
    if (this.shown !== "mask") this.show("mask");
    this.doc.history.begin();
    change(this.doc.edit, this.doc);
    this.refresh();
    this.commit();
  }

  // Move the threshold; many moves are one step until `last`.
  threshold(value, last) {
    const doc = this.doc;
    if (!doc?.found) return;
    if (this.shown !== "mask") this.show("mask");
    if (!doc.history.before) doc.history.begin();
    const { edit } = doc, only = this.panel.cutOnly();
    if (only === null) edit.threshold = Math.min(1, Math.max(0, value));
    else edit.less = { ...edit.less, [only]: Math.min(1, Math.max(0, value)) - edit.threshold };
    doc.weigh();
    recut(doc.found, doc.edit.threshold, doc.label, doc.edit.hand);
    this.refresh();
    if (last) this.commit();
  }

  move(forward) {
    if (!this.doc || !(forward ? this.doc.history.redo() : this.doc.history.undo())) return;
    if (this.shown !== "mask") this.show("mask");
    this.solving?.abort();
    this.solving = null;
    this.doc.weigh();
    this.refresh();
    this.doc.changed();
    this.panel.edited(this.doc);
  }

  cleanUp(what) {
    const work = what === "holes" ? fillHoles : removeIslands;
    this.step(({ label, hand }, { width, height }) => work(label, hand, width, height));
  }

  // Take another picture as the mask: "fused", "prediction", "other", or "mask", which is the run's own.
  async take(name) {
    const doc = this.doc;
    if (!doc?.about.layers[name]) return;
    const found = await doc.layer(name);
    if (this.doc !== doc) return;
    const allowed = new Set([0, this.run.undecided, ...this.panel.classes.map((one) => one.label)]);
    this.step((edit) => {
      if (name === "mask") Object.assign(edit, { threshold: doc.about.run_threshold ?? edit.threshold, less: {} });
      doc.weigh();
      found.forEach((label, at) => { edit.label[at] = allowed.has(label) || name === "mask" ? label : 0; });
      doc.markHand();
    });
  }

  // ---- decisions

  async decide(action) {
    const doc = this.doc;
    if (!doc || this.deciding) return;
    if (action === "accept" && this.shown !== "mask") { // nobody accepts what is not in sight
      this.show("mask");
      this.panel.hint("This is the mask that you accept. Press A again.");
      return;
    }
    this.deciding = true;
    try {
      await (action === "accept" ? doc.accept() : doc.change(action));
      if (action === "accept") this.gallery.byId.get(doc.id).learned = false;
      if (this.doc !== doc || action === "reopen") return;
      this.before = { id: doc.id, state: doc.about.state };
      this.go(1);
    } catch { /* the bar says why, and the image stays */ } finally {
      this.deciding = false;
    }
  }

  // To the image after (1) or before (-1); what is edited is saved first.
  async go(step) {
    const doc = this.doc;
    const next = this.order[this.order.indexOf(this.id) + step];
    try {
      await doc?.flush();
    } catch {
      return; // the bar says why, and the image stays
    }
    if (this.doc !== doc) return;
    if (!next) location.hash = "#/";
    else {
      Object.assign(this, { doc: null, id: next }); // further keys mean the next image, or nothing while it is loaded
      this.view.clear();
      go(next);
    }
  }
}
