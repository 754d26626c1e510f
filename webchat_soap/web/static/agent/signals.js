// Who wants to know what: one small emitter for all modules.

/** Names with listeners. `on` returns a function that takes the listener away. */
export class Signals {
  #listeners = new Map();

  on(name, listener) {
    const all = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, all.add(listener));
    return () => all.delete(listener);
  }

  emit(name, ...details) {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) listener(...details);
  }

  /** Resolves when `condition()` is true, which is looked at now and after every `name`. */
  async until(name, condition) {
    while (!condition()) {
      await new Promise((resolve) => {
        const stop = this.on(name, () => {
          stop();
          resolve();
        });
      });
    }
  }
}

/** Calls `action` once, `milliseconds` after the last call. */
export function debounced(action, milliseconds) {
  let timer = 0;
  return (...details) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...details), milliseconds);
  };
}

/** Waits that can be cut short: `wake` ends all that are under way. */
export class Naps {
  /** How often there was a reason to wake: who fails after one, although it slept through none, begins anew with short
   * waits. What was under way at the time may fail for the old reason, and nobody wakes it again. */
  wakes = 0;
  #under = new Set();

  nap(milliseconds) {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#under.delete(done);
        resolve();
      };
      const timer = setTimeout(done, milliseconds);
      this.#under.add(done);
    });
  }

  /** Tells whether there were any. */
  wake() {
    this.wakes += 1;
    const under = [...this.#under];
    for (const done of under) done();
    return under.length > 0;
  }
}
