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
    const under = [...this.#under];
    for (const done of under) done();
    return under.length > 0;
  }
}
