// All images as tiles. Only tiles that are in sight exist, so that twenty thousand images are as quick as twenty.

import { getRest, thumbnail } from "./api.js";

const GAP = 12, CAPTION = 46, LEAST = 168;
const WAIT = 60; // milliseconds that a tile must stay in sight before its picture is loaded
const STATES = [["", "all"], ["open", "open", "Nobody has decided yet"], ["draft", "edited, not accepted", "You have changed the mask, and not decided yet"],
  ["accepted", "accepted", "The mask of the run is right"], ["corrected", "corrected", "You have changed the mask and accepted it"],
  ["rejected", "rejected", "The mask is wrong, and you have drawn no better one"], ["trusted", "accepted by ktse", "Accepted unseen, by ktse accept"]];
const FILTERS = ["class", "split", "noted", "find"]; // beside the states
const CHOSEN = "Accept what is right, correct what is nearly right, reject the rest.";
const IN_TURN = `In turn: a mask from which the model learns most, and one that is drawn by chance. ${CHOSEN}`;
const BY_HAND = `${CHOSEN} Few of these masks are drawn by chance: checking them hardly says how good the others are.`;

const part = (id) => document.getElementById(id);

export class Gallery {
  constructor(run) {
    this.run = run;
    this.images = run.images; // in order of need
    this.byId = new Map(run.images.map((image) => [image.id, image]));
    this.classes = new Map(run.classes.map((one) => [one.label, one]));
    this.state = "";
    this.tiles = new Map(); // those in sight, by place
    this.scroll = 0;
    part("run-name").textContent = run.name;
    document.title = `ktse review: ${run.name}`;
    this.fillFilters();
    const tiles = part("tiles");
    addEventListener("scroll", () => this.later(), { passive: true });
    new ResizeObserver(() => this.layOut()).observe(tiles);
    this.update();
    this.sayRest().catch(() => {}); // the next request says that the server is gone
  }

  fillFilters() {
    const choice = part("class");
    const count = new Map();
    for (const image of this.images) for (const tag of image.tags) count.set(tag, (count.get(tag) ?? 0) + 1);
    choice.append(new Option("all", ""));
    for (const one of this.run.classes) choice.append(new Option(`${one.name} (${count.get(one.label) ?? 0})`, one.label));
    const untagged = this.images.filter((image) => !image.tags.length).length;
    if (untagged) choice.append(new Option(`no tag (${untagged})`, "none"));
    for (const [state, words, title = ""] of STATES) {
      const button = document.createElement("button");
      button.dataset.state = state;
      button.dataset.words = words;
      button.title = title;
      button.addEventListener("click", () => {
        this.state = state;
        this.update();
      });
      part("states").append(button);
    }
    part("noted-line").hidden = !this.images.some((image) => image.notes.length);
    part("split-line").hidden = !this.images.some((image) => image.kept_out);
    for (const id of [...FILTERS, "order", "tiles-show"]) part(id).addEventListener("input", () => this.update());
    part("clear").addEventListener("click", () => {
      this.state = "";
      for (const id of FILTERS) part(id).value = "";
      this.update();
    });
    part("start").addEventListener("click", () => this.shown.length && go(this.shown[0].id));
    part("command").textContent = this.run.command;
    part("copy").addEventListener("click", async () => {
      await navigator.clipboard.writeText(this.run.command);
      part("copy").textContent = "Copied";
    });
  }

  // Choose again what is shown, after a filter or the state of an image has changed.
  update() {
    const chosen = part("class").value, text = part("find").value.trim().toLowerCase();
    const split = part("split").value, noted = part("noted").value;
    const fits = this.images.filter((image) => (!split || (split === "kept") === image.kept_out)
      && (!noted || image.notes.some((note) => /^(almost the )?same /.test(note) === (noted === "same"))) && (!chosen || (chosen === "none" ? !image.tags.length : image.tags.includes(+chosen)))
      && (!text || image.id.toLowerCase().includes(text)));
    const count = {};
    for (const image of fits) for (const state of ["", image.state, image.draft ? "draft" : "-"]) count[state] = (count[state] ?? 0) + 1;
    for (const button of part("states").children) {
      const { state, words } = button.dataset;
      button.textContent = `${words} ${(count[state] ?? 0).toLocaleString("en")}`;
      button.setAttribute("aria-pressed", state === this.state);
      button.hidden = ["draft", "trusted"].includes(state) && !count[state] && this.state !== state;
    }
    this.shown = fits.filter((image) => !this.state || image.state === this.state || (this.state === "draft" && image.draft));
    const order = part("order").value;
    if (order === "name") this.shown.sort((a, b) => (a.id < b.id ? -1 : 1));
    if (order === "unsure") this.shown.sort((a, b) => (a.confidence ?? 2) - (b.confidence ?? 2));
    if (order !== "name") this.shown.sort((a, b) => (a.state !== "open") - (b.state !== "open")); // what is decided needs no look
    const byHand = order !== "need" || chosen || text || noted || split === "kept";
    part("intro").textContent = byHand ? BY_HAND : IN_TURN;
    part("start").disabled = !this.shown.length;
    part("none").hidden = this.shown.length > 0;
    part("clear").hidden = !this.state && FILTERS.every((id) => !part(id).value);
    this.sayHowToLearn();
    this.clear();
    this.layOut();
  }

  sayHowToLearn() {
    const done = this.images.filter((image) => image.state === "accepted" || image.state === "corrected");
    const tags = this.images.filter((image) => image.retagged).length;
    const apart = done.filter((image) => image.kept_out).length;
    part("learn").hidden = part("learning").hidden = !done.length && !tags;
    const fresh = done.filter((image) => image.learned === false && !image.kept_out).length;
    const from = fresh === done.length ? (fresh === 1 ? "it" : "them") : `${fresh} of them`;
    part("learn-count").textContent = `${done.length} ${done.length === 1 ? "mask is" : "masks are"} accepted or corrected`
      + (fresh ? `; the model has not learned from ${from} yet.` : ".")
      + (tags ? ` The tags of ${tags} ${tags === 1 ? "image" : "images"} are changed.` : "");
    part("tags-note").hidden = !tags;
    part("kept-out-note").hidden = !apart;
    part("kept-out-note").textContent = `${apart} of these ${apart === 1 ? "is the mask of an image" : "are masks of images"} kept out of training, from which the model does not learn.`;
  }

  // How good the masks probably are that nobody has checked; what was checked meanwhile counts.
  async sayRest() {
    const { rest, expected } = await getRest();
    for (const image of this.images) image.expected = expected[image.id] ?? null;
    part("rest").textContent = rest && `${rest[0].toUpperCase()}${rest.slice(1)}.`;
    part("rest").hidden = !rest;
  }

  clear() {
    for (const tile of this.tiles.values()) this.drop(tile);
    this.tiles.clear();
  }

  drop(tile) {
    clearTimeout(tile.timer);
    tile.querySelector("img").removeAttribute("src"); // ends the loading
    tile.remove();
  }

  later() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      this.showTiles();
    });
  }

  layOut() {
    const width = part("tiles").clientWidth;
    if (!width) return;
    const columns = Math.max(2, Math.floor((width + GAP) / (LEAST + GAP)));
    const size = (width - (columns - 1) * GAP) / columns;
    if (columns !== this.columns || size !== this.size) this.clear();
    Object.assign(this, { columns, size, row: size + CAPTION + GAP });
    part("tiles").style.height = `${Math.ceil(this.shown.length / columns) * this.row}px`;
    this.showTiles();
  }

  showTiles() {
    if (part("gallery").hidden || !this.size) return;
    this.scroll = scrollY;
    const top = -part("tiles").getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(top / this.row) - 1) * this.columns;
    const last = Math.min(this.shown.length, (Math.ceil((top + innerHeight) / this.row) + 1) * this.columns);
    for (const [place, tile] of this.tiles) {
      if (place >= first && place < last) continue;
      this.drop(tile);
      this.tiles.delete(place);
    }
    for (let place = first; place < last; place++) if (!this.tiles.has(place)) this.add(place);
  }

  add(place) {
    const image = this.shown[place];
    const tile = document.createElement("a");
    tile.className = "tile";
    tile.href = addressOf(image.id);
    tile.style.width = `${this.size}px`;
    tile.style.transform = `translate(${(place % this.columns) * (this.size + GAP)}px, ${Math.floor(place / this.columns) * this.row}px)`;
    const picture = document.createElement("img");
    picture.alt = "";
    picture.style.height = `${this.size}px`;
    picture.addEventListener("error", () => picture.hasAttribute("src") && tile.classList.add("broken"));
    const name = document.createElement("span");
    name.className = "id";
    name.textContent = image.id;
    name.title = image.id;
    if (image.confidence !== null && image.tags.length) {
      const sure = document.createElement("span");
      sure.textContent = image.confidence.toFixed(2);
      sure.title = "Confidence: how good the mask probably is, compared with the others";
      name.prepend(sure);
    }
    const about = document.createElement("span");
    about.className = "under";
    about.append(...chips(image, this.classes));
    tile.append(picture, name, about);
    if (badge(image)) tile.append(badge(image));
    tile.timer = setTimeout(() => { picture.src = thumbnail(image, part("tiles-show").value); }, WAIT);
    this.tiles.set(place, tile);
    part("tiles").append(tile);
  }

  show() {
    part("gallery").hidden = false;
    const scroll = this.scroll;
    this.update();
    this.sayRest().catch(() => {});
    scrollTo(0, scroll);
    this.showTiles();
  }

  hide() {
    part("gallery").hidden = true;
    this.clear();
  }
}

export function addressOf(id) {
  return `#/image/${encodeURIComponent(id)}`;
}

// The name of an image, as a link to it.
export function linkTo(id) {
  const link = document.createElement("a");
  link.href = addressOf(id);
  link.textContent = id;
  return link;
}

export function go(id) {
  location.hash = addressOf(id);
}

// The tags of an image, each with its colour.
export function chips(image, classes) {
  if (!image.tags.length) return ["no tag"];
  return image.tags.map((tag) => {
    const chip = document.createElement("span");
    chip.className = "chip";
    const swatch = document.createElement("i");
    swatch.style.background = classes.get(tag).colour;
    chip.append(swatch, classes.get(tag).name);
    return chip;
  });
}

// The state of an image; null for one that nobody has touched.
export function badge(image) {
  const state = image.draft ? "draft" : image.state;
  if (state === "open") return null;
  const mark = document.createElement("span");
  mark.className = `badge ${state}`;
  mark.textContent = { draft: "edited", accepted: "✓ accepted", corrected: "✓ corrected", rejected: "✕ rejected", trusted: "✓ by ktse" }[state];
  return mark;
}
