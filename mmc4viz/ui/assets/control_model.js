// The control's data: the server's curves, unpacked, and number formats.

/** Split a message: the length of a JSON header, the header, then float64 arrays. */
function unpack(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(0, true);
  const text = new TextDecoder().decode(bytes.subarray(4, 4 + length));
  return { text, header: JSON.parse(text), rest: bytes.slice(4 + length) };
}

/** Return the arrays by name; each has one value per step of the grid. */
function arraysOf(header, rest) {
  const values = new Float64Array(rest.buffer, 0, rest.byteLength >> 3);
  return Object.fromEntries(
    header.arrays.map((name, i) => [name, values.subarray(i * header.steps, (i + 1) * header.steps)]),
  );
}

/** The threshold at a step of the grid, rounded to its decimals. */
function valueAt(header, at) {
  return Number(((header.first + at) * header.step).toFixed(header.digits));
}

/** The step of the grid closest to a threshold. */
function stepOf(header, value) {
  return clamp(Math.round(value / header.step) - header.first, 0, header.steps - 1);
}

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** The headline numbers at a step: a yield, whole or divided, with its interval and a note. */
function numbersAt({ arrays, header }, at) {
  return Object.fromEntries(header.numbers.map(({ name, yield: of, per, note }) => {
    const by = typeof per === "string" ? arrays[per][at] : per;
    const part = (value) => (value === undefined || by === null ? value : by ? value / by : 0);
    const end = (side) => arrays[`${name}_${side}`]?.[at] ?? (typeof per === "string" ? undefined : part(arrays[`${of}_${side}`]?.[at]));
    const found = { value: part(arrays[of][at]), low: end("low"), high: end("high") };
    return [name, note ? { ...found, note: `${header.words.median} ${arrays[note][at]}` } : found];
  }));
}

/** Format a number in full, or in millions or billions if it is long. */
function large(number, digits) {
  if (!Number.isFinite(number)) return "∞";
  if (Math.abs(number) < 1e6) return writers[digits].format(number);
  return Math.abs(number) < 1e9 ? `${writers[2].format(number / 1e6)}M` : `${writers[2].format(number / 1e9)}B`;
}

const percent = (share) => (Number.isFinite(share) ? `${writers[1].format(100 * share)}%` : "∞");

/** Format a difference with its sign, shares in percentage points; empty if it rounds to zero. */
function change(difference, format) {
  const written = format.share ? `${writers[1].format(100 * Math.abs(difference))} pp` : large(Math.abs(difference), format.digits);
  if (!/[1-9]/.test(written)) return "";
  return (difference > 0 ? "+" : "−") + written;
}

/** Format a headline number. */
const written = (value, format) => (format.share ? percent(value) : large(value, format.digits));

/** Short numbers for axes: 1.2k, 35M. */
function short(number) {
  for (const [size, letter] of [[1e9, "B"], [1e6, "M"], [1e3, "k"]]) {
    if (number >= size) return `${Number((number / size).toPrecision(3))}${letter}`;
  }
  return `${Number(number.toPrecision(3))}`;
}

/** About `count` round values between two values. */
function ticks(low, high, count) {
  const raw = (high - low) / Math.max(1, count);
  if (!(raw > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5, 10].find((m) => m * power >= raw * 0.999) ?? 10);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k += 1) found.push(k * step);
  return found;
}
