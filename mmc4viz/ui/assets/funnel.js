// The document and image funnels. Clicking a reason for dropping opens its documents.

/** Integers without decimals; expected values with one. */
function count(number) {
  if (number >= 1e7) return `${writers[2].format(number / 1e6)}M`;
  return writers[Math.abs(number - Math.round(number)) < 0.05 ? 0 : 1].format(number);
}

/** One row: name, bar, number and share. */
function row(funnel, line, open) {
  const share = funnel.whole ? line.number / funnel.whole : 0, start = funnel.whole ? line.start / funnel.whole : 0;
  const bar = make("i", { style: `left:${100 * start}%;width:${100 * share}%;background:${line.colour}` });
  const number = make("span", { class: "number" }, `${line.lost && line.number ? "−" : ""}${count(line.number)} `,
    make("span", {}, `${writers[1].format(100 * share)}%`));
  const can = line.lost && line.number > 0;
  const node = make(can ? "button" : "div", { class: `row${line.lost ? "" : " end"}${line.number ? "" : " none"}`, title: line.meaning },
    make("span", { class: "name" }, line.label), make("span", { class: "track", "aria-hidden": "true" }, ...(line.number ? [bar] : [])), number);
  if (can) {
    node.type = "button";
    node.setAttribute("aria-description", `${line.meaning}. Open these documents.`);
    node.onclick = () => open(`${funnel.of}/${line.name}`);
  }
  return make("li", {}, node);
}

export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector(".funnels"), open = (name) => setTriggerValue("open", name);
  drawOnce(root, data, () => root.replaceChildren(...data.funnels.map((funnel) =>
    make("section", { "data-funnel": funnel.of }, make("h3", {}, funnel.title),
      make("ol", {}, ...funnel.lines.map((line) => row(funnel, line, open)))))));
}
