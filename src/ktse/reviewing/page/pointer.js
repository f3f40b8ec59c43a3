// Mouse, pen and fingers on the canvas: paint, move, zoom. Two fingers always move and zoom.

export function listen(canvas, view, { mayPaint, begin, move, end, cancel, hover }) {
  const touching = new Map(); // pointers that are down
  let doing = ""; // "", "paint", "pan" or "pinch"
  let space = false;
  let last = null;

  window.addEventListener("keydown", (event) => {
    if (event.key !== " " || event.target.matches?.("button, input, select, summary, a")) return;
    event.preventDefault();
    space = true;
    canvas.classList.add("moving");
  });
  window.addEventListener("keyup", (event) => {
    if (event.key !== " ") return;
    space = false;
    canvas.classList.remove("moving");
  });
  window.addEventListener("blur", () => { space = false; });

  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    view.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), event);
  }, { passive: false });

  canvas.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    touching.set(event.pointerId, event);
    if (touching.size === 2) {
      if (doing === "paint") cancel();
      doing = "pinch";
    } else if (touching.size === 1) {
      doing = event.button === 0 && !space && mayPaint() ? "paint" : "pan";
      last = event;
      if (doing === "paint") begin(view.onImage(event));
    }
  });

  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "touch") hover(view.onImage(event));
    if (!touching.has(event.pointerId)) return;
    if (doing === "pinch") pinch(event);
    touching.set(event.pointerId, event);
    if (doing === "paint") {
      const all = event.getCoalescedEvents?.() ?? [];
      for (const one of all.length ? all : [event]) move(view.onImage(one));
    } else if (doing === "pan") {
      view.pan(event.clientX - last.clientX, event.clientY - last.clientY);
      last = event;
    }
  });

  function pinch(event) {
    const other = [...touching.values()].find((one) => one.pointerId !== event.pointerId);
    const was = touching.get(event.pointerId);
    if (!other) return;
    const before = Math.hypot(was.clientX - other.clientX, was.clientY - other.clientY);
    const now = Math.hypot(event.clientX - other.clientX, event.clientY - other.clientY);
    view.pan((event.clientX - was.clientX) / 2, (event.clientY - was.clientY) / 2);
    const middle = { clientX: (event.clientX + other.clientX) / 2, clientY: (event.clientY + other.clientY) / 2 };
    if (before > 0 && now > 0) view.zoom(now / before, middle);
  }

  function up(event) {
    if (!touching.delete(event.pointerId)) return;
    if (doing === "paint") event.type === "pointercancel" ? cancel() : end();
    if (touching.size === 0 || doing !== "pinch") doing = "";
  }
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("pointerleave", () => hover(null));

  // Forget what the hand was doing, as another image is shown.
  return () => {
    if (doing === "paint") cancel();
    doing = "";
  };
}
