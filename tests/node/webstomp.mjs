// webstomp-client by remote control. When its connection is lost, it says so; its user makes a new client and subscribes again.

import webstomp from 'webstomp-client';
import { WebSocket } from 'ws';
import { Receipts, say, serve } from './remote.mjs';

const receipts = new Receipts();
const subscriptions = new Map();
let client;
let last;

function open(url, user) {
  client = webstomp.over(new WebSocket(url, ['v12.stomp']), { debug: false });
  client.onreceipt = (frame) => receipts.came(frame.headers);
  client.connect(
    { sender: user },
    () => {
      say({ event: 'connected' });
      subscriptions.forEach(subscribe);
    },
    (trouble) => {
      if (trouble.command === 'ERROR') say({ event: 'error', headers: trouble.headers });
      else setTimeout(open, 200, url, user);
    },
  );
}

function subscribe(headers, destination) {
  client.subscribe(
    destination,
    (message) => {
      last = message;
      say({ event: 'message', headers: message.headers, body: message.body });
    },
    headers,
  );
}

await serve({
  connect({ url, user }) {
    open(url, user);
  },
  subscribe({ destination, headers }) {
    subscriptions.set(destination, headers);
    subscribe(headers, destination);
  },
  send({ destination, headers, body }) {
    return receipts.ask((receipt) => client.send(destination, body, { ...headers, receipt }));
  },
  ack() {
    last.ack();
  },
  leave() {
    return new Promise((resolve) => client.disconnect(resolve));
  },
});
