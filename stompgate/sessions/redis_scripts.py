"""The Lua that changes presence in Redis: each script is one step that nothing comes between, sent as a whole each time.

Keys of the contract, which other programs read (all keys may have a prefix):

- ``user:session:{userId}``: the newest living session's text; ``session:user:{sessionId}``: the user;
  ``server:users:{serverId}``: the users of a server.

Keys of our own:

- ``stompgate:lease:{serverId}``: the life that acts for a server and its last turn, with a short expiry. Nothing is written
  without it, nor in a turn that is over: of what was sent and never answered some may arrive behind what was sent after it.
- ``stompgate:servers``: a hash of servers to turns; whoever is in it without a lease is dead and is to be swept.
- ``stompgate:told:{serverId}``: a hash of users to their sessions there (JSON: id to text). What a sweep goes by.
- ``stompgate:user:{userId}``: a sorted set of the texts of a user's sessions on all servers, by the time they began.

The keys are made inside the scripts and lie anywhere, so this is for one Redis with its replicas, not for Redis Cluster.
A script never waits and never goes through more than it was given, so others are held up for milliseconds at most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stompgate.chat.session_wire import SessionTexts
from stompgate.model.sessions import Session

from .redis_line import Command

EXPIRY_S = 1800

_NAMES = """
local prefix, server, turn = ARGV[1], ARGV[2], ARGV[3]
local function lease(id) return prefix .. 'stompgate:lease:' .. id end
local servers = prefix .. 'stompgate:servers'
"""

# `user:session` is set even if it is there: others may have deleted it. That of a server which is none of ours is left alone
# while it is the newer one.
_TELL = """
local function of_another_program(shown, newest)
  local ok, session = pcall(cjson.decode, shown)
  if not ok or type(session) ~= 'table' or type(session.serverId) ~= 'string' then return false end
  if redis.call('HEXISTS', servers, session.serverId) == 1 then return false end
  return not newest or tostring(session.connectTime) > cjson.decode(newest).connectTime
end

local function show(user, sessions, expiry)
  local key = prefix .. 'user:session:' .. user
  local newest = redis.call('ZREVRANGE', sessions, 0, 0)[1]
  local is_text = redis.call('TYPE', key).ok == 'string'
  if is_text and of_another_program(redis.call('GET', key), newest) then return end
  if newest then redis.call('SET', key, newest, 'EX', expiry) else redis.call('DEL', key) end
end

local function tell(id, user, texts, scores, expiry)
  local told, users = prefix .. 'stompgate:told:' .. id, prefix .. 'server:users:' .. id
  local sessions = prefix .. 'stompgate:user:' .. user
  local before = redis.call('HGET', told, user)
  for session, text in pairs(before and cjson.decode(before) or {}) do
    if texts[session] ~= text then redis.call('ZREM', sessions, text) end
    if not texts[session] then redis.call('DEL', prefix .. 'session:user:' .. session) end
  end
  for session, text in pairs(texts) do
    redis.call('ZADD', sessions, scores[session], text)
    redis.call('SET', prefix .. 'session:user:' .. session, user, 'EX', expiry)
  end
  if next(texts) then
    redis.call('HSET', told, user, cjson.encode(texts))
    redis.call('SADD', users, user)
  else
    redis.call('HDEL', told, user)
    redis.call('SREM', users, user)
  end
  redis.call('EXPIRE', sessions, expiry)
  show(user, sessions, expiry)
end
"""

# Of two lives of one server the one that began later is right: the other was paused, and is about to find out. A Redis that
# knows of no turn as late as the one that was answered went back (to a replica, a file), and has forgotten what it was told.
_RENEW = (
    _NAMES
    + """
local expiry_ms, answered = ARGV[4], ARGV[5]
local holder = redis.call('GET', lease(server))
if holder and holder > turn then return {'taken'} end
if answered ~= '' and (not holder or holder < answered) then return {'lost'} end
redis.call('SET', lease(server), turn, 'PX', expiry_ms)
redis.call('HSET', servers, server, turn)
local answer = {'held'}
for _, other in ipairs(redis.call('HKEYS', servers)) do
  if redis.call('EXISTS', lease(other)) == 0 then answer[#answer + 1] = other end
end
return answer
"""
)

_TELL_USERS = (
    _NAMES
    + _TELL
    + """
if redis.call('GET', lease(server)) ~= turn then return 0 end
local expiry, at = ARGV[4], 5
while ARGV[at] do
  local user, count, texts, scores = ARGV[at], tonumber(ARGV[at + 1]), {}, {}
  at = at + 2
  for _ = 1, count do
    local session = ARGV[at]
    texts[session], scores[session] = ARGV[at + 2], ARGV[at + 1]
    at = at + 3
  end
  tell(server, user, texts, scores, expiry)
end
return 1
"""
)

# HRANDFIELD rather than HSCAN: a scan from the start would find the emptied part of the table again and again.
_CLEAR = (
    _NAMES
    + _TELL
    + """
local target, limit, expiry = ARGV[4], tonumber(ARGV[5]), ARGV[6]
if redis.call('GET', lease(server)) ~= turn then return -1 end
if target ~= server then
  if redis.call('EXISTS', lease(target)) == 1 or redis.call('HEXISTS', servers, target) == 0 then return -1 end
end
local told = prefix .. 'stompgate:told:' .. target
for _, user in ipairs(redis.call('HRANDFIELD', told, limit)) do tell(target, user, {}, {}, expiry) end
local rest = redis.call('HLEN', told)
if rest == 0 then
  redis.call('DEL', prefix .. 'server:users:' .. target)
  if target ~= server then redis.call('HDEL', servers, target) end
end
return rest
"""
)

_LEAVE = (
    _NAMES
    + """
if redis.call('GET', lease(server)) ~= turn then return 0 end
redis.call('DEL', lease(server))
redis.call('HDEL', servers, server)
return 1
"""
)


@dataclass(frozen=True, slots=True)
class Scripts:
    """Commands of one turn of the server ``server_id``. Of two names of turns the later one's is the greater."""

    prefix: str
    server_id: str
    turn: str
    texts: SessionTexts

    def renew(self, lease_s: float, *, answered: str) -> Command:
        """Answers ``held`` and the dead servers, ``lost`` (Redis has forgotten the turn ``answered``) or ``taken``.

        Without ``answered`` the lease is claimed. ``taken``: a later life of this server has it, or a later turn.
        """
        return self._eval(_RENEW, round(lease_s * 1000), answered)

    def tell(self, users: Mapping[str, Sequence[Session]]) -> Command:
        """These sessions, the newest last, are all that the users have on this server. Answers 1, or 0: the lease is gone."""
        arguments: list[bytes | str | int] = []
        for user, sessions in users.items():
            arguments += (user, len(sessions))
            began = 0
            for session in sessions:
                began = max(began + 1, session.connected_at_us)  # a clock set back does not make the newest an older one
                arguments += (session.id, began, self.texts.write(session))
        return self._eval(_TELL_USERS, EXPIRY_S, *arguments)

    def clear(self, server_id: str, users: int) -> Command:
        """Take away what is told of up to ``users`` users of a dead server, or of our own.

        Answers how many users are left; -1: that server lives or was swept, or our lease is gone, and nothing was done.
        """
        return self._eval(_CLEAR, server_id, users, EXPIRY_S)

    def leave(self) -> Command:
        """Let the lease go. Nothing of ours must be left."""
        return self._eval(_LEAVE)

    def _eval(self, script: str, *arguments: bytes | str | int) -> Command:
        return ("EVAL", script, 0, self.prefix, self.server_id, self.turn, *arguments)
