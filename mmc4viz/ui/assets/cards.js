// Cards of pairs, and the dialog that enlarges one. Text is never set as markup.

const SAID = 1600; // milliseconds for which a button says that the link was copied

/** The absolute address of a card's document with the present settings. */
function linkTo(deck, one) {
  const link = new URL(location.href);
  link.pathname = link.pathname.replace(/[^/]*\/?$/, "documents");
  link.search = new URLSearchParams({ ...deck.data.address, doc: one.doc });
  link.hash = "";
  return link.href;
}

/** Put text on the clipboard; pages without https have the older way only. */
async function copied(text, beside) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = make("textarea", { class: "offside", readonly: "", "aria-hidden": "true" });
    field.value = text;
    beside.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

/** Copy a card's link, and say so on the button; where that is impossible, show the link. */
async function copyLink(deck, one, button) {
  const link = linkTo(deck, one), done = await copied(link, button.parentElement);
  button.textContent = done ? "Copied" : link;
  button.setAttribute("aria-label", done ? `Copied link to ${one.named}` : link);
  button.classList.toggle("link", !done);
  if (!done) return;
  setTimeout(() => {
    button.textContent = "Copy link";
    button.setAttribute("aria-label", `Copy link to document of ${one.named}`);
  }, SAID);
}

/** What can be done with a pair. */
function actionsOf(deck, one) {
  const actions = make("div", { class: "actions" }, ...(one.doc ? documentActions(deck, one) : []));
  if (one.site) {
    const [href, host] = one.site, words = { title: href, "aria-label": `${one.alt} of ${one.named} on ${host}` };
    actions.append(make("a", { href, target: "_blank", rel: "noopener noreferrer", ...words }, `image on ${host} ↗`));
  }
  if (!deck.data.label) return actions;
  const mark = make("button", { type: "button", "aria-label": `Label ${one.named}` }, "Label");
  mark.onclick = () => deck.send("act", ["label", one.id]);
  actions.prepend(mark);
  return actions;
}

/** Open the pair's document, copy a link to it. */
function documentActions(deck, one) {
  const open = make("a", { href: linkTo(deck, one), "aria-label": `Open document of ${one.named}` }, "Open");
  open.onclick = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return; // a new tab or window
    event.preventDefault();
    deck.send("act", ["open", one.id]);
  };
  const copy = make("button", { type: "button", "aria-live": "polite", "aria-label": `Copy link to document of ${one.named}` }, "Copy link");
  copy.onclick = () => copyLink(deck, one, copy);
  return [open, copy];
}

/** The score, or the ranks under several models. */
function headOf(one) {
  if (!one.ranks.length) return make("div", { class: "score" }, one.head);
  const cells = one.ranks.flatMap(([model, rank, score]) => [make("span", { title: model }, model), make("b", {}, rank), make("span", {}, score)]);
  return make("div", { class: "ranks" }, ...cells);
}

/** What becomes of the pair. */
function linesOf(one) {
  return one.lines.map(([colour, words]) => make("div", colour ? { class: "status", style: `border-color:${colour}` } : { class: "status plain" }, words));
}

const pictureOf = (one, source) => (source ? make("img", { src: source, alt: one.alt }) : make("span", { class: "none" }, "no image"));

/** A card; pressing it anywhere but on its actions enlarges it. */
function cardOf(deck, one) {
  const picture = make("button", { type: "button", class: "picture", "aria-label": `Enlarge ${one.named}`, "aria-haspopup": "dialog" }, pictureOf(one, one.picture));
  const card = make("article", { class: "card", "data-id": one.id }, picture, headOf(one),
    make("p", { class: "words", dir: "auto" }, one.words),
    ...(one.expected ? [] : [make("div", { class: "lines" }, ...linesOf(one))]), actionsOf(deck, one));
  card.onclick = (event) => {
    if (!event.target.closest(".actions") && !String(getSelection())) enlarge(deck, one);
  };
  return card;
}

/** The dialog, empty. */
function dialogOf(deck) {
  const dialog = make("dialog", { class: "large" });
  dialog.onclick = (event) => { if (event.target === dialog) dialog.close(); };
  dialog.onkeydown = (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) { event.preventDefault(); step(deck, by); }
  };
  dialog.onclose = () => { deck.enlarged = null; };
  return dialog;
}

/** Enlarge a card; its large picture and whole sentence follow from the server. */
function enlarge(deck, one) {
  deck.enlarged = one.id;
  fillDialog(deck);
  if (!deck.dialog.open) deck.dialog.showModal();
  if (!deck.large.has(one.id)) deck.send("enlarge", one.id);
}

/** Enlarge the card before or after, in the order of the sheet. */
function step(deck, by) {
  const order = deck.order(), next = order[order.findIndex((one) => one.id === deck.enlarged) + by];
  if (next) enlarge(deck, next);
}

/** Draw the enlarged card with what is known of it. */
function fillDialog(deck) {
  const order = deck.order(), at = order.findIndex((one) => one.id === deck.enlarged), one = order[at];
  if (!one) { deck.dialog.close(); return; }
  const large = deck.large.get(one.id), focus = deck.dialog.querySelector(":focus")?.className;
  const button = (sign, name, by, there) => {
    const made = make("button", { type: "button", class: `step ${name.toLowerCase()}`, "aria-label": `${name} pair` }, sign);
    made.disabled = !there;
    made.onclick = () => step(deck, by);
    return made;
  };
  const close = make("button", { type: "button", class: "step close", "aria-label": "Close" }, "✕");
  close.onclick = () => deck.dialog.close();
  const facts = [["Score", one.ranks.length ? "" : one.head], ["Best other sentence", one.doc ? large?.second ?? "…" : ""], ...one.facts].filter(([, value]) => value);
  const sentence = make("p", { class: "sentence", dir: "auto" }, large?.words ?? one.words);
  deck.dialog.setAttribute("aria-label", `Pair: ${one.named}`);
  deck.dialog.replaceChildren(
    make("div", { class: "top" }, button("‹", "Previous", -1, at > 0), button("›", "Next", 1, at < order.length - 1),
      make("span", { class: "space" }), close),
    make("div", { class: "sides" },
      make("div", { class: "big", "data-large": String(Boolean(large?.picture)) }, pictureOf(one, large?.picture ?? one.picture)),
      make("div", { class: "about-pair", tabindex: "0" }, sentence, ...(one.ranks.length ? [headOf(one)] : []), make("div", { class: "lines" }, ...linesOf(one)),
        make("dl", {}, ...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", { dir: "auto" }, value)])), actionsOf(deck, one))),
  );
  if (focus) deck.dialog.querySelector(`.${focus.split(" ").join(".")}`)?.focus();
}
