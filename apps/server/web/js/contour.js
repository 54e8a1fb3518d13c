// Masks as outlines: marching squares over a grid of values, inside where they are above zero. Between two samples the
// outline lies where a straight line through them is zero, so that 256 x 256 logits give a smooth edge at any zoom.

// values: row by row, width x height samples in the middles of cells that are `cell` = [x, y] pixels large, the first
// cell at `origin`. The outline is closed along the grid's own edge and cut off at `end` (the photo's size).
// -> closed loops, each a Float32Array of x, y, x, y, ...; fill them with the even-odd rule.
export function contours(values, width, height, cell, origin = [0, 0], end = [Infinity, Infinity]) {
  if (width < 1 || height < 1) return [];
  // A ring of "just outside" around the samples: crossings of it lie on the grid's edge.
  const w = width + 2, h = height + 2;
  const place = (i, n, step, start, limit) =>
    Math.min(limit, start + step * (i === 0 ? 0 : i === n - 1 ? n - 2 : i - 0.5));
  const xs = Float32Array.from({ length: w }, (_, i) => place(i, w, cell[0], origin[0], end[0]));
  const ys = Float32Array.from({ length: h }, (_, i) => place(i, h, cell[1], origin[1], end[1]));
  const at = (x, y) => (x > 0 && y > 0 && x < w - 1 && y < h - 1 ? values[(y - 1) * width + x - 1] : kOutside);

  // An edge between two samples is 2 * sample (to the right) or 2 * sample + 1 (downwards). Segments run with the
  // inside on their right hand, so every crossed edge has one segment that leaves it.
  const next = new Int32Array(2 * w * h).fill(-1);
  const starts = [];
  for (let y = 0; y + 1 < h; ++y) {
    let upper = at(0, y) > 0, lower = at(0, y + 1) > 0;
    for (let x = 0; x + 1 < w; ++x) {
      const upperRight = at(x + 1, y) > 0, lowerRight = at(x + 1, y + 1) > 0;
      const code = (upper ? 1 : 0) | (upperRight ? 2 : 0) | (lowerRight ? 4 : 0) | (lower ? 8 : 0);
      upper = upperRight;
      lower = lowerRight;
      if (code === 0 || code === 15) continue;
      const top = 2 * (y * w + x), left = top + 1, right = left + 2, bottom = top + 2 * w;
      const link = (from, to) => {
        next[from] = to;
        starts.push(from);
      };
      switch (code) {
        case 1: link(top, left); break;
        case 2: link(right, top); break;
        case 3: link(right, left); break;
        case 4: link(bottom, right); break;
        case 6: link(bottom, top); break;
        case 7: link(bottom, left); break;
        case 8: link(left, bottom); break;
        case 9: link(top, bottom); break;
        case 11: link(right, bottom); break;
        case 12: link(left, right); break;
        case 13: link(top, right); break;
        case 14: link(left, top); break;
        default: { // two corners across: the middle says whether they touch
          const joined = at(x, y) + at(x + 1, y) + at(x, y + 1) + at(x + 1, y + 1) > 0;
          if (code === 5) {
            link(top, joined ? right : left);
            link(bottom, joined ? left : right);
          } else {
            link(right, joined ? bottom : top);
            link(left, joined ? top : bottom);
          }
        }
      }
    }
  }

  const loops = [];
  for (const start of starts) {
    if (next[start] < 0) continue;
    const loop = [];
    for (let edge = start; next[edge] >= 0;) {
      const sample = edge >> 1, x = sample % w, y = (sample - x) / w;
      const down = edge & 1;
      const a = at(x, y), b = down ? at(x, y + 1) : at(x + 1, y);
      const t = a / (a - b);
      loop.push(down ? xs[x] : xs[x] + t * (xs[x + 1] - xs[x]), down ? ys[y] + t * (ys[y + 1] - ys[y]) : ys[y]);
      const to = next[edge];
      next[edge] = -1;
      edge = to;
    }
    loops.push(Float32Array.from(loop));
  }
  return loops;
}

const kOutside = -1e-6;

// The outline of a crop (see rle.js): through the middles of pixel edges, so that diagonals are straight.
export function contoursOfCrop(crop, photo) {
  const values = new Int8Array(crop.data.length);
  for (let i = 0; i < values.length; ++i) values[i] = crop.data[i] ? 1 : -1;
  return contours(values, crop.width, crop.height, [1, 1], [crop.x, crop.y], [photo.width, photo.height])
    .map(withoutStraight);
}

// Drops what lies on a straight line between its neighbours.
export function withoutStraight(loop) {
  const n = loop.length / 2;
  const kept = [];
  for (let i = 0; i < n; ++i) {
    const p = 2 * ((i + n - 1) % n), c = 2 * i, q = 2 * ((i + 1) % n);
    const ax = loop[c] - loop[p], ay = loop[c + 1] - loop[p + 1];
    const bx = loop[q] - loop[c], by = loop[q + 1] - loop[c + 1];
    if (Math.abs(ax * by - ay * bx) > 1e-4) kept.push(loop[c], loop[c + 1]);
  }
  return kept.length >= 6 ? Float32Array.from(kept) : loop;
}

// The logits of an answer of /segment: {width, height, scale, cell: [x, y], data: base64 of int8}.
export function contoursOfLogits(logits, photo) {
  const values = bytesOfBase64(logits.data);
  if (values.length !== logits.width * logits.height) throw new Error('a mask of another size than it says');
  return contours(values, logits.width, logits.height, logits.cell, [0, 0], [photo.width, photo.height]);
}

export function bytesOfBase64(text) {
  const binary = atob(text);
  const bytes = new Int8Array(binary.length);
  for (let i = 0; i < binary.length; ++i) bytes[i] = binary.charCodeAt(i);
  return bytes;
}
