// The chat of one user: the connection, and the conversation that is open. What the page shows is read from here; this
// module never touches the page.

import { Problem } from './rest.js';
import { Refused, StompConnection } from './stomp.js';

/** @typedef {import('./rest.js').Message} Message */
/** @typedef {{id: string, content: string, state: 'pending' | 'stored' | 'failed', reason: string, afterSeq: number}} Outgoing */
/**
 * @typedef {{connection: () => void, conversation: () => void, recovered: (missed: number) => void,
 *   trouble: (code: string, words: string) => void}} Listener
 */

const PAGE_MESSAGES = 40;

/** @returns {string} 128 random bits; unlike `crypto.randomUUID` also on a page without TLS */
function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** The messages of a room as far as they are known here: without holes, each once, in the order of their numbers. */
export class Conversation {
  /** @param {string} room @param {string} user */
  constructor(room, user) {
    this.room = room;
    this.user = user;
    /** @type {Message[]} */
    this.messages = [];
    /** @type {Outgoing[]} sent from here and not seen in the room yet */
    this.outgoing = [];
    this.complete = false; // the oldest message is here
    this.loaded = false;
    this.loading = false;
    this.live = false;
  }

  /** Where a subscription can be taken up again; empty while there may be a hole before the last message. */
  get position() {
    return this.loaded && this.messages.length ? this.messages[this.messages.length - 1].position : '';
  }

  get firstSeq() {
    return this.messages.length ? this.messages[0].seq : null;
  }

  get lastSeq() {
    return this.messages.length ? this.messages[this.messages.length - 1].seq : -Infinity;
  }

  /** Take messages in, from wherever they come; those already here are dropped. @param {Message[]} news */
  merge(news) {
    const known = new Set(this.messages.map((message) => message.seq));
    const fresh = news.filter((message) => !known.has(message.seq));
    if (!fresh.length) return;
    for (const message of fresh) {
      const mine = this.outgoing.findIndex(
        (sent) => message.sender === this.user && sent.content === message.content && message.seq > sent.afterSeq,
      );
      if (mine >= 0) this.outgoing.splice(mine, 1);
    }
    this.messages = [...this.messages, ...fresh].sort((one, other) => one.seq - other.seq);
  }
}

export class Chat {
  /**
   * @param {string} user @param {import('./rest.js').Rest} rest @param {() => import('./sockjs.js').Socket} newSocket
   * @param {Listener} listener
   */
  constructor(user, rest, newSocket, listener) {
    this.user = user;
    this.rest = rest;
    this.listener = listener;
    /** @type {Conversation | null} */
    this.conversation = null;
    this.subscriptions = 0;
    this.subscription = '';
    this.connection = new StompConnection(newSocket, { sender: user }, {
      state: (state) => this.#stateChanged(state),
      message: (frame) => this.#received(frame),
      error: (frame) => listener.trouble(frame.headers['code'] ?? '', frame.body || frame.headers['message'] || ''),
    });
  }

  start() {
    this.connection.start();
  }

  stop() {
    this.connection.stop();
  }

  /** @param {string} room */
  open(room) {
    if (this.conversation?.room === room) return;
    this.close();
    this.conversation = new Conversation(room, this.user);
    this.listener.conversation();
    void this.#follow();
  }

  close() {
    if (this.conversation && this.subscription) this.connection.unsubscribe(this.subscription);
    this.subscription = '';
    this.conversation = null;
    this.listener.conversation();
  }

  /** @param {string} content */
  send(content) {
    const conversation = this.conversation;
    if (!conversation) return;
    /** @type {Outgoing} */
    const outgoing = { id: newId(), content, state: 'pending', reason: '', afterSeq: conversation.lastSeq };
    conversation.outgoing.push(outgoing);
    this.listener.conversation();
    if (conversation.live) void this.#deliver(conversation, outgoing);
  }

  /** Send again what failed, under the same id: it cannot be stored twice. @param {Outgoing} outgoing */
  retry(outgoing) {
    const conversation = this.conversation;
    if (!conversation) return;
    outgoing.state = 'pending';
    this.listener.conversation();
    if (conversation.live) void this.#deliver(conversation, outgoing);
    else this.connection.retryNow();
  }

  /** Read the page of history before the oldest message here. */
  async loadOlder() {
    const conversation = this.conversation;
    if (!conversation || conversation.loading || conversation.complete || !conversation.loaded) return;
    conversation.loading = true;
    this.listener.conversation();
    try {
      const page = await this.rest.history(conversation.room, PAGE_MESSAGES, conversation.firstSeq);
      conversation.complete = page.length < PAGE_MESSAGES;
      conversation.merge(page);
    } catch (error) {
      this.#failed(error);
    } finally {
      conversation.loading = false;
      this.listener.conversation();
    }
  }

  /** @param {import('./stomp.js').State} state */
  #stateChanged(state) {
    if (this.conversation && state !== 'online') this.conversation.live = false;
    this.listener.connection();
    if (state === 'online') void this.#follow();
  }

  /**
   * Subscribe to the open room. Where the server can take the subscription up again, it sends what was missed before the
   * RECEIPT; else that is read back once the subscription is certain. In this order nothing falls between.
   */
  async #follow() {
    const conversation = this.conversation;
    if (!conversation || this.connection.state !== 'online') return;
    const { lastSeq, position } = conversation;
    const since = position ? { since: position } : {};
    const subscription = `room-${++this.subscriptions}`;
    this.subscription = subscription;
    const current = () => this.subscription === subscription && this.connection.state === 'online';
    try {
      const receipt = await this.connection.subscribe(subscription, `/sub/chat/room/${conversation.room}`, since);
      if (receipt.headers['recovered'] === 'true') {
        this.listener.recovered(conversation.messages.filter((message) => message.seq > lastSeq).length);
      } else {
        conversation.loaded = false;
        await this.#catchUp(conversation, position ? lastSeq : null);
      }
      if (!current()) return;
      conversation.live = true;
      this.listener.conversation();
      for (const outgoing of [...conversation.outgoing]) {
        if (outgoing.state === 'pending') void this.#deliver(conversation, outgoing);
      }
    } catch (error) {
      const refused = error instanceof Refused ? error.frame !== null : error instanceof Problem && error.code === 'no-such-room';
      if (!refused && !current()) return; // the connection was lost: all this is done again when it is back
      this.#failed(error);
      if (!refused) this.connection.again();
      else if (this.conversation === conversation) this.close();
    }
  }

  /**
   * Read back from the newest message to what was here before, so that there is no hole.
   * @param {Conversation} conversation @param {number | null} known the last number before the subscription
   */
  async #catchUp(conversation, known) {
    /** @type {Message[]} */
    let missed = [];
    let before = null;
    for (;;) {
      const page = await this.rest.history(conversation.room, PAGE_MESSAGES, before);
      missed = [...page, ...missed];
      if (page.length < PAGE_MESSAGES) {
        conversation.complete = true;
        break;
      }
      before = page[0].seq;
      const joint = known ?? conversation.firstSeq; // without a past, what has come live since
      if (joint === null || before <= joint + 1) break;
    }
    conversation.merge(missed);
    conversation.loaded = true;
  }

  /** @param {Conversation} conversation @param {Outgoing} outgoing */
  async #deliver(conversation, outgoing) {
    const body = JSON.stringify({ roomUUID: conversation.room, sender: this.user, content: outgoing.content });
    const headers = { 'content-type': 'application/json', 'client-message-id': outgoing.id };
    try {
      await this.connection.send(`/pub/room/${conversation.room}/message`, headers, body);
      outgoing.state = 'stored';
    } catch (error) {
      const lost = error instanceof Refused && !error.frame && this.connection.state !== 'online';
      if (!lost) outgoing.state = 'failed'; // what was lost on the way is sent again when the connection is back
      outgoing.reason = error instanceof Refused ? (error.frame?.body ?? '') : '';
    }
    this.listener.conversation();
  }

  /** @param {import('./stomp.js').Frame} frame */
  #received(frame) {
    const conversation = this.conversation;
    if (!conversation || frame.headers['subscription'] !== this.subscription) return;
    conversation.merge([{ ...JSON.parse(frame.body), position: frame.headers['position'] ?? '' }]);
    this.listener.conversation();
  }

  /** @param {unknown} error */
  #failed(error) {
    if (error instanceof Problem) this.listener.trouble(error.code, error.message);
    else if (error instanceof Refused && !error.frame) this.listener.trouble('unreachable', error.message);
    else if (!(error instanceof Refused)) throw error; // an ERROR frame was told already
  }
}
