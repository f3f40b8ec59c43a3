// All keys of the editor, in one table: what the help shows is what the keys do.

export const KEYS = [
  ["Decide", [
    ["A", "Accept the mask as it is, go to the next image", ["a", "Enter"]],
    ["R", "Reject the mask, go to the next image", ["r"]],
    ["N →", "Skip: go to the next image", ["n", "ArrowRight"]],
    ["←", "Go to the image before", ["ArrowLeft"]],
    ["Q", "Take back that it was accepted or rejected", ["q"]],
    ["Esc", "Back to all images", ["Escape"]],
  ]],
  ["Show", [
    ["M", "Mask that you edit", ["m"]],
    ["P", "Photo alone", ["p"]],
    ["F", "Fused mask (pseudo-mask and model together)", ["f"]],
    ["D", "Prediction of the model, without tags", ["d"]],
    ["H", "Heat: class activation map (CAM) of the chosen class", ["h"]],
    ["J", "Mask of the other method, where the run was given one (refine.other)", ["j"]],
    ["V", "The next of these pictures", ["v"]],
    ["C", "Take the fused mask, prediction or other mask that is shown as the mask", ["c"]],
    ["+ − 0", "Larger, smaller, whole image (also: wheel, two fingers)", ["+", "-", "0", "=", "_"]],
    ["Space", "Hold and drag to move the image (also: right button)", []],
  ]],
  ["Edit", [
    ["1 … 9", "Choose the class to paint", [..."123456789"]],
    ["E", "Paint background: erase", ["e"]],
    ["U", "Paint \u201cundecided\u201d: the model does not learn from these pixels", ["u"]],
    ["T", "Tell: draw a short line where the chosen class is; the whole mask is solved again", ["t"]],
    ["X", "Switch between \u201cthis is\u201d and \u201cthis is not\u201d the chosen class", ["x"]],
    ["B", "Brush: paint pixel by pixel", ["b"]],
    ["S", "Shape: draw around an area, or click its corners (Enter or a double click closes, Z takes one back, Esc forgets)", ["s"]],
    ["G", "Region: press on an area of one colour and score; drag away from the point for more", ["g"]],
    [", .", "Smaller brush, larger brush", [",", ".", "[", "]"]],
    ["↑ ↓", "Threshold: larger objects, smaller objects", ["ArrowUp", "ArrowDown"]],
    ["K", "The class whose threshold moves: all, or one", ["k"]],
    ["L", "Fill holes: background that one class surrounds", ["l"]],
    ["I", "Remove islands: small parts apart from the main one", ["i"]],
    ["O", "Original: the mask as the run has made it", ["o"]],
    ["Z", "Undo, without end", ["z"]],
    ["Y", "Redo", ["y", "Z"]],
  ]],
  ["Learn", [["W", "Learn from the accepted and corrected masks: the model goes on from what it knows", ["w"]]]],
  ["Help", [["?", "These keys", ["?"]]]],
];

const KNOWN = new Set(KEYS.flatMap(([, rows]) => rows.flatMap((row) => row[2])));

// The key of an event as the table has it, or "" if it means something else there.
export function keyOf(event) {
  const target = event.target;
  const typing = target.matches?.("select, input:not([type=range]):not([type=checkbox])");
  if (typing || event.altKey || document.querySelector("dialog[open]")) return "";
  if (event.ctrlKey || event.metaKey) {
    if (event.key.toLowerCase() === "z") return event.shiftKey ? "y" : "z";
    return event.key.toLowerCase() === "y" ? "y" : "";
  }
  if (target.matches?.("input[type=range]") && event.key.startsWith("Arrow")) return "";
  if (target.matches?.("button, a, summary") && event.key === "Enter") return "";
  if (KNOWN.has(event.key)) return event.key === "Z" ? "y" : event.key;
  const small = event.key.toLowerCase();
  return KNOWN.has(small) ? small : "";
}

export function fillHelp(place) {
  for (const [title, rows] of KEYS) {
    const table = document.createElement("table");
    const caption = table.createCaption();
    caption.textContent = title;
    for (const [key, text] of rows) {
      const row = table.insertRow();
      const head = document.createElement("th");
      for (const part of key.split(" ")) {
        const cap = document.createElement(part === "…" ? "span" : "kbd");
        cap.textContent = part;
        head.append(cap, " ");
      }
      row.append(head);
      row.insertCell().textContent = text;
    }
    place.append(table);
  }
}
