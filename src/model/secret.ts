const placeholder = '***';
const inspection = Symbol.for('nodejs.util.inspect.custom');

/** A text that must never reach a log, an error or an answer: printing it gives `***`. */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The text itself. Call it at the last moment, where the outside world needs it. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return placeholder;
  }

  toJSON(): string {
    return placeholder;
  }

  [inspection](): string {
    return placeholder;
  }
}
