// The table: what is measured, beside which control, and the goal. A job is what one client does; `units` is how often a
// visit does it.
import { KEY } from './api-key.mjs'

const headers = { 'X-Api-Key': KEY }
const accepted = { headers }
const got = { kind: 'get', headers, status: 200 }
const wrong = { headers: { 'X-Api-Key': 'wrong_api_key' }, status: 401 }
const foreign = { headers: { ...headers, Origin: 'https://foreign.example' }, status: 403 }
const absent = { status: 401 }
const byCap = { headers: { ...headers, 'Sec-WebSocket-Protocol': 'a, a' }, status: 400 }

const one = (server, job) => [{ server, job }]

/** `of` and `over` are lists: the cost of a list is the sum of its parts. */
export const ROWS = [
  { group: 'handshake', name: 'accepted, scheme door, over raw `ws` with the same work by hand', of: one('gate-schemes', accepted), over: one('ws-by-hand', accepted), goal: 1.05 },
  { group: 'handshake', name: 'accepted, Express, over the same app answering the GET plus a raw `ws` handshake', of: one('gate-express', accepted), over: [{ server: 'express-get', job: got }, { server: 'ws', job: accepted }], goal: 1.1 },
  { group: 'handshake', name: 'accepted, Fastify, over raw `ws`', of: one('gate-fastify', accepted), over: one('ws', accepted), goal: 1.2 },
  { group: 'handshake', name: 'accepted, Hono, over raw `ws`', of: one('gate-hono', accepted), over: one('ws', accepted), goal: 1.4 },
  { group: 'handshake', name: 'accepted, Koa, over raw `ws`', of: one('gate-koa', accepted), over: one('ws', accepted), goal: 1.7 },
  { group: 'refused', name: 'refused (wrong key), scheme door, over `ws` `verifyClient`', of: one('gate-schemes', wrong), over: one('ws-verify-client', wrong), goal: 1.05 },
  { group: 'refused', name: 'refused by shape, over a refusal inside a full Express stack', of: one('gate-express-stack', byCap), over: one('gate-express-stack', wrong), goal: 0.35 },
  { group: 'refused', name: 'refused by Origin, over a refusal inside a full Express stack', of: one('gate-express-stack', foreign), over: one('gate-express-stack', wrong), goal: 0.35 },
  { group: 'refused', name: 'refused for no credential, scheme door, over a refusal inside a full Express stack', of: one('gate-schemes', absent), over: one('gate-express-stack', wrong), goal: 0.35 },
  { group: 'messages', name: 'echo of 32 B on an open connection, over raw `ws`', of: one('gate-express', { echo: 32, headers }), over: one('ws', { echo: 32, headers }), goal: 1 },
  { group: 'messages', name: 'echo of 1 KiB, over raw `ws`', of: one('gate-express', { echo: 1024, headers }), over: one('ws', { echo: 1024, headers }), goal: 1 },
  { group: 'messages', name: 'echo of 32 B on a connection handed over with `accept()`, over raw `ws`', of: one('gate-schemes', { echo: 32, headers }), over: one('ws', { echo: 32, headers }), goal: 1 },
  { group: 'peers', name: 'express-ws', of: one('peer-express-ws', accepted), over: one('ws', accepted) },
  { group: 'peers', name: '@fastify/websocket', of: one('peer-fastify-websocket', accepted), over: one('ws', accepted) },
  { group: 'peers', name: 'crossws', of: one('peer-crossws', accepted), over: one('ws', accepted) },
  { group: 'peers', name: '@hono/node-server', of: one('peer-hono-node-server', accepted), over: one('ws', accepted) },
  { group: 'peers', name: 'Socket.IO (WebSocket only, until the 101)', of: one('peer-socket-io', { headers, path: '/ws/?EIO=4&transport=websocket' }), over: one('ws', accepted) },
  { group: 'peers', name: 'graphql-ws (until `connection_ack`)', of: one('peer-graphql-ws', { headers: { ...headers, 'Sec-WebSocket-Protocol': 'graphql-transport-ws' }, send: '{"type":"connection_init"}' }), over: one('ws', accepted) },
  { group: 'peers', name: 'gate101 on Express', of: one('gate-express', accepted), over: one('ws', accepted) },
  { group: 'peers', name: 'gate101 on Fastify', of: one('gate-fastify', accepted), over: one('ws', accepted) },
  { group: 'peers', name: 'gate101, scheme door', of: one('gate-schemes', accepted), over: one('ws', accepted) },
]

/** Heap of one idle connection, beyond that of the control. */
export const MEMORY = [
  { name: 'idle connection of `gate.websocket()`', of: 'gate-express', over: 'ws', goal: 350 },
  { name: 'idle connection handed over with `accept()`', of: 'gate-schemes', over: 'ws', goal: 350 },
]
export const MEMORY_JOB = { headers }
