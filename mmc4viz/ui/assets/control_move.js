// Moving the threshold by mouse, touch, keyboard or typing, and notifying the server.

const PAUSE = 300; // milliseconds
const BIG = 10; // steps of Shift and Page keys
const LEAST = 10; // minimum steps in view

/** Move the threshold to a step within the span and paint in the next frame. */
function move(control, at) {
  const wanted = clamp(Math.round(at), ...control.model.header.span);
  if (wanted === control.at) return;
  control.at = wanted;
  control.touched = null;
  control.frame ??= requestAnimationFrame(() => {
    control.frame = undefined;
    paint(control);
  });
  if (!control.patient || !control.dragging) tellSoon(control);
}

/** Notify the server after a pause. */
function tellSoon(control) {
  clearTimeout(control.timer);
  control.timer = setTimeout(() => tell(control), PAUSE);
}

/** Notify the server of changes. */
function tell(control) {
  clearTimeout(control.timer);
  control.timer = undefined;
  const { form, log, from, to } = control.view, { header } = control.model;
  const whole = from === header.span[0] && to === header.span[1];
  const news = { threshold: valueAt(header, control.at), view: JSON.stringify(whole ? { form, log } : { form, log, from, to }) };
  control.reported.view ??= JSON.stringify(header.view);
  for (const [name, value] of Object.entries(news)) {
    if (control.reported[name] === value) continue;
    control.reported[name] = value;
    control.send(name, value);
  }
}

/** Change the view. */
function look(control, changes) {
  Object.assign(control.view, changes);
  redraw(control);
  tellSoon(control);
}

/** Show a range of steps within the span. */
function show(control, from, to) {
  const [low, high] = control.model.header.span;
  const wide = clamp(Math.round(to - from), LEAST, high - low);
  const start = clamp(Math.round(from), low, high - wide);
  look(control, { from: start, to: start + wide });
}

/** Zoom by a factor around a step, by default the threshold. */
function zoomBy(control, factor, around = control.at) {
  const { from, to } = control.view, centre = clamp(around, from, to);
  show(control, centre - (centre - from) * factor, centre + (to - centre) * factor);
}

/** Make an element draggable; `where` returns the element to measure and its margins. */
function drags(control, element, where) {
  const to = (event) => {
    const [measured, pad] = where(), box = measured.getBoundingClientRect();
    move(control, under(control, box.width, pad, event.clientX - box.left));
  };
  element.addEventListener("pointerdown", (event) => {
    control.pointers.set(event.pointerId, event.clientX);
    const finger = event.pointerType === "touch" && element !== control.handle;
    if (event.button !== 0 || finger || control.pointers.size > 1) return;
    event.preventDefault();
    element.setPointerCapture(event.pointerId);
    control.dragging = true;
    control.handle.focus({ preventScroll: true });
    if (element !== control.handle) to(event);
  });
  element.addEventListener("pointermove", (event) => {
    if (control.dragging && element.hasPointerCapture(event.pointerId)) to(event);
  });
  const end = (event) => {
    control.pointers.delete(event.pointerId);
    if (!control.dragging || !element.hasPointerCapture(event.pointerId)) return;
    control.dragging = false;
    tell(control);
  };
  element.addEventListener("pointerup", end);
  element.addEventListener("pointercancel", end);
}

/** Zoom with two fingers, or with Ctrl and the wheel (also sent by touchpads when pinching). */
function pinches(control) {
  const { area } = control;
  area.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    const box = control.plot.getBoundingClientRect();
    zoomBy(control, Math.exp(clamp(event.deltaY, -60, 60) / 120), under(control, box.width, PAD, event.clientX - box.left));
  }, { passive: false });
  area.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "touch" || control.pointers.size !== 2 || !control.pointers.has(event.pointerId)) return;
    const [other] = [...control.pointers].filter(([id]) => id !== event.pointerId).map(([, x]) => x);
    const before = Math.abs(control.pointers.get(event.pointerId) - other), after = Math.abs(event.clientX - other);
    control.pointers.set(event.pointerId, event.clientX);
    if (before > 8 && after > 8) zoomBy(control, before / after);
  });
}

/** Keys of the handle: one step, ten with Shift or Page keys, the ends of the view; Enter opens the bar's pairs. */
function onKey(control, event) {
  if (event.key === "Enter") { openBar(control, barNow(control)); return; }
  const step = event.shiftKey ? BIG : 1, { from, to } = control.view;
  const moves = {
    ArrowRight: control.at + step, ArrowUp: control.at + step, ArrowLeft: control.at - step, ArrowDown: control.at - step,
    PageUp: control.at + BIG, PageDown: control.at - BIG, Home: from, End: to,
  };
  if (!(event.key in moves) || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  move(control, moves[event.key]);
  const wide = to - from;
  if (control.at < from) show(control, control.at, control.at + wide);
  if (control.at > to) show(control, control.at - wide, control.at);
}

/** Apply a typed threshold; for an invalid one show the browser's message and reset the field on blur. */
function onTyped(control) {
  const value = Number.parseFloat(control.input.value), { validity } = control.input;
  const wrong = validity.rangeOverflow || validity.rangeUnderflow || validity.badInput;
  const asked = control.editing;
  control.editing = false;
  if (wrong && asked) { control.input.reportValidity(); return; }
  const { header } = control.model;
  if (!wrong && Number.isFinite(value)) move(control, stepOf(header, value));
  control.input.value = valueAt(header, control.at).toFixed(header.digits);
  tell(control);
}

/** The bar at a step. */
function barAt(control, at) {
  return control.bars?.bars.find((bar) => at >= bar.at && at < bar.at + control.bars.each);
}

/** The bar that was touched, else the one at the threshold. */
function barNow(control) {
  return control.touched ?? barAt(control, control.at);
}

/** The scores of a bar, in words. */
function scoresOf(control, bar) {
  const { header } = control.model;
  const [low, high] = [bar.at, bar.at + control.bars.each].map((k) => valueAt(header, k).toFixed(header.digits));
  return `scoring ${low} to below ${high}`;
}

/** Ask for the pairs of a bar; at an end of the grid its range is open. */
function openBar(control, bar) {
  if (!bar?.pairs) return;
  const { header } = control.model, end = bar.at + control.bars.each;
  const written = (k) => valueAt(header, k).toFixed(header.digits);
  control.trigger("bar", [bar.at > 0 ? written(bar.at) : null, end < header.steps - 1 ? written(end) : null]);
}

/** Open the pairs of the bar that was pressed twice, with the threshold as it was before. */
function opensBars(control) {
  const before = [];
  control.plot.addEventListener("pointerdown", () => { before.push(control.at); before.splice(0, before.length - 2); }, true);
  control.plot.addEventListener("dblclick", (event) => {
    const box = control.plot.getBoundingClientRect();
    const bar = barAt(control, under(control, box.width, PAD, event.clientX - box.left));
    move(control, before[0] ?? control.at);
    tell(control);
    openBar(control, bar);
  });
  control.area.addEventListener("click", (event) => {
    if (event.pointerType !== "touch") return;
    const box = control.plot.getBoundingClientRect();
    control.touched = barAt(control, under(control, box.width, PAD, event.clientX - box.left));
    paintBar(control);
  });
}

/** Write which pairs the button shows. */
function paintBar(control) {
  const bar = barNow(control), pairs = bar?.pairs ?? 0;
  control.see.disabled = !pairs;
  control.see.textContent = pairs ? `Show the ${large(pairs, 0)} pair${pairs === 1 ? "" : "s"} ${scoresOf(control, bar)}` : "No pair in this bar";
}

/** Show the number of pairs in the bar under the pointer. */
function onPointed(control, event) {
  if (control.dragging || !control.bars) return;
  const box = control.plot.getBoundingClientRect();
  const bar = barAt(control, under(control, box.width, PAD, event.clientX - box.left));
  if (bar) control.hint.textContent = `${large(bar.pairs, 0)} pairs ${scoresOf(control, bar)}${bar.pairs ? ": double-click to see them" : ""}`;
}

/** Add the listeners. */
function listen(control) {
  const whole = () => [control.plot, PAD];
  drags(control, control.area, whole);
  drags(control, control.handle, whole);
  pinches(control);
  opensBars(control);
  control.handle.addEventListener("keydown", (event) => onKey(control, event));
  control.handle.addEventListener("blur", () => control.model && tell(control));
  control.input.addEventListener("input", () => { control.editing = true; });
  control.input.addEventListener("blur", () => onTyped(control));
  control.input.addEventListener("change", () => onTyped(control));
  control.area.addEventListener("pointermove", (event) => onPointed(control, event));
  control.area.addEventListener("pointerleave", () => { control.hint.textContent = ""; });
}

/** Clean up; Streamlit may also call this for a superseded run, when the element is still in use. */
function dispose(control) {
  if (control.root.isConnected) return;
  clearTimeout(control.timer);
  cancelAnimationFrame(control.frame);
  control.observer.disconnect();
}
