// The table: what is measured, beside which control, and the goal. A job is what one client does.
import { KEY } from './api-key.mjs'

const headers = { 'X-Api-Key': KEY, Origin: 'same-origin' }
const accepted = { headers }
const get = { kind: 'get', headers, status: 200 }
const kept = { kind: 'kept', headers, status: 200 }
const wrong = { headers: { ...headers, 'X-Api-Key': 'wrong_api_key' }, status: 401 }
const absent = { headers: { Origin: 'same-origin' }, status: 401 }
const foreign = { headers: { ...headers, Origin: 'https://foreign.example' }, status: 403 }
const misshapen = { headers: { ...headers, 'Sec-WebSocket-Protocol': 'a, a' }, status: 400 }
const overCap = { headers, status: 503, blocker: { path: '/never', headers } }
const echo = (bytes) => ({ headers, message: 'x'.repeat(bytes), count: bytes > 10_000 ? 2000 : 12_000 })

const personal = { headers: { ...headers, Cookie: 'sid=%n' } }
/** What a browser sends, and a session. */
const fromBrowser = {
  headers: {
    Origin: 'same-origin',
    Pragma: 'no-cache',
    'Cache-Control': 'no-cache',
    'User-Agent':
      'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36',
    'Accept-Encoding': 'gzip, deflate, br, zstd',
    'Accept-Language': 'en-GB,en;q=0.9,de;q=0.8',
    'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits',
    'X-Api-Key': KEY,
    'Sec-Fetch-Site': 'same-origin',
    Cookie: 'theme=dark; connect.sid=s%3Aq2bTfJmZl1cOe8YxWn0aVh4K%n.8Jr2mPp0d3cQwXo5sVt7yZb1nLkHgFeDaU6iR9xM4',
  },
}

const bearer = { Authorization: `Bearer ${KEY}`, Origin: 'same-origin' }
const token = `base64url.bearer.authorization.gate101.${Buffer.from(KEY).toString('base64url')}`
const message = JSON.stringify({ type: 'auth', token: KEY })
/** The same token by each road. A ticket is asked for on the connection that then uses it. */
const ROADS = {
  header: { headers: bearer },
  'ticket, asked for and used': { headers: { Origin: 'same-origin' }, ticket: { path: '/ws/ticket', headers: bearer } },
  'subprotocol token': { headers: { Origin: 'same-origin', 'Sec-WebSocket-Protocol': `gate101, ${token}` } },
  'first message': {
    path: '/ws/login',
    headers: { Origin: 'same-origin' },
    steps: [{ send: message, await: 1 }],
  },
}

const one = (server, job) => [{ server, job }]

/** `of` and `over` are lists: the cost of a list is the sum of its parts. `metric: 'closing'` is about the end instead. */
export const ROWS = [
  {
    group: 'handshake',
    name: 'accepted, scheme door, over `ws` with the same work by hand',
    of: one('gate-schemes', accepted),
    over: one('ws-by-hand', accepted),
    goal: 1.05,
  },
  {
    group: 'cluster',
    name: 'accepted, scheme door, node of a cluster, over the same without `cluster`',
    of: one('gate-schemes-cluster', accepted),
    over: one('gate-schemes', accepted),
    goal: 1,
  },
  {
    group: 'handshake',
    name: 'accepted, scheme door, over `ws` with the key check alone',
    of: one('gate-schemes', accepted),
    over: one('ws', accepted),
  },
  {
    group: 'handshake',
    name: 'accepted, Express, over the same app answering the GET (connection of its own) + `ws` handshake',
    of: one('gate-express', accepted),
    over: [
      { server: 'express-get', job: get },
      { server: 'ws', job: accepted },
    ],
    goal: 1.1,
  },
  {
    group: 'handshake',
    name: 'the same, the GET on a kept connection',
    of: one('gate-express', accepted),
    over: [
      { server: 'express-get', job: kept },
      { server: 'ws', job: accepted },
    ],
    goal: 1.1,
  },
  {
    group: 'handshake',
    name: 'accepted, Fastify, over `ws`',
    of: one('gate-fastify', accepted),
    over: one('ws', accepted),
    goal: 1.2,
  },
  {
    group: 'handshake',
    name: 'accepted, Hono, over `ws`',
    of: one('gate-hono', accepted),
    over: one('ws', accepted),
    goal: 1.4,
  },
  {
    group: 'handshake',
    name: 'accepted, Koa, over `ws`',
    of: one('gate-koa', accepted),
    over: one('ws', accepted),
    goal: 1.7,
  },
  {
    group: 'handshake',
    metric: 'closing',
    name: 'closing, scheme door, over `ws` with the same work by hand',
    of: one('gate-schemes', accepted),
    over: one('ws-by-hand', accepted),
  },
  {
    group: 'handshake',
    metric: 'closing',
    name: 'closing, Express, over `ws`',
    of: one('gate-express', accepted),
    over: one('ws', accepted),
  },

  ...Object.entries(ROADS).map(([road, job]) => ({
    group: 'roads',
    name: `accepted by ${road}, scheme door, over \`ws\` with the same work by hand`,
    of: one('gate-roads', job),
    over: one('roads-by-hand', job),
  })),

  {
    group: 'refused',
    name: 'refused (wrong key), scheme door, over `ws` `verifyClient`',
    of: one('gate-schemes', wrong),
    over: one('ws-verify-client', wrong),
    goal: 1.05,
  },
  {
    group: 'refused',
    name: 'refused (wrong key), scheme door, over `ws` with the same work by hand',
    of: one('gate-schemes', wrong),
    over: one('ws-by-hand', wrong),
  },
  {
    group: 'refused',
    name: 'refused by cap, over a refusal inside a full Express stack',
    of: one('gate-express-stack-full', overCap),
    over: one('gate-express-stack', wrong),
    goal: 0.35,
  },
  {
    group: 'refused',
    name: 'refused by Origin, over the same',
    of: one('gate-express-stack', foreign),
    over: one('gate-express-stack', wrong),
    goal: 0.35,
  },
  {
    group: 'refused',
    name: 'refused by shape, over the same',
    of: one('gate-express-stack', misshapen),
    over: one('gate-express-stack', wrong),
    goal: 0.35,
  },
  {
    group: 'refused',
    name: 'refused for no credential, scheme door, over the same',
    of: one('gate-schemes', absent),
    over: one('gate-express-stack', wrong),
    goal: 0.35,
  },

  {
    group: 'life',
    name: 'accepted, scheme door, each with a cookie of its own, over `ws` with the same work by hand',
    of: one('gate-schemes', personal),
    over: one('ws-by-hand', personal),
    goal: 1.05,
  },
  {
    group: 'life',
    name: 'the same with `recheck: false`',
    of: one('gate-schemes-unasked', personal),
    over: one('ws-by-hand', personal),
    goal: 1.05,
  },
  {
    group: 'life',
    name: 'accepted, scheme door, re-checks on, over `recheck: false`',
    of: one('gate-schemes', personal),
    over: one('gate-schemes-unasked', personal),
  },
  {
    group: 'life',
    name: 'accepted, scheme door, 100,000 revocations of others remembered, over none',
    of: one('gate-schemes-revoked', personal),
    over: one('gate-schemes', personal),
  },
  {
    group: 'life',
    name: 'a re-check at the Express door, over calling the same app in process',
    of: one('gate-rechecks', { kind: 'asked again', who: personal }),
    over: one('express-calls', { kind: 'asked again' }),
  },
  {
    group: 'life',
    name: 'the same, over a GET of the same app on a kept connection',
    of: one('gate-rechecks', { kind: 'asked again', who: personal }),
    over: one('express-get', { ...kept, headers: { ...headers, Cookie: 'sid=1' } }),
  },

  {
    group: 'messages',
    name: 'echo of 32 B, `gate.websocket()`, over `ws`',
    of: one('gate-express', echo(32)),
    over: one('ws', echo(32)),
    goal: 1,
  },
  {
    group: 'messages',
    name: 'echo of 1 KiB, `gate.websocket()`, over `ws`',
    of: one('gate-express', echo(1024)),
    over: one('ws', echo(1024)),
    goal: 1,
  },
  {
    group: 'messages',
    name: 'echo of 64 KiB, `gate.websocket()`, over `ws`',
    of: one('gate-express', echo(65_536)),
    over: one('ws', echo(65_536)),
    goal: 1,
  },
  {
    group: 'messages',
    name: 'echo of 32 B, handed over with `accept()`, over `ws`',
    of: one('gate-schemes', echo(32)),
    over: one('ws', echo(32)),
    goal: 1,
  },
]

const socketIo = { headers, path: '/ws/?EIO=4&transport=websocket' }
const graphqlWs = {
  headers: { ...headers, 'Sec-WebSocket-Protocol': 'graphql-transport-ws' },
  steps: [{ send: '{"type":"connection_init"}', await: 1 }],
}
const query = JSON.stringify({ id: '1', type: 'subscribe', payload: { query: `{ echo(text: "${'x'.repeat(32)}") }` } })
const withWrongKey = (job) => ({ ...job, headers: { ...job.headers, 'X-Api-Key': 'wrong_api_key' } })

/** The same job in the way that each one's documentation shows. `accepted`, `refused`, `echo`: where they are not the usual. */
const PEERS_GIVEN = [
  { name: '`ws` with the key check', server: 'ws' },
  { name: 'gate101, scheme door', server: 'gate-schemes' },
  { name: 'gate101 on Fastify', server: 'gate-fastify' },
  { name: 'gate101 on Hono', server: 'gate-hono' },
  { name: 'gate101 on Koa', server: 'gate-koa' },
  { name: 'gate101 on Express', server: 'gate-express' },
  { name: 'express-ws (1)', server: 'peer-express-ws', refused: { ...withWrongKey(accepted), until: 'close' } },
  { name: '@fastify/websocket', server: 'peer-fastify-websocket' },
  { name: 'crossws', server: 'peer-crossws' },
  { name: '@hono/node-server', server: 'peer-hono-node-server' },
  {
    name: 'Socket.IO (2)',
    server: 'peer-socket-io',
    accepted: { ...socketIo, steps: [{ await: 1 }, { send: '40', await: 1 }] },
    refused: { ...withWrongKey(socketIo), status: 400 },
    message: `42["message","${'x'.repeat(32)}"]`,
  },
  {
    name: 'graphql-ws (1, 3)',
    server: 'peer-graphql-ws',
    accepted: graphqlWs,
    refused: { ...withWrongKey(graphqlWs), steps: [{ send: '{"type":"connection_init"}', await: 0 }], until: 'close' },
    message: query,
    replies: 2,
  },
]

export const PEER_NOTES = [
  '(1) Refuses after the 101, with a Close frame; measured until both sides have closed.',
  '(2) WebSocket transport only; accepted when its namespace is joined.',
  '(3) Accepted at `connection_ack`; the message is a query that echoes its argument, answered by `next` and `complete`.',
]

export const PEERS = PEERS_GIVEN.map(
  ({ name, server, accepted: ownAccepted = accepted, refused = wrong, message = 'x'.repeat(32), replies }) => ({
    name,
    server,
    accepted: { server, job: ownAccepted },
    refused: { server, job: refused },
    echo: { server, job: { ...echo(32), ...ownAccepted, message, ...(replies === undefined ? {} : { replies }) } },
  }),
)

/** Heap of one idle connection, beyond that of the control. */
export const MEMORY = [
  {
    group: 'memory',
    name: 'heap of an idle connection of `gate.websocket()`, over `ws`',
    of: { server: 'gate-express', job: accepted },
    over: { server: 'ws', job: accepted },
    goal: 350,
  },
  {
    group: 'memory',
    name: 'heap of an idle connection handed over with `accept()`, over `ws`',
    of: { server: 'gate-schemes', job: accepted },
    over: { server: 'ws', job: accepted },
    goal: 350,
  },
  {
    group: 'life',
    name: 'heap of an idle connection with subject, session, credential and expiry of its own, `recheck: false`, over `ws`',
    of: { server: 'gate-indexed', job: fromBrowser },
    over: { server: 'ws', job: fromBrowser },
    goal: 350,
  },
  {
    group: 'life',
    name: 'the same over `ws` with identity, indexes and timer by hand',
    of: { server: 'gate-indexed', job: fromBrowser },
    over: { server: 'ws-indexed-by-hand', job: fromBrowser },
  },
  {
    group: 'life',
    name: 'the first with re-checks, the handshake of a browser (15 headers) kept, over `ws`',
    of: { server: 'gate-asked-again', job: fromBrowser },
    over: { server: 'ws', job: fromBrowser },
    goal: 1024,
  },
  {
    group: 'life',
    name: 'the same over `ws` with identity, indexes, timer and headers kept by hand',
    of: { server: 'gate-asked-again', job: fromBrowser },
    over: { server: 'ws-kept-by-hand', job: fromBrowser },
  },
]

/** Revocation of one subject, and of everybody: who does it, and how each client comes. */
export const REVOCATIONS = { of: 'life-gate', over: 'life-ws-by-hand', job: personal }

/** Ways to keep deadlines, of expiries-child.mjs. A/A is of the first in `over`. */
export const EXPIRIES = { of: 'deadlines', over: ['heap', 'setTimeout'] }

/** System calls of the main thread for one unit of each job. */
export const SYSCALLS = [
  {
    name: 'system calls, accepted, scheme door, over `ws` by hand',
    of: { server: 'gate-schemes', job: accepted },
    over: { server: 'ws-by-hand', job: accepted },
  },
  {
    name: 'system calls, accepted, Express, over `ws`',
    of: { server: 'gate-express', job: accepted },
    over: { server: 'ws', job: accepted },
    goal: null,
  },
  {
    name: 'system calls, refused, scheme door, over `ws` `verifyClient`',
    of: { server: 'gate-schemes', job: wrong },
    over: { server: 'ws-verify-client', job: wrong },
  },
]

/** Every way to refuse, on every adapter: how many sockets the server still has one second later. */
export const HELD = {
  servers: ['gate-schemes', 'gate-express', 'gate-express-stack', 'gate-fastify', 'gate-koa', 'gate-hono'],
  jobs: { wrong, absent, foreign, misshapen },
}

/** Same listeners on the way of a message as with `ws`. */
export const LISTENERS = {
  of: ['gate-express', 'gate-fastify', 'gate-koa', 'gate-hono', 'gate-schemes'],
  over: 'ws',
  job: echo(32),
}
