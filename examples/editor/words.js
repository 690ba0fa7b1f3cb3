/** Which words of a text were changed, for people to see. */

const MAX_CELLS = 1_000_000; // beyond it the whole text counts as changed

/** The pieces of both texts in order: `[["same" | "old" | "new", words], …]`. */
export function wordDiff(before, after) {
  const [a, b] = [before, after].map((text) => text.match(/\s*\S+/g) ?? []);
  if (a.length * b.length > MAX_CELLS)
    return [
      ["old", before],
      ["new", after],
    ];
  const longest = longestRuns(a, b);
  const pieces = [];
  const add = (kind, word) => {
    if (pieces.at(-1)?.[0] === kind) pieces.at(-1)[1] += word;
    else pieces.push([kind, word]);
  };
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && isSame(a[i], b[j])) {
      add("same", b[j]);
      i += 1;
      j += 1;
    } else if (j >= b.length || (i < a.length && longest[i + 1][j] >= longest[i][j + 1])) {
      add("old", a[i]);
      i += 1;
    } else {
      add("new", b[j]);
      j += 1;
    }
  }
  return pieces;
}

const isSame = (one, other) => one.trim() === other.trim();

/** `[i][j]`: how many words, in order, the rest of `a` from `i` and the rest of `b` from `j` have in common. */
function longestRuns(a, b) {
  const table = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      table[i][j] = isSame(a[i], b[j]) ? table[i + 1][j + 1] + 1 : Math.max(table[i + 1][j], table[i][j + 1]);
    }
  }
  return table;
}
