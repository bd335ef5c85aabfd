// The values under the pointer: of a yield curve at a threshold, and of a bar of the histogram.

/** Show values in a tip next to the pointer; while something is dragged there is none. */
function hovers(control) {
  control.tip = make("div", { class: "tip", "aria-hidden": "true" });
  control.tip.hidden = true;
  control.root.append(control.tip);
  control.root.addEventListener("pointermove", (event) => tellUnder(control, event));
  control.root.addEventListener("pointerleave", () => { control.tip.hidden = true; });
}

/** Write the tip for the element under the pointer, or hide it. */
function tellUnder(control, event) {
  const words = event.pointerType === "mouse" && !event.buttons && control.model && wordsUnder(control, event);
  control.tip.hidden = !words;
  if (!words) return;
  control.tip.textContent = words;
  const box = control.root.getBoundingClientRect(), { offsetWidth: wide } = control.tip;
  control.tip.style.left = `${clamp(event.clientX - box.left + 14, 0, Math.max(0, box.width - wide))}px`;
  control.tip.style.top = `${event.clientY - box.top + 16}px`;
}

/** What is under the pointer, in words. */
function wordsUnder(control, event) {
  const figure = event.target.closest("[data-yield]"), plot = event.target.closest(".plot");
  const chart = figure && control.charts.find(({ name }) => name === figure.dataset.yield);
  if (chart) return curveAt(control, chart, event.clientX - chart.svg.getBoundingClientRect().left);
  return plot ? pairsAt(control, event.clientX - plot.getBoundingClientRect().left) : "";
}

/** The value of a yield curve at an x position, with its interval. */
function curveAt(control, chart, x) {
  const { header } = control.model, { from, to } = control.view;
  const at = clamp(Math.round(under(control, chart.width, SMALL, x)), from, to);
  const { value, low, high } = yieldAt(control, chart.name, at);
  const write = (number) => (control.view.form === "share" ? percent(number) : large(number, chart.digits));
  const interval = Number.isFinite(low) && Number.isFinite(high) ? ` (95% CI ${write(low)} – ${write(high)})` : "";
  return `${valueAt(header, at).toFixed(header.digits)}: ${write(value)}${interval}`;
}

/** The pairs of the bar at an x position. */
function pairsAt(control, x) {
  const bar = barAt(control, under(control, control.size.width, PAD, x));
  return bar ? `${large(bar.pairs, 0)} pairs ${scoresOf(control, bar)}` : "";
}
