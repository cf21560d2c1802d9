// A byte's numbers on hover and on keyboard focus. One tab stop per document; the arrow keys go on from there.
// Everything from a document is set as textContent, never as markup.
"use strict";

const tip = document.getElementById("tip");
let shown = null;
let pointer = "";
const utf8 = new TextDecoder("utf-8", { fatal: true });

for (const box of document.querySelectorAll("pre.bytes[data-of]")) {
  const numbers = JSON.parse(document.getElementById(box.dataset.of).textContent);
  const cells = [...box.querySelectorAll("i")];
  const places = new Map(cells.map((cell, i) => [cell, i]));
  let current = 0;

  const show = (i) => {
    clear();
    const about = describe(numbers, i);
    for (let j = about.from; j < about.to; j++) cells[j].classList.add("near");
    cells[i].classList.add("here");
    fill(about.rows);
    shown = cells[i];
    place();
  };

  const clear = () => {
    for (const cell of box.querySelectorAll(".near, .here")) cell.classList.remove("near", "here");
    tip.hidden = true;
    shown = null;
  };

  const focus = (i) => {
    cells[current].removeAttribute("tabindex");
    current = Math.min(Math.max(i, 0), cells.length - 1);
    cells[current].tabIndex = 0;
    cells[current].setAttribute("aria-describedby", "tip");
    cells[current].focus();
  };

  const focused = () => box.contains(document.activeElement);
  box.addEventListener("pointerover", (event) => {
    const still = !moved(event);
    if (places.has(event.target) && !(still && focused())) show(places.get(event.target));
  });
  box.addEventListener("pointerleave", () => (focused() ? show(current) : clear()));
  box.addEventListener("click", (event) => places.has(event.target) && focus(places.get(event.target)));
  box.addEventListener("focusin", (event) => places.has(event.target) && show(places.get(event.target)));
  box.addEventListener("focusout", clear);
  box.addEventListener("keydown", (event) => {
    const segment = segmentOf(numbers.ends, current);
    const step = {
      ArrowRight: () => focus(current + 1),
      ArrowLeft: () => focus(current - 1),
      ArrowDown: () => focus(numbers.ends[segment]),
      ArrowUp: () => focus(current > start(numbers.ends, segment) ? start(numbers.ends, segment) : start(numbers.ends, segment - 1)),
      Home: () => focus(0),
      End: () => focus(cells.length - 1),
      Escape: clear,
    }[event.key];
    if (!step || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    step();
  });
}

/** Whether the pointer itself moved, and not the page under it, as it does when the keyboard scrolls. */
function moved(event) {
  const before = pointer;
  pointer = `${event.screenX},${event.screenY}`;
  return pointer !== before;
}

addEventListener("scroll", place, { capture: true, passive: true });
addEventListener("resize", place);

function start(ends, i) {
  return i > 0 ? ends[i - 1] : 0;
}

/** The index of the first end that is beyond byte i. */
function segmentOf(ends, i) {
  let low = 0, high = ends.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ends[middle] > i) high = middle;
    else low = middle + 1;
  }
  return low;
}

function describe(numbers, i) {
  const segment = segmentOf(numbers.ends, i);
  const from = start(numbers.ends, segment), to = numbers.ends[segment];
  const first = start(numbers.symbolEnds, segment), last = numbers.symbolEnds[segment];
  const rows = [
    ["byte", `0x${hex(numbers.bytes[i])} ${quoted(numbers.bytes.slice(i, i + 1))}`, true],
    ["offset", (numbers.start + i).toLocaleString("en")],
  ];
  if (numbers.bits) rows.push([numbers.score, `${numbers.bits[i].toFixed(3)} bits`]);
  rows.push(["segment", `${numbers.segment + segment}: ${quoted(numbers.bytes.slice(from, to))}`, true]);
  rows.push(["", `byte ${i - from + 1} of ${to - from}`]);
  if (numbers.windows) {
    const window = segmentOf(numbers.windows, i);
    const begin = start(numbers.windows, window);
    const of = `window ${window - first + 1} of ${last - first}`;
    rows.push([of, quoted(numbers.bytes.slice(begin, numbers.windows[window])), true]);
    rows.push(["symbol", String(numbers.symbols[window]), true]);
  } else {
    rows.push([last - first > 1 ? "symbols" : "symbol", numbers.symbols.slice(first, last).join(" "), true]);
  }
  return { rows, from, to };
}

function hex(byte) {
  return byte.toString(16).padStart(2, "0");
}

/** Bytes as text in quotes with what cannot be seen escaped, or as hex digits where they are not whole characters. */
function quoted(bytes) {
  let text;
  try {
    text = utf8.decode(new Uint8Array(bytes));
  } catch {
    return bytes.map((byte) => `\\x${hex(byte)}`).join("");
  }
  const named = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\" };
  const shown = (c) => named[c] ?? `\\u{${c.codePointAt(0).toString(16)}}`;
  return `'${text.replace(/[\n\r\t\\]|(?! )[\p{C}\p{Z}]/gu, shown)}'`;
}

function fill(rows) {
  const list = document.createElement("dl");
  for (const [name, value, code] of rows) {
    const term = document.createElement("dt"), detail = document.createElement("dd");
    term.textContent = name;
    detail.textContent = value;
    if (code) detail.className = "code";
    list.append(term, detail);
  }
  tip.replaceChildren(list);
  tip.hidden = false;
}

/** Puts the tip below the byte that it is about, or above where there is no room; never outside the window. */
function place() {
  if (!shown) return;
  const at = shown.getBoundingClientRect(), own = tip.getBoundingClientRect();
  const below = at.bottom + 8;
  const top = below + own.height < innerHeight ? below : Math.max(8, at.top - own.height - 8);
  tip.style.left = `${Math.min(Math.max(8, at.left - 12), innerWidth - own.width - 8)}px`;
  tip.style.top = `${top}px`;
}
