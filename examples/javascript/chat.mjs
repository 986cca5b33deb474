// chat.html?server=http://localhost:8070&user=USER&room=ROOM, and &sockjs to go over SockJS.

import { newClient } from './client.mjs';
import { Room } from './room.mjs';

const { StompJs, SockJS } = window;
const query = new URLSearchParams(location.search);
const endpoint = `${query.get('server')}/ws-stomp`;

function show(words, kind = '') {
  const line = document.createElement('li');
  line.className = kind;
  line.textContent = words; // never as HTML: others wrote it
  document.querySelector('#log').append(line);
}

const overWebSocket = () => new WebSocket(endpoint.replace('http', 'ws'), ['v12.stomp']);
const overSockJs = () => new SockJS(endpoint);
const rooms = [];
const socket = query.has('sockjs') ? overSockJs : overWebSocket;
const client = newClient(StompJs, socket, { sender: query.get('user') }, rooms, (code, words) => show(words, 'news'));
const room = new Room(client, query.get('room'), {
  said: ({ sender, content }) => show(`${sender}: ${content}`),
  joined: (recovered) => show(recovered === 'false' ? 'something is missing here' : 'connected', 'news'),
  refused: (code, content) => show(`${code}: ${content ?? 'the room'}`, 'news'),
});
rooms.push(room);
client.activate();

document.querySelector('#say').addEventListener('submit', (event) => {
  event.preventDefault();
  const field = document.querySelector('#content');
  if (field.value) room.send(field.value);
  field.value = '';
});
