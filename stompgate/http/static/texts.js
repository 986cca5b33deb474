// Every text that the page shows, in each of its languages.

/** @typedef {'ko' | 'en'} Language */

const TEXTS = {
  en: {
    title: 'Try the chat',
    skip: 'Skip to the messages',
    connecting: 'Connecting…',
    online: 'Connected',
    offline: 'Not connected',
    recovered: 'Connected again · {n} caught up',
    missedNothing: 'Connected again · nothing missed',
    retryNow: 'Try now',
    language: 'Language',
    transport: 'Way to the server',
    user: 'You are',
    switchUser: 'Another user',
    whoTitle: 'Who are you?',
    whoHint: 'Any user id will do, like an e-mail address. This page asks for no password: it is for trying things out.',
    userId: 'User id',
    start: 'Start',
    rooms: 'Rooms',
    refresh: 'Read the rooms again',
    noRooms: 'No rooms yet. Make one with the form below.',
    newRoom: 'New room',
    seller: 'Seller (user id)',
    product: 'Product',
    create: 'Make the room',
    back: 'Back to the rooms',
    pickTitle: 'No room is open',
    pickHint: 'Choose a room, or make one. Open this page in a second window as the other user, and talk.',
    messages: 'Messages',
    older: 'Older messages',
    loading: 'Loading…',
    beginning: 'This is where the conversation begins.',
    write: 'Message',
    placeholder: 'Write a message',
    send: 'Send',
    pending: 'Sending…',
    stored: 'Stored',
    failed: 'Not sent',
    retry: 'Send again',
    dismiss: 'Close this notice',
    unreachable: 'The server does not answer.',
    'no-such-room': 'There is no such room among yours.',
    'wrong-sender': 'This message names another sender than you.',
    'store-unavailable': 'The server cannot store messages at the moment. Please try again later.',
    'outcome-unknown': 'It is not certain that the message was stored. Send it again: it will not be stored twice.',
    'body-too-long': 'The message is too long.',
    'slow-consumer': 'The connection was too slow and is made again.',
    'server-stopping': 'The server restarts; the page comes back by itself.',
    'too-many-connections': 'The server is full at the moment.',
    'heartbeat-lost': 'The server heard nothing from this page for too long.',
    'bad-request': 'The server cannot use this as it was entered.',
  },
  ko: {
    title: '채팅 체험',
    skip: '메시지로 건너뛰기',
    connecting: '연결 중…',
    online: '연결됨',
    offline: '연결 끊김',
    recovered: '다시 연결됨 · {n}개 받아옴',
    missedNothing: '다시 연결됨 · 놓친 메시지 없음',
    retryNow: '지금 연결',
    language: '언어',
    transport: '연결 방식',
    user: '사용자',
    switchUser: '사용자 바꾸기',
    whoTitle: '누구로 시작할까요?',
    whoHint: '이메일 주소처럼 아무 사용자 아이디나 쓸 수 있습니다. 시험용 페이지라 비밀번호는 묻지 않습니다.',
    userId: '사용자 아이디',
    start: '시작',
    rooms: '채팅방',
    refresh: '채팅방 새로 읽기',
    noRooms: '아직 채팅방이 없습니다. 아래에서 새로 만들어 보세요.',
    newRoom: '새 채팅방',
    seller: '판매자 (사용자 아이디)',
    product: '상품',
    create: '채팅방 만들기',
    back: '채팅방 목록으로',
    pickTitle: '열린 채팅방이 없습니다',
    pickHint: '채팅방을 고르거나 새로 만드세요. 다른 창에서 상대방으로 이 페이지를 열면 대화할 수 있습니다.',
    messages: '메시지',
    older: '이전 메시지',
    loading: '불러오는 중…',
    beginning: '대화의 시작입니다.',
    write: '메시지',
    placeholder: '메시지를 입력하세요',
    send: '보내기',
    pending: '보내는 중…',
    stored: '저장됨',
    failed: '보내지 못함',
    retry: '다시 보내기',
    dismiss: '알림 닫기',
    unreachable: '서버가 응답하지 않습니다.',
    'no-such-room': '내 채팅방 가운데 그런 방이 없습니다.',
    'wrong-sender': '메시지의 보낸 사람이 다릅니다.',
    'store-unavailable': '지금은 메시지를 저장할 수 없습니다. 잠시 뒤에 다시 시도해 주세요.',
    'outcome-unknown': '메시지가 저장되었는지 알 수 없습니다. 다시 보내도 두 번 저장되지 않습니다.',
    'body-too-long': '메시지가 너무 깁니다.',
    'slow-consumer': '연결이 너무 느려 다시 연결합니다.',
    'server-stopping': '서버를 다시 시작하고 있습니다. 곧 저절로 연결됩니다.',
    'too-many-connections': '지금은 서버에 자리가 없습니다.',
    'heartbeat-lost': '이 페이지에서 너무 오래 신호가 없었습니다.',
    'bad-request': '입력한 내용을 서버가 처리할 수 없습니다.',
  },
};

/** @type {Language} */
let language = 'en';

/** @param {Language} chosen */
export function speak(chosen) {
  language = chosen;
}

/** @returns {Language} */
export function spoken() {
  return language;
}

/** @param {string} key @returns {string} */
export function text(key) {
  return TEXTS[language][key] ?? TEXTS.en[key];
}

/** @param {number} missed how many messages came late @returns {string} */
export function recoveredText(missed) {
  return missed ? text('recovered').replace('{n}', String(missed)) : text('missedNothing');
}

/** @param {string} code of a problem or ERROR @param {string} words the server's own, for a code without a text here */
export function troubleText(code, words) {
  const known = TEXTS[language][code];
  if (code === 'bad-request') return `${known} (${words})`; // which field, only the server knows
  return known ?? (words || code);
}
