// Photos as the stage draws them, the last few and what was asked for ahead.

const kMost = 3;

export class Bitmaps {
  #api;
  #decode;
  #known = new Map(); // id -> promise of a bitmap

  constructor(api, decode = (blob) => createImageBitmap(blob)) {
    this.#api = api;
    this.#decode = decode;
  }

  async #fetch(id) {
    const response = await this.#api.send('GET', `/v1/images/${id}/content`);
    return this.#decode(await response.blob());
  }

  get(id) {
    const known = this.#known.get(id) ?? this.#fetch(id);
    // The last used is the last to go.
    this.#known.delete(id);
    this.#known.set(id, known);
    known.catch(() => this.#known.get(id) === known && this.#known.delete(id));
    while (this.#known.size > kMost) this.#known.delete(this.#known.keys().next().value);
    return known;
  }

  ahead(id) {
    this.get(id).catch(() => {}); // said when it is wanted
  }
}
