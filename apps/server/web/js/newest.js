// One request at a time, and of what is asked meanwhile only the newest: the pointer moves faster than any answer.

export class Newest {
  #send;
  #waiting = null;
  #busy = false;
  #epoch = 0;
  sequence = 0;

  // send(question, sequence) -> promise of an answer.
  constructor(send) {
    this.#send = send;
  }

  // then(answer, question) is called unless a forget() came between; what is replaced is dropped without a word.
  ask(question, then, failed) {
    this.#waiting = { question, then, failed, epoch: this.#epoch };
    if (!this.#busy) this.#run();
  }

  // Answers that are on their way are of no interest any more.
  forget() {
    this.#waiting = null;
    ++this.#epoch;
  }

  get busy() {
    return this.#busy;
  }

  async #run() {
    this.#busy = true;
    while (this.#waiting) {
      const { question, then, failed, epoch } = this.#waiting;
      this.#waiting = null;
      try {
        const answer = await this.#send(question, ++this.sequence);
        if (epoch === this.#epoch) then(answer, question);
      } catch (error) {
        if (epoch === this.#epoch) failed?.(error, question);
      }
    }
    this.#busy = false;
  }
}
