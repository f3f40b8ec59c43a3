// The tags of an image: each can be taken away, and others can be added.

const part = (id) => document.getElementById(id);

// `change` is called with a label, and whether the class is in the image.
export function showTags(tags, classes, change) {
  const items = classes.filter((one) => tags.includes(one.label)).map((one) => {
    const button = document.createElement("button");
    button.className = "tag";
    button.title = button.ariaLabel = `Take away the tag ${one.name}`;
    const swatch = document.createElement("i");
    swatch.style.background = one.colour;
    button.append(swatch, one.name, " \u00d7");
    button.addEventListener("click", () => { button.blur(); change(one.label, false); });
    return button;
  });
  const missing = classes.filter((one) => !tags.includes(one.label));
  const more = document.createElement("select");
  more.ariaLabel = "Add a tag";
  more.append(new Option(tags.length ? "add a tag" : "no tag; add one", ""), ...missing.map((one) => new Option(one.name, one.label)));
  more.addEventListener("change", () => { more.blur(); if (more.value) change(+more.value, true); });
  part("tags").replaceChildren(...items, ...(missing.length ? [more] : []));
}

// Add a tag to the image that is shown, or take it away: its pixels become background.
export async function retag(editor, label, there) {
  const { doc } = editor;
  if (!doc) return;
  try {
    await doc.retag(label, there);
  } catch {
    return; // the bar says why, and the tags stay
  }
  Object.assign(editor.gallery.byId.get(doc.id), { tags: doc.about.tags, retagged: doc.about.retagged });
  if (editor.doc !== doc) return;
  editor.panel.show(doc);
  const steps = doc.history.past.length;
  if (!there && doc.label.includes(label)) {
    editor.step((edit) => edit.label.forEach((value, at) => { if (value === label) edit.label[at] = 0; }));
  }
  const name = editor.panel.byLabel.get(label).name, step = doc.history.past.length > steps;
  const undo = () => {
    if (editor.doc !== doc) return;
    if (step && doc.history.past.length === steps + 1) editor.move(false); // unless more was drawn since
    retag(editor, label, !there);
  };
  editor.bar.say("tags", `${doc.id} ${there ? "has the tag" : "no longer has the tag"} ${name}.`, { Undo: undo, Close: () => {} });
}
