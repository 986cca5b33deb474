// sockjs-client under a STOMP library, by remote control. `library` is "stompjs 7" or "stompjs 2".

import { createRequire } from 'node:module';
import * as StompJs from '@stomp/stompjs';
import SockJS from 'sockjs-client';
import { chat } from './over-sockjs.mjs';
import { say, serve } from './remote.mjs';

const { Stomp } = createRequire(import.meta.url)('stompjs/lib/stomp.js');
Stomp.setInterval = (everyMs, call) => setInterval(call, everyMs); // as its own entry for Node does
Stomp.clearInterval = clearInterval;
let client;

await serve({
  connect({ library, ...options }) {
    client = chat({ SockJS, say, ...options, ...(library === 'stompjs 7' ? { StompJs } : { Stomp }) });
  },
  follow({ destination }) {
    client.follow(destination);
  },
  send({ destination, body, headers }) {
    client.send(destination, body, headers);
  },
  leave() {
    return client.leave();
  },
});
