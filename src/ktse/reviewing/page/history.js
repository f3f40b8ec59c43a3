// Undo and redo without end: each step keeps only the runs of pixels that it changed.

export class History {
  constructor(state) {
    this.state = state; // {label, hand, threshold, less}; its arrays are changed in place
    this.past = [];
    this.future = [];
    this.before = null;
  }

  // Remember how everything is before a step.
  begin() {
    const { label, hand, threshold, less } = this.state;
    this.before = { label: label.slice(), hand: hand.slice(), threshold, less: { ...less } };
  }

  // Go back to how it was before the step.
  cancel() {
    if (!this.before) return;
    this.state.label.set(this.before.label);
    this.state.hand.set(this.before.hand);
    Object.assign(this.state, { threshold: this.before.threshold, less: this.before.less });
    this.before = null;
  }

  // End a step; true if it changed anything. A step that is joined is undone and done again with the one before.
  commit(joined = false) {
    if (!this.before) return false;
    const step = difference(this.before, this.state);
    this.before = null;
    if (!step.runs.length && step.old.threshold === step.now.threshold && same(step.old.less, step.now.less)) return false;
    step.joined = joined && this.past.length > 0;
    this.past.push(step);
    this.future = [];
    return true;
  }

  undo() {
    while (this.past.at(-1)?.joined) this.move(this.past, this.future, false);
    return this.move(this.past, this.future, false);
  }

  redo() {
    const moved = this.move(this.future, this.past, true);
    while (this.future.at(-1)?.joined) this.move(this.future, this.past, true);
    return moved;
  }

  move(from, to, forward) {
    const step = from.pop();
    if (!step) return false;
    const { label, hand } = this.state;
    for (let at = 0; at < step.runs.length; at += 6) {
      const [start, end, oldLabel, newLabel, oldHand, newHand] = step.runs.subarray(at, at + 6);
      label.fill(forward ? newLabel : oldLabel, start, end);
      hand.fill(forward ? newHand : oldHand, start, end);
    }
    Object.assign(this.state, forward ? step.now : step.old);
    to.push(step);
    return true;
  }
}

// Runs of pixels that changed in the same way: start, end, old and new label, old and new mark of a painted pixel.
function difference(before, now) {
  const runs = [];
  const size = now.label.length;
  for (let at = 0; at < size; at++) {
    const was = before.label[at], is = now.label[at], wasHand = before.hand[at], isHand = now.hand[at];
    if (was === is && wasHand === isHand) continue;
    const start = at;
    while (at + 1 < size && before.label[at + 1] === was && now.label[at + 1] === is
      && before.hand[at + 1] === wasHand && now.hand[at + 1] === isHand) at++;
    runs.push(start, at + 1, was, is, wasHand, isHand);
  }
  const [old, is] = [before, now].map(({ threshold, less }) => ({ threshold, less: { ...less } }));
  return { runs: Uint32Array.from(runs), old, now: is };
}

function same(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}
