// Galleries of cards, and the contact sheet: two halves of cards, and above them a small histogram
// on which the threshold is dragged. Cards change sides while it is dragged; the server is told on release.

const NARROW = 720; // pixels of width below which the halves are below each other
const SIDES = { below: "rejected", above: "kept" };
const decks = new WeakMap();

/** Called by Streamlit after each run. */
export default function (component) {
  const root = component.parentElement.querySelector(".gallery");
  if (!decks.has(root)) decks.set(root, build(root));
  const deck = decks.get(root);
  deck.send = component.setTriggerValue;
  receive(deck, component.data);
  return () => { if (deck.strip) dispose(deck.strip); };
}

/** Create what does not depend on the cards. */
function build(root) {
  const deck = { root, data: null, cards: [], large: new Map(), enlarged: null };
  deck.dialog = dialogOf(deck);
  deck.body = make("div", { class: "body" });
  root.replaceChildren(deck.body, deck.dialog);
  deck.order = () => deck.cards.map(({ one }) => one);
  return deck;
}

/** Receive a message; cards that did not change stay as they are. */
function receive(deck, data) {
  const { large, ...rest } = data, text = JSON.stringify([rest.groups, rest.address, rest.label, rest.strip?.within]);
  const changed = deck.text !== text;
  Object.assign(deck, { data, text });
  if (changed) deck.large.clear(); // the same place may be another corpus's
  if (large) deck.large.set(large.id, large);
  if (changed) deck.cards = data.groups.flatMap((group) => group.cards.map((one) => ({ one, group, card: cardOf(deck, one) })));
  if (data.strip) receiveSheet(deck, changed);
  else if (changed) deck.body.replaceChildren(make("div", { class: "cards" }, ...deck.cards.map(({ card }) => card)));
  if (deck.enlarged) fillDialog(deck);
}

/** Receive the contact sheet; its threshold applies unless a newer one is on its way to the server. */
function receiveSheet(deck, changed) {
  const { strip: header } = deck.data;
  deck.strip ??= buildSheet(deck);
  const { strip } = deck, first = !strip.model;
  strip.model = { header, arrays: { counts: Float64Array.from(header.counts) } };
  [strip.view.from, strip.view.to] = header.span;
  if (first) strip.serial = header.heard;
  if (first || (!strip.dragging && !strip.timer && header.heard >= strip.serial)) {
    strip.at = stepOf(header, header.threshold);
    strip.reported.threshold = header.threshold;
  }
  if (changed) deck.cards.sort((a, b) => a.one.score - b.one.score);
  for (const side of Object.keys(SIDES)) strip.sides[SIDES[side]].style.color = header.colours[`${SIDES[side]}_text`];
  redraw(strip);
}

/** Create the histogram and the two halves. */
function buildSheet(deck) {
  const strip = { root: deck.root, deck, at: 0, dragging: false, patient: true, reported: {}, pointers: new Map(), view: { form: "share", log: false } };
  const plot = plotOf(strip);
  strip.handle.setAttribute("aria-label", "Threshold");
  strip.handle.setAttribute("aria-keyshortcuts", "Enter");
  strip.range = make("div", { class: "range", "aria-hidden": "true" });
  plot.prepend(strip.range);
  strip.hint = make("div", { class: "hint" });
  strip.see = make("button", { type: "button", class: "see" });
  strip.see.onclick = () => openBar(strip, barNow(strip));
  strip.halves = Object.fromEntries(Object.keys(SIDES).map((side) => [side, halfOf(strip, side)]));
  strip.line = make("div", { class: "line" }, make("span", { class: "at" }));
  deck.body.replaceChildren(
    make("div", { class: "control strip" }, plot, make("div", { class: "about" }, strip.hint, strip.see)),
    make("div", { class: "halves" }, strip.halves.below.root, strip.line, strip.halves.above.root),
  );
  strip.send = (name, value) => {
    if (name !== "threshold") return;
    strip.serial += 1;
    deck.send("threshold", [strip.serial, value]);
  };
  strip.trigger = (name, value) => deck.send(name, value);
  const whole = () => [strip.plot, PAD];
  drags(strip, strip.area, whole);
  drags(strip, strip.handle, whole);
  opensBars(strip);
  strip.handle.addEventListener("keydown", (event) => onKey(strip, event));
  strip.handle.addEventListener("blur", () => tell(strip));
  strip.area.addEventListener("pointermove", (event) => onPointed(strip, event));
  strip.area.addEventListener("pointerleave", () => { strip.hint.textContent = ""; });
  strip.observer = new ResizeObserver(() => strip.model && redraw(strip));
  strip.observer.observe(deck.root);
  return strip;
}

/** One side of the threshold: heading, pager and cards. */
function halfOf(strip, side) {
  const half = { side, title: make("h2"), place: make("span", { class: "place" }), grid: make("div", { class: "cards" }), none: make("p", { class: "without" }) };
  const turn = (words, by) => {
    const button = make("button", { type: "button", "aria-label": `${words} the threshold, ${side === "above" ? "kept" : "dropped"} pairs` }, words.split(" ")[0]);
    button.onclick = () => strip.deck.send("page", [side, groupOf(strip, side).page + by]);
    return button;
  };
  half.farther = turn("Farther from", 1);
  half.nearer = turn("Nearer to", -1);
  const buttons = side === "below" ? [half.farther, half.nearer] : [half.nearer, half.farther];
  half.pager = make("div", { class: "pager" }, buttons[0], half.place, buttons[1]);
  half.root = make("section", { class: `half ${side}` }, make("div", { class: "top" }, half.title, half.pager), half.grid, half.none);
  return half;
}

const groupOf = (strip, side) => strip.deck.data.groups.find((group) => group.side === side);

/** Draw everything again after a change of size or data. */
function redraw(strip) {
  if (!strip.plot.clientWidth) return;
  strip.narrow = strip.root.clientWidth < NARROW;
  strip.root.classList.toggle("narrow", strip.narrow);
  layOut(strip);
  drawAxes(strip);
  const { within, steps, span } = strip.model.header, whole = within[0] <= 0 && within[1] >= steps;
  const [left, right] = within.map((at) => across(strip, strip.size.width, PAD, clamp(at, ...span)));
  Object.assign(strip.range.style, { left: `${left}px`, width: `${right - left}px`, top: `${PAD.top}px`, bottom: `${PAD.bottom}px`, display: whole ? "none" : "" });
  paint(strip);
}

/** Paint everything that depends on the threshold. */
function paint(strip) {
  const { header, arrays: { counts } } = strip.model, value = valueAt(header, strip.at), words = value.toFixed(header.digits);
  paintBars(strip);
  paintBar(strip);
  const pairs = { below: pairsFrom(counts, 0, strip.at), above: pairsFrom(counts, strip.at, counts.length) };
  strip.sides.rejected.textContent = `${large(pairs.below, 0)} pairs dropped`;
  strip.sides.kept.textContent = `${large(pairs.above, 0)} pairs kept`;
  strip.handle.style.transform = `translateX(${across(strip, strip.size.width, PAD, strip.at)}px)`;
  const [valuemin, valuemax] = header.span.map((step) => valueAt(header, step));
  const aria = { valuemin, valuemax, valuenow: value, valuetext: `${words}: ${large(pairs.above, 0)} pairs kept, ${large(pairs.below, 0)} dropped` };
  for (const [name, text] of Object.entries(aria)) strip.handle.setAttribute(`aria-${name}`, text);
  strip.line.firstChild.textContent = words;
  strip.root.classList.toggle("moved", value !== header.threshold);
  divide(strip, value, words);
}

/** Put every card on its side of the threshold, nearest first; when narrow, in the order of the scores. */
function divide(strip, value, words) {
  const { cards } = strip.deck;
  const kept = cards.filter(({ one }) => one.score >= value), dropped = cards.filter(({ one }) => one.score < value).reverse();
  if (strip.narrow) kept.reverse();
  fill(strip, "below", dropped, `Dropped: below ${words}`);
  fill(strip, "above", kept, `Kept: ${words} and above`);
}

/** Give a half its cards; those that change sides are marked for a moment. */
function fill(strip, side, cards, title) {
  const half = strip.halves[side], group = groupOf(strip, side), { header, arrays: { counts } } = strip.model;
  const [low, high] = header.within;
  const pairs = side === "below" ? pairsFrom(counts, low, Math.min(strip.at, high)) : pairsFrom(counts, Math.max(strip.at, low), high);
  const wanted = cards.map(({ card }) => card), present = [...half.grid.children];
  if (wanted.length !== present.length || wanted.some((card, k) => card !== present[k])) {
    for (const card of wanted) card.classList.toggle("crossed", Boolean(card.parentElement) && card.parentElement !== half.grid);
    half.grid.replaceChildren(...wanted);
  }
  half.title.textContent = title;
  half.root.setAttribute("aria-label", title);
  half.none.textContent = wanted.length ? "" : pairs ? "Release to see these pairs." : side === "below" ? "No pair here scores below the threshold." : "No pair here reaches the threshold.";
  half.place.textContent = group.cards.length ? `${large(group.first, 0)}–${large(group.first + group.cards.length - 1, 0)} of ${large(pairs, 0)}` : "";
  half.farther.disabled = group.page >= group.pages;
  half.nearer.disabled = group.page <= 1;
}
