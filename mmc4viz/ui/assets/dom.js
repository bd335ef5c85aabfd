// What every component draws with; it comes before the component's own script.

const SVG = "http://www.w3.org/2000/svg";

/** Give a new element its attributes and children; text is never markup. */
function filled(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

/** Create an element. */
function make(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** Create an SVG element. */
function draw(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

/** Create an SVG text at a position. */
function label(x, y, words, anchor = "middle") {
  return draw("text", { x, y, "text-anchor": anchor }, words);
}

/** Give a canvas the size it is shown at, in pixels of the screen; return its context. */
function sized(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1, wide = Math.round(width * ratio), tall = Math.round(height * ratio);
  if (canvas.width !== wide || canvas.height !== tall) Object.assign(canvas, { width: wide, height: tall });
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

/** Call `act` in the first frame in which `ready` holds, or when `wait` milliseconds have passed. */
function once(ready, act, wait) {
  const end = performance.now() + wait;
  const look = () => (ready() || performance.now() > end ? act() : requestAnimationFrame(look));
  look();
}

const drawn = new WeakMap();

/** Draw data if they are new. `build` creates the elements and returns what draws them again in another width, if anything does. */
function drawOnce(root, data, build) {
  const text = JSON.stringify(data);
  if (drawn.get(root)?.text === text) return;
  drawn.get(root)?.observer?.disconnect();
  const redraw = build();
  const observer = redraw && new ResizeObserver(redraw);
  observer?.observe(root);
  drawn.set(root, { text, observer });
  redraw?.();
}

/** Number formats by decimals; ties round to even, as on the command line. */
const writers = [0, 1, 2].map((digits) => new Intl.NumberFormat("en-US", {
  minimumFractionDigits: digits, maximumFractionDigits: digits, roundingMode: "halfEven",
}));
