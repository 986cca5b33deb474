// The ways to the server that this page offers, each as an object with the events and methods of a WebSocket. SockJS is spoken
// in as many lines as it takes here, so that nothing is loaded from elsewhere; applications use sockjs-client.

/** @typedef {{onopen: () => void, onmessage: (event: {data: string | ArrayBuffer}) => void, onclose: () => void,
 *   send: (text: string) => void, close: () => void, binaryType?: string}} Socket */

const BASE = '/ws-stomp';

/** @returns {string} a path of a session that nobody else has */
function newSession() {
  const id = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
  return `${BASE}/000/${id}`;
}

/** @param {string} path @returns {string} */
function webSocketUrl(path) {
  return `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}${path}`;
}

/** What is common to all of SockJS: its frames. */
class Framed {
  constructor() {
    this.onopen = this.onclose = () => {};
    /** @type {(event: {data: string | ArrayBuffer}) => void} */
    this.onmessage = () => {};
    this.over = false;
  }

  /** @param {string} frame */
  take(frame) {
    if (this.over) return;
    switch (frame[0]) {
      case 'o':
        this.onopen();
        break;
      case 'a':
        for (const data of JSON.parse(frame.slice(1))) this.onmessage({ data });
        break;
      case 'c':
        this.close();
        break;
    }
  }

  close() {
    if (this.over) return;
    this.over = true;
    this.end();
    this.onclose();
  }

  end() {}
}

/** SockJS over a WebSocket. */
class OverWebSocket extends Framed {
  constructor() {
    super();
    this.socket = new WebSocket(webSocketUrl(`${newSession()}/websocket`));
    this.socket.onmessage = (event) => this.take(event.data);
    this.socket.onclose = () => this.close();
  }

  /** @param {string} text */
  send(text) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify([text]));
  }

  end() {
    this.socket.close();
  }
}

/** SockJS over requests: one waits for what the server says, in one stream or again and again; another brings what is sent. */
class OverRequests extends Framed {
  /** @param {'xhr' | 'xhr_streaming'} way */
  constructor(way) {
    super();
    this.path = newSession();
    this.waiting = [];
    this.sending = false;
    this.aborter = new AbortController();
    void this.#receive(way);
  }

  /** @param {string} text */
  send(text) {
    this.waiting.push(text);
    if (!this.sending) void this.#sendAll();
  }

  end() {
    this.aborter.abort();
  }

  /** @param {string} way */
  async #receive(way) {
    const decoder = new TextDecoder();
    try {
      while (!this.over) {
        const answer = await this.#ask(way);
        const reader = answer.body.getReader();
        let left = '';
        for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
          const lines = (left + decoder.decode(piece.value, { stream: true })).split('\n');
          left = lines.pop() ?? '';
          for (const line of lines) this.take(line);
        }
      }
    } catch {
      this.close();
    }
  }

  async #sendAll() {
    this.sending = true;
    try {
      while (this.waiting.length && !this.over) await this.#ask('xhr_send', JSON.stringify(this.waiting.splice(0)));
    } catch {
      this.close();
    }
    this.sending = false;
  }

  /** @param {string} name @param {string} [body] */
  async #ask(name, body) {
    const answer = await fetch(`${this.path}/${name}`, { method: 'POST', body, signal: this.aborter.signal });
    if (!answer.ok) throw new Error(`${answer.status}`);
    return answer;
  }
}

/** @type {Record<string, () => Socket>} */
const WAYS = {
  websocket: () => new WebSocket(webSocketUrl(BASE), ['v12.stomp']),
  'sockjs-websocket': () => new OverWebSocket(),
  'sockjs-xhr-streaming': () => new OverRequests('xhr_streaming'),
  'sockjs-xhr-polling': () => new OverRequests('xhr'),
};

/** @param {string} name @returns {boolean} */
export function isWay(name) {
  return Object.hasOwn(WAYS, name);
}

/** @param {string} name @returns {Socket} on its way to be open */
export function open(name) {
  return WAYS[name]();
}
