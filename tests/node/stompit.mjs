// stompit by remote control, over TCP. Its ConnectFailover looks for a server until it has one; what to do when a connection
// ends is its user's: connect and subscribe again.

import stompit from 'stompit';
import { say, serve } from './remote.mjs';

const subscriptions = new Map();
let servers;
let client;
let last;

function open() {
  servers.connect((error, connected) => {
    if (error) return say({ event: 'error', headers: { message: error.message } });
    client = connected;
    client.on('error', open);
    say({ event: 'connected' });
    subscriptions.forEach(subscribe);
  });
}

function subscribe(headers, destination) {
  client.subscribe({ destination, ...headers }, (error, message) => {
    if (error) return; // the client's own event `error` tells of it too
    message.readString('utf-8', (unreadable, body) => {
      if (unreadable) return;
      last = message;
      say({ event: 'message', headers: message.headers, body });
    });
  });
}

await serve({
  connect({ url, user }) {
    const { hostname, port } = new URL(url);
    servers = new stompit.ConnectFailover([{ host: hostname, port: Number(port), connectHeaders: { sender: user } }], {
      initialReconnectDelay: 200,
    });
    open();
  },
  subscribe({ destination, headers }) {
    subscriptions.set(destination, headers);
    subscribe(headers, destination);
  },
  send({ destination, headers, body }) {
    return new Promise((resolve, reject) =>
      client.sendString({ destination, ...headers }, body, { onReceipt: resolve, onError: reject }),
    );
  },
  ack() {
    client.ack(last);
  },
  leave() {
    client.off('error', open);
    return new Promise((resolve, reject) => client.disconnect((error) => (error ? reject(error) : resolve())));
  },
});
