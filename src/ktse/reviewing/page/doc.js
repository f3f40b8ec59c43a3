// One image that is being edited: its pictures, its mask, its history, and saving. One save at a time, in order.

import { Failure, getImage, getLabel, getPhoto, getScores, postState, postTag, putLabel } from "./api.js";
import { History } from "./history.js";
import { FREE, KEPT } from "./marks.js";
import { cutAt, strongest } from "./scores.js";

const PAUSE = 400; // milliseconds without a further edit after which a draft is saved

export class Doc {
  // Everything that the first view needs; `signal` ends the loading if the person has gone on.
  static async load(id, run, signal) {
    const doc = new Doc();
    const about = await getImage(id, signal);
    const found = about.layers.scores && about.tags.length ? getScores(id, "scores", signal) : null;
    const label = about.state !== "open" || about.draft || about.layers.mask ? getLabel(id, "edit", run.bytes, signal) : null;
    const [photo, scores, mask] = await Promise.all([getPhoto(id, signal), found, label]);
    doc.fill(about, run, photo, scores, mask);
    return doc;
  }

  fill(about, run, photo, scores, mask) {
    const { width, height } = about;
    Object.assign(this, { id: about.id, about, run, photo, width, height });
    this.loaded = {}; // other layers, by name
    this.queue = Promise.resolve();
    this.dirty = false;
    this.onSaved = () => {};
    this.explain(scores);
    const empty = run.bytes === 2 ? new Uint16Array(width * height) : new Uint8Array(width * height);
    const label = mask ?? empty;
    const threshold = about.threshold ?? about.run_threshold ?? 0.5;
    this.edit = { label, hand: new Uint16Array(label.length), threshold, less: {} };
    this.markHand();
    this.history = new History(this.edit);
  }

  // Take the scores of the tags.
  explain(scores) {
    this.scores = scores?.count ? scores : null;
    this.found = this.scores && strongest(scores, this.width, this.height);
    this.weighed = "{}";
  }

  get label() {
    return this.edit.label;
  }

  // Whatever the scores do not explain stays when the threshold moves.
  markHand() {
    const { label, hand, threshold } = this.edit;
    for (let at = 0; at < label.length; at++) hand[at] = this.found && label[at] === cutAt(this.found, at, threshold) ? FREE : KEPT;
  }

  // What the scores say, where the threshold of a label differs from that of the others by `less` (0..1).
  weigh() {
    const key = JSON.stringify(this.edit.less);
    if (!this.scores || key === this.weighed) return;
    this.weighed = key;
    const less = Object.fromEntries(Object.entries(this.edit.less).map(([label, value]) => [label, 255 * value]));
    this.found = strongest(this.scores, this.width, this.height, less);
  }

  // A label map other than the edit: "mask", "fused", "prediction" or "other".
  layer(name) {
    this.loaded[name] ??= getLabel(this.id, name, this.run.bytes).catch((error) => {
      delete this.loaded[name];
      throw error;
    });
    return this.loaded[name];
  }

  // Colours of the photo at the size of the mask, a little blurred, so that noise parts nothing.
  get colours() {
    if (!this.pixels) {
      const context = new OffscreenCanvas(this.width, this.height).getContext("2d");
      context.filter = `blur(${Math.max(1, Math.max(this.width, this.height) / 500)}px)`;
      context.drawImage(this.photo, 0, 0, this.width, this.height);
      this.pixels = context.getImageData(0, 0, this.width, this.height).data;
    }
    return this.pixels;
  }

  heat() {
    const kind = this.about.layers.cam ? "cam" : "scores";
    this.loaded.heat ??= getScores(this.id, kind).catch((error) => {
      delete this.loaded.heat;
      throw error;
    });
    return this.loaded.heat;
  }

  // Note an edit; it is saved when the person pauses.
  changed() {
    this.dirty = true;
    this.onSaved("Saving ...");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.flush().catch(() => {}), PAUSE);
  }

  // Save what is not saved yet; a failure is thrown, and the edit stays unsaved.
  flush() {
    clearTimeout(this.timer);
    return this.inTurn(async () => {
      if (this.dirty) await this.put("draft");
    });
  }

  accept() {
    clearTimeout(this.timer);
    return this.inTurn(async () => {
      try {
        await this.put("accept");
      } catch (error) {
        if (this.dirty && error.status === 422) await this.put("draft"); // refused for what it shows, and a person's work all the same
        throw error;
      }
    }, "Not accepted");
  }

  // "reject" or "reopen".
  async change(action) {
    await this.flush();
    return this.inTurn(async () => this.take(await postState(this.id, this.about.revision, action)));
  }

  // Add a tag, or take it away; the scores are then those of the other tags.
  async retag(label, there) {
    await this.flush();
    return this.inTurn(async () => {
      this.take(await postTag(this.id, this.about.revision, label, there));
      const { layers, tags } = this.about;
      this.explain(layers.scores && tags.length ? await getScores(this.id, "scores") : null);
      this.weigh();
    });
  }

  async put(action) {
    const was = this.dirty;
    this.dirty = false;
    const { label, threshold } = this.edit;
    try {
      this.take(await putLabel(this.id, label.slice(), { action, revision: this.about.revision, threshold }));
    } catch (error) {
      this.dirty ||= was;
      throw error;
    }
  }

  take(state) {
    Object.assign(this.about, state);
  }

  // Do one thing after the other; `onSaved` hears how it ended, or the words for a failure.
  inTurn(work, failure = "Not saved") {
    const done = this.queue.then(work);
    this.queue = done.catch(() => {});
    done.then(
      () => this.onSaved(this.dirty ? "Saving ..." : "", null, this),
      (error) => this.onSaved(failure, error instanceof Failure ? error : new Failure(0, String(error)), this),
    );
    return done;
  }
}
