// The labeling card. Text is never set as markup. An answer is sent with the queue position of the
// pair on screen; no other answer is accepted until the server has acknowledged it.

const PATIENCE = 5000; // milliseconds until an unacknowledged answer may be given again
const ANSWERS = [
  ["yes", "Yes", "y", "sure yes"], ["no", "No", "n", "sure no"], ["unsure", "Unsure", "u", ""],
  ["skip", "Skip", "s", "small"], ["undo", "Undo", "z", "small"],
];
const CONTEXT = "t";
const cards = new WeakMap();

/** Called by Streamlit after each run. */
export default function (component) {
  const root = component.parentElement.querySelector(".label");
  if (!cards.has(root)) cards.set(root, build(root));
  const card = cards.get(root);
  card.send = (answer) => component.setTriggerValue("answer", `${card.data.place}/${answer}`);
  receive(card, component.data);
  document.addEventListener("keydown", card.press);
  return () => document.removeEventListener("keydown", card.press);
}

/** Create the elements once. */
function build(root) {
  const card = { root, data: null, waiting: 0, open: false };
  card.picture = make("div", { class: "picture" });
  card.before = make("p", { class: "around", dir: "auto" });
  card.sentence = make("p", { class: "sentence", dir: "auto" });
  card.after = make("p", { class: "around", dir: "auto" });
  card.buttons = ANSWERS.map(([answer, word, key, kind]) => {
    const button = make("button", { type: "button", class: kind, "data-answer": answer, "aria-keyshortcuts": key },
      word, make("kbd", { "aria-hidden": "true" }, key.toUpperCase()));
    button.onclick = () => give(card, answer);
    return button;
  });
  card.context = make("button", { type: "button", class: "small", "data-answer": "context", "aria-keyshortcuts": CONTEXT },
    make("span"), make("kbd", { "aria-hidden": "true" }, CONTEXT.toUpperCase()));
  card.context.onclick = () => around(card, !card.open);
  card.question = make("p", { class: "question" });
  card.progress = make("i");
  root.replaceChildren(
    make("div", { class: "pair" }, card.picture, make("div", { class: "words", "aria-live": "polite", tabindex: "0" }, card.before, card.sentence, card.after)),
    card.question,
    make("div", { class: "answers" }, ...card.buttons.slice(0, 3), make("span", { class: "space" }), card.context, ...card.buttons.slice(3)),
    make("div", { class: "bar", "aria-hidden": "true" }, card.progress),
  );
  card.press = (event) => press(card, event);
  return card;
}

/** Receive a pair: the next one, or the same if an answer could not be saved. */
function receive(card, data) {
  const isNew = !card.data || card.data.place !== data.place;
  const heard = !card.data || card.data.serial !== data.serial;
  card.data = data;
  if (heard || isNew) settle(card);
  document.cookie = `${data.cookie}=${encodeURIComponent(data.person)}; path=/; max-age=31536000; samesite=strict`;
  card.progress.style.width = `${data.wanted ? (100 * data.done) / data.wanted : 0}%`;
  card.root.dataset.place = data.place;
  if (!isNew) return;
  card.question.textContent = `Does the ${data.noun} describe the image?`;
  card.picture.replaceChildren(pictured(data));
  card.sentence.textContent = data.sentence;
  card.before.textContent = data.before.join("\n");
  card.after.textContent = data.after.join("\n");
  card.context.hidden = data.noun !== "sentence";
  card.context.disabled = !data.before.length && !data.after.length;
  around(card, false);
}

/** Return the picture, or else a link to it; nothing is fetched unless the link is followed. */
function pictured(data) {
  if (data.picture) return make("img", { src: data.picture, alt: "image to label" });
  if (!data.site) return make("span", {}, data.problem || "image not available");
  const [href, host] = data.site;
  return make("a", { href, target: "_blank", rel: "noopener noreferrer" }, `open the image on ${host} ↗`);
}

/** Show or hide the neighboring sentences. */
function around(card, open) {
  card.open = open;
  card.before.hidden = !open || !card.data.before.length;
  card.after.hidden = !open || !card.data.after.length;
  card.context.firstChild.textContent = open ? "Hide context" : "Context";
  card.context.setAttribute("aria-pressed", String(open));
}

/** Send an answer, once. */
function give(card, answer) {
  if (card.waiting || !card.data) return;
  card.buttons.find((button) => button.dataset.answer === answer).classList.add("given");
  card.waiting = setTimeout(() => settle(card), PATIENCE);
  card.send(answer);
}

function settle(card) {
  clearTimeout(card.waiting);
  card.waiting = 0;
  for (const button of card.buttons) button.classList.remove("given");
}

/** Keyboard shortcuts, except in text fields. */
function press(card, event) {
  const at = event.composedPath()[0];
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !card.root.isConnected) return;
  if (at instanceof HTMLElement && (at.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(at.tagName))) return;
  const key = event.key.toLowerCase(), found = ANSWERS.find((answer) => answer[2] === key);
  if (found) give(card, found[0]);
  else if (key === CONTEXT && !card.context.disabled) around(card, !card.open);
}
