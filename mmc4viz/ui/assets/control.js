// The threshold control. It follows the threshold in the browser; the server is notified on release
// and after a pause. It changes only its own elements.

const controls = new WeakMap();

/** Called by Streamlit after each run. */
export default function (component) {
  const root = component.parentElement.querySelector(".control");
  if (!controls.has(root)) controls.set(root, build(root));
  const control = controls.get(root);
  control.send = component.setStateValue;
  control.trigger = component.setTriggerValue;
  receive(control, component.data);
  return () => dispose(control);
}

/** Create the elements and their listeners once. */
function build(root) {
  const control = { root, at: 0, dragging: false, reported: {}, pointers: new Map(), view: { form: "share", log: false } };
  root.replaceChildren(
    (control.numbers = make("dl", { class: "numbers" })), toolbar(control), marksAndHint(control),
    plotOf(control), secondBar(control), (control.yields = make("div", { class: "yields" })),
  );
  listen(control);
  hovers(control);
  control.observer = new ResizeObserver(() => control.model && redraw(control));
  control.observer.observe(root);
  return control;
}

/** A group of buttons. */
function group(buttons) {
  return make("span", { class: "group", role: "group" }, ...buttons);
}

/** Heading, number field, linear or log counts, zoom. */
function toolbar(control) {
  control.title = make("h2");
  control.input = make("input", { type: "number", inputmode: "decimal" });
  control.inputLabel = make("span");
  control.scaleButtons = { false: make("button", { type: "button" }), true: make("button", { type: "button" }) };
  const zoom = ["−", "+", "⤢"].map((sign) => make("button", { type: "button" }, sign));
  const [out, closer, whole] = (control.zoomButtons = zoom);
  out.onclick = () => zoomBy(control, 1.6);
  closer.onclick = () => zoomBy(control, 1 / 1.6);
  whole.onclick = () => show(control, ...control.model.header.span);
  for (const [key, button] of Object.entries(control.scaleButtons)) {
    button.onclick = () => look(control, { log: key === "true" });
  }
  return make("div", { class: "bar" }, control.title, make("label", { class: "field" }, control.inputLabel, control.input),
    make("span", { class: "space" }), group(Object.values(control.scaleButtons)), group(zoom));
}

/** Published and suggested thresholds, and the hint for the element under the pointer. */
function marksAndHint(control) {
  control.marks = make("div", { class: "marks" });
  control.proposals = make("div", { class: "marks proposals" });
  control.hint = make("div", { class: "hint" });
  control.see = make("button", { type: "button", class: "see" });
  control.see.onclick = () => openBar(control, barNow(control));
  return make("div", {}, control.marks, control.proposals, make("div", { class: "about" }, control.hint, control.see));
}

/** Heading of the yield curves, with the choice of percent or count. */
function secondBar(control) {
  control.yieldTitle = make("h2");
  control.formButtons = { share: make("button", { type: "button" }), absolute: make("button", { type: "button" }) };
  for (const [form, button] of Object.entries(control.formButtons)) button.onclick = () => look(control, { form });
  return make("div", { class: "bar second" }, control.yieldTitle, make("span", { class: "space" }),
    group(Object.values(control.formButtons)));
}

/** Receive a message; its threshold applies if the server set it and nothing is being dragged. */
function receive(control, bytes) {
  const { text, header, rest } = unpack(bytes);
  if (control.text === text) return;
  const before = control.model, value = before && valueAt(before.header, control.at);
  const arrays = before && before.header.hash === header.hash ? before.arrays : arraysOf(header, rest);
  const sameSpan = before && String(before.header.span) === String(header.span) && before.header.first === header.first;
  Object.assign(control, { text, model: { header, arrays } });
  if (!before) Object.assign(control.view, header.view);
  if (!sameSpan || control.view.from === undefined) [control.view.from, control.view.to] = spanOf(header, before);
  if (value !== undefined) control.at = stepOf(header, value);
  if (control.serial !== header.set.serial && !control.dragging) {
    control.serial = header.set.serial;
    control.at = stepOf(header, header.set.value);
    control.editing = false;
    clearTimeout(control.timer);
    control.reported.threshold = header.set.value;
  }
  write(control);
  redraw(control);
}

/** The initial range of steps: from the address, else the full span. */
function spanOf(header, before) {
  const { from, to } = header.view;
  return !before && Number.isInteger(from) && Number.isInteger(to) && to - from >= LEAST
    ? [clamp(from, 0, header.steps - 1), clamp(to, 0, header.steps - 1)]
    : header.span;
}

/** Write the text that does not depend on the threshold. */
function write(control) {
  const { header } = control.model, { words } = header;
  control.title.textContent = words.title;
  control.inputLabel.textContent = words.threshold;
  control.yieldTitle.textContent = words.yields;
  const [min, max] = header.span.map((at) => valueAt(header, at));
  Object.assign(control.input, { min, max, step: header.step });
  control.scaleButtons.false.textContent = words.linear;
  control.scaleButtons.true.textContent = words.log;
  control.formButtons.share.textContent = words.share;
  control.formButtons.absolute.textContent = words.absolute;
  control.zoomButtons.forEach((button, i) => button.setAttribute("aria-label", (button.title = words.zoom[i])));
  control.handle.setAttribute("aria-label", words.threshold);
  control.handle.setAttribute("aria-keyshortcuts", "Enter");
  control.plot.setAttribute("aria-label", words.title);
  for (const side of ["rejected", "kept"]) control.sides[side].style.color = header.colours[`${side}_text`];
  writeNumbers(control);
  writeMarks(control);
  writeYields(control);
}

/** A cell for each headline number. */
function writeNumbers(control) {
  control.cells = control.model.header.numbers.map((format) => {
    const value = make("div", { class: "value" }), interval = make("div", { class: "interval" }), difference = make("div", { class: "change" });
    const cell = make("div", { title: format.meaning, "data-number": format.name },
      make("dt", {}, format.label), make("dd", {}, value, difference, ...(control.model.header.estimated ? [interval] : [])));
    return { format, value, interval, difference, cell };
  });
  control.numbers.replaceChildren(...control.cells.map(({ cell }) => cell));
}

/** A button for each published and suggested threshold, explained on hover and focus. */
function writeMarks(control) {
  const { header } = control.model;
  writeRow(control, control.marks, header.words.marks, header.marks);
  writeRow(control, control.proposals, header.words.proposals, header.proposals);
}

/** One row of buttons; clicking a suggestion also notifies the server, which keeps its basis. */
function writeRow(control, row, words, marks) {
  const buttons = marks.map((mark) => {
    const button = make("button", { type: "button", title: mark.source, "aria-description": mark.source }, `${mark.label} ${mark.name}`);
    button.onclick = () => {
      move(control, mark.at);
      tell(control);
      if (mark.basis) control.trigger("proposed", mark.basis);
    };
    button.onfocus = button.onpointerenter = () => { control.hint.textContent = mark.source; };
    button.onblur = button.onpointerleave = () => { control.hint.textContent = ""; };
    return button;
  });
  row.replaceChildren(...(buttons.length ? [words, ...buttons] : []));
  row.hidden = !buttons.length;
}

/** A small chart for each yield. */
function writeYields(control) {
  control.charts = control.model.header.yields.map(({ name, label, digits, of }) => {
    const svg = draw("svg", { role: "img", "aria-label": `${label} against the threshold` }), value = make("b");
    const figure = make("figure", { "data-yield": name }, make("figcaption", {}, make("span", {}, label), value, make("small", {}, of)), svg);
    drags(control, svg, () => [svg, SMALL]);
    return { name, digits, svg, value, figure };
  });
  control.yields.replaceChildren(...control.charts.map(({ figure }) => figure));
}

/** Redraw everything after a change of size, view or data. */
function redraw(control) {
  if (!control.plot.clientWidth) return;
  layOut(control);
  drawAxes(control);
  for (const chart of control.charts) drawYield(control, chart);
  for (const [key, button] of Object.entries(control.scaleButtons)) button.setAttribute("aria-pressed", String(control.view.log) === key);
  control.yields.classList.toggle("counts", control.view.form !== "share");
  for (const [key, button] of Object.entries(control.formButtons)) button.setAttribute("aria-pressed", control.view.form === key);
  paint(control);
}

/** Paint everything that depends on the threshold. */
function paint(control) {
  const { model: { header, arrays }, at } = control, value = valueAt(header, at);
  const numbers = numbersAt(control.model, at), label = value.toFixed(header.digits);
  paintBars(control);
  for (const cell of control.cells) paintNumber(control, cell, numbers[cell.format.name]);
  for (const chart of control.charts) paintMarker(control, chart);
  const pairs = arrays.pairs[at], inView = at >= control.view.from && at <= control.view.to;
  control.sides.kept.textContent = `${large(pairs, 0)} ${header.words.kept}`;
  control.sides.rejected.textContent = `${large(Math.max(0, header.all_pairs - pairs), 0)} ${header.words.rejected}`;
  control.handle.style.transform = `translateX(${across(control, control.size.width, PAD, at)}px)`;
  control.handle.style.visibility = inView ? "" : "hidden";
  paintBar(control);
  if (!control.editing) control.input.value = label;
  const [kept, share] = header.numbers;
  const spoken = `${label}: ${written(numbers[kept.name].value, kept)} ${header.words.counted}, ${written(numbers[share.name].value, share)} of all`;
  const [valuemin, valuemax] = header.span.map((step) => valueAt(header, step));
  const aria = { valuemin, valuemax, valuenow: value, valuetext: spoken };
  for (const [name, text] of Object.entries(aria)) control.handle.setAttribute(`aria-${name}`, text);
}

/** Write one headline number, its difference from the baseline and its interval. */
function paintNumber(control, { format, value, difference, interval }, number) {
  const { compared, words } = control.model.header;
  value.textContent = written(number.value, format);
  const by = compared.numbers && change(number.value - compared.numbers[format.name], format);
  const against = by ? `${by} vs ${words.baseline} ${compared.label}` : "";
  difference.textContent = [number.note, against].filter(Boolean).join(" · ");
  if (number.low !== undefined) interval.textContent = `95% CI: ${written(number.low, format)} – ${written(number.high, format)}`;
}
