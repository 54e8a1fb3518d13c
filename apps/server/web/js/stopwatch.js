// How long a person works on one thing: what the data engine counts for each object. Time in which the page is hidden,
// or in which nothing moves, is nobody's work.

const kIdle = 30; // seconds without a sign of life that still count as looking

export class Stopwatch {
  #now;
  #last;
  #worked = 0;
  #hidden = false;

  constructor(now = () => performance.now() / 1000) {
    this.#now = now;
    this.#last = now();
  }

  // A pointer moved, a key was pressed.
  alive() {
    const now = this.#now();
    if (!this.#hidden) this.#worked += Math.min(Math.max(0, now - this.#last), kIdle);
    this.#last = now;
  }

  hide(hidden) {
    this.alive();
    this.#hidden = hidden;
  }

  // Seconds since the last lap; the next one begins.
  lap() {
    this.alive();
    const seconds = Math.round(this.#worked * 100) / 100;
    this.#worked = 0;
    return seconds;
  }
}
