// A client library by remote control: each line on standard input is a call `{id, name, args}`, each line on standard output an
// answer `{id, result}` or `{id, error}`, or an event `{event, …}`. Ends when standard input does.
//
// The calls that every library has: connect, subscribe, send (answered when the RECEIPT is here), ack (the last message), leave.

import { createInterface } from 'node:readline';

export const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

/** Listeners for RECEIPTs by their ids, for libraries that leave that to their users. */
export class Receipts {
  #number = 0;
  #waiting = new Map();

  /** Let `act` send a frame with this receipt header; resolves when `came` was called with that. */
  ask(act) {
    return new Promise((resolve) => {
      const receipt = `r-${++this.#number}`;
      this.#waiting.set(receipt, resolve);
      act(receipt);
    });
  }

  came(headers) {
    this.#waiting.get(headers['receipt-id'])?.(headers);
    this.#waiting.delete(headers['receipt-id']);
  }
}

/** Do what standard input says, until it ends. */
export async function serve(calls) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { id, name, args } = JSON.parse(line);
    Promise.resolve(calls[name](args)).then(
      (result) => say({ id, result: result ?? null }),
      (error) => say({ id, error: String(error) }),
    );
  }
  process.exit(0);
}
