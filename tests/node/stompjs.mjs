// @stomp/stompjs by remote control: each line on standard input is a call `{id, name, args}`, each line on standard output an
// answer `{id, result}` or `{id, error}`, or an event `{event, …}`. Ends when standard input does.

import { createInterface } from 'node:readline';
import { Client, ReconnectionTimeMode } from '@stomp/stompjs';
import { WebSocket } from 'ws';

/** @type {Client} */
let client;
let receipts = 0;
/** What to subscribe to whenever a connection is there, with the position of the last message where there is one. */
const followed = new Map();

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

/** Let `act` send a frame with this receipt header; resolves with the RECEIPT's headers. */
function receipted(act) {
  return new Promise((resolve) => {
    const receipt = `r-${++receipts}`;
    client.watchForReceipt(receipt, (frame) => resolve(frame.headers));
    act(receipt);
  });
}

/** Subscribe to a room, from where the last message was. The position is noted before anything is done with a message. */
async function follow(destination) {
  const room = followed.get(destination);
  const since = room.position ? { since: room.position } : {};
  const headers = await receipted((receipt) =>
    client.subscribe(
      destination,
      (message) => {
        room.position = message.headers.position;
        say({ event: 'message', headers: message.headers, body: message.body, binary: message.isBinaryBody });
        if (room.acknowledges) message.ack();
      },
      { ...since, ack: room.acknowledges ? 'client-individual' : 'auto', receipt },
    ),
  );
  say({ event: 'followed', headers });
  return headers;
}

const calls = {
  /** @param {object} options of stompjs, and `user` */
  activate({ user, ...options }) {
    client = new Client({
      webSocketFactory: () => new WebSocket(options.brokerURL, ['v12.stomp', 'v11.stomp', 'v10.stomp']),
      connectHeaders: { sender: user },
      reconnectDelay: 200,
      maxReconnectDelay: 1000,
      reconnectTimeMode: ReconnectionTimeMode.EXPONENTIAL,
      connectionTimeout: 10_000,
      ...options,
      brokerURL: undefined,
      debug: (words) => {
        if (words === '>>> PING') say({ event: 'beat-sent' });
      },
      onHeartbeatReceived: () => say({ event: 'beat-received' }),
      onHeartbeatLost: () => say({ event: 'beat-lost' }),
      onStompError: (frame) => say({ event: 'error', headers: frame.headers, body: frame.body }),
      onWebSocketClose: (close) => say({ event: 'closed', code: close.code }),
      onConnect: (frame) => {
        say({ event: 'connected', headers: frame.headers });
        for (const destination of followed.keys()) void follow(destination);
      },
    });
    client.activate();
  },
  follow({ destination, acknowledges = false }) {
    followed.set(destination, { position: '', acknowledges });
    return follow(destination);
  },
  publish({ headers, ...message }) {
    return receipted((receipt) => client.publish({ ...message, headers: { ...headers, receipt } }));
  },
  /** End the connection without a word. */
  cut() {
    client.webSocket.terminate();
  },
  deactivate() {
    return client.deactivate();
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, name, args } = JSON.parse(line);
  Promise.resolve(calls[name](args)).then(
    (result) => say({ id, result: result ?? null }),
    (error) => say({ id, error: String(error) }),
  );
}
process.exit(0);
