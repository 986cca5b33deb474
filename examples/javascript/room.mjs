// A room with @stomp/stompjs 7, in browsers and in Node. Over any number of connections what is said in it comes once and in
// order, and what is sent to it is stored once. What it needs for that is a position, and what has no RECEIPT yet.

export class Room {
  #unanswered = new Map(); // contents by their client-message-id
  #joining = '';

  /**
   * @param {object} hooks `said(message)`; `joined(recovered)`: 'false' means that not all that was missed can be given, undefined
   *   that there was nothing before; `refused(code, content)`, without content if it is the room itself
   * @param {string} position where to go on, if it was kept from an earlier life
   */
  constructor(client, uuid, hooks, position = '') {
    Object.assign(this, { client, uuid, hooks, position });
  }

  /** For `onConnect`: go on where this room was, and send again what may have been lost. */
  join() {
    this.#joining = crypto.randomUUID(); // browsers have it on https: and on localhost
    this.client.watchForReceipt(this.#joining, ({ headers }) => {
      this.position = headers.position;
      this.hooks.joined(headers.recovered);
    });
    const take = ({ headers, body }) => {
      this.hooks.said(JSON.parse(body));
      this.position = headers.position;
    };
    const since = this.position ? { since: this.position } : {};
    this.client.subscribe(`/sub/chat/room/${this.uuid}`, take, { receipt: this.#joining, ...since });
    for (const id of this.#unanswered.keys()) this.#transmit(id);
  }

  send(content) {
    const id = crypto.randomUUID();
    this.#unanswered.set(id, content);
    this.#transmit(id);
  }

  /** For each ERROR, and each MESSAGE of /user/queue/errors. */
  error({ headers }) {
    const id = headers['receipt-id'];
    const content = this.#unanswered.get(id);
    if (content === undefined && id !== this.#joining) return; // of another room, or of an earlier connection
    if (headers.retry === 'true') {
      setTimeout(() => this.client.connected && (id === this.#joining ? this.join() : this.#transmit(id)), 2000);
    } else {
      this.#unanswered.delete(id);
      this.hooks.refused(headers.code, content);
    }
  }

  #transmit(id) {
    if (!this.client.connected || !this.#unanswered.has(id)) return; // then `join` does it, or it is answered
    this.client.watchForReceipt(id, () => this.#unanswered.delete(id));
    this.client.publish({
      destination: `/pub/room/${this.uuid}/message`,
      body: JSON.stringify({ content: this.#unanswered.get(id) }),
      headers: { receipt: id, 'client-message-id': id },
    });
  }
}
