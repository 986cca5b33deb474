// The page: what is shown and what is clicked. What a user typed reaches the document as text only, never as markup.

import { Chat } from './chat.js';
import { Rest } from './rest.js';
import { isWay, open } from './sockjs.js';
import { recoveredText, speak, spoken, text, troubleText } from './texts.js';

/** @typedef {import('./rest.js').RoomUser} RoomUser */
/** @typedef {import('./rest.js').Message} Message */

const NEAR_EDGE_PX = 80;
const ROOMS_EVERY_MS = 15_000;
const AVATAR_HUES = 12;
const OVER_WHEN_ONLINE = ['unreachable', 'server-stopping', 'slow-consumer', 'too-many-connections', 'heartbeat-lost'];

/** @param {string} id @returns {any} the element of this page with that id */
const $ = (id) => document.getElementById(id);

const asked = new URLSearchParams(location.search);

/** @type {Chat | null} */
let chat = null;
/** @type {Rest} */
let rest;
/** @type {RoomUser[]} */
let rooms = [];
/** @type {Map<number | string, HTMLElement>} what the open conversation shows: bubbles by number, days by their words */
let bubbles = new Map();
/** @type {WeakMap<import('./chat.js').Outgoing, {state: string, bubble: HTMLElement}>} */
let outgoingBubbles = new WeakMap();
let roomsShown = '';
/** @type {number | null} how many messages the server sent again when the connection came back, null before it did */
let recovered = null;
let isAtEnd = true; // whether the newest message is in sight, and so is to stay there
let shownHeight = 0; // of the conversation, as last heard of

// The URL's user first, then this tab's own, then the one of the last visit.
const chosenUser = () => asked.get('user') || sessionStorage.getItem('user') || localStorage.getItem('user') || '';

// Making of elements

/** @param {string} tag @param {string} className @param {string} content @returns {HTMLElement} */
function make(tag, className, content = '') {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (content) element.textContent = content;
  return element;
}

/** @param {HTMLElement} element @param {string} name */
function showAvatar(element, name) {
  let sum = 0;
  for (const sign of name) sum = (sum * 31 + (sign.codePointAt(0) ?? 0)) % 997;
  element.textContent = [...name][0]?.toUpperCase() ?? '?';
  element.dataset.hue = String(sum % AVATAR_HUES);
}

// Language

function showTexts() {
  document.documentElement.lang = spoken();
  document.title = `stompgate · ${text('title')}`;
  for (const element of document.querySelectorAll('[data-text]')) element.textContent = text(element.dataset.text);
  for (const element of document.querySelectorAll('[data-label]')) element.setAttribute('aria-label', text(element.dataset.label));
  for (const element of document.querySelectorAll('[data-placeholder]')) element.placeholder = text(element.dataset.placeholder);
  $('language').value = spoken();
  bubbles = new Map();
  outgoingBubbles = new WeakMap();
  $('log').replaceChildren();
  const trouble = $('trouble');
  if (!trouble.hidden) showTrouble(trouble.dataset.code, trouble.dataset.words);
  showConnection();
  showConversation();
}

// Connection and trouble

/** @param {number} missed */
function showRecovered(missed) {
  recovered = missed;
  showConnection();
}

function showConnection() {
  const state = chat?.connection.state ?? 'offline';
  $('connection').dataset.state = state;
  $('connection-text').textContent = text(state);
  $('retry-now').hidden = state !== 'offline' || !chat;
  if (state !== 'online') return;
  if (recovered !== null) $('connection-text').textContent = recoveredText(recovered);
  if (OVER_WHEN_ONLINE.includes($('trouble').dataset.code)) $('trouble').hidden = true;
  void readRooms();
}

/** @param {string} code @param {string} words */
function showTrouble(code, words) {
  $('trouble').dataset.code = code;
  $('trouble').dataset.words = words;
  $('trouble-text').textContent = troubleText(code, words);
  $('trouble').hidden = false;
}

// Rooms

async function readRooms() {
  try {
    rooms = await rest.rooms();
  } catch (error) {
    showTrouble(error.code, error.message);
    return;
  }
  showRooms();
}

function showRooms() {
  const open = chat?.conversation?.room;
  const now = JSON.stringify([open, rooms]);
  if (now === roomsShown) return; // made anew they would lose the focus
  roomsShown = now;
  $('no-rooms').hidden = rooms.length > 0;
  $('rooms').replaceChildren(
    ...[...rooms].reverse().map((row) => {
      const item = make('li', '');
      const button = make('button', 'room-item');
      button.dataset.room = row.room.roomUUID;
      if (row.room.roomUUID === open) button.setAttribute('aria-current', 'true');
      const avatar = make('span', 'avatar');
      avatar.setAttribute('aria-hidden', 'true');
      showAvatar(avatar, row.other);
      const words = make('span', 'room-words');
      words.append(make('strong', '', row.other), make('span', '', row.room.productName));
      button.append(avatar, words);
      button.addEventListener('click', () => openRoom(row));
      item.append(button);
      return item;
    }),
  );
}

/** @param {RoomUser} row */
function openRoom(row) {
  const url = new URL(location.href);
  url.searchParams.set('room', row.room.roomUUID);
  history.replaceState(null, '', url);
  $('talk-other').textContent = row.other;
  $('talk-product').textContent = row.room.productName;
  showAvatar($('other-avatar'), row.other);
  bubbles = new Map();
  $('log').replaceChildren();
  isAtEnd = true;
  document.body.dataset.view = 'talk';
  chat?.open(row.room.roomUUID);
  showRooms();
  if (matchMedia('(pointer: fine)').matches) $('content').focus();
}

function leaveRoom() {
  const left = chat?.conversation?.room;
  chat?.close();
  const url = new URL(location.href);
  url.searchParams.delete('room');
  history.replaceState(null, '', url);
  showRooms();
  for (const button of document.querySelectorAll('.room-item')) if (button.dataset.room === left) button.focus();
}

// The conversation

/** @param {string} timestamp local date-time, with up to nine digits of fraction @returns {Date} */
const dateOf = (timestamp) => new Date(timestamp.replace(/(\.\d{3})\d+$/, '$1'));

/** How times are written: in the page's language, and as the user's own region does where that speaks it. */
const locale = () => navigator.languages.find((language) => language.startsWith(spoken())) ?? spoken();

/** @param {Message} message @returns {HTMLElement} */
function bubbleOf(message) {
  const shown = bubbles.get(message.seq);
  if (shown) return shown;
  const bubble = make('li', message.sender === chat?.user ? 'bubble own' : 'bubble');
  bubble.dataset.seq = String(message.seq);
  const date = dateOf(message.timestamp);
  const time = make('time', 'note', date.toLocaleTimeString(locale(), { hour: 'numeric', minute: '2-digit' }));
  time.dateTime = message.timestamp;
  time.title = date.toLocaleString(locale());
  const speaker = make('span', 'unseen', `${message.sender}: `);
  const words = make('p', 'words', message.content);
  words.prepend(speaker);
  bubble.append(words, time);
  bubbles.set(message.seq, bubble);
  return bubble;
}

/** @param {import('./chat.js').Outgoing} outgoing @returns {HTMLElement} */
function outgoingBubble(outgoing) {
  const shown = outgoingBubbles.get(outgoing);
  if (shown?.state === outgoing.state) return shown.bubble;
  const bubble = make('li', `bubble own ${outgoing.state}`);
  bubble.append(make('p', 'words', outgoing.content));
  const note = make('p', 'note', text(outgoing.state));
  if (outgoing.reason) note.title = outgoing.reason;
  bubble.append(note);
  if (outgoing.state === 'failed') {
    const again = make('button', 'link', text('retry'));
    again.addEventListener('click', () => chat?.retry(outgoing));
    note.append(again);
  }
  outgoingBubbles.set(outgoing, { state: outgoing.state, bubble });
  return bubble;
}

/** @param {Message} message @returns {HTMLElement} */
function daySeparator(message) {
  const date = dateOf(message.timestamp);
  const words = date.toLocaleDateString(locale(), { year: 'numeric', month: 'long', day: 'numeric', weekday: 'long' });
  const key = `day ${words}`;
  const shown = bubbles.get(key);
  if (shown) return shown;
  const separator = make('li', 'day');
  separator.append(make('span', '', words));
  bubbles.set(key, separator);
  return separator;
}

/** @param {Message | undefined} first @param {Message | undefined} next @param {'day' | 'minute'} within */
function isOfOneRun(first, next, within) {
  const signs = within === 'day' ? 10 : 16; // of "2025-01-20T10:30:00"
  return first?.sender === next?.sender && first?.timestamp.slice(0, signs) === next?.timestamp.slice(0, signs);
}

/** Put the nodes into the list in this order, touching only what differs: a reader hears news once, and only news. */
function arrange(list, nodes) {
  let place = list.firstChild;
  for (const node of nodes) {
    if (node === place) place = place.nextSibling;
    else list.insertBefore(node, place);
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

function showConversation() {
  const conversation = chat?.conversation ?? null;
  $('room').hidden = !conversation;
  $('no-room').hidden = Boolean(conversation);
  document.body.dataset.view = conversation ? 'talk' : 'rooms';
  if (!conversation) return;

  const scroll = $('scroll');
  const fromEnd = scroll.scrollHeight - scroll.scrollTop;
  const first = conversation.messages[0];
  const grewAbove = first !== undefined && !bubbles.has(first.seq);

  const nodes = [];
  let day = '';
  for (const [index, message] of conversation.messages.entries()) {
    if (message.timestamp.slice(0, 10) !== day) {
      day = message.timestamp.slice(0, 10);
      nodes.push(daySeparator(message));
    }
    const bubble = bubbleOf(message);
    bubble.classList.toggle('follows', isOfOneRun(conversation.messages[index - 1], message, 'day'));
    bubble.classList.toggle('goes-on', isOfOneRun(message, conversation.messages[index + 1], 'minute'));
    nodes.push(bubble);
  }
  nodes.push(...conversation.outgoing.map(outgoingBubble));
  arrange($('log'), nodes);

  $('beginning').hidden = !conversation.complete;
  $('older').hidden = conversation.complete || !conversation.loaded;
  $('older').disabled = conversation.loading;
  $('older').textContent = text(conversation.loading ? 'loading' : 'older');
  if (isAtEnd || conversation.outgoing.some((outgoing) => outgoing.state === 'pending')) scroll.scrollTop = scroll.scrollHeight;
  else if (grewAbove) scroll.scrollTop = scroll.scrollHeight - fromEnd;
}

function sendTyped() {
  const content = $('content').value.trim();
  if (!content) return;
  $('content').value = '';
  fitComposer();
  chat?.send(content);
}

function fitComposer() {
  const field = $('content');
  field.rows = Math.min(5, field.value.split('\n').length);
}

// Beginning

/** @param {string} user */
function begin(user) {
  chat?.stop();
  recovered = null;
  sessionStorage.setItem('user', user);
  localStorage.setItem('user', user);
  $('my-name').textContent = user;
  showAvatar($('my-avatar'), user);
  rest = new Rest(user);
  rooms = [];
  const way = $('transport').value;
  chat = new Chat(user, rest, () => open(way), { connection: showConnection, conversation: showConversation, recovered: showRecovered, trouble: showTrouble });
  showConversation();
  showRooms();
  chat.start();
  const room = asked.get('room');
  if (room) rest.room(room).then(openRoom, (error) => showTrouble(error.code, error.message));
}

function listen() {
  $('language').addEventListener('change', (event) => {
    speak(event.target.value);
    localStorage.setItem('language', event.target.value);
    showTexts();
  });
  $('transport').addEventListener('change', (event) => {
    const url = new URL(location.href);
    url.searchParams.set('transport', event.target.value);
    history.replaceState(null, '', url);
    if (!chat) return;
    asked.delete('room');
    if (chat.conversation) asked.set('room', chat.conversation.room);
    begin(chat.user);
  });
  $('retry-now').addEventListener('click', () => chat?.connection.retryNow());
  $('trouble-close').addEventListener('click', () => ($('trouble').hidden = true));
  $('refresh').addEventListener('click', () => void readRooms());
  $('back').addEventListener('click', leaveRoom);
  $('older').addEventListener('click', () => void chat?.loadOlder());
  $('scroll').addEventListener('scroll', () => {
    const scroll = $('scroll');
    if (scroll.clientHeight === shownHeight) isAtEnd = scroll.scrollHeight - scroll.scrollTop - shownHeight < NEAR_EDGE_PX;
    if (scroll.scrollTop < NEAR_EDGE_PX) void chat?.loadOlder();
  });
  // A phone's keyboard, and a line more at the top, take height from it.
  new ResizeObserver(() => {
    shownHeight = $('scroll').clientHeight;
    if (isAtEnd) $('scroll').scrollTop = $('scroll').scrollHeight;
  }).observe($('scroll'));
  $('switch-user').addEventListener('click', () => $('who').showModal());
  $('who-form').addEventListener('submit', (event) => {
    const user = $('who-user').value.trim();
    if (!user) {
      event.preventDefault();
      return;
    }
    const url = new URL(location.href);
    url.search = '';
    history.replaceState(null, '', url);
    asked.delete('user');
    asked.delete('room');
    begin(user);
  });
  $('who').addEventListener('cancel', (event) => {
    if (!chat) event.preventDefault(); // without a user there is nothing to show
  });
  $('create').addEventListener('submit', async (event) => {
    event.preventDefault();
    try {
      const [, mine] = await rest.create($('seller').value.trim(), $('product').value.trim());
      $('create').reset();
      await readRooms();
      openRoom(mine);
    } catch (error) {
      showTrouble(error.code, error.message);
    }
  });
  $('composer').addEventListener('submit', (event) => {
    event.preventDefault();
    sendTyped();
  });
  $('content').addEventListener('input', fitComposer);
  $('content').addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return; // Enter may also end a Korean syllable
    event.preventDefault();
    sendTyped();
  });
  addEventListener('online', () => chat?.connection.retryNow());
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState !== 'visible') return;
    chat?.connection.retryNow();
    if (chat?.connection.state === 'online') void readRooms();
  });
  setInterval(() => {
    if (chat?.connection.state === 'online' && document.visibilityState === 'visible') void readRooms();
  }, ROOMS_EVERY_MS);
}

const remembered = localStorage.getItem('language');
speak(remembered === 'ko' || remembered === 'en' ? remembered : navigator.language.startsWith('ko') ? 'ko' : 'en');
const way = asked.get('transport') ?? '';
if (isWay(way)) $('transport').value = way;
listen();
showTexts();
const user = chosenUser();
if (user) begin(user);
else $('who').showModal();
