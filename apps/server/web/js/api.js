// The server's HTTP API, as functions. What goes wrong is a Problem with the server's own sentence in it.

export class Problem extends Error {
  constructor(status, code, detail, retryAfter = 0) {
    super(detail);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

export class Api {
  #token;
  #fetch;

  constructor(token = '', fetcher = (...args) => fetch(...args)) {
    this.#token = token;
    this.#fetch = fetcher;
  }

  // The raw response, or a Problem.
  async send(method, path, { body, type, etag, signal } = {}) {
    const headers = {};
    if (this.#token) headers.Authorization = `Bearer ${this.#token}`;
    if (type) headers['Content-Type'] = type;
    if (etag) headers['If-Match'] = etag;
    let response;
    try {
      response = await this.#fetch(path, { method, headers, body, signal });
    } catch (error) {
      if (error.name === 'AbortError') throw error;
      throw new Problem(0, 'unreachable', 'The server cannot be reached. Is beckon serve still running?');
    }
    if (response.ok) return response;
    throw await problemOf(response);
  }

  async get(path) {
    return (await this.send('GET', path)).json();
  }

  async write(method, path, value, etag) {
    const response = await this.send(method, path, { body: JSON.stringify(value ?? {}), type: 'application/json', etag });
    return response.status === 204 ? null : response.json();
  }

  // Something that an <img> can show. With a token it has to be fetched, since <img> cannot send it.
  async picture(path) {
    if (!this.#token) return path;
    return URL.createObjectURL(await (await this.send('GET', path)).blob());
  }

  // Every photo of the folder; the list grows while the server still looks through the folder.
  async images() {
    const images = [];
    for (let after = ''; ;) {
      const page = await this.get(`/v1/images?limit=500${after && `&after=${after}`}`);
      images.push(...page.images);
      if (!page.next) return { images, scanning: page.scanning === true };
      after = page.next;
    }
  }

  async upload(name, blob) {
    const type = blob.type.startsWith('image/') ? blob.type : 'application/octet-stream';
    return (await this.send('POST', `/v1/images?name=${encodeURIComponent(name)}`, { body: blob, type })).json();
  }

  // Until a job ends: its result. onProgress(done, total); stopped by signal.
  async finished(job, onProgress = () => {}, signal = null) {
    for (let wait = 40; ; wait = Math.min(400, wait * 1.5)) {
      if (job.state === 'done') return 'result' in job ? job.result : (await this.get(`/v1/jobs/${job.id}`)).result;
      if (job.state === 'failed') throw new Problem(500, job.error?.code ?? 'failed', job.error?.detail ?? 'It failed.');
      if (job.state === 'cancelled') throw new Problem(409, 'cancelled', 'It was cancelled.');
      onProgress(job.done, job.total);
      await new Promise((done) => setTimeout(done, wait));
      if (signal?.aborted) {
        await this.write('DELETE', `/v1/jobs/${job.id}`).catch(() => {});
        throw new DOMException('stopped', 'AbortError');
      }
      job = await this.get(`/v1/jobs/${job.id}`);
    }
  }

  // Makes the photo ready for prompts: at once if it is known, some second otherwise.
  async embed(id, signal) {
    const answer = await this.write('POST', `/v1/images/${id}/embedding`, {});
    if (!answer.ready) await this.finished(answer, () => {}, signal);
  }

  // Masks, best first. An embedding that was dropped meanwhile is made again, once.
  async segment(id, body, again = true) {
    try {
      return (await this.write('POST', `/v1/images/${id}/segment`, body)).results[0].masks;
    } catch (error) {
      if (error.code !== 'embedding-missing' || !again) throw error;
      await this.embed(id);
      return this.segment(id, body, false);
    }
  }
}

async function problemOf(response) {
  let detail = `The server answered ${response.status} ${response.statusText}`.trim();
  let code = String(response.status);
  try {
    const body = await response.json();
    detail = body.detail || body.title || detail;
    code = body.code || code;
  } catch {
    // not every answer on the way is the server's own
  }
  if (response.status === 401) detail = 'This server wants its token: open the page as …/#token=TOKEN';
  return new Problem(response.status, code, detail, Number(response.headers.get('Retry-After')) || 0);
}
