// @stomp/stompjs by remote control, over WebSocket, and over TCP by @stomp/tcp-wrapper. It connects again by itself; what it
// was subscribed to is subscribed again by its user, as its manual says.

import { Client, ReconnectionTimeMode } from '@stomp/stompjs';
import { TCPWrapper } from '@stomp/tcp-wrapper';
import { WebSocket } from 'ws';
import { say, serve } from './remote.mjs';

/** @type {Client} */
let client;
let receipts = 0;
let last;
/** What to subscribe to whenever a connection is there, with the position of the last message where there is one. */
const followed = new Map();

/** Let `act` send a frame with this receipt header; resolves with the RECEIPT's headers. */
function receipted(act) {
  return new Promise((resolve) => {
    const receipt = `r-${++receipts}`;
    client.watchForReceipt(receipt, (frame) => resolve(frame.headers));
    act(receipt);
  });
}

/** Subscribe, to a room from where the last message was. The position is noted before anything is done with a message. */
async function follow(destination) {
  const place = followed.get(destination);
  const since = place.position ? { since: place.position } : {};
  const answer = await receipted((receipt) =>
    client.subscribe(
      destination,
      (message) => {
        place.position = message.headers.position;
        last = message;
        say({ event: 'message', headers: message.headers, body: message.body, binary: message.isBinaryBody });
        if (place.acknowledges) message.ack();
      },
      { ...place.headers, ...since, receipt },
    ),
  );
  say({ event: 'followed', headers: answer });
  return answer;
}

function socketTo(url) {
  const { protocol, hostname, port } = new URL(url);
  return protocol === 'tcp:' ? new TCPWrapper(hostname, Number(port)) : new WebSocket(url, ['v12.stomp', 'v11.stomp', 'v10.stomp']);
}

await serve({
  /** @param {object} options of stompjs, and `url` and `user` */
  connect({ url, user, ...options }) {
    client = new Client({
      webSocketFactory: () => socketTo(url),
      connectHeaders: { sender: user },
      reconnectDelay: 200,
      maxReconnectDelay: 1000,
      reconnectTimeMode: ReconnectionTimeMode.EXPONENTIAL,
      connectionTimeout: 10_000,
      ...options,
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
  subscribe({ destination, acknowledges = false, headers = {} }) {
    const ack = acknowledges ? 'client-individual' : 'auto';
    followed.set(destination, { position: '', acknowledges, headers: { ack, ...headers } });
    return follow(destination);
  },
  send({ destination, headers, body }) {
    return receipted((receipt) => client.publish({ destination, body, headers: { ...headers, receipt } }));
  },
  ack() {
    last.ack();
  },
  /** End the connection without a word. */
  cut() {
    client.webSocket.terminate();
  },
  leave() {
    return client.deactivate();
  },
});
