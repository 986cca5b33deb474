// The REST calls that the page makes. Every failure is a Problem with a stable code.

/** @typedef {{id: number, room: {id: number, roomUUID: string, productName: string}, user: string, other: string}} RoomUser */
/** @typedef {{roomUUID: string, sender: string, content: string, timestamp: string, id: string, seq: number, position: string}} Message */

const ANSWER_WAIT_MS = 15_000;

/** What the server's problem document says; code `unreachable` where there was no answer. */
export class Problem extends Error {
  /** @param {string} code @param {string} detail */
  constructor(code, detail) {
    super(detail);
    this.code = code;
  }
}

export class Rest {
  /** @param {string} user */
  constructor(user) {
    // A header holds bytes: the user's name goes as UTF-8.
    this.header = String.fromCharCode(...new TextEncoder().encode(user));
  }

  /** @returns {Promise<RoomUser[]>} */
  rooms() {
    return this.#json('GET', '/room/list');
  }

  /** @param {string} room @returns {Promise<RoomUser>} */
  room(room) {
    return this.#json('GET', `/room/enter/${encodeURIComponent(room)}`);
  }

  /** @param {string} seller @param {string} product @returns {Promise<RoomUser[]>} the seller's row, then mine */
  create(seller, product) {
    return this.#json('POST', `/room/create?${new URLSearchParams({ user: seller, name: product })}`);
  }

  /** @param {string} room @param {number} limit @param {number | null} before @returns {Promise<Message[]>} oldest first */
  history(room, limit, before) {
    const query = new URLSearchParams({ limit: String(limit) });
    if (before !== null) query.set('before', String(before));
    return this.#json('GET', `/chat/room/${encodeURIComponent(room)}?${query}`);
  }

  /** @param {string} method @param {string} path @returns {Promise<any>} */
  async #json(method, path) {
    let response;
    let answer;
    try {
      response = await fetch(path, {
        method,
        headers: { 'X-Auth-User': this.header },
        signal: AbortSignal.timeout(ANSWER_WAIT_MS),
      });
      answer = await response.json();
    } catch (error) {
      throw new Problem('unreachable', String(error));
    }
    if (!response.ok) throw new Problem(answer.code ?? String(response.status), answer.detail ?? response.statusText);
    return answer;
  }
}
