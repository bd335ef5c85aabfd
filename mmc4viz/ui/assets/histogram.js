// A score distribution: dropped and kept pairs in each bar, and the threshold.
// All text comes from the server and is set as text, never as markup.

const PAD = { left: 52, right: 12, top: 24, bottom: 46 };

export default function ({ parentElement, data }) {
  const root = parentElement.querySelector(".histogram");
  drawOnce(root, data, () => {
    const svg = draw("svg", { role: "img", "aria-label": data.alt }), { edges, counts: [dropped, kept] } = data;
    root.replaceChildren(svg);
    return () => {
      const width = svg.clientWidth, height = svg.clientHeight, floor = height - PAD.bottom;
      if (!width) return;
      const x = (score) => PAD.left + ((score - edges[0]) / (edges.at(-1) - edges[0])) * (width - PAD.left - PAD.right);
      const y = (pairs) => floor - (pairs / data.most) * (floor - PAD.top);
      const at = x(data.threshold), [left, right] = data.totals;
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      svg.replaceChildren(
        ...data.heights.flatMap(({ at: pairs, label: words }) => [
          draw("line", { class: "grid", x1: PAD.left, x2: width - PAD.right, y1: y(pairs), y2: y(pairs) }),
          label(PAD.left - 6, y(pairs) + 4, words, "end"),
        ]),
        ...data.scores.map(({ at: score, label: words }) => label(x(score), floor + 17, words)),
        ...data.words.map((words, k) => {
          const [from, wide] = [x(edges[k]), x(edges[k + 1]) - x(edges[k])];
          const bar = (below, n, fill) => draw("rect", { x: from, y: y(below + n), width: wide, height: y(below) - y(below + n), fill });
          return draw("g", {}, draw("title", {}, words), draw("rect", { class: "all", x: from, y: PAD.top, width: wide, height: floor - PAD.top }),
            bar(0, dropped[k], data.colours[0]), bar(dropped[k], kept[k], data.colours[1]));
        }),
        draw("line", { class: "threshold", x1: at, x2: at, y1: PAD.top, y2: floor }),
        filled(label(PAD.left, 15, left.words, "start"), { class: "total", style: `fill:${left.ink}` }, []),
        filled(label(width - PAD.right, 15, right.words, "end"), { class: "total", style: `fill:${right.ink}` }, []),
        label((PAD.left + width - PAD.right) / 2, height - 8, data.titles[0]),
        filled(label(0, 0, data.titles[1]), { transform: `translate(12 ${(PAD.top + floor) / 2}) rotate(-90)` }, []),
      );
    };
  });
}
