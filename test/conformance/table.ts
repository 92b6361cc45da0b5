import { closeFrame, frame, OPCODE } from '../support/frames.ts'
import { BANNED_KEY, BEARER, BIG_KIB, KEY, LATE_REFUSAL, NO_KEY, PRIVATE_TEXT, SESSION } from './app.ts'
import type { Case, Difference, Expectation, FrameFact, HeaderFacts, Request } from './case.ts'

/**
 * Every case that decides about a handshake, as data. Each adapter runs them all; where a framework differs, the case says
 * how and why.
 */

const key = { 'X-Api-Key': KEY }

type HeaderMap = NonNullable<Request['headers']>

function get(target: string, headers: HeaderMap = {}): Request {
  return { target, headers: { ...key, ...headers } }
}

function open(receives: readonly FrameFact[] = [], headers: HeaderFacts = {}): Expectation {
  return { to: 'open', receives, headers }
}

function refuse(status: number, code: string, headers: HeaderFacts = {}): Expectation {
  return { to: 'refuse', status, code, headers }
}

/** The app's own answer. */
function app(status: number, body?: string | RegExp, headers: HeaderFacts = {}): Expectation {
  return { to: 'refuse', status, code: 'app', headers, ...(body === undefined ? {} : { body }) }
}

function differs(why: string, expect: Expectation): Difference {
  return { why, expect }
}

const websocketOnly = { Upgrade: 'websocket', 'Sec-WebSocket-Version': '13' }
const echoed = (target: string, headers: HeaderMap = {}): Request => ({
  ...get(target, headers),
  early: frame('hello'),
})

/** The gate's own rules: they come before the app and before every credential, so both doors answer alike. */
function rule(group: string, name: string, request: Request, expect: Expectation, more: Partial<Case> = {}): Case {
  return { group, name, request, expect, schemes: 'same', ...more }
}

const shape = (name: string, headers: HeaderMap, expect: Expectation): Case =>
  rule('shape', name, echoed('/ws', headers), expect)

const SHAPE: readonly Case[] = [
  shape('a good handshake opens', {}, open(['hello'])),
  shape(
    'names in any case, keep-alive beside Upgrade',
    { Upgrade: 'WebSocket', Connection: 'keep-alive, upgrade' },
    open(['hello']),
  ),
  rule('shape', 'POST', { ...get('/ws'), method: 'POST' }, refuse(405, 'method_not_allowed', { Allow: 'GET' })),
  rule('shape', 'OPTIONS', { ...get('/ws'), method: 'OPTIONS' }, refuse(405, 'method_not_allowed', { Allow: 'GET' })),
  rule('shape', 'HTTP/1.0', { ...get('/ws'), version: 'HTTP/1.0' }, refuse(400, 'http_version')),
  rule('shape', 'HEAD', { ...get('/ws'), method: 'HEAD' }, refuse(405, 'method_not_allowed', { Allow: 'GET' })),
  shape('Connection: close beside Upgrade', { Connection: 'close, Upgrade' }, open(['hello'])),
  shape('Content-Length: 0', { 'Content-Length': '0' }, open(['hello'])),
  shape('two Upgrade lines', { Upgrade: ['websocket', 'websocket'] }, refuse(400, 'bad_upgrade')),
  shape('no Host', { Host: null }, refuse(400, 'bad_host')),
  shape('two Hosts', { Host: ['localhost', 'localhost'] }, refuse(400, 'bad_host')),
  shape('Upgrade: h2c', { Upgrade: 'h2c' }, refuse(426, 'upgrade_required', websocketOnly)),
  shape('Upgrade: websocket, h2c', { Upgrade: 'websocket, h2c' }, refuse(400, 'bad_upgrade')),
  shape('Connection names a credential header', { Connection: 'Upgrade, X-Api-Key' }, refuse(400, 'bad_connection')),
  shape(
    'version 8, with its own Origin header',
    { 'Sec-WebSocket-Version': '8', 'Sec-WebSocket-Origin': 'http://localhost' },
    refuse(426, 'bad_version', websocketOnly),
  ),
  shape('no version', { 'Sec-WebSocket-Version': null }, refuse(426, 'bad_version', websocketOnly)),
  shape('no key', { 'Sec-WebSocket-Key': null }, refuse(400, 'bad_key')),
  shape('a key of 15 bytes', { 'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAA' }, refuse(400, 'bad_key')),
  shape(
    'two keys',
    { 'Sec-WebSocket-Key': ['dGhlIHNhbXBsZSBub25jZQ==', 'dGhlIHNhbXBsZSBub25jZQ=='] },
    refuse(400, 'duplicate_header'),
  ),
  shape('a body by Content-Length', { 'Content-Length': '5' }, refuse(400, 'body_not_allowed')),
  shape('a chunked body', { 'Transfer-Encoding': 'chunked' }, refuse(400, 'body_not_allowed')),
  shape('Expect', { Expect: '100-continue' }, refuse(417, 'expectation_failed')),
  shape('two X-Api-Key, one of them good', { 'X-Api-Key': [KEY, 'wrong'] }, refuse(400, 'duplicate_header')),
  shape('two Authorization', { Authorization: ['Bearer a', 'Bearer a'] }, refuse(400, 'duplicate_header')),
  shape('two Origins', { Origin: ['http://localhost', 'http://localhost'] }, refuse(400, 'duplicate_header')),
  shape('a subprotocol that is no token', { 'Sec-WebSocket-Protocol': 'chat, v=2' }, refuse(400, 'bad_protocol')),
  shape('a subprotocol twice', { 'Sec-WebSocket-Protocol': 'chat, chat' }, refuse(400, 'bad_protocol')),
  shape(
    '65 headers',
    Object.fromEntries(Array.from({ length: 65 }, (_, n) => [`X-Junk-${n}`, 'x'])),
    refuse(431, 'headers_too_large'),
  ),
  shape('a credential of 9 KiB', { Authorization: `Bearer ${'a'.repeat(9 * 1024)}` }, refuse(431, 'headers_too_large')),
  shape(
    'a Cookie of 10 KiB beside a good key',
    { Cookie: `big=${'a'.repeat(10 * 1024)}`, Origin: 'https://localhost' },
    open(['hello']),
  ),
]

const target = (name: string, path: string, expect: Expectation, more: Partial<Case> = {}): Case =>
  rule('target', name, echoed(path), expect, more)

const badTarget = refuse(400, 'bad_target')

const TARGET: readonly Case[] = [
  rule(
    'target',
    'the query reaches the app untouched',
    get('/whoami?room=1&next=//a/../b'),
    open([{ json: { url: '/whoami?room=1&next=//a/../b' } }]),
  ),
  target('a bare question mark', '/ws?', open(['hello'])),
  target('//ws', '//ws', badTarget),
  target('//evil/ws', '//evil/ws', badTarget),
  target('//[', '//[', badTarget),
  target('/./ws', '/./ws', badTarget),
  target('/x/../ws', '/x/../ws', badTarget),
  target('/x/%2e%2e/ws', '/x/%2e%2e/ws', badTarget),
  target('a percent-encoded letter', '/%77s', badTarget),
  target('a percent-encoded slash', '/ws%2f', badTarget),
  target('a broken percent-encoding', '/ws%zz', badTarget),
  target('a semicolon', '/ws;a=b', badTarget),
  target('a backslash', '/\\ws', badTarget),
  target('a fragment', '/ws#x', badTarget),
  target('absolute form', 'http://localhost/ws', badTarget),
  rule('target', 'longer than 4096 bytes', get(`/ws?${'a'.repeat(4096)}`), refuse(414, 'target_too_long')),
]

const from = (
  name: string,
  origin: string | null,
  expect: Expectation,
  headers: HeaderMap = {},
  more: Partial<Case> = {},
): Case => rule('host and origin', name, echoed('/ws', { Origin: origin, ...headers }), expect, more)

const badOrigin = refuse(403, 'bad_origin')
const listed = { policy: 'listed' } as const

const ORIGIN: readonly Case[] = [
  from('an unknown Host on a loopback address', null, refuse(421, 'host_not_allowed'), { Host: 'rebound.example' }),
  from('an IP address as Host', null, open(['hello']), { Host: '127.0.0.1:8080' }),
  from('a Host of the option hosts', null, open(['hello']), { Host: 'ws.internal.example' }, listed),
  from('same origin', 'http://localhost', open(['hello']), {}, { tls: badOrigin }),
  from('https Origin before a plain socket: TLS ended in front', 'https://localhost', open(['hello'])),
  from('a foreign Origin', 'https://evil.example', badOrigin),
  from('another port', 'http://localhost:81', badOrigin),
  from('Origin: null', 'null', badOrigin),
  from('an Origin with a path', 'http://localhost/', badOrigin),
  from('a list of Origins', 'http://localhost https://evil.example', badOrigin),
  from('a suffix of our own name', 'http://evil-localhost', badOrigin),
  from('an allowed Origin', 'https://app.example.com', open(['hello']), {}, listed),
  from('an allowed Origin, its default port written', 'https://app.example.com:443', open(['hello']), {}, listed),
  from('our own Origin where a list is given', 'http://localhost', badOrigin, {}, listed),
  from('a prefix of an allowed Origin', 'https://app.example.com.evil.example', badOrigin, {}, listed),
  from('Sec-Fetch-Site: cross-site', 'https://localhost', refuse(403, 'cross_site'), {
    'Sec-Fetch-Site': 'cross-site',
  }),
  from('only a cookie, and no Origin', null, refuse(403, 'missing_origin'), { 'X-Api-Key': null, Cookie: SESSION }),
]

const missingKey = refuse(401, 'missing_credential', { 'WWW-Authenticate': /^ApiKey / })
const wrongKey = refuse(401, 'invalid_credential', { 'WWW-Authenticate': /^ApiKey / })
const appNoKey = app(401, NO_KEY.body, { 'WWW-Authenticate': 'ApiKey realm="app"', 'Cache-Control': 'no-store' })

function credential(name: string, request: Request, expect: Expectation, schemes?: Expectation | 'same'): Case {
  return { group: 'credentials', name, request, expect, ...(schemes === undefined ? {} : { schemes }) }
}

const CREDENTIALS: readonly Case[] = [
  credential(
    'a good key: the identity reaches the handler',
    get('/whoami'),
    open([{ json: { issuer: 'app', subject: 'alice', expiresAt: '2096-10-02T07:06:40.000Z' } }]),
    open([{ json: { issuer: 'apiKey', subject: 'alice' } }]),
  ),
  credential("no key: the app's own 401 with its challenge", { target: '/ws' }, appNoKey, missingKey),
  credential('a wrong key', get('/ws', { 'X-Api-Key': 'wrong_api_key' }), appNoKey, wrongKey),
  credential('an empty key', get('/ws', { 'X-Api-Key': '' }), appNoKey),
  credential(
    "a banned key: the app's own 403",
    get('/ws', { 'X-Api-Key': BANNED_KEY }),
    app(403, '{"app":"this key is banned"}'),
  ),
  credential(
    'the key in another header',
    get('/ws', { 'X-Api-Key': null, X_Api_Key: KEY, Authorization: KEY }),
    appNoKey,
    missingKey,
  ),
  credential('the key in the query', { target: `/ws?x-api-key=${KEY}` }, appNoKey, missingKey),
  credential(
    'a session cookie with an Origin',
    { target: '/whoami', headers: { Cookie: `theme=dark; ${SESSION}`, Origin: 'https://localhost' } },
    open([{ json: { subject: 'alice' } }]),
    missingKey,
  ),
  credential(
    'a wrong cookie with an Origin',
    { target: '/ws', headers: { Cookie: 'session=bob', Origin: 'https://localhost' } },
    appNoKey,
  ),
  credential('a header named __proto__', get('/ws', { __proto__x: '1', constructor: '1' }), open(), 'same'),
]

function answers(name: string, path: string, expect: Expectation, more: Partial<Case> = {}): Case {
  return { group: 'the app answers', name, request: get(path), expect, schemes: 'same', ...more }
}

const notAccepted = refuse(403, 'not_accepted')

const ANSWERS: readonly Case[] = [
  answers(
    '401 with two challenges',
    '/answers/challenge',
    app(401, 'who?', { 'WWW-Authenticate': ['Basic realm="a"', 'Bearer'] }),
    {
      differs: {
        hono: differs(
          'a fetch Headers object joins fields of one name',
          app(401, 'who?', { 'WWW-Authenticate': 'Basic realm="a", Bearer' }),
        ),
      },
    },
  ),
  answers(
    '403 with its type and its own Cache-Control',
    '/answers/403',
    app(403, '{"title":"no"}', {
      'Content-Type': /^application\/problem\+json/,
      'Cache-Control': 'private, max-age=60',
    }),
  ),
  answers(
    '302 with two cookies apart',
    '/answers/302',
    app(302, undefined, {
      Location: '/login?next=%2Fws',
      'Set-Cookie': ['flash=1; Path=/; HttpOnly', 'seen=2; Path=/'],
      'Cache-Control': 'no-store',
    }),
  ),
  answers('404 by the route', '/answers/404', app(404, 'no such room')),
  answers('404 by the framework', '/nothing-here', app(404)),
  answers('429 with Retry-After', '/answers/429', app(429, 'slow down', { 'Retry-After': '30' })),
  answers('500', '/answers/500', app(500, 'the app says 500')),
  answers(
    '503 that says Upgrade and Sec-WebSocket-Accept',
    '/answers/503',
    app(503, 'closed today', { Upgrade: null, 'Sec-WebSocket-Accept': null, 'Sec-WebSocket-Version': '13' }),
  ),
  answers('200: not accepted, and nothing of the page', '/answers/200', notAccepted),
  answers('201: not accepted', '/answers/201', notAccepted),
  answers('204: not accepted', '/answers/204', notAccepted),
  answers('an event stream that never ends: not accepted, and the app hears it', '/events', {
    to: 'refuse',
    status: 403,
    code: 'not_accepted',
    closesApp: true,
  }),
  answers(
    'a refusal whose body never ends: cut by the deadline',
    '/drips',
    { to: 'cut', status: 503, atMost: 1024 },
    { policy: 'hasty' },
  ),
  answers('a refusal of 960 KiB, with back-pressure', '/large', app(500, /^x{983040}$/)),
  answers(`a refusal of ${BIG_KIB / 1024} MiB: cut`, '/big', { to: 'cut', status: 500, atMost: 1024 * 1024 }),
  answers('103 before a 403: dropped', '/hints', app(403, 'no')),
  answers('101 without the gate', '/bare101', refuse(500, 'unmarked_101')),
  answers('throws', '/throws', app(500), {
    differs: { http: differs('nobody but the gate hears what a listener throws', refuse(500, 'app_error')) },
  }),
  answers('fails later', '/rejects', app(500), {
    differs: { http: differs('nobody but the gate hears what a listener rejects with', refuse(500, 'app_error')) },
  }),
  answers(
    'never answers',
    '/hangs',
    { to: 'refuse', status: 503, code: 'handshake_timeout', headers: { 'Retry-After': '1' }, closesApp: true },
    { policy: 'hasty' },
  ),
]

function outer(name: string, path: string, expect: Expectation, more: Partial<Case> = {}): Case {
  return { group: 'outer middleware', name, request: echoed(path), expect, schemes: 'same', ...more }
}

const OUTER: readonly Case[] = [
  outer('throws after next()', '/outer/throws-after', app(500), {
    differs: {
      http: differs('nobody but the gate hears what a listener throws', refuse(500, 'app_error')),
    },
  }),
  outer('answers 403 after next()', '/outer/forbids-after', app(403, LATE_REFUSAL.body)),
  outer('answers 200 after next()', '/outer/replaces-after', notAccepted),
  outer('sets a header after next(): it is on the 101', '/outer/sets-after', open(['hello'], { 'X-After': 'yes' })),
  outer(
    'sets headers before next(): they are on the 101, cookies apart',
    '/outer/sets-before',
    open(['hello'], {
      'X-Before': 'yes',
      'Set-Cookie': ['a=1; Path=/; HttpOnly', 'b=2; Path=/; Expires=Thu, 01 Jan 2099 00:00:00 GMT'],
    }),
  ),
  outer(
    'sets what has no place on a 101: left out',
    '/outer/sets-forbidden',
    open(['hello'], { 'X-Kept': 'yes', 'Content-Language': null, 'Sec-WebSocket-Protocol': null }),
  ),
  {
    ...outer(
      'sets headers before the guard refuses: they are on the refusal',
      '/outer/sets-before',
      app(401, NO_KEY.body, {
        'X-Before': 'yes',
        'Set-Cookie': ['a=1; Path=/; HttpOnly', 'b=2; Path=/; Expires=Thu, 01 Jan 2099 00:00:00 GMT'],
      }),
    ),
    request: { target: '/outer/sets-before' },
    schemes: missingKey,
  },
]

function identify(name: string, how: string, expect: Expectation): Case {
  return { group: 'identify', name, request: get('/whoami', { 'X-Identify': how }), expect }
}

const IDENTITY: readonly Case[] = [
  identify('null', 'null', refuse(403, 'no_identity')),
  identify('undefined', 'undefined', refuse(403, 'no_identity')),
  identify('throws', 'throws', refuse(500, 'app_error')),
  identify('rejects', 'rejects', refuse(500, 'app_error')),
  identify('async', 'async', open([{ json: { subject: 'async-alice', expiresAt: null } }])),
  identify('a number as expiresAt', 'number', refuse(500, 'app_error')),
  identify('expired', 'expired', refuse(401, 'expired_credential')),
  identify('an empty subject', 'empty', refuse(500, 'app_error')),
  identify('a number as subject', 'numeric', open([{ json: { subject: '42' } }])),
  { ...identify('never settles', 'hangs', refuse(503, 'handshake_timeout')), policy: 'hasty' },
  {
    group: 'identify',
    name: 'a route without a guard, and no credential',
    request: { target: '/unguarded' },
    expect: refuse(403, 'unguarded_route'),
    schemes: missingKey,
  },
  {
    group: 'identify',
    name: 'a route without a guard, and any credential',
    request: echoed('/unguarded', { 'X-Api-Key': 'whatever_it_is' }),
    expect: open(['hello']),
    schemes: wrongKey,
  },
  {
    group: 'identify',
    name: 'an anonymous route',
    request: { target: '/anonymous' },
    expect: open([{ json: { subject: 'alice' } }]),
    schemes: missingKey,
  },
  {
    group: 'identify',
    name: 'an anonymous route on which nobody is identified',
    request: { target: '/anonymous', headers: { 'X-Identify': 'null' } },
    expect: refuse(403, 'no_identity'),
  },
]

function messages(
  name: string,
  path: string,
  frames: readonly Buffer[],
  receives: readonly FrameFact[],
  when: 'early' | 'late',
): Case {
  const request = { ...get(path), [when]: Buffer.concat(frames) }
  return { group: 'messages', name, request, expect: open(receives), schemes: 'same' }
}

const texts = (count: number): string[] => Array.from({ length: count }, (_, n) => `m${n}`)
const framesOf = (list: readonly string[]): Buffer[] => list.map((text) => frame(text))
const ping = frame('are you there', { opcode: OPCODE.ping })

const MESSAGES: readonly Case[] = [
  messages('in the packet of the handshake: in order, each once', '/ws', framesOf(texts(5)), texts(5), 'early'),
  messages('right after the 101', '/ws', framesOf(texts(5)), texts(5), 'late'),
  messages('to a handler that listens late', '/late', framesOf(texts(5)), texts(5), 'early'),
  messages('200 to a handler that listens late', '/late', framesOf(texts(200)), texts(200), 'early'),
  messages(
    '300 KiB to a handler that listens late',
    '/late',
    framesOf(texts(300).map((text) => text.padEnd(1024, '.'))),
    texts(300).map((text) => text.padEnd(1024, '.')),
    'late',
  ),
  messages(
    'to a handler that waits for each anew',
    '/one-by-one',
    framesOf(['a', 'b', 'c']),
    ['one: a', 'one: b', 'one: c'],
    'early',
  ),
  messages(
    'a Ping while the handler is not yet listening',
    '/late',
    [ping, ...framesOf(['a'])],
    [{ pong: 'are you there' }, 'a'],
    'early',
  ),
  messages(
    'a handler that only sends still answers a Ping',
    '/greet',
    [ping],
    ['hello', { pong: 'are you there' }],
    'late',
  ),
  messages(
    'a handler that only sends lets messages fall',
    '/greet',
    [...framesOf(texts(100)), ping],
    ['hello', { pong: 'are you there' }],
    'late',
  ),
  messages('a Close in the packet of the handshake', '/ws', [closeFrame(1000)], [{ close: 1000 }], 'early'),
  messages('a malformed first frame', '/ws', [frame('x', { rsv: 3 })], [{ close: 1002 }], 'early'),
  messages('an unmasked first frame', '/ws', [frame('x', { masked: false })], [{ close: 1002 }], 'early'),
  messages(
    'a second HTTP request in the packet is no HTTP',
    '/ws',
    [Buffer.from('GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n')],
    [{ close: 1002 }],
    'early',
  ),
  messages('a message of 2 MiB', '/ws', [frame('', { claimedLength: 2 * 1024 * 1024 })], [{ close: 1009 }], 'late'),
  messages('a handler that throws', '/handler-throws', [], [{ close: 1011, reason: 'handler_failed' }], 'late'),
  messages(
    'a handler that rejects',
    '/handler-rejects',
    framesOf(['a']),
    [{ close: 1011, reason: 'handler_failed' }],
    'early',
  ),
  {
    group: 'messages',
    name: 'the handler runs in the async context of the middleware',
    request: get('/whoami'),
    expect: open([{ json: { context: 'alice' } }]),
  },
]

function plain(name: string, request: Request, expect: Expectation, more: Partial<Case> = {}): Case {
  return { group: 'plain HTTP', name, request: { ...request, plain: true }, expect, schemes: 'same', ...more }
}

const advice: Expectation = {
  to: 'answer',
  status: 426,
  headers: { Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Cache-Control': 'no-store' },
  body: /"error":"websocket_only".*handshake itself/,
}

const PLAIN: readonly Case[] = [
  plain('GET with the key: 426 with advice', get('/ws'), advice),
  plain(
    "GET without the key: the app's own 401",
    { target: '/ws' },
    { to: 'answer', status: 401, body: NO_KEY.body, headers: { 'WWW-Authenticate': 'ApiKey realm="app"' } },
    {
      schemes: {
        to: 'answer',
        status: 401,
        body: /This handshake carries no credential/,
        headers: { 'WWW-Authenticate': /^ApiKey / },
      },
    },
  ),
  plain('GET of a page stays what it was', get('/answers/200'), { to: 'answer', status: 200, body: PRIVATE_TEXT }),
  plain(
    'HEAD with the key',
    { ...get('/ws'), method: 'HEAD' },
    { to: 'answer', status: 426, headers: { Upgrade: 'websocket' } },
    {
      differs: {
        http: { why: 'the app itself answers GET alone', expect: { to: 'answer', status: 404 } },
      },
    },
  ),
  plain(
    'POST with the key',
    { ...get('/ws', { 'Content-Length': '0' }), method: 'POST' },
    { to: 'answer', status: 404 },
    {
      differs: { connect: { why: 'its mounts know no methods', expect: advice } },
    },
  ),
]

/** The probe of a page that was refused: a plain GET with what its handshake would carry. */
const uncached: HeaderFacts = { 'Cache-Control': 'no-store', Vary: /Cookie, Authorization, Origin/i }
const probed = (status: number, code: string): Expectation => ({
  to: 'answer',
  status,
  headers: uncached,
  body: new RegExp(`"error":"${code}"`),
})

const PROBE: readonly Case[] = [
  plain('the probe of our own page', get('/ws', { Origin: 'https://localhost' }), probed(426, 'websocket_only')),
  plain('the probe of a foreign page', get('/ws', { Origin: 'https://evil.example' }), probed(403, 'bad_origin')),
  plain('the probe under a foreign name', get('/ws', { Host: 'rebound.example' }), probed(421, 'host_not_allowed')),
  plain('the probe of a route that nobody guards', { target: '/unguarded' }, probed(403, 'unguarded_route'), {
    schemes: probed(401, 'missing_credential'),
  }),
  {
    group: 'plain HTTP',
    name: 'the probe where nobody is identified',
    request: { ...get('/whoami', { 'X-Identify': 'null' }), plain: true },
    expect: probed(403, 'no_identity'),
  },
  plain(
    'the probe takes no ticket',
    { target: '/whoami?ticket={ticket}', mint: key },
    { to: 'answer', status: 401, body: NO_KEY.body },
    { policy: 'roads', schemes: { to: 'answer', status: 401, body: /carries no credential/ } },
  ),
]

/** Answers to the request for a ticket itself. */
const asking = (name: string, request: Request, expect: Expectation, more: Partial<Case> = {}): Case => ({
  ...plain(name, { method: 'POST', ...request, target: '/ticket' }, expect, { policy: 'roads', ...more }),
  group: 'tickets',
})
const json = { 'Content-Type': 'application/json', 'Content-Length': '2' }
const made: HeaderFacts = {
  'Cache-Control': 'no-store',
  'X-Content-Type-Options': 'nosniff',
  'Access-Control-Allow-Origin': null,
}
const notMade = (status: number, code: string): Expectation => ({
  to: 'answer',
  status,
  headers: made,
  body: new RegExp(`"error":"${code}"`),
  code,
})
const posted = (headers: HeaderMap): Request => ({ headers: { ...json, ...headers }, early: Buffer.from('{}') })

const TICKET_ROUTE: readonly Case[] = [
  asking('one is made', posted(key), {
    to: 'answer',
    status: 200,
    headers: made,
    body: /^\{"ticket":"([A-Za-z0-9_-]{64})","expiresIn":15,"url":"\/whoami\?ticket=\1"\}\n$/,
  }),
  // Fastify itself refuses a body of a type that it does not know.
  asking('not for a form', { headers: { ...key, 'Content-Length': '0' } }, notMade(415, 'ticket_needs_json')),
  asking('not for a foreign page', posted({ ...key, Origin: 'https://evil.example' }), notMade(403, 'bad_origin')),
  asking(
    "not for nobody: the app's own 401",
    posted({}),
    { to: 'answer', status: 401, body: NO_KEY.body },
    { schemes: { to: 'answer', status: 401, body: /carries no credential/ } },
  ),
  asking('not for a cookie without an Origin', posted({ Cookie: SESSION }), notMade(403, 'missing_origin'), {
    schemes: { to: 'answer', status: 401, body: /carries no credential/ },
  }),
]

function ticket(name: string, request: Omit<Request, 'mint'> & Partial<Request>, expect: Expectation): Case {
  return {
    group: 'tickets',
    name,
    request: { mint: key, ...request },
    expect,
    schemes: 'same',
    policy: 'roads',
  }
}

const saw = (url: string): Expectation => open([{ json: { subject: 'alice', url } }])

const TICKETS: readonly Case[] = [
  ticket('in the URL: the rest of it stays', { target: '/whoami?a=1&ticket={ticket}&b=%20' }, saw('/whoami?a=1&b=%20')),
  ticket(
    'as a subprotocol',
    { target: '/whoami', headers: { 'Sec-WebSocket-Protocol': 'ticket.gate101.{ticket}, gate101' } },
    open([{ json: { subject: 'alice' } }], { 'Sec-WebSocket-Protocol': 'gate101' }),
  ),
  ticket('used before', { target: '/whoami?ticket={ticket}', spent: true }, refuse(401, 'invalid_ticket')),
  ticket('made up', { target: `/whoami?ticket=${'A'.repeat(64)}` }, refuse(401, 'invalid_ticket')),
  ticket('on another path', { target: '/ws?ticket={ticket}' }, refuse(403, 'ticket_mismatch')),
  ticket(
    'from a page, and asked for by none',
    { target: '/whoami?ticket={ticket}', headers: { Origin: 'https://localhost' } },
    refuse(403, 'ticket_mismatch'),
  ),
  ticket(
    'from a foreign page',
    { target: '/whoami?ticket={ticket}', headers: { Origin: 'https://evil.example' } },
    refuse(403, 'bad_origin'),
  ),
  ticket(
    'beside another credential',
    { target: '/whoami?ticket={ticket}', headers: key },
    refuse(400, 'credential_conflict'),
  ),
  ticket(
    "beside somebody's cookie: that is left out",
    { target: '/whoami?ticket={ticket}', headers: { Cookie: 'session=bob' } },
    saw('/whoami'),
  ),
]

function token(
  name: string,
  target: string,
  offered: string | null,
  expect: Expectation,
  headers: HeaderMap = {},
): Case {
  return {
    group: 'tokens',
    name,
    request: { target, headers: { 'Sec-WebSocket-Protocol': offered, ...headers } },
    expect,
    policy: 'roads',
    // The scheme reads X-Api-Key: a bearer token is none.
    ...(expect.to === 'refuse' ? { schemes: expect.code === 'app' ? missingKey : 'same' } : {}),
  }
}

const item = (text: string): string =>
  `base64url.bearer.authorization.gate101.${Buffer.from(text).toString('base64url')}`
const aliceBy = (url: string, selected: string | null): Expectation =>
  open([{ json: { subject: 'alice', url } }], { 'Sec-WebSocket-Protocol': selected })

const TOKENS: readonly Case[] = [
  token('in a subprotocol', '/whoami', `${item(BEARER)}, gate101`, aliceBy('/whoami', 'gate101')),
  token('in a subprotocol, a wrong one', '/whoami', `gate101, ${item('wrong')}`, appNoKey),
  token('in a subprotocol, padded', '/whoami', `gate101, ${item(BEARER)}=`, refuse(400, 'bad_token')),
  token('two in subprotocols', '/whoami', `gate101, ${item('a')}, ${item('b')}`, refuse(400, 'credential_conflict')),
  token('alone', '/whoami', item(BEARER), refuse(400, 'subprotocol_required')),
  token(
    'in a subprotocol beside Authorization',
    '/whoami',
    `gate101, ${item(BEARER)}`,
    refuse(400, 'credential_conflict'),
    {
      Authorization: `Bearer ${BEARER}`,
    },
  ),
  token('in the URL', `/whoami?a=1&access_token=${BEARER}`, null, aliceBy('/whoami?a=1', null)),
  token('in the URL, twice', `/whoami?access_token=a&access_token=b`, null, refuse(400, 'bad_token')),
  {
    ...token('in the URL, where that is off', `/whoami?access_token=${BEARER}`, null, appNoKey),
    policy: 'default',
  },
  {
    ...token('in a subprotocol, where that is off', '/whoami', `gate101, ${item(BEARER)}`, appNoKey),
    policy: 'default',
  },
  {
    group: 'tokens',
    name: 'a session cookie twice',
    request: { target: '/whoami', headers: { Cookie: `${SESSION}; session=bob`, Origin: 'https://localhost' } },
    expect: refuse(400, 'duplicate_cookie'),
    schemes: 'same',
    policy: 'roads',
  },
  rule(
    'tokens',
    'a __Host- cookie twice, beside a good key',
    get('/whoami', { Cookie: ['__Host-a=1', 'b=1; __Host-a=2'], Origin: 'https://localhost' }),
    refuse(400, 'duplicate_cookie'),
  ),
]

const MARKED = { 'Sec-WebSocket-Protocol': 'gate101, refusal.gate101' }

/** A refusal in the form of a Close. */
function told(close: number, reason: string): Expectation {
  return {
    to: 'converse',
    code: reason,
    headers: { 'Sec-WebSocket-Protocol': 'refusal.gate101' },
    receives: [{ close, reason }],
  }
}

function readable(name: string, request: Request, expect: Expectation, more: Partial<Case> = {}): Case {
  const headers = { ...MARKED, ...request.headers }
  return {
    group: 'readable refusals',
    name,
    request: { ...request, headers },
    expect,
    schemes: 'same',
    policy: 'roads',
    ...more,
  }
}

const READABLE: readonly Case[] = [
  readable("the app's 401", { target: '/ws' }, told(4401, 'app'), { schemes: told(4401, 'missing_credential') }),
  readable("the app's 302, without its cookies", get('/answers/302'), told(4401, 'app')),
  readable("the app's 403", get('/answers/403'), told(4403, 'app')),
  readable("the app's 429", get('/answers/429'), told(4429, 'app')),
  readable("the app's 500", get('/answers/500'), told(1011, 'app')),
  readable("the app's 503", get('/answers/503'), told(1013, 'app')),
  readable('not accepted', get('/answers/200'), told(4403, 'not_accepted')),
  readable('a ticket that is none', { target: `/ws?ticket=${'A'.repeat(64)}` }, told(4401, 'invalid_ticket')),
  readable('a bad Origin is HTTP', get('/ws', { Origin: 'https://evil.example' }), badOrigin),
  readable('a bad Host is HTTP', get('/ws', { Host: 'rebound.example' }), refuse(421, 'host_not_allowed')),
  readable('a bad shape is HTTP', get('/ws', { 'Sec-WebSocket-Key': 'x' }), refuse(400, 'bad_key')),
  readable(
    'without the marker it is HTTP',
    get('/answers/403', { 'Sec-WebSocket-Protocol': 'gate101' }),
    app(403, '{"title":"no"}'),
  ),
  readable('where refusals are HTTP it is HTTP', get('/answers/403', MARKED), app(403, '{"title":"no"}'), {
    policy: 'default',
  }),
  readable('who is accepted gets the real subprotocol', get('/whoami', MARKED), {
    to: 'open',
    headers: { 'Sec-WebSocket-Protocol': 'gate101' },
    receives: [{ json: { subject: 'alice' } }],
  }),
]

const auth = (fields: object): Buffer => frame(JSON.stringify({ type: 'auth', ...fields }))

function first(name: string, late: Buffer, expect: Expectation, schemes: Expectation | 'same' = 'same'): Case {
  return { group: 'first message', name, request: { target: '/whoami', late }, expect, schemes, policy: 'waits' }
}

const unauthorized = (code: string): Expectation => ({
  to: 'converse',
  code,
  receives: [{ json: { type: 'auth_error', status: 401, code } }, { close: 4401, reason: code }],
})

const FIRST: readonly Case[] = [
  first('a good key', auth({ headers: { 'x-api-key': KEY } }), {
    to: 'converse',
    receives: [{ json: { type: 'auth_ok', subject: 'alice' } }, { json: { subject: 'alice', url: '/whoami' } }],
  }),
  first(
    'a wrong key',
    auth({ headers: { 'x-api-key': 'wrong' } }),
    unauthorized('app'),
    unauthorized('invalid_credential'),
  ),
  first('a message that is none', frame('hello'), {
    to: 'converse',
    code: 'bad_auth_message',
    receives: [{ close: 4400, reason: 'bad_auth_message' }],
  }),
  {
    ...first('a wrong explicit credential is refused at once', auth({}), appNoKey, wrongKey),
    request: get('/whoami', { 'X-Api-Key': 'wrong' }),
  },
  { ...first('other paths do not wait', auth({}), appNoKey, missingKey), request: { target: '/ws' } },
]

function subprotocol(name: string, path: string, offered: string, selected: string | null): Case {
  return {
    group: 'subprotocols',
    name,
    request: echoed(path, { 'Sec-WebSocket-Protocol': offered }),
    expect: open(['hello'], { 'Sec-WebSocket-Protocol': selected }),
    schemes: 'same',
  }
}

const SUBPROTOCOLS: readonly Case[] = [
  subprotocol('none is selected by default', '/ws', 'chat, v2', null),
  subprotocol('one that may be a credential is not echoed', '/ws', 'bearer.SECRET', null),
  subprotocol('the first offered that the route speaks', '/protocols', 'v1, v2', 'v1'),
  subprotocol('one among others', '/protocols', 'bearer.SECRET, v2', 'v2'),
  subprotocol('none in common', '/protocols', 'v3', null),
  rule(
    'subprotocols',
    'an extension is not taken',
    echoed('/ws', { 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits' }),
    open(['hello'], { 'Sec-WebSocket-Extensions': null }),
  ),
]

export const TABLE: readonly Case[] = [
  ...SHAPE,
  ...TARGET,
  ...ORIGIN,
  ...CREDENTIALS,
  ...ANSWERS,
  ...OUTER,
  ...IDENTITY,
  ...MESSAGES,
  ...PLAIN,
  ...PROBE,
  ...SUBPROTOCOLS,
  ...TICKET_ROUTE,
  ...TICKETS,
  ...TOKENS,
  ...READABLE,
  ...FIRST,
]
