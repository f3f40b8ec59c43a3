// From stored scores to labels, as ktse itself cuts them: enlarge bilinearly, then the strongest class above a threshold.

// The largest score (0..255) and its label at each pixel of an image; `less` is taken off the scores of a label.
export function strongest(scores, width, height, less = {}) {
  const { count, height: rows, width: columns, labels, values } = scores;
  const best = new Float32Array(width * height);
  const label = new Uint16Array(width * height);
  const [left, right, across] = places(columns, width);
  const [above, below, down] = places(rows, height);
  const row = new Float32Array(columns);
  for (let k = 0; k < count; k++) {
    const first = k * rows * columns, off = less[labels[k]] ?? 0;
    for (let y = 0; y < height; y++) {
      const top = first + above[y] * columns;
      const bottom = first + below[y] * columns;
      for (let x = 0; x < columns; x++) row[x] = values[top + x] * (1 - down[y]) + values[bottom + x] * down[y];
      for (let x = 0, at = y * width; x < width; x++, at++) {
        const value = row[left[x]] * (1 - across[x]) + row[right[x]] * across[x] - off;
        if (value > best[at] || k === 0) {
          best[at] = value;
          label[at] = labels[k];
        }
      }
    }
  }
  return { best, label };
}

// For each place of a long line: the two places of the short one that it lies between, and the weight of the second.
function places(short, long) {
  const first = new Int32Array(long);
  const second = new Int32Array(long);
  const weight = new Float32Array(long);
  for (let place = 0; place < long; place++) {
    const at = Math.min(Math.max(((place + 0.5) * short) / long - 0.5, 0), short - 1);
    first[place] = Math.floor(at);
    second[place] = Math.min(first[place] + 1, short - 1);
    weight[place] = at - first[place];
  }
  return [first, second, weight];
}

// The label that the scores give a pixel at a threshold (0..1).
export function cutAt(found, at, threshold) {
  return found.best[at] > threshold * 255 ? found.label[at] : 0;
}

// Cut a whole mask again; pixels that were painted by hand keep their label.
export function recut(found, threshold, label, hand) {
  const limit = threshold * 255;
  for (let at = 0; at < label.length; at++) {
    if (!hand[at]) label[at] = found.best[at] > limit ? found.label[at] : 0;
  }
}
