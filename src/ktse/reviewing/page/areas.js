// Connected areas of a label map: holes to fill, islands to remove. Neighbours are above, below, left and right.

import { NOT, PAINTED } from "./marks.js";

const STRANGE = 48; // how unlike two pixels are of which the scores name another class, as a difference of colours

// Number of the area of each pixel, and of each area: label, size, whether it touches the edge of the image.
function areas(label, width, height) {
  const number = new Int32Array(label.length).fill(-1);
  const found = [];
  const stack = new Int32Array(label.length);
  for (let first = 0; first < label.length; first++) {
    if (number[first] >= 0) continue;
    const area = { label: label[first], size: 0, edge: false, first, around: new Set() };
    const mine = found.length;
    let top = 0;
    stack[top++] = first;
    number[first] = mine;
    while (top) {
      const at = stack[--top];
      const x = at % width;
      area.size++;
      const next = [x > 0 ? at - 1 : -1, x < width - 1 ? at + 1 : -1, at - width, at + width < label.length ? at + width : -1];
      for (const other of next) {
        if (other < 0) area.edge = true;
        else if (label[other] !== area.label) area.around.add(label[other]);
        else if (number[other] < 0) {
          number[other] = mine;
          stack[top++] = other;
        }
      }
    }
    found.push(area);
  }
  return { number, found };
}

function paint(label, hand, number, becomes) {
  let changed = 0;
  for (let at = 0; at < label.length; at++) {
    const now = becomes.get(number[at]);
    if (now === undefined) continue;
    label[at] = now;
    hand[at] = PAINTED;
    changed++;
  }
  return changed;
}

// Fill background that one class alone surrounds; returns the number of pixels.
export function fillHoles(label, hand, width, height) {
  const { number, found } = areas(label, width, height);
  const becomes = new Map();
  found.forEach((area, index) => {
    if (area.label === 0 && !area.edge && area.around.size === 1) becomes.set(index, [...area.around][0]);
  });
  return paint(label, hand, number, becomes);
}

// Make areas of a class background that are much smaller than the largest of the class; returns the number of pixels.
export function removeIslands(label, hand, width, height, share = 0.05) {
  const { number, found } = areas(label, width, height);
  const largest = new Map();
  for (const area of found) largest.set(area.label, Math.max(area.size, largest.get(area.label) ?? 0));
  const becomes = new Map();
  found.forEach((area, index) => {
    if (area.label === 0 || area.size >= share * largest.get(area.label)) return;
    becomes.set(index, area.around.size === 1 ? [...area.around][0] : 0);
  });
  return paint(label, hand, number, becomes);
}

// Paint the connected area whose colour and score are like those at a place; returns the number of pixels.
export function region(label, hand, width, height, { photo, found }, place, tolerance, value) {
  const x = Math.floor(place.x), y = Math.floor(place.y);
  if (x < 0 || y < 0 || x >= width || y >= height) return 0;
  const start = y * width + x;
  const [red, green, blue] = photo.subarray(4 * start, 4 * start + 3);
  const limit = tolerance * tolerance;
  const unlike = (at) => {
    if (!found) return 0;
    return found.label[at] === found.label[start] ? (found.best[at] - found.best[start]) / 4 : STRANGE;
  };
  const alike = (at) => (photo[4 * at] - red) ** 2 + (photo[4 * at + 1] - green) ** 2 + (photo[4 * at + 2] - blue) ** 2 + unlike(at) ** 2 <= limit;
  const seen = new Uint8Array(label.length);
  const stack = [start];
  seen[start] = 1;
  let changed = 0;
  while (stack.length) {
    const at = stack.pop();
    label[at] = value;
    hand[at] = PAINTED;
    changed++;
    const column = at % width;
    for (const other of [column > 0 ? at - 1 : -1, column < width - 1 ? at + 1 : -1, at - width, at + width]) {
      if (other < 0 || other >= label.length || seen[other]) continue;
      seen[other] = 1;
      if (alike(other)) stack.push(other);
    }
  }
  return changed;
}

// Paint what a closed line surrounds.
export function shape(label, hand, width, height, path, value) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  context.beginPath();
  for (const point of path) context.lineTo(point.x, point.y);
  context.closePath();
  context.fill();
  const drawn = context.getImageData(0, 0, width, height).data;
  for (let at = 0; at < label.length; at++) {
    if (drawn[4 * at + 3] < 128) continue;
    label[at] = value;
    hand[at] = PAINTED;
  }
}

// Paint a line as wide as the brush, or deny a label there (by its code in `hand`); returns the box [left, top, right,
// bottom], or null.
export function stroke(label, hand, width, height, from, to, radius, value, code = PAINTED) {
  const left = Math.max(0, Math.floor(Math.min(from.x, to.x) - radius));
  const right = Math.min(width, Math.ceil(Math.max(from.x, to.x) + radius) + 1);
  const top = Math.max(0, Math.floor(Math.min(from.y, to.y) - radius));
  const bottom = Math.min(height, Math.ceil(Math.max(from.y, to.y) + radius) + 1);
  if (left >= right || top >= bottom) return null;
  const dx = to.x - from.x, dy = to.y - from.y;
  const length = dx * dx + dy * dy || 1;
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      const px = x + 0.5 - from.x, py = y + 0.5 - from.y;
      const share = Math.min(1, Math.max(0, (px * dx + py * dy) / length));
      const ox = px - share * dx, oy = py - share * dy;
      if (ox * ox + oy * oy > radius * radius) continue;
      const at = y * width + x;
      if (code < NOT) label[at] = value;
      hand[at] = code;
    }
  }
  return [left, top, right, bottom];
}
