// Where the objects of a photo are kept. Two keepers with the same functions: the server, which stores each edit before
// it answers, and, for servers that keep none, this page. All answer {annotations, undo, redo} or one annotation:
// {id, version, label, color, hidden, rle, prompts: [...], reading, edited, score, stability}.

const kMostPromptBytes = 60000; // what the server keeps of an object's prompts is bounded

const tag = (annotation) => `"${annotation.id}.${annotation.version}"`;

// The server's form: scores are a table, and how the mask was made is one value, "prompts".
export function toServer(fields, known = {}) {
  const { prompts, reading, edited, score, stability, ...rest } = fields;
  const has = (...names) => names.some((name) => name in fields);
  if (has('prompts', 'reading', 'edited')) {
    const made = {
      prompts: prompts ?? known.prompts ?? [],
      reading: 'reading' in fields ? reading : known.reading,
      edited: edited ?? known.edited ?? false,
    };
    // What is kept must give the mask again, or be nothing.
    rest.prompts = JSON.stringify(made).length <= kMostPromptBytes ? made : { prompts: [], edited: made.edited };
  }
  const scores = Object.entries({ score, stability }).filter(([, value]) => Number.isFinite(value));
  if (scores.length) rest.scores = Object.fromEntries(scores);
  return rest;
}

export function fromServer(annotation) {
  const { prompts, scores, ...rest } = annotation;
  const made = Array.isArray(prompts) ? { prompts } : prompts ?? {};
  return {
    ...rest,
    prompts: Array.isArray(made.prompts) ? made.prompts : [],
    reading: made.reading,
    edited: made.edited === true,
    score: scores?.score ?? scores?.predicted_iou,
    stability: scores?.stability,
  };
}

function listFromServer({ annotations, can_undo: undo, can_redo: redo }) {
  return { annotations: annotations.map(fromServer), undo, redo };
}

export class ServerAnnotations {
  kept = true;
  #api;

  constructor(api) {
    this.#api = api;
  }

  async list(image) {
    return listFromServer(await this.#api.get(`/v1/images/${image}/annotations`));
  }
  // `seconds`: how long a person worked for it.
  async create(image, fields, seconds) {
    return fromServer(await this.#api.write('POST', `/v1/images/${image}/annotations`, { ...toServer(fields), seconds }));
  }
  async change(image, annotation, fields, seconds) {
    const patch = { ...toServer(fields, annotation), seconds };
    return fromServer(await this.#api.write('PATCH', `/v1/annotations/${annotation.id}`, patch, tag(annotation)));
  }
  async remove(image, annotation) {
    await this.#api.send('DELETE', `/v1/annotations/${annotation.id}`, { etag: tag(annotation) });
  }
  // 'accept' gives the annotation, 'reject' nothing.
  async judge(annotation, what, seconds) {
    const made = await this.#api.write('POST', `/v1/reviews/${annotation.id}/${what}`, { seconds }, tag(annotation));
    return made && fromServer(made);
  }
  async undo(image) {
    return listFromServer(await this.#api.write('POST', `/v1/images/${image}/undo`));
  }
  async redo(image) {
    return listFromServer(await this.#api.write('POST', `/v1/images/${image}/redo`));
  }
}

// States of the whole list, one after the other: lists are short, and annotations in them are never changed.
export class PageAnnotations {
  kept = false;
  #photos = new Map();
  #number = 0;

  #of(image) {
    if (!this.#photos.has(image)) this.#photos.set(image, { states: [[]], at: 0 });
    return this.#photos.get(image);
  }
  #push(image, list) {
    const photo = this.#of(image);
    photo.states.length = photo.at + 1;
    photo.states.push(list);
    photo.at += 1;
  }
  #answer(image) {
    const photo = this.#of(image);
    return { annotations: photo.states[photo.at], undo: photo.at > 0, redo: photo.at + 1 < photo.states.length };
  }

  async list(image) {
    return this.#answer(image);
  }
  async create(image, fields) {
    const annotation = { hidden: false, origin: 'human', ...fields, id: `page-${++this.#number}`, version: 1 };
    this.#push(image, [...this.#answer(image).annotations, annotation]);
    return annotation;
  }
  async change(image, { id }, fields) {
    let changed = null;
    const list = this.#answer(image).annotations.map((a) =>
      a.id === id ? (changed = { ...a, ...fields, version: a.version + 1 }) : a);
    this.#push(image, list);
    return changed;
  }
  async remove(image, { id }) {
    this.#push(image, this.#answer(image).annotations.filter((a) => a.id !== id));
  }
  async undo(image) {
    const photo = this.#of(image);
    photo.at = Math.max(0, photo.at - 1);
    return this.#answer(image);
  }
  async redo(image) {
    const photo = this.#of(image);
    photo.at = Math.min(photo.states.length - 1, photo.at + 1);
    return this.#answer(image);
  }
}
