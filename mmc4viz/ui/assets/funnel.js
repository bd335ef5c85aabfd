// The document and image funnels as Sankey diagrams: a ribbon for every reason for dropping and for
// what is kept. The server lays them out. Clicking a reason opens its documents.

/** One row: name, number and share. */
function row(funnel, line, ribbon, open) {
  const [number, share] = line.words, sign = line.lost && !line.none ? "−" : "", can = line.lost && !line.none;
  const node = make(can ? "button" : "div", { class: `row${line.lost ? "" : " end"}${line.none ? " none" : ""}`, title: line.meaning },
    make("span", { class: "name" }, line.label), make("span", { class: "number" }, `${sign}${number} `, make("span", {}, share)));
  node.onpointerenter = () => ribbon?.classList.add("now");
  node.onpointerleave = () => ribbon?.classList.remove("now");
  if (can) {
    node.type = "button";
    node.setAttribute("aria-description", `${line.meaning}. Open these documents.`);
    node.onclick = () => open(`${funnel.of}/${line.name}`);
  }
  return make("li", { style: `height:${line.height}px` }, node);
}

/** One ribbon, with its numbers on hover. */
function ribbonOf(line) {
  if (!line.path) return null;
  return draw("path", { d: line.path, fill: line.colour }, draw("title", {}, `${line.label}: ${line.words.join(" · ")}`));
}

/** One diagram: the whole on the left, its ribbons, and the rows on the right. */
function diagram(funnel, open) {
  const { height, width, trunk: [start, high], whole, lines } = funnel, ribbons = lines.map(ribbonOf);
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" }, ...ribbons.filter(Boolean));
  const flow = make("div", { class: "flow" }, svg, make("i", { style: `top:${start}px;height:${high}px` }));
  return make("section", { "data-funnel": funnel.of }, make("h2", {}, funnel.title, make("span", { class: "all" }, `${whole.label}: `, make("b", {}, whole.number))),
    make("div", { class: "sankey", style: `height:${height}px` }, flow,
      make("ol", {}, ...lines.map((line, k) => row(funnel, line, ribbons[k], open)))));
}

export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector(".funnels"), open = (name) => setTriggerValue("open", name);
  drawOnce(root, data, () => root.replaceChildren(...data.funnels.map((funnel) => diagram(funnel, open))));
}
