// A STOMP 1.2 client over a WebSocket, or what behaves like one: one connection that comes back by itself, heart-beats both ways,
// receipts as promises. It knows nothing of chat and never touches the page.

/** @typedef {{command: string, headers: Record<string, string>, body: string}} Frame */
/** @typedef {import('./sockjs.js').Socket} Socket */
/** @typedef {'connecting' | 'online' | 'offline'} State */
/** @typedef {{state: (state: State) => void, message: (frame: Frame) => void, error: (frame: Frame) => void}} Hooks */

const HEART_BEAT_MS = 10_000;
const SILENCE_FACTOR = 2.5;
const RECEIPT_WAIT_MS = 15_000;
const CONNECT_WAIT_MS = 10_000;
const BACK_OFF_FROM_MS = 500;
const BACK_OFF_TO_MS = 20_000;
const STEADY_AFTER_MS = 5_000;

const ESCAPES = { '\\': '\\\\', '\r': '\\r', '\n': '\\n', ':': '\\c' };
const UNESCAPES = { '\\\\': '\\', '\\r': '\r', '\\n': '\n', '\\c': ':' };

/** Why a promise of this module failed: `frame` is the ERROR that said so, null where the connection went away. */
export class Refused extends Error {
  /** @param {string} reason @param {Frame | null} frame */
  constructor(reason, frame = null) {
    super(reason);
    this.frame = frame;
  }
}

/** @param {string} command @param {Record<string, string>} headers @param {string} body @returns {string} */
export function writeFrame(command, headers, body = '') {
  const plain = command === 'CONNECT'; // STOMP 1.2: its headers are not escaped
  const escape = (text) => (plain ? text : text.replace(/[\\\r\n:]/g, (sign) => ESCAPES[sign]));
  const lines = Object.entries(headers).map(([name, value]) => `${escape(name)}:${escape(value)}\n`);
  return `${command}\n${lines.join('')}\n${body}\0`;
}

/** @param {string} text one whole frame, heart-beats before it allowed @returns {Frame | null} null for a heart-beat */
export function readFrame(text) {
  const start = text.search(/[^\r\n]/);
  const blank = /\r?\n\r?\n/.exec(text.slice(Math.max(start, 0)));
  if (start < 0 || !blank) return null;
  const [command, ...lines] = text.slice(start, start + blank.index).split(/\r?\n/);
  const unescape = (part) =>
    command === 'CONNECTED' ? part : part.replace(/\\[\\rnc]/g, (pair) => UNESCAPES[pair]);
  /** @type {Record<string, string>} */
  const headers = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = unescape(line.slice(0, colon));
    if (!(name in headers)) headers[name] = unescape(line.slice(colon + 1)); // the first of repeated headers counts
  }
  const body = text.slice(start + blank.index + blank[0].length);
  const end = body.lastIndexOf('\0');
  return { command, headers, body: end < 0 ? body : body.slice(0, end) };
}

export class StompConnection {
  /** @param {() => Socket} newSocket @param {Record<string, string>} connectHeaders @param {Hooks} hooks */
  constructor(newSocket, connectHeaders, hooks) {
    this.newSocket = newSocket;
    this.connectHeaders = connectHeaders;
    this.hooks = hooks;
    /** @type {State} */
    this.state = 'offline';
    /** @type {Socket | null} */
    this.socket = null;
    /** @type {Map<string, {resolve: (frame: Frame) => void, reject: (reason: Refused) => void, timer: number}>} */
    this.receipts = new Map();
    this.receiptCount = 0;
    this.failures = 0;
    this.heardAt = 0;
    this.wroteAt = 0;
    this.beatMs = 0;
    this.timers = new Set();
    this.stopped = true;
  }

  start() {
    this.stopped = false;
    this.#open();
  }

  stop() {
    this.stopped = true;
    if (this.state === 'online') this.#write('DISCONNECT', {});
    this.#drop('stopped');
  }

  /** Try now instead of waiting for the back-off. */
  retryNow() {
    if (!this.stopped && this.state === 'offline') this.#open();
  }

  /** Give this connection up and make a new one, after the back-off. */
  again() {
    if (!this.stopped) this.#drop('again');
  }

  /** @param {string} id @param {string} destination @param {Record<string, string>} headers @returns {Promise<Frame>} */
  subscribe(id, destination, headers = {}) {
    return this.#request('SUBSCRIBE', { id, destination, ...headers });
  }

  /** @param {string} id */
  unsubscribe(id) {
    if (this.state === 'online') this.#write('UNSUBSCRIBE', { id });
  }

  /** @param {string} destination @param {Record<string, string>} headers @param {string} body @returns {Promise<Frame>} */
  send(destination, headers, body) {
    return this.#request('SEND', { destination, ...headers }, body);
  }

  /** @param {string} command @param {Record<string, string>} headers @param {string} body @returns {Promise<Frame>} */
  #request(command, headers, body = '') {
    if (this.state !== 'online') return Promise.reject(new Refused('offline'));
    const receipt = `r${++this.receiptCount}`;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.receipts.delete(receipt);
        reject(new Refused('no receipt in time'));
      }, RECEIPT_WAIT_MS);
      this.receipts.set(receipt, { resolve, reject, timer });
      this.#write(command, { ...headers, receipt }, body);
    });
  }

  #open() {
    this.#clearTimers();
    this.#become('connecting');
    const socket = this.newSocket();
    this.socket = socket;
    this.#after(CONNECT_WAIT_MS, () => this.#drop('no answer'));
    socket.binaryType = 'arraybuffer';
    socket.onopen = () =>
      this.#write('CONNECT', {
        'accept-version': '1.2',
        host: location.hostname,
        'heart-beat': `${HEART_BEAT_MS},${HEART_BEAT_MS}`,
        ...this.connectHeaders,
      });
    socket.onmessage = (event) => {
      if (socket !== this.socket) return;
      this.heardAt = performance.now();
      this.#beatIfDue(); // a hidden page's timers are slow, its sockets are not
      const frame = readFrame(typeof event.data === 'string' ? event.data : new TextDecoder().decode(event.data));
      if (frame) this.#take(frame);
    };
    socket.onclose = () => {
      if (socket === this.socket) this.#drop('closed');
    };
  }

  /** @param {Frame} frame */
  #take(frame) {
    switch (frame.command) {
      case 'CONNECTED':
        this.#clearTimers();
        this.#startHeartBeats(frame.headers['heart-beat'] ?? '0,0');
        this.#after(STEADY_AFTER_MS, () => (this.failures = 0));
        this.#become('online');
        break;
      case 'MESSAGE':
        this.hooks.message(frame);
        break;
      case 'RECEIPT':
        this.#settle(frame.headers['receipt-id'])?.resolve(frame);
        break;
      case 'ERROR':
        this.#settle(frame.headers['receipt-id'] ?? '')?.reject(new Refused('refused', frame));
        this.hooks.error(frame);
        break;
    }
  }

  /** @param {string} heartBeat the server's header: what it sends, what it wants */
  #startHeartBeats(heartBeat) {
    const [sends, wants] = heartBeat.split(',').map(Number);
    this.beatMs = wants ? Math.max(HEART_BEAT_MS, wants) : 0;
    if (this.beatMs) this.#every(this.beatMs / 4, () => this.#beatIfDue());
    if (sends) {
      const silenceMs = Math.max(HEART_BEAT_MS, sends) * SILENCE_FACTOR;
      this.#every(silenceMs / 5, () => {
        if (performance.now() - this.heardAt > silenceMs) this.#drop('silence');
      });
    }
  }

  #beatIfDue() {
    // At half the time, so that a slow timer still keeps the promise.
    if (this.state === 'online' && this.beatMs && performance.now() - this.wroteAt > this.beatMs / 2) this.#put('\n');
  }

  /** @param {string} command @param {Record<string, string>} headers @param {string} body */
  #write(command, headers, body = '') {
    this.#put(writeFrame(command, headers, body));
  }

  /** @param {string} text */
  #put(text) {
    this.wroteAt = performance.now();
    this.socket?.send(text);
  }

  /** Let go of the connection, fail what waited for it, and come back later. @param {string} reason */
  #drop(reason) {
    const socket = this.socket;
    this.socket = null;
    socket?.close();
    this.#clearTimers();
    for (const receipt of [...this.receipts.keys()]) this.#settle(receipt)?.reject(new Refused(reason));
    if (!this.stopped) {
      const ceiling = Math.min(BACK_OFF_TO_MS, BACK_OFF_FROM_MS * 2 ** this.failures++);
      this.#after(ceiling * (0.5 + Math.random() / 2), () => this.#open());
    }
    this.#become('offline');
  }

  /** @param {string} receipt */
  #settle(receipt) {
    const waiting = this.receipts.get(receipt);
    this.receipts.delete(receipt);
    clearTimeout(waiting?.timer);
    return waiting;
  }

  /** @param {State} state */
  #become(state) {
    this.state = state;
    this.hooks.state(state);
  }

  /** @param {number} delayMs @param {() => void} call */
  #after(delayMs, call) {
    this.timers.add(setTimeout(call, delayMs));
  }

  /** @param {number} everyMs @param {() => void} call */
  #every(everyMs, call) {
    this.timers.add(setInterval(call, everyMs));
  }

  #clearTimers() {
    for (const timer of this.timers) clearTimeout(timer); // one id space with intervals, by the HTML standard
    this.timers.clear();
  }
}
