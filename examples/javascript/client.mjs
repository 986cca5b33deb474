// A client of @stomp/stompjs 7 that comes back, and its rooms with it.

/**
 * @param {object} library the module @stomp/stompjs
 * @param {() => WebSocket} socket makes a WebSocket, or a SockJS, which is used alike
 * @param {object} identity `{sender}`, or `{login, passcode}` where users have passwords
 * @param {(code: string, words: string) => void} over is told what coming back can't help
 */
export function newClient({ Client, ReconnectionTimeMode }, socket, identity, rooms, over) {
  const toRooms = (frame) => rooms.forEach((room) => room.error(frame));
  const client = new Client({
    webSocketFactory: socket,
    connectHeaders: { ...identity, errors: 'soft' },
    connectionTimeout: 10_000,
    reconnectDelay: 500 + 500 * Math.random(), // by chance, since everyone else comes back too
    reconnectTimeMode: ReconnectionTimeMode.EXPONENTIAL,
    maxReconnectDelay: 20_000,
    onConnect() {
      client.subscribe('/user/queue/errors', toRooms);
      rooms.forEach((room) => room.join());
    },
    onStompError(frame) {
      toRooms(frame);
      const { code, message, retry, 'receipt-id': about } = frame.headers;
      if (about !== undefined || retry === 'true') return; // the next connection is not concerned
      client.deactivate();
      over(code, message);
    },
  });
  return client;
}
