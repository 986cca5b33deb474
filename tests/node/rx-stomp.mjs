// @stomp/rx-stomp by remote control. It connects again by itself, and its watches subscribe again by themselves.

import { RxStomp } from '@stomp/rx-stomp';
import { WebSocket } from 'ws';
import { say, serve } from './remote.mjs';

const client = new RxStomp();
let receipts = 0;
let last;

await serve({
  connect({ url, user }) {
    client.configure({
      webSocketFactory: () => new WebSocket(url, ['v12.stomp']),
      connectHeaders: { sender: user },
      reconnectDelay: 200,
    });
    client.connected$.subscribe(() => say({ event: 'connected' }));
    client.stompErrors$.subscribe(({ headers }) => say({ event: 'error', headers }));
    client.activate();
  },
  subscribe({ destination, headers }) {
    client.watch({ destination, subHeaders: headers }).subscribe((message) => {
      last = message;
      say({ event: 'message', headers: message.headers, body: message.body });
    });
  },
  async send({ destination, headers, body }) {
    const receipt = `r-${++receipts}`;
    const answered = client.asyncReceipt(receipt);
    client.publish({ destination, body, headers: { ...headers, receipt } });
    await answered;
  },
  ack() {
    last.ack();
  },
  leave() {
    return client.deactivate();
  },
});
