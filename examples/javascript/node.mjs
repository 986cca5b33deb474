// node node.mjs ws://localhost:8070/ws-stomp USER ROOM: what is typed is sent, what is said is shown.

import { createInterface } from 'node:readline';
import * as StompJs from '@stomp/stompjs';
import { WebSocket } from 'ws';
import { newClient } from './client.mjs';
import { Room } from './room.mjs';

const [url, user, uuid] = process.argv.slice(2);
const rooms = [];
const client = newClient(StompJs, () => new WebSocket(url, ['v12.stomp']), { sender: user }, rooms, (code, words) => {
  console.error(`${code}: ${words}`);
  process.exit(1);
});
const room = new Room(client, uuid, {
  said: ({ sender, content }) => console.log(`${sender}: ${content}`),
  joined: (recovered) => console.log(recovered === 'false' ? '-- something is missing here' : '-- connected'),
  refused: (code, content) => console.log(`-- ${code}: ${content ?? 'the room'}`),
});
rooms.push(room);
client.activate();
for await (const line of createInterface({ input: process.stdin })) room.send(line);
