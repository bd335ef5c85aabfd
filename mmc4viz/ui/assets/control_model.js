// What the control shows: the server's curves, unpacked, and how numbers are written.

/** Split what the server sent: the length of a JSON header, the header, then float64 arrays. */
function unpack(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(0, true);
  const text = new TextDecoder().decode(bytes.subarray(4, 4 + length));
  return { text, header: JSON.parse(text), rest: bytes.slice(4 + length) };
}

/** Give each array its name; all have one value a step of the grid. */
function arraysOf(header, rest) {
  const values = new Float64Array(rest.buffer, 0, rest.byteLength >> 3);
  return Object.fromEntries(
    header.arrays.map((name, i) => [name, values.subarray(i * header.steps, (i + 1) * header.steps)]),
  );
}

/** The threshold at a step of the grid, as the decimal it is. */
function valueAt(header, at) {
  return Number(((header.first + at) * header.step).toFixed(header.digits));
}

/** The step nearest to a threshold, within the grid. */
function stepOf(header, value) {
  return clamp(Math.round(value / header.step) - header.first, 0, header.steps - 1);
}

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** The six large numbers at a step, each with its interval where the corpus is estimated. */
function numbersAt(model, at) {
  const { arrays, header } = model;
  const plain = (name) => ({
    value: arrays[name][at], low: arrays[`${name}_low`]?.[at], high: arrays[`${name}_high`]?.[at],
  });
  const documents = plain("documents");
  const per = (x) => (x === undefined ? x : header.whole ? x / header.whole : 0);
  const tokens = arrays.image_tokens[at];
  return {
    documents,
    share: { value: per(documents.value), low: per(documents.low), high: per(documents.high) },
    pairs: plain("pairs"),
    image_tokens: plain("image_tokens"),
    text_tokens: plain("text_tokens"),
    mispaired: {
      value: tokens ? arrays.mispaired[at] / tokens : 0,
      low: arrays.mispaired_low?.[at], high: arrays.mispaired_high?.[at],
    },
  };
}

/** Writers of numbers by their decimals; ties go to the even digit, as on the command line. */
const writers = [0, 1, 2].map((digits) => new Intl.NumberFormat("en-US", {
  minimumFractionDigits: digits, maximumFractionDigits: digits, roundingMode: "halfEven",
}));

/** Write a number in full, or in millions where that is too long for its place. */
function large(number, digits) {
  if (!Number.isFinite(number)) return "∞";
  if (Math.abs(number) < 1e6) return writers[digits].format(number);
  return Math.abs(number) < 1e9 ? `${writers[2].format(number / 1e6)} M` : `${writers[2].format(number / 1e9)} bn`;
}

const percent = (share) => (Number.isFinite(share) ? `${writers[1].format(100 * share)}%` : "∞");

/** Write a change with its sign; shares in percentage points. */
function change(difference, format) {
  const written = format.share ? `${writers[1].format(100 * Math.abs(difference))} pp` : large(Math.abs(difference), format.digits);
  if (!/[1-9]/.test(written)) return "±0";
  return (difference > 0 ? "+" : "−") + written;
}

/** Write a value as its kind asks for. */
const written = (value, format) => (format.share ? percent(value) : large(value, format.digits));

/** Short numbers for axes: 1.2k, 35M. */
function short(number) {
  for (const [size, letter] of [[1e9, "bn"], [1e6, "M"], [1e3, "k"]]) {
    if (number >= size) return `${Number((number / size).toPrecision(3))}${letter}`;
  }
  return `${Number(number.toPrecision(3))}`;
}

/** Round steps between two values, about as many as asked for. */
function ticks(low, high, count) {
  const raw = (high - low) / Math.max(1, count);
  if (!(raw > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5, 10].find((m) => m * power >= raw * 0.999) ?? 10);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k += 1) found.push(k * step);
  return found;
}
