// What is known of each pixel besides its label: `hand` says where the label comes from, and what a person denies.

export const FREE = 0; // cut from the scores
export const PAINTED = 1; // a person says that this is the label
export const SOLVED = 2; // follows from what a person says elsewhere
export const KEPT = 3; // from an earlier edit
export const NOT = 4; // and above: a person says that it is not the label hand - NOT

const IS = 1, IS_NOT = 2, WAS = 3; // as the server calls them

// Marks for the server at the size of its solution; a mark of one pixel is never lost.
export function marksOf({ label, hand }, width, height, [columns, rows], undecided) {
  const marks = new Uint32Array(columns * rows);
  for (let y = 0, at = 0; y < height; y++) {
    const row = Math.floor((y * rows) / height) * columns;
    for (let x = 0; x < width; x++, at++) {
      const code = hand[at];
      if (code === FREE || code === SOLVED || (code < NOT && label[at] === undecided)) continue;
      const place = row + Math.floor((x * columns) / width);
      if (code >= NOT) marks[place] = (IS_NOT << 16) | (code - NOT);
      else if (code === PAINTED) marks[place] = (IS << 16) | label[at];
      else if (!marks[place]) marks[place] = (WAS << 16) | label[at];
    }
  }
  return marks;
}

// Take a solution as the label of all pixels that nobody has painted.
export function takeSolution(label, hand, solution, cut, undecided) {
  for (let at = 0; at < label.length; at++) {
    const code = hand[at], found = solution[at];
    if (code === PAINTED || (code === KEPT && label[at] === undecided)) continue;
    if (code >= NOT) label[at] = found;
    else if (label[at] !== found || code === SOLVED) {
      label[at] = found;
      hand[at] = cut && cut(at) === found ? FREE : SOLVED;
    }
  }
}
