// Charts of one document: its similarity matrix with the matched pairs, and its tokens on a ruler.
// All text comes from the server and is set as text, never as markup.

const PAD = { left: 44, right: 10, top: 24, bottom: 40 };
const ROW = 26; // pixels
const INK = "125,133,140"; // visible on light and dark backgrounds

/** Axis labels from 1 to count, as many as fit. */
function numbered(count, room) {
  const step = [1, 2, 5, 10, 20, 50, 100].find((s) => (count / s) * 26 <= room) ?? 200;
  return Array.from({ length: count }, (_, k) => k + 1).filter((n) => n === 1 || n % step === 0);
}

/** The similarity of images (rows) and sentences (columns): darker is higher. */
function heatMap(root, data) {
  const rows = data.z.length, columns = data.z[0].length;
  const canvas = make("canvas", { "aria-hidden": "true" }), svg = draw("svg", { role: "img", "aria-label": data.alt });
  const hint = make("span", { class: "hint" });
  const height = PAD.top + PAD.bottom + Math.max(ROW * rows, 2 * ROW);
  root.replaceChildren(make("div", { class: "plot", style: `height:${height}px` }, canvas, svg), legend(data), hint);
  const tall = height - PAD.top - PAD.bottom, down = tall / rows;
  let across = 1;
  const redraw = () => {
    const width = svg.clientWidth;
    if (!width) return;
    across = (width - PAD.left - PAD.right) / columns;
    const context = sized(canvas, width, height);
    context.clearRect(0, 0, width, height);
    const gap = across > 3 ? 1 : 0, range = data.high - data.low || 1;
    data.z.forEach((row, image) => row.forEach((value, sentence) => {
      if (value === null) return;
      const strength = Number.isFinite(range) ? (value - data.low) / range : 0.5;
      context.fillStyle = `rgba(${INK},${0.04 + 0.96 * Math.min(1, Math.max(0, strength))})`;
      context.fillRect(PAD.left + sentence * across, PAD.top + image * down, across - gap, down - 1);
    }));
    const x = (n) => PAD.left + (n - 0.5) * across, y = (n) => PAD.top + (n - 0.5) * down;
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.replaceChildren(
      ...numbered(columns, width).map((n) => label(x(n), PAD.top + tall + 15, `${n}`)),
      ...numbered(rows, 2 * tall).map((n) => label(PAD.left - 8, y(n) + 4, `${n}`, "end")),
      label(PAD.left, PAD.top + tall + 33, data.words.sentence, "start"),
      label(0, PAD.top - 9, data.words.image, "start"),
      ...data.marks.map(({ image, sentence, colour }) => draw("circle", {
        cx: x(sentence), cy: y(image), r: Math.max(3, Math.min(7, 0.4 * down, 0.8 * across + 2)), fill: colour,
      })),
    );
  };
  svg.onpointermove = (event) => {
    const box = svg.getBoundingClientRect();
    const image = Math.ceil((event.clientY - box.top - PAD.top) / down), sentence = Math.ceil((event.clientX - box.left - PAD.left) / across);
    const value = data.z[image - 1]?.[sentence - 1];
    const mark = data.marks.find((m) => m.image === image && m.sentence === sentence);
    const cell = value === undefined ? "" : `${data.words.image} ${image}, ${data.words.sentence} ${sentence}: ${value === null ? "–" : value.toFixed(data.digits)}`;
    hint.textContent = mark ? `${cell}, ${mark.words}` : cell;
  };
  svg.onpointerleave = () => { hint.textContent = ""; };
  return redraw;
}

/** The color bar, and the sign of a matched pair. */
function legend({ ends: [low, high], words }) {
  const ramp = make("i", { class: "ramp", style: `background:linear-gradient(90deg, rgba(${INK},0.04), rgb(${INK}))` });
  return make("span", { class: "legend" }, `${words.score} ${low}`, ramp, high, make("span", { class: "pair" }, `● ${words.pair}`));
}

/** A training sequence as a ruler with its image tokens; the truncated part is faint. */
function ruler(root, data) {
  const svg = draw("svg", { role: "img", "aria-label": data.alt }), hint = make("div", { class: "hint" }, data.scale);
  root.replaceChildren(make("div", { class: "plot", style: "height:76px" }, svg), hint);
  return () => {
    const width = svg.clientWidth;
    if (!width) return;
    const x = (token) => 8 + (token / data.end) * (width - 16), parts = [];
    const bar = (from, to, faint) => draw("rect", { x: x(from), y: 32, width: Math.max(0, x(to) - x(from)), height: 12, class: faint ? "faint" : "bar" });
    parts.push(bar(0, Math.min(data.length, data.limit), false), bar(Math.min(data.length, data.limit), data.length, true));
    for (const { at, label: words } of data.ticks) {
      parts.push(label(x(at), 70, words, at === 0 ? "start" : x(at) > width - 24 ? "end" : "middle"));
    }
    if (data.limit <= data.end) {
      parts.push(draw("line", { class: "limit", x1: x(data.limit), x2: x(data.limit), y1: 16, y2: 56 }));
      parts.push(label(x(data.limit), 11, data.words.limit, data.limit > data.end / 2 ? "end" : "start"));
    }
    for (const { place, colour, words } of data.tokens) {
      const stem = draw("rect", { x: x(place) - 2, y: 24, width: 4, height: 28, fill: colour }, draw("title", {}, words));
      stem.onpointerenter = () => { hint.textContent = words; };
      stem.onpointerleave = () => { hint.textContent = data.scale; };
      parts.push(stem);
    }
    svg.setAttribute("viewBox", `0 0 ${width} 76`);
    svg.replaceChildren(...parts);
  };
}

export default function ({ parentElement, data }) {
  const root = parentElement.querySelector(".picture");
  drawOnce(root, data, () => (data.kind === "ruler" ? ruler : heatMap)(root, data));
}
