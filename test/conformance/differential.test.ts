import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import fc from 'fast-check'
import { connectRaw, handshake, rawRequest, type RawResponse } from '../support/raw.ts'
import { valuesOf, type ParsedResponse } from '../support/response.ts'
import { listen, type Listening } from '../support/servers.ts'
import { trapFaults } from '../support/trap.ts'
import { connectStack, nodeStack } from './stacks/connect.ts'
import { express4Stack, express5Stack } from './stacks/express.ts'
import { fastifyStack } from './stacks/fastify.ts'
import { honoStack } from './stacks/hono.ts'
import { koaStack } from './stacks/koa.ts'
import { nestExpressStack, nestFastifyStack } from './stacks/nest.ts'
import { ALLOWED_ORIGIN, API_KEY, basicOf, PATHS, TOKENS, USER, type BuiltStack, type Stack } from './stacks/shared.ts'

/**
 * What the app says to a GET is what it says to the handshake: the same generated request goes to each stack twice, once
 * plain and once as a handshake. Beyond that only the gate's own rules may refuse, and each of those is predicted here.
 */

/** For each stack. */
const RUNS = Number(process.env['DIFFERENTIAL_RUNS'] ?? 300)

/** Cookies of one stack, as a real login gave them. */
interface Jar {
  readonly good: string
  readonly loggedOut: string
  readonly tampered: string
}

type CookieKind = keyof Jar | 'none' | 'other' | 'garbage'

interface Generated {
  readonly path: string
  readonly query: string
  readonly keys: readonly string[]
  readonly authorizations: readonly string[]
  readonly cookie: CookieKind
  readonly origin: boolean
  readonly extra: Readonly<Record<string, string>>
}

const paths = fc
  .constantFrom(...PATHS)
  .chain((path) =>
    fc.constantFrom(path, path, path, path, path.toUpperCase(), `${path}/`, `${path}x`, path.slice(0, -1) || '/'),
  )
const queries = fc.constantFrom(
  '',
  '',
  '?',
  '?a=1',
  '?a[b]=c&a=2',
  '?next=//evil.example/ws',
  `?x-api-key=${API_KEY}`,
  '?room=%C3%A9',
)
const authorizations = [
  basicOf(USER.name, USER.password),
  basicOf(USER.name, 'wrong'),
  'Basic',
  'Basic !!!!',
  ...Object.values(TOKENS).map((token) => `Bearer ${token}`),
  `bearer ${TOKENS.good}`,
  'Bearer',
  'Digest username="alice"',
]
const few = <Value>(value: fc.Arbitrary<Value>): fc.Arbitrary<readonly Value[]> =>
  fc.oneof(
    { weight: 4, arbitrary: fc.constant([]) },
    { weight: 5, arbitrary: fc.tuple(value) },
    { weight: 1, arbitrary: fc.tuple(value, value) },
  )

const generated: fc.Arbitrary<Generated> = fc.record({
  path: paths,
  query: queries,
  keys: few(fc.constantFrom(API_KEY, API_KEY, 'wrong_api_key', '')),
  authorizations: few(fc.constantFrom(...authorizations)),
  cookie: fc.constantFrom<CookieKind>(
    'none',
    'none',
    'good',
    'good',
    'good',
    'loggedOut',
    'tampered',
    'other',
    'garbage',
  ),
  origin: fc.boolean(),
  extra: fc.constantFrom<Record<string, string>>(
    {},
    {},
    { 'X-Tier': 'none' },
    { 'Accept-Encoding': 'gzip' },
    { Accept: 'text/html' },
    { 'X-Forwarded-For': '203.0.113.7' },
  ),
})

const nothing: Generated = {
  path: '/ws',
  query: '',
  keys: [],
  authorizations: [],
  cookie: 'none',
  origin: false,
  extra: {},
}

/** One of each outcome, so that no run can pass without having seen them. */
const EXAMPLES: ReadonlyArray<[Generated]> = [
  [nothing],
  [{ ...nothing, cookie: 'good', origin: true }],
  [{ ...nothing, cookie: 'good' }],
  [{ ...nothing, cookie: 'loggedOut', origin: true }],
  [{ ...nothing, cookie: 'tampered', origin: true }],
  [{ ...nothing, path: '/cookies', cookie: 'good', origin: true }],
  [{ ...nothing, path: '/basic', authorizations: [authorizations[0] ?? ''] }],
  [{ ...nothing, path: '/basic', authorizations: [authorizations[1] ?? ''] }],
  [{ ...nothing, path: '/bearer', authorizations: [`Bearer ${TOKENS.good}`] }],
  [{ ...nothing, path: '/bearer', authorizations: [`Bearer ${TOKENS.expired}`] }],
  [{ ...nothing, path: '/key', keys: [API_KEY] }],
  [{ ...nothing, path: '/key', keys: [API_KEY, API_KEY] }],
  [{ ...nothing, path: '/limited', keys: [API_KEY], extra: { 'X-Tier': 'none' } }],
  [{ ...nothing, path: '/limited', keys: [API_KEY] }],
  [{ ...nothing, path: '/open' }],
  [{ ...nothing, path: '/open', keys: ['wrong_api_key'] }],
  [{ ...nothing, path: '/redirect' }],
  [{ ...nothing, path: '/long', extra: { 'Accept-Encoding': 'gzip' } }],
  [{ ...nothing, path: '/page' }],
  [{ ...nothing, path: '/missing' }],
  [{ ...nothing, path: '/rooms/%C3%A9/ws', cookie: 'good', origin: true }],
]

const OUTCOMES = [
  '101',
  'app 401',
  'app 404',
  'app 429',
  'app 302',
  'app 403',
  'not_accepted',
  'unguarded_route',
  'missing_origin',
  'duplicate_header',
]

function headersOf(given: Generated, jar: Jar): Record<string, string | readonly string[] | null> {
  const cookies: Record<CookieKind, string | null> = {
    ...jar,
    none: null,
    other: 'theme=dark; lang=en',
    garbage: 'sid=%%%; ==;; a',
  }
  return {
    ...given.extra,
    'X-Api-Key': given.keys.length === 0 ? null : given.keys,
    Authorization: given.authorizations.length === 0 ? null : given.authorizations,
    Cookie: cookies[given.cookie],
    Origin: given.origin ? ALLOWED_ORIGIN : null,
  }
}

const PLAIN = { Upgrade: null, Connection: 'close', 'Sec-WebSocket-Key': null, 'Sec-WebSocket-Version': null }

/** The gate's own rule that this request breaks, whatever the app says. */
function ownRule(given: Generated): string | undefined {
  if (given.keys.length > 1 || given.authorizations.length > 1) return 'duplicate_header'
  if (!isExplicit(given) && given.cookie !== 'none' && !given.origin) return 'missing_origin'
  return undefined
}

/** An empty header is no credential. */
function isExplicit({ keys, authorizations: given }: Generated): boolean {
  return [...keys, ...given].some((value) => value !== '')
}

function codeOf(body: Uint8Array): string | undefined {
  try {
    return (JSON.parse(Buffer.from(body).toString()) as { error?: string }).error
  } catch {
    return undefined
  }
}

/** Of the connection or of the moment; all others must be equal. */
const NOT_COMPARED = new Set([
  'connection',
  'keep-alive',
  'date',
  'set-cookie',
  'transfer-encoding',
  'content-length',
  'cache-control',
  'ratelimit',
  'ratelimit-reset',
  'ratelimit-remaining',
])

const OF_THE_101 = /^(upgrade|sec-websocket-accept|vary|x-content-type-options):/
/** About its body, or of the status itself. */
const OF_THE_426 = /^(upgrade|sec-websocket-version|vary|x-content-type-options|content-type|content-encoding):/

function comparable(response: ParsedResponse): string[] {
  return response.headers
    .filter(([name]) => !NOT_COMPARED.has(name.toLowerCase()))
    .map(([name, value]) => `${name.toLowerCase()}: ${value}`)
    .toSorted()
}

const cookieNames = (response: ParsedResponse): string[] =>
  valuesOf(response.headers, 'set-cookie').map((value) => value.split('=')[0] ?? '')

/** @returns the name of the outcome. */
function compare(given: Generated, plain: RawResponse, upgrade: ParsedResponse): string {
  const rule = ownRule(given)
  if (rule !== undefined) {
    assert.deepEqual([codeOf(upgrade.body), upgrade.status === 101], [rule, false])
    return rule
  }
  if (codeOf(plain.body) === 'unguarded_route') {
    assert.ok(!isExplicit(given) && given.cookie === 'none', 'there was a credential')
    assert.deepEqual([upgrade.status, codeOf(upgrade.body)], [403, 'unguarded_route'])
    return 'unguarded_route'
  }
  if (plain.status === 426) {
    assert.equal(codeOf(plain.body), 'websocket_only')
    assert.equal(upgrade.status, 101, upgrade.body.toString())
    assert.deepEqual(cookieNames(upgrade), cookieNames(plain))
    assert.deepEqual(
      comparable(upgrade).filter((line) => !OF_THE_101.test(line)),
      comparable(plain).filter((line) => !OF_THE_426.test(line)),
    )
    return '101'
  }
  if (plain.status < 300) {
    assert.deepEqual([upgrade.status, codeOf(upgrade.body)], [403, 'not_accepted'])
    assert.deepEqual(cookieNames(upgrade), [])
    return 'not_accepted'
  }
  assert.equal(upgrade.status, plain.status)
  assert.equal(upgrade.body.toString('latin1'), plain.body.toString('latin1'))
  assert.deepEqual(cookieNames(upgrade), cookieNames(plain))
  assert.deepEqual(comparable(upgrade), comparable(plain))
  return `app ${plain.status}`
}

async function post(port: number, target: string, cookie: string | null, form = ''): Promise<RawResponse> {
  const headers = {
    ...PLAIN,
    Cookie: cookie,
    'Content-Type': 'application/x-www-form-urlencoded',
    'Content-Length': String(form.length),
  }
  const response = await rawRequest({ port, lines: handshake({ method: 'POST', target, headers }), bytes: form })
  assert.equal(response.status, 200)
  return response
}

const cookiesOf = (response: RawResponse): string =>
  response
    .values('set-cookie')
    .map((cookie) => cookie.split(';')[0])
    .join('; ')

async function login(port: number): Promise<string> {
  const form = `username=${USER.name}&password=${encodeURIComponent(USER.password)}`
  const cookies = cookiesOf(await post(port, '/login', null, form))
  assert.notEqual(cookies, '')
  return cookies
}

async function fillJar(port: number): Promise<Jar> {
  const [good, loggedOut] = [await login(port), await login(port)]
  const cleared = cookiesOf(await post(port, '/logout', loggedOut))
  // Where the session is the cookie itself, logging out is to overwrite it.
  return {
    good,
    loggedOut: cleared === '' ? loggedOut : cleared,
    tampered: good.replace(/.(?=;|$)/, (last) => (last === 'A' ? 'B' : 'A')),
  }
}

async function upgradeOf(port: number, target: string, headers: ReturnType<typeof headersOf>): Promise<ParsedResponse> {
  await using connection = await connectRaw({ port })
  connection.send(`${handshake({ target, headers }).join('\r\n')}\r\n\r\n`)
  const response = await connection.response()
  if (response.status === 101) assert.equal((await connection.frames(1))[0]?.text, 'open')
  else assert.equal(await connection.ended(), 'end')
  return response
}

function differential(stack: Stack): void {
  describe(stack.name, () => {
    let built: BuiltStack
    let listening: Listening
    const trap = trapFaults()
    before(async () => {
      built = await stack.build()
      listening = await listen(built.server)
    })
    after(async () => {
      await listening.close()
      await built.close?.()
      await trap.assertNone()
    })
    test('the verdict on a handshake is the verdict on the same GET', async () => {
      const jar = await fillJar(listening.port)
      const seen = new Set<string>()
      const property = fc.asyncProperty(generated, async (given) => {
        const headers = headersOf(given, jar)
        const target = given.path + given.query
        const plain = await rawRequest({
          port: listening.port,
          lines: handshake({ target, headers: { ...headers, ...PLAIN } }),
        })
        const upgrade = await upgradeOf(listening.port, target, headers)
        seen.add(compare(given, plain, upgrade))
      })
      await fc.assert(property, { numRuns: RUNS, examples: [...EXAMPLES] })
      for (const outcome of OUTCOMES) assert.ok(seen.has(outcome), `no request had the outcome "${outcome}"`)
    })
    test('the request logger writes one line for each handshake that reached the app', async () => {
      const { log } = built
      if (log === undefined) return
      const earlier = log.length
      await upgradeOf(listening.port, '/key', { 'X-Api-Key': API_KEY })
      await upgradeOf(listening.port, '/key', {})
      await upgradeOf(listening.port, '/page', {})
      assert.equal(log.length - earlier, 3)
    })
    test('no socket is held once all clients are gone', async () => {
      await listening.noneOpen()
      assert.equal(built.gate.connections.size, 0)
    })
  })
}

const STACKS = [
  nodeStack,
  connectStack,
  express4Stack,
  express5Stack,
  koaStack,
  fastifyStack,
  honoStack,
  nestExpressStack,
  nestFastifyStack,
]

for (const stack of STACKS) differential(stack)
