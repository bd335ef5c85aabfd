// Small multiples: one small chart per setting, all on the same scale, with the current value marked.
// All text comes from the server.

const PAD = { left: 46, right: 10, top: 12, bottom: 36 };

/** Draw one chart. */
function picture(svg, panel, data) {
  const width = svg.clientWidth, height = svg.clientHeight, floor = height - PAD.bottom;
  const wide = (width - PAD.left - PAD.right) / panel.points.length;
  const crowded = panel.points.some(({ name }) => 6.2 * name.length > wide); // labels alternate between two rows
  const x = (k) => PAD.left + (k + 0.5) * wide;
  const y = (value) => floor - (floor - PAD.top) * Math.min(1, Math.max(0, value / data.most));
  const parts = data.ticks.flatMap(({ at, label: words }) => [
    draw("line", { class: "grid", x1: PAD.left, x2: width - PAD.right, y1: y(at), y2: y(at) }),
    label(PAD.left - 6, y(at) + 4, words, "end"),
  ]);
  if (panel.joined) {
    const line = panel.points.map(({ value }, k) => `${x(k).toFixed(1)},${y(value).toFixed(1)}`);
    parts.push(draw("path", { class: "curve", d: `M${line.join("L")}`, stroke: data.colour }));
  }
  panel.points.forEach((point, k) => {
    const whisker = `M${x(k)},${y(point.low)}V${y(point.high)}m-3,0h6M${x(k) - 3},${y(point.low)}h6`;
    const radius = point.present ? 6 : 3.5;
    parts.push(
      draw("g", {}, draw("title", {}, point.words),
        ...(point.high > point.low ? [draw("path", { class: "whisker", d: whisker })] : []),
        draw("circle", { class: point.present ? "present" : "", cx: x(k), cy: y(point.value), r: radius, fill: data.colour }),
        draw("rect", { x: x(k) - wide / 2, y: 0, width: wide, height: floor, fill: "transparent" })),
      draw("text", { class: point.present ? "present" : "", x: x(k), y: floor + (crowded && k % 2 ? 29 : 16), "text-anchor": "middle" }, point.name),
    );
  });
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren(...parts);
}

/** Create a figure per chart. */
function multiples(root, data) {
  const svgs = data.panels.map(({ alt }) => draw("svg", { role: "img", "aria-label": alt }));
  root.replaceChildren(...data.panels.map(({ title }, k) => make("figure", {}, make("figcaption", {}, title), svgs[k])));
  return () => {
    if (root.clientWidth) data.panels.forEach((panel, k) => picture(svgs[k], panel, data));
  };
}

export default function ({ parentElement, data }) {
  const root = parentElement.querySelector(".multiples");
  drawOnce(root, data, () => multiples(root, data));
}
