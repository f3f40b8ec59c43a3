"use strict";
const all = (what, where = document) => [...where.querySelectorAll(what)];
const byId = (id) => document.getElementById(id);

for (const button of all(".copy")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const code = button.previousElementSibling;
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}

for (const link of all('a[href="#other"]')) link.addEventListener("click", () => { byId("other").open = true; });

const dialog = byId("zoom");
let row = [], shown = 0;
function show(index) {
  shown = (index + row.length) % row.length;
  const image = row[shown].querySelector("img");
  byId("zoom-image").src = image.src;
  byId("zoom-image").alt = image.alt;
  byId("zoom-words").textContent = image.alt;
  for (const id of ["zoom-before", "zoom-after"]) byId(id).hidden = row.length < 2;
}
for (const button of all(".zoom")) {
  button.disabled = false;
  button.addEventListener("click", () => {
    row = all(".zoom", button.closest(".pictures") || button.parentElement);
    show(row.indexOf(button));
    dialog.showModal();
  });
}
byId("zoom-before").addEventListener("click", () => show(shown - 1));
byId("zoom-after").addEventListener("click", () => show(shown + 1));
dialog.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (step && row.length > 1) show(shown + step);
});
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

const list = byId("list"), PAGE = 25;
if (list) {
  const body = list.tBodies[0], rows = [...body.rows], collator = new Intl.Collator("en", { numeric: true });
  const names = rows.map((one) => one.querySelector(".id").textContent);
  const tags = rows.map((one) => new Set(all("i", one).map((tag) => tag.textContent)));
  // Rows come with the least confident first; those without confidence stay last.
  const known = rows.filter((one) => one.querySelector(".num").textContent !== "–").length;
  let order = rows.map((_, index) => index), page = 0;
  function draw() {
    const pages = Math.max(1, Math.ceil(order.length / PAGE));
    page = Math.min(Math.max(page, 0), pages - 1);
    const part = order.slice(page * PAGE, (page + 1) * PAGE);
    body.replaceChildren(...part.map((index) => rows[index]));
    const first = part.length ? page * PAGE + 1 : 0;
    byId("place").textContent = `${first} to ${page * PAGE + part.length} of ${order.length}`;
    byId("before").disabled = page === 0;
    byId("after").disabled = page === pages - 1;
  }
  function choose() {
    const wanted = byId("by-class").value, way = byId("by-order").value;
    order = rows.map((_, index) => index).filter((index) => !wanted || tags[index].has(wanted));
    if (way === "name") order.sort((one, two) => collator.compare(names[one], names[two]));
    if (way === "down") order = [...order.filter((i) => i < known).reverse(), ...order.filter((i) => i >= known)];
    page = 0;
    draw();
  }
  byId("by-class").addEventListener("change", choose);
  byId("by-order").addEventListener("change", choose);
  byId("before").addEventListener("click", () => { page -= 1; draw(); });
  byId("after").addEventListener("click", () => { page += 1; draw(); });
  all(".controls")[0].hidden = false;
  choose();
}
