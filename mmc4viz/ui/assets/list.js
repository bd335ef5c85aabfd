// The list of documents: a press on a row opens its document, on a head sorts by the column. Images
// that the server has not read yet are asked for, those in view first. Text is never set as markup.
// A sort is shown and counted when it is pressed, and says what is wanted, not what is to be changed:
// the next press follows it, whatever older lists still arrive.

const A_BATCH = 10; // images
const A_SCREEN = 8; // rows
const STILL = 4; // pixels that a press may move; more selects text
const FORMULA = /^\s*(?:[=@|%＝＋－＠｜％]|[+\-−](?![\d.,]+$))/; // what a spreadsheet would compute
const lists = new WeakMap();
let current = null; // the list on the page

export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector(".list");
  if (!lists.has(root)) lists.set(root, build(root));
  current = lists.get(root);
  current.send = setTriggerValue;
  if (current.data !== data) receive(current, data);
  document.addEventListener("mmc-tell-open", opened);
  document.addEventListener("mmc-tell-pictures", pictured);
  return () => {
    document.removeEventListener("mmc-tell-open", opened);
    document.removeEventListener("mmc-tell-pictures", pictured);
  };
}

/** Set up a list without rows. */
function build(root) {
  const list = { root, data: null, text: "", lines: new Map(), heads: [], lacking: new Set(), unheard: null, presses: 0, wanted: null, from: { x: 0, y: 0 } };
  root.onpointerdown = ({ clientX: x, clientY: y }) => { list.from = { x, y }; };
  root.onclick = (event) => {
    if (Math.hypot(event.clientX - list.from.x, event.clientY - list.from.y) <= STILL) press(list, event.target);
  };
  root.onkeydown = (event) => move(list, event);
  root.oncopy = (event) => copy(list, event);
  return list;
}

/** Draw the table if it has changed, and show which document is open. */
function receive(list, data) {
  const { open, heard, ...rest } = data, text = JSON.stringify(rest);
  const same = list.lines.size === data.rows.length && data.rows.every(({ id }) => list.lines.has(id));
  list.data = data;
  if (heard >= list.presses) Object.assign(list, { presses: heard, wanted: null });
  let focused = null;
  if (list.text !== text) {
    const { name, id } = list.root.getRootNode().activeElement?.dataset ?? {};
    list.text = text;
    fill(list, data);
    if (list.wanted) turn(list);
    if (!same) list.root.scrollTop = 0;
    focused = list.heads.find((head) => head.dataset.name === name) ?? list.lines.get(Number(id));
  }
  mark(list, open);
  if (focused) stopAt(list, focused);
  focused?.focus({ preventScroll: true });
  if (!same) follow(list);
  askForPictures(list);
}

/** Create the table. */
function fill(list, { alt, columns, rows }) {
  const width = columns.reduce((sum, column) => sum + column.width, 0);
  list.heads = columns.map((column) => make("button", { type: "button", tabindex: "-1", "data-name": column.name }, words(column, column.sort)));
  const heads = columns.map(({ help, number, sort }, at) => make("th", { scope: "col", "aria-sort": sort, ...(help && { title: help }), class: number ? "number" : "" }, list.heads[at]));
  list.lines = new Map(rows.map(({ id, cells }) => [id, make("tr", { "data-id": id, tabindex: "-1", "aria-selected": "false" },
    ...cells.map(([words, whole], at) => make("td", columns[at].number ? { class: "number" } : { dir: "auto", title: whole ?? words, class: columns[at].wraps ? "wraps" : "" }, words)))]));
  list.pictureAt = columns.findIndex(({ name }) => name === "image");
  list.lacking = new Set(list.pictureAt < 0 ? [] : rows.filter(({ picture }) => picture === false).map(({ id }) => id));
  for (const { id, picture } of rows) if (picture) show(list, id, picture);
  list.root.replaceChildren(make("table", { role: "grid", "aria-label": alt, style: `min-width:${width}px` },
    make("colgroup", {}, ...columns.map((column) => make("col", { style: `width:${column.width}px` }))),
    make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...list.lines.values())));
  stopAt(list, [...list.lines.values()][0]);
}

/** What a head says. */
function words({ label }, sort) {
  return sort === "none" ? label : `${sort === "descending" ? "↓" : "↑"} ${label}`;
}

/** Show by what is going to be sorted. */
function turn({ data, heads, wanted }) {
  data.columns.forEach((column, at) => {
    const sort = column.order === wanted.order ? wanted.sort : "none";
    heads[at].textContent = words(column, sort);
    heads[at].parentElement.ariaSort = sort;
  });
}

/** Sort by a column; a second time, in the other direction. */
function sortBy(list, name) {
  const { columns } = list.data, { order, first } = columns.find((column) => column.name === name);
  const { sort } = (list.wanted ? [list.wanted] : columns).find((one) => one.order === order) ?? {};
  const other = first === "ascending" ? "descending" : "ascending";
  list.wanted = { order, sort: sort === first ? other : first };
  turn(list);
  list.send("sort", [order, list.wanted.sort, ++list.presses]);
}

/** Show the image of a document. */
function show(list, id, source) {
  const cell = source && list.lines.get(id)?.children[list.pictureAt];
  cell?.replaceChildren(make("img", { src: source, alt: "" }));
}

/** Ask another part of the page; return whether it is there. */
function ask(name, detail) {
  return !document.dispatchEvent(new CustomEvent(`mmc-ask-${name}`, { detail, cancelable: true }));
}

/** Ask for some images that are lacking, those in view and below first. */
function askForPictures(list) {
  const ids = [...list.lines.keys()], [head, ...lines] = [list.root.querySelector("thead"), ...list.lines.values()];
  const first = lines.findIndex((line) => line.offsetTop + line.offsetHeight > list.root.scrollTop + (head?.offsetHeight ?? 0));
  const next = [...ids.slice(first), ...ids.slice(0, first)].filter((id) => list.lacking.has(id)).slice(0, A_BATCH);
  if (next.length && ask("pictures", next)) for (const id of next) list.lacking.delete(id);
}

/** Receive the images that were asked for. */
function pictured({ detail }) {
  for (const [id, source] of Object.entries(detail)) show(current, Number(id), source);
  askForPictures(current);
}

/** Open a document; the row shows at once that it was pressed. */
function open(list, id) {
  mark(list, id);
  list.unheard = ask("open", id) ? null : id;
}

/** Show which document is open, unless a press has not been heard yet. */
function opened({ detail }) {
  if (current.unheard !== null) return open(current, current.unheard);
  mark(current, detail);
  follow(current);
}

/** Mark the row of the open document, if it is here. */
function mark(list, id) {
  const line = list.lines.get(id);
  for (const other of list.lines.values()) if (other !== line && other.ariaSelected === "true") other.ariaSelected = "false";
  list.marked = line;
  if (!line) return;
  line.ariaSelected = "true";
  stopAt(list, line);
}

/** Scroll the marked row into view. */
function follow({ root, marked }) {
  if (!marked) return;
  const head = root.querySelector("thead").offsetHeight, top = marked.offsetTop - head, room = root.clientHeight - head - marked.offsetHeight;
  if (top < root.scrollTop || top > root.scrollTop + room) root.scrollTop = Math.max(0, top - room / 2);
}

/** Let the Tab key reach this row or head of the list. */
function stopAt(list, place) {
  list.stop?.setAttribute("tabindex", "-1");
  list.stop = place;
  place?.setAttribute("tabindex", "0");
}

/** Open the pressed row, or sort by the pressed head. */
function press(list, target) {
  const head = target.closest("th")?.querySelector("button"), line = target.closest("tr[data-id]");
  if (head) sortBy(list, head.dataset.name);
  if (line) open(list, Number(line.dataset.id));
}

/** Move by keys: up and down through the rows to the heads, and along the heads. */
function move(list, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const lines = [...list.lines.values()], head = list.heads.indexOf(event.target), at = lines.indexOf(event.target);
  const along = { ArrowLeft: head - 1, ArrowRight: head + 1, Home: 0, End: list.heads.length - 1 }[event.key];
  const down = { ArrowUp: at - 1, ArrowDown: at + 1, PageUp: Math.max(0, at - A_SCREEN), PageDown: at + A_SCREEN, Home: 0, End: lines.length - 1 }[event.key];
  let to = null;
  if (head >= 0 && along !== undefined) to = list.heads[along];
  else if (down !== undefined) to = down < 0 ? list.heads[Math.max(0, head)] : lines[Math.min(down, lines.length - 1)];
  else if (at >= 0 && ["Enter", " "].includes(event.key)) press(list, event.target);
  else return;
  event.preventDefault();
  if (!to) return;
  stopAt(list, to);
  to.focus();
}

/** Copy the row in focus if no text is selected. */
function copy(list, event) {
  const within = list.root.getRootNode(), selected = `${within.getSelection?.() ?? ""}${document.getSelection()}`;
  const line = within.activeElement?.closest("tr[data-id]");
  if (selected || !line) return;
  const cells = [...line.children].map(({ title, textContent }) => title || textContent);
  event.clipboardData.setData("text/plain", cells.map((text) => (FORMULA.test(text) ? `'${text}` : text)).join("\t"));
  event.preventDefault();
}
