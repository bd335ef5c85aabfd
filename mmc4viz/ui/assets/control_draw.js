// Drawing: the histogram on a canvas, axes and curves in SVG.

const PAD = { left: 46, right: 14, top: 24, bottom: 40 };
const SMALL = { left: 34, right: 8, top: 8, bottom: 18 };

/** The histogram: bars on a canvas, labels above, and the handle. */
function plotOf(control) {
  control.canvas = make("canvas", { "aria-hidden": "true" });
  control.svg = draw("svg", { "aria-hidden": "true" });
  control.area = make("div", { class: "area" });
  control.handle = make("div", { class: "handle", role: "slider", tabindex: "0", "aria-orientation": "horizontal" });
  control.sides = { rejected: make("span", { class: "side" }), kept: make("span", { class: "side" }) };
  Object.assign(control.area.style, { left: `${PAD.left}px`, right: `${PAD.right}px`, top: `${PAD.top}px`, bottom: `${PAD.bottom}px` });
  Object.assign(control.handle.style, { top: `${PAD.top}px`, bottom: `${PAD.bottom}px` });
  control.sides.rejected.style.left = `${PAD.left}px`;
  control.sides.kept.style.right = `${PAD.right}px`;
  control.plot = make("div", { class: "plot", role: "group" }, control.canvas, control.svg, control.area, control.sides.rejected, control.sides.kept, control.handle);
  return control.plot;
}

/** The x position of a step, in pixels. */
function across(control, width, pad, at) {
  const { from, to } = control.view;
  return pad.left + ((at - from) / Math.max(1, to - from)) * (width - pad.left - pad.right);
}

/** The step at an x position. */
function under(control, width, pad, x) {
  const { from, to } = control.view;
  return from + ((x - pad.left) / Math.max(1, width - pad.left - pad.right)) * (to - from);
}

/** Count the pairs of each bar: whole steps of the grid, at least four pixels wide. */
function barsOf(control, width) {
  const { from, to } = control.view;
  const each = Math.max(1, Math.ceil((to - from) / Math.max(1, width / 4)));
  const start = Math.floor(from / each) * each;
  const { counts } = control.model.arrays;
  const bars = [];
  for (let at = start; at < to; at += each) {
    bars.push({ at, pairs: pairsFrom(counts, at, Math.min(at + each, counts.length - 1)) });
  }
  if (bars.length && to === counts.length - 1) bars.at(-1).pairs += counts[to]; // the grid's end
  return { each, bars };
}

/** Pairs from one step up to another, exclusive. */
function pairsFrom(counts, low, high) {
  let pairs = 0;
  for (let k = Math.max(0, low); k < Math.min(high, counts.length); k += 1) pairs += counts[k];
  return pairs;
}

/** Height of a count from 0 to 1, linear or logarithmic. */
function level(control, pairs) {
  const most = control.bars.most;
  return control.view.log ? Math.log10(1 + pairs) / Math.log10(1 + most) : pairs / most;
}

/** Size the canvas and compute its bars, after a change of width, view or data. */
function layOut(control) {
  const width = control.plot.clientWidth, height = control.plot.clientHeight;
  control.context = sized(control.canvas, width, height);
  control.size = { width, height };
  control.bars = barsOf(control, width - PAD.left - PAD.right);
  control.touched = null;
  control.bars.most = Math.max(1, ...control.bars.bars.map((bar) => bar.pairs));
}

/** Paint the bars: dropped below the threshold, kept from it on; the bar in between is stacked. */
function paintBars(control) {
  const { width, height } = control.size, { each, bars } = control.bars;
  const { rejected, kept } = control.model.header.colours, { counts } = control.model.arrays;
  const { context } = control, floor = height - PAD.bottom, tall = floor - PAD.top;
  context.clearRect(0, 0, width, height);
  const left = PAD.left, right = width - PAD.right;
  for (const { at, pairs } of bars) {
    const x = Math.max(left, across(control, width, PAD, at));
    const end = Math.min(right, across(control, width, PAD, at + each));
    const wide = Math.max(0.5, end - x - (end - x > 3 ? 1 : 0));
    const top = tall * level(control, pairs);
    const cut = at >= control.at ? 0 : at + each <= control.at ? pairs : pairsFrom(counts, at, control.at);
    const low = pairs ? top * (cut / pairs) : 0;
    context.fillStyle = kept;
    context.fillRect(x, floor - top, wide, top - low);
    context.fillStyle = rejected;
    context.fillRect(x, floor - low, wide, low);
  }
}

/** Draw the histogram's axes, the marks and the baseline. */
function drawAxes(control) {
  const { svg, size: { width, height }, model: { header } } = control;
  const floor = height - PAD.bottom, tall = floor - PAD.top;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const parts = [];
  for (const value of countTicks(control)) {
    const y = floor - tall * level(control, value);
    parts.push(draw("line", { class: "grid", x1: PAD.left, x2: width - PAD.right, y1: y, y2: y }));
    parts.push(label(PAD.left - 6, y + 4, short(value), "end"));
  }
  for (const { x, words } of thresholdTicks(control, width, PAD, 8)) parts.push(label(x, floor + 16, words));
  parts.push(label((PAD.left + width - PAD.right) / 2, height - 4, header.words.across));
  for (const mark of header.marks) parts.push(...markAt(control, mark.at, floor));
  for (const mark of header.proposals) parts.push(...proposalAt(control, mark, floor));
  parts.push(...ghostAt(control, width, PAD, PAD.top, floor));
  svg.replaceChildren(...parts);
}

/** Counts with a grid line. */
function countTicks(control) {
  const { most } = control.bars;
  if (!control.view.log) return ticks(0, most, 4).filter((value) => Number.isInteger(value));
  const found = [0];
  for (let value = 1; value <= most; value *= 10) found.push(value);
  return found;
}

/** Thresholds with a label. */
function thresholdTicks(control, width, pad, count) {
  const { header } = control.model, { from, to } = control.view;
  const found = ticks(valueAt(header, from), valueAt(header, to), count);
  const digits = found.length > 1 ? Math.max(0, Math.ceil(-Math.log10((found[1] - found[0]) * 1.001))) : header.digits;
  return found.map((value) => ({
    x: across(control, width, pad, value / header.step - header.first), words: value.toFixed(digits),
  }));
}

/** A small triangle below the axis at a published threshold. */
function markAt(control, at, floor) {
  if (at < control.view.from || at > control.view.to) return [];
  const x = across(control, control.size.width, PAD, at);
  return [draw("path", { d: `M${x},${floor} l-4,6 h8 z`, fill: "currentColor" })];
}

/** A dashed line with a hollow diamond at a suggested threshold. */
function proposalAt(control, { at }, floor) {
  if (at < control.view.from || at > control.view.to) return [];
  const x = across(control, control.size.width, PAD, at);
  return [
    draw("line", { class: "proposal", x1: x, x2: x, y1: PAD.top + 10, y2: floor }),
    draw("path", { class: "proposal", d: `M${x},${PAD.top} l5,5 l-5,5 l-5,-5 z` }),
  ];
}

/** The baseline's threshold, if it is in view. */
function ghostAt(control, width, pad, top, bottom) {
  const { at } = control.model.header.compared;
  if (at === null || at < control.view.from || at > control.view.to) return [];
  const x = across(control, width, pad, at);
  return [draw("line", { class: "ghost", x1: x, x2: x, y1: top, y2: bottom })];
}

/** A yield at a step: value and interval, as a count or a share. */
function yieldAt(control, name, at) {
  const { arrays, header } = control.model, share = control.view.form === "share";
  const whole = share ? header.wholes[name] || 1 : 1;
  const { per } = header.yields.find((one) => one.name === name);
  if (per) { // its interval is that of the share
    const among = arrays[per][at], scale = share ? 1 : among, value = arrays[name][at];
    return { value: share ? (among ? value / among : 0) : value, low: arrays[`${name}_low`]?.[at] * scale, high: arrays[`${name}_high`]?.[at] * scale };
  }
  return {
    value: arrays[name][at] / whole, low: arrays[`${name}_low`]?.[at] / whole, high: arrays[`${name}_high`]?.[at] / whole,
  };
}

/** Draw one yield curve with its band and axes; `paintMarker` paints its marker. */
function drawYield(control, chart) {
  const { svg, name } = chart, width = svg.clientWidth, height = svg.clientHeight;
  const { from, to } = control.view, floor = height - SMALL.bottom, tall = floor - SMALL.top;
  const share = control.view.form === "share";
  const stride = Math.max(1, Math.floor((to - from) / Math.max(1, width / 2)));
  const steps = [];
  for (let at = from; at < to; at += stride) steps.push(at);
  steps.push(to);
  const points = steps.map((at) => ({ x: across(control, width, SMALL, at), ...yieldAt(control, name, at) }));
  const highest = Math.max(...points.map(({ value, high }) => (Number.isFinite(high) ? Math.max(value, high) : value)), 0);
  const most = share && name !== "mispaired" ? Math.max(1, highest) : highest || 1;
  const y = (value) => floor - tall * clamp(value / most, 0, 1);
  Object.assign(chart, { width, floor, y });
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const line = (key) => points.map((p) => `${p.x.toFixed(1)},${y(p[key]).toFixed(1)}`);
  const parts = ticks(0, most, 3).flatMap((value) => [
    draw("line", { class: "grid", x1: SMALL.left, x2: width - SMALL.right, y1: y(value), y2: y(value) }),
    label(SMALL.left - 4, y(value) + 4, share ? `${Number((100 * value).toPrecision(3))}%` : short(value), "end"),
  ]);
  for (const { x, words } of thresholdTicks(control, width, SMALL, 3)) parts.push(label(x, height - 3, words));
  const colour = control.model.header.colours[name === "mispaired" ? "mispaired" : "kept"];
  if (points.some((p) => Number.isFinite(p.low))) {
    parts.push(draw("path", { class: "band", fill: colour, d: `M${line("high").join("L")}L${line("low").reverse().join("L")}Z` }));
  }
  parts.push(draw("path", { class: "curve", stroke: colour, d: `M${line("value").join("L")}` }));
  parts.push(...ghostAt(control, width, SMALL, SMALL.top, floor));
  chart.now = draw("line", { class: "now", y1: SMALL.top, y2: floor });
  chart.dot = draw("circle", { r: 4.5, fill: colour, stroke: "var(--st-background-color)", "stroke-width": 1.5 });
  svg.replaceChildren(...parts, chart.now, chart.dot);
}

/** Move a yield curve's line, dot and value to the threshold. */
function paintMarker(control, chart) {
  const { value } = yieldAt(control, chart.name, control.at);
  const x = across(control, chart.width, SMALL, control.at).toFixed(1);
  chart.now.setAttribute("x1", x);
  chart.now.setAttribute("x2", x);
  chart.dot.setAttribute("cx", x);
  chart.dot.setAttribute("cy", chart.y(value));
  chart.value.textContent = control.view.form === "share" ? percent(value) : large(value, chart.digits);
}
