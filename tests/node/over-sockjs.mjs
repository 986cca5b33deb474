// A chat client over one transport of sockjs-client, by @stomp/stompjs 7 or by stompjs 2.3.3; in Node and in browsers. It comes
// back when its connection is lost, and follows its rooms from where it was.

const BEAT_MS = 2000;

/** What a follower has seen of a destination, the same for both libraries. */
class Places {
  #positions = new Map();

  constructor(subscribe, say) {
    this.subscribe = subscribe;
    this.say = say;
  }

  follow(destination) {
    if (!this.#positions.has(destination)) this.#positions.set(destination, '');
    const since = this.#positions.get(destination);
    const taken = (message) => {
      if (message.headers.position) this.#positions.set(destination, message.headers.position);
      this.say({ event: 'message', body: message.body });
    };
    this.subscribe(destination, taken, { receipt: `follow ${destination}`, ...(since ? { since } : {}) });
  }

  again() {
    for (const destination of this.#positions.keys()) this.follow(destination);
  }
}

function seven({ StompJs, socket, user, say }) {
  const places = new Places((...subscription) => client.subscribe(...subscription), say);
  const client = new StompJs.Client({
    webSocketFactory: socket,
    connectHeaders: { sender: user },
    reconnectDelay: 200,
    heartbeatIncoming: BEAT_MS,
    heartbeatOutgoing: BEAT_MS,
    onConnect: (frame) => {
      say({ event: 'connected', version: frame.headers.version });
      places.again();
    },
    onUnhandledReceipt: (frame) => say({ event: 'receipt', headers: frame.headers }),
    onStompError: (frame) => say({ event: 'error', headers: frame.headers }),
    onWebSocketClose: (close) => say({ event: 'closed', code: close.code, reason: close.reason }),
  });
  client.activate();
  return {
    follow: (destination) => places.follow(destination),
    send: (destination, body, headers) => client.publish({ destination, body, headers }),
    leave: () => client.deactivate(),
  };
}

function two({ Stomp, socket, user, say }) {
  let client;
  let isLeaving = false;
  const places = new Places((...subscription) => client.subscribe(...subscription), say);
  const open = () => {
    client = Stomp.over(socket());
    client.debug = () => {};
    client.heartbeat.incoming = client.heartbeat.outgoing = BEAT_MS;
    client.onreceipt = (frame) => say({ event: 'receipt', headers: frame.headers });
    client.connect(
      { sender: user },
      (frame) => {
        say({ event: 'connected', version: frame.headers.version });
        places.again();
      },
      (trouble) => {
        say(trouble.command === 'ERROR' ? { event: 'error', headers: trouble.headers } : { event: 'closed' });
        if (!isLeaving) setTimeout(open, 200);
      },
    );
  };
  open();
  return {
    follow: (destination) => places.follow(destination),
    send: (destination, body, headers) => client.send(destination, headers, body),
    leave: () =>
      new Promise((resolve) => {
        isLeaving = true;
        client.disconnect(resolve);
      }),
  };
}

/** @param {object} given SockJS, url, transport, user, say, and the library: StompJs or Stomp */
export function chat({ SockJS, url, transport, ...given }) {
  const socket = () => {
    const made = new SockJS(url, null, { transports: [transport] });
    made.addEventListener?.('open', () => given.say({ event: 'opened', transport: made.transport }));
    return made;
  };
  return given.StompJs ? seven({ ...given, socket }) : two({ ...given, socket });
}
