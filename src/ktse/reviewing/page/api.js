// Requests to the server. Each answer is checked; a failure is a Failure with the server's own words.

export class Failure extends Error {
  constructor(status, message, content = {}) {
    super(message);
    this.status = status;
    this.content = content;
  }
}

// Addresses of pictures carry the start of the server, so that the browser's cache never shows those of another run.
let start = "";

function address(path, values) {
  return `${path}?${new URLSearchParams(values)}`;
}

async function ask(path, values = {}, options = {}) {
  let answer;
  try {
    answer = await fetch(address(path, values), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure(0, "The server does not answer. Start ktse review again; nothing that was saved is lost.");
  }
  if (!answer.ok) {
    const content = await answer.json().catch(() => ({}));
    throw new Failure(answer.status, content.message ?? `The server answers with ${answer.status}.`, content);
  }
  return answer;
}

export async function getRun() {
  const run = await (await ask("/api/run")).json();
  start = run.start;
  return run;
}

// How good the masks are that nobody has checked: a sentence, and the expected IoU by id.
export async function getRest() {
  return (await ask("/api/rest")).json();
}

export async function getImage(id, signal) {
  return (await ask("/api/image", { id }, { signal })).json();
}

export async function getPhoto(id, signal) {
  const answer = await ask("/api/photo", { id, start }, { signal });
  return createImageBitmap(await answer.blob());
}

export async function getLabel(id, layer, bytes, signal) {
  const buffer = await (await ask("/api/label", { id, layer }, { signal })).arrayBuffer();
  return bytes === 2 ? new Uint16Array(buffer) : new Uint8Array(buffer);
}

// Scores as {count, height, width, labels, values}.
export async function getScores(id, kind, signal) {
  return unpacked(await ask("/api/scores", { id, kind }, { signal }));
}

// The share of each label, as scores, after a person has marked some pixels.
export async function postSolve(id, threshold, marks, signal) {
  return unpacked(await ask("/api/solve", { id, threshold }, { method: "POST", body: marks, signal }));
}

async function unpacked(answer) {
  const buffer = await answer.arrayBuffer();
  const [count, height, width] = new Uint32Array(buffer, 0, 3);
  const labels = new Uint32Array(buffer, 12, count);
  return { count, height, width, labels, values: new Uint8Array(buffer, 12 + 4 * count) };
}

// `layer`: "edit", "fused" or "prediction".
export function thumbnail(image, layer) {
  return address("/api/thumbnail", { id: image.id, revision: image.revision, layer, start });
}

export async function putLabel(id, label, values) {
  const options = { method: "PUT", body: label, headers: { "Content-Type": "application/octet-stream" } };
  return (await ask("/api/label", { id, ...values }, options)).json();
}

// Add a tag to an image, or take it away.
export async function postTag(id, revision, label, there) {
  return (await ask("/api/tag", { id, revision, label, there }, { method: "POST" })).json();
}

export async function getLearning() {
  return (await ask("/api/learn")).json();
}

export async function startLearning() {
  return (await ask("/api/learn", {}, { method: "POST" })).json();
}

export async function postState(id, revision, action) {
  return (await ask("/api/state", { id, revision, action }, { method: "POST" })).json();
}
