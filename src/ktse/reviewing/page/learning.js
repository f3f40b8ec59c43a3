// Learning from the corrections: start it, show how far it is, and say when there are new masks.

import { getLearning, startLearning } from "./api.js";

const part = (id) => document.getElementById(id);
const OFTEN = 1500; // milliseconds between two questions how far it is
const STAGES = { check: "looking at the images", adapt: "learning from your masks", predict: "making predictions and fused masks", evaluate: "judging the result", report: "writing the report" };

export class Learning {
  // `finished` hears that the model has learned while the page was open; `failed` hears why nothing began.
  constructor(finished, failed) {
    Object.assign(this, { finished, failed, running: false });
    part("learn-now").addEventListener("click", () => this.start());
    getLearning().then((about) => this.show(about), () => {});
  }

  async start() {
    if (this.running) return;
    try {
      this.show(await startLearning());
    } catch (error) {
      this.failed(error.message);
    }
  }

  show(about) {
    const { state, seconds, lines } = about, was = this.running;
    const reason = lines.slice(Math.max(0, lines.findLastIndex((line) => line.startsWith("ktse run: ")))).join(" ");
    this.running = state === "running";
    part("learn-now").disabled = this.running;
    const words = { running: howFar(about), done: `Learned in ${seconds} s. New are the fused masks (choose them at Tiles; F shows that of an image), the predictions and the report.`, failed: "Learning failed:" }[state] ?? "";
    part("learn-state").textContent = words;
    part("learns").hidden = !this.running;
    part("learns").textContent = words.split(":")[0];
    part("learn-lines").hidden = state !== "failed";
    part("learn-lines").textContent = lines.join("\n");
    if (this.running) setTimeout(() => getLearning().then((next) => this.show(next), () => this.show(about)), OFTEN);
    else if (was && state === "done") this.finished();
    else if (was) this.failed(state === "failed" ? `Learning failed: ${reason.replace("ktse run: ", "")}` : "The server has begun anew, so it no longer sees the learning. Learn now (W) goes on from what was learned.");
  }
}

// How far it is; the first steps of a stage hardly tell how long it takes. Such as
// "Learning for 42 s, about 2 minutes left: making predictions and fused masks, 31 %".
function howFar({ seconds, progress, lines }) {
  const { stage, share, left } = progress ?? {};
  const minutes = Math.round(left / 60);
  const rest = left && !(share && share < 0.05) ? `, ${minutes ? `about ${minutes} minute${minutes === 1 ? "" : "s"}` : "less than a minute"} left` : "";
  const now = stage ? `${STAGES[stage] ?? `training again: ${stage}`}${share ? `, ${Math.floor(100 * share)} %` : ""}` : (lines.at(-1) ?? "it begins");
  return `Learning for ${seconds} s${rest}: ${now}`;
}
