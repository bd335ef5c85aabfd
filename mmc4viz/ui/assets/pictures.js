// Charts of one document: its outcome along the thresholds, its similarity matrix with the matched
// pairs, and its tokens on a ruler.
// All text comes from the server and is set as text, never as markup.

const PAD = { left: 44, right: 10, top: 24, bottom: 40 };
const ROW = 26, ROW_WITH_PICTURE = 34; // pixels
const INK = "125,133,140"; // visible on light and dark backgrounds

/** Axis labels from 1 to count, as many as fit. */
function numbered(count, room) {
  const step = [1, 2, 5, 10, 20, 50, 100].find((s) => (count / s) * 26 <= room) ?? 200;
  return Array.from({ length: count }, (_, k) => k + 1).filter((n) => n === 1 || n % step === 0);
}

/** The similarity of images (rows) and sentences (columns): darker is higher. */
function heatMap(root, data) {
  const rows = data.z.length, columns = data.z[0].length, seen = data.pictures.some(Boolean);
  const tallest = seen ? ROW_WITH_PICTURE : ROW, left = seen ? PAD.left + 40 : PAD.left;
  const canvas = make("canvas", { "aria-hidden": "true" }), svg = draw("svg", { role: "img", "aria-label": data.alt });
  const hint = make("div", { class: "hint" }, make("b"), make("span", { dir: "auto" }));
  const height = PAD.top + PAD.bottom + Math.max(tallest * rows, 2 * ROW);
  root.replaceChildren(make("div", { class: "plot", style: `height:${height}px` }, canvas, svg), legend(data), hint);
  const tall = height - PAD.top - PAD.bottom, down = tall / rows;
  const cursor = draw("rect", { class: "cursor", visibility: "hidden" });
  let across = 1;
  const redraw = () => {
    const width = svg.clientWidth;
    if (!width) return;
    across = Math.min(64, (width - left - PAD.right) / columns);
    const context = sized(canvas, width, height);
    context.clearRect(0, 0, width, height);
    const gap = across > 3 ? 1 : 0, range = data.high - data.low || 1;
    data.z.forEach((row, image) => row.forEach((value, sentence) => {
      if (value === null) return;
      const strength = Number.isFinite(range) ? (value - data.low) / range : 0.5;
      context.fillStyle = `rgba(${INK},${0.04 + 0.96 * Math.min(1, Math.max(0, strength))})`;
      context.fillRect(left + sentence * across, PAD.top + image * down, across - gap, down - 1);
    }));
    const x = (n) => left + (n - 0.5) * across, y = (n) => PAD.top + (n - 0.5) * down;
    const radius = Math.max(3, Math.min(7, 0.4 * down, 0.8 * across + 2));
    cursor.setAttribute("width", across);
    cursor.setAttribute("height", down);
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.replaceChildren(
      ...numbered(columns, across * columns).map((n) => label(x(n), PAD.top + tall + 15, `${n}`)),
      ...numbered(rows, 2 * tall).map((n) => label(PAD.left - 8, y(n) + 4, `${n}`, "end")),
      ...data.pictures.flatMap((href, n) => (href ? [draw("image", { href, x: PAD.left - 2, y: y(n + 1) - down / 2 + 1, width: 38, height: down - 2 })] : [])),
      label(left, PAD.top + tall + 33, data.words.sentence, "start"),
      label(0, PAD.top - 9, data.words.image, "start"),
      ...data.seconds.map(({ image, sentence }) => draw("circle", { class: "second", cx: x(sentence), cy: y(image), r: radius })),
      ...data.marks.map(({ image, sentence, colour }) => draw("circle", { class: "pair", cx: x(sentence), cy: y(image), r: radius, fill: colour })),
      cursor,
    );
  };
  svg.onpointermove = (event) => {
    const box = svg.getBoundingClientRect();
    const image = Math.ceil((event.clientY - box.top - PAD.top) / down), sentence = Math.ceil((event.clientX - box.left - left) / across);
    const value = data.z[image - 1]?.[sentence - 1], there = value !== undefined;
    const here = (one) => one.image === image && one.sentence === sentence;
    const also = data.marks.find(here)?.words ?? (data.seconds.some(here) ? data.words.second : "");
    const cell = `${data.words.image} ${image}, ${data.words.sentence} ${sentence}: ${value === null ? "–" : value?.toFixed(data.digits)}`;
    hint.firstChild.textContent = there ? (also ? `${cell}, ${also}` : cell) : "";
    hint.lastChild.textContent = there ? data.sentences[sentence - 1] ?? "" : "";
    cursor.setAttribute("visibility", there ? "visible" : "hidden");
    cursor.setAttribute("x", left + (sentence - 1) * across);
    cursor.setAttribute("y", PAD.top + (image - 1) * down);
  };
  svg.onpointerleave = () => {
    for (const words of hint.children) words.textContent = "";
    cursor.setAttribute("visibility", "hidden");
  };
  return redraw;
}

/** The color bar, and the signs of a matched pair and of a runner-up. */
function legend({ ends: [low, high], words }) {
  const ramp = make("i", { class: "ramp", style: `background:linear-gradient(90deg, rgba(${INK},0.04), rgb(${INK}))` });
  return make("div", { class: "legend" }, `${words.score} ${low}`, ramp, high, make("span", { class: "sign" }, `● ${words.pair}`), make("span", { class: "sign" }, `○ ${words.second}`));
}

/** A document's outcome along the thresholds, with its pairs' scores; the threshold is dragged or moved by arrow keys. */
function strip(root, data, send) {
  const svg = draw("svg", { "aria-hidden": "true" }), hint = make("div", { class: "hint" }, make("b"), make("span"));
  const handle = make("div", {
    class: "handle", role: "slider", tabindex: "0", "aria-label": data.words.threshold, "aria-orientation": "horizontal",
    "aria-valuemin": data.low, "aria-valuemax": data.high,
  });
  const plot = make("div", { class: "plot strip" }, svg, handle);
  const focused = root.getRootNode().activeElement?.classList.contains("handle");
  root.replaceChildren(plot, hint);
  if (focused) handle.focus({ preventScroll: true });
  const { step, digits, states } = data, kept = 46;
  let at = data.threshold, timer = 0;
  const x = (score) => 8 + ((Math.min(data.high, Math.max(data.low, score)) - data.low) / (data.high - data.low || 1)) * (svg.clientWidth - 16);
  const stateAt = (threshold) => states.find(({ low, high }) => (low === null || low < threshold) && (high === null || threshold <= high));
  const show = () => {
    const state = stateAt(at), words = `${at.toFixed(digits)}: ${state ? state.words : data.words.unknown}`;
    handle.style.transform = `translateX(${x(at)}px)`;
    handle.setAttribute("aria-valuenow", at);
    handle.setAttribute("aria-valuetext", words);
    hint.firstChild.textContent = `${at.toFixed(digits)} `;
    hint.lastChild.textContent = state ? state.words : data.words.unknown;
  };
  const move = (score) => {
    at = Number((Math.round(Math.min(data.high, Math.max(data.low, score)) / step) * step).toFixed(digits));
    show();
  };
  const tell = (pause) => {
    clearTimeout(timer);
    timer = setTimeout(() => at !== data.threshold && send("threshold", at), pause);
  };
  const under = (event) => data.low + ((event.clientX - svg.getBoundingClientRect().left - 8) / Math.max(1, svg.clientWidth - 16)) * (data.high - data.low);
  plot.onpointerdown = (event) => {
    if (event.button !== 0) return;
    plot.setPointerCapture(event.pointerId);
    handle.focus({ preventScroll: true });
    move(under(event));
  };
  plot.onpointermove = (event) => plot.hasPointerCapture(event.pointerId) && move(under(event));
  plot.onpointerup = () => tell(0);
  handle.onkeydown = (event) => {
    const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: 10, PageDown: -10 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation(); // no shortcut of the page
    move(at + by * step);
    tell(300);
  };
  return () => {
    const width = svg.clientWidth;
    if (!width) return;
    svg.setAttribute("viewBox", `0 0 ${width} ${kept + 34}`);
    svg.replaceChildren(
      ...states.map(({ low, high, colour, strength }) => {
        const [from, to] = [x(low ?? data.low), x(high ?? data.high)];
        return draw("rect", { x: from, y: 26, width: Math.max(0, to - from), height: 16, fill: colour, opacity: strength });
      }),
      ...data.scores.map((score) => draw("line", { class: "score", x1: x(score), x2: x(score), y1: 20, y2: kept })),
      ...data.ticks.map((tick) => label(x(tick), kept + 20, tick.toFixed(data.tick_digits), x(tick) > width - 30 ? "end" : x(tick) < 30 ? "start" : "middle")),
      ...states.flatMap(({ low, high, name }) => {
        const [from, to] = [x(low ?? data.low), x(high ?? data.high)];
        return to - from > 7 * name.length ? [label((from + to) / 2, 14, name)] : [];
      }),
    );
    show();
  };
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

export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector(".picture"), build = { ruler, strip, "heat map": heatMap }[data.kind];
  drawOnce(root, data, () => build(root, data, setTriggerValue));
}
