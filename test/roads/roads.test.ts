import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { connectStack, nodeStack } from '../conformance/stacks/connect.ts'
import { express4Stack, express5Stack } from '../conformance/stacks/express.ts'
import { fastifyStack } from '../conformance/stacks/fastify.ts'
import { honoStack } from '../conformance/stacks/hono.ts'
import { koaStack } from '../conformance/stacks/koa.ts'
import { nestExpressStack, nestFastifyStack } from '../conformance/stacks/nest.ts'
import {
  API_KEY,
  basicOf,
  TOKENS,
  USER,
  type BuiltStack,
  type Roads,
  type Stack,
} from '../conformance/stacks/shared.ts'
import { listen, type Listening } from '../support/servers.ts'
import { trapFaults } from '../support/trap.ts'
import { dial, type Dialled } from './dial.ts'
import { schemesStack } from './schemes.ts'

/**
 * Each road with each kind of login on each framework: the right credential opens, the wrong one is refused, and a plain
 * request with the same headers gets the same verdict from the same middleware. docs/roads.md is written from this:
 * `ROADS_WRITE=1 node scripts/test.mjs test/roads`.
 */

type Kind = 'session' | 'token' | 'password' | 'key'

interface Login {
  readonly path: string
  /** As HTTP carries it. */
  readonly headers: Readonly<Record<string, string>>
  readonly token?: string
  readonly password?: string
}

interface Road {
  /** What it can carry. */
  readonly carries: readonly Kind[]
  /** It begins on a socket that waits. */
  readonly waits?: boolean
  readonly take: (at: Listening, login: Login) => Promise<Dialled>
}

const ITEM = 'base64url.bearer.authorization.gate101.'
const base64url = (text: string): string => Buffer.from(text).toString('base64url')
const url = ({ port }: Listening, path: string): string => `ws://127.0.0.1:${port}${path}`
const originOf = ({ port }: Listening): { Origin: string } => ({ Origin: `http://127.0.0.1:${port}` })

/** Asks for a ticket as a page does; then one handshake, which has nothing but the ticket. */
async function byTicket(at: Listening, { path, headers }: Login, use: 'query' | 'item'): Promise<Dialled> {
  const asked = await fetch(`http://127.0.0.1:${at.port}${path}/ticket`, {
    method: 'POST',
    headers: { ...headers, ...originOf(at), 'Content-Type': 'application/json' },
    body: '{}',
  })
  if (asked.status !== 200) return { outcome: asked.status, texts: [await asked.text()] }
  const made = (await asked.json()) as { ticket: string; url: string }
  assert.equal(made.url, `${path}?ticket=${made.ticket}`)
  return use === 'query'
    ? await dial(url(at, made.url), { headers: originOf(at) })
    : await dial(url(at, path), { headers: originOf(at), protocols: ['gate101', `ticket.gate101.${made.ticket}`] })
}

const byMessage = (at: Listening, path: string, message: object): Promise<Dialled> =>
  dial(url(at, path), { headers: originOf(at), message: { type: 'auth', ...message } })

const ALL: readonly Kind[] = ['session', 'token', 'password', 'key']

const ROADS: Readonly<Record<string, Road>> = {
  'header or cookie': {
    carries: ALL,
    take: (at, { path, headers }) => dial(url(at, path), { headers: { ...headers, ...originOf(at) } }),
  },
  'ticket in the URL': { carries: ALL, take: (at, login) => byTicket(at, login, 'query') },
  'ticket as subprotocol': { carries: ALL, take: (at, login) => byTicket(at, login, 'item') },
  'subprotocol token': {
    carries: ['token'],
    take: (at, { path, token = '' }) =>
      dial(url(at, path), { headers: originOf(at), protocols: ['gate101', ITEM + base64url(token)] }),
  },
  'query token': {
    carries: ['token'],
    take: (at, { path, token = '' }) => dial(url(at, `${path}?access_token=${token}`), { headers: originOf(at) }),
  },
  'first message: token': {
    carries: ['token'],
    waits: true,
    take: (at, { path, token }) => byMessage(at, path, { token }),
  },
  'first message: user name and password': {
    carries: ['password'],
    waits: true,
    take: (at, { path, password }) => byMessage(at, path, { username: USER.name, password }),
  },
  'first message: headers': {
    carries: ['token', 'password', 'key'],
    waits: true,
    take: (at, { path, headers }) => byMessage(at, path, { headers }),
  },
}

const KINDS: Readonly<Record<Kind, { readonly title: string; readonly path: string }>> = {
  session: { title: 'server session', path: '/ws' },
  token: { title: 'JWT', path: '/bearer' },
  password: { title: 'Basic', path: '/basic' },
  key: { title: 'API key', path: '/key' },
}

async function sessionCookie(at: Listening): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${at.port}/login`, {
    method: 'POST',
    body: new URLSearchParams({ username: USER.name, password: USER.password }),
  })
  assert.equal(response.status, 200)
  return response.headers
    .getSetCookie()
    .map((cookie) => cookie.split(';')[0])
    .join('; ')
}

/** The right credential, and one that looks like it. */
async function loginsOf(kind: Kind, at: Listening): Promise<{ right: Login; wrong: Login }> {
  const { path } = KINDS[kind]
  const token = (one: string): Login => ({ path, token: one, headers: { Authorization: `Bearer ${one}` } })
  const password = (one: string): Login => ({
    path,
    password: one,
    headers: { Authorization: basicOf(USER.name, one) },
  })
  if (kind === 'token') return { right: token(TOKENS.good), wrong: token(TOKENS.forged) }
  if (kind === 'password') return { right: password(USER.password), wrong: password('wrong horse') }
  if (kind === 'key') {
    return { right: { path, headers: { 'X-Api-Key': API_KEY } }, wrong: { path, headers: { 'X-Api-Key': 'wrong' } } }
  }
  const cookie = await sessionCookie(at)
  const tampered = cookie.replaceAll(/=(\S)/g, (_all, first: string) => `=${first === 'a' ? 'b' : 'a'}`)
  return { right: { path, headers: { Cookie: cookie } }, wrong: { path, headers: { Cookie: tampered } } }
}

async function plainStatus(at: Listening, { path, headers }: Login): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${at.port}${path}`, { headers: { ...headers }, redirect: 'manual' })
  await response.arrayBuffer()
  return response.status
}

const TOKENS_ON: Roads = { subprotocolTokens: true, dangerouslyAllowQueryToken: true }
const WAITING_ON: Roads = {
  firstMessage: { paths: ['/ws', '/bearer', '/basic', '/key'], headers: ['authorization', 'x-api-key'] },
  limits: { waitingPerAddress: 1000 },
}

const STACKS: readonly Stack[] = [
  nodeStack,
  connectStack,
  express4Stack,
  express5Stack,
  koaStack,
  fastifyStack,
  honoStack,
  nestExpressStack,
  nestFastifyStack,
  schemesStack,
]

/** On which stacks a road was seen to work, by road and kind. */
const proven = new Map<string, Set<string>>()

const trap = trapFaults()

for (const stack of STACKS) {
  describe(`roads on ${stack.name}`, () => {
    const servers: Array<{ built: BuiltStack; at: Listening }> = []
    before(async () => {
      for (const roads of [TOKENS_ON, WAITING_ON]) {
        // oxlint-disable-next-line no-await-in-loop -- one after the other, so that a failure names its own
        const built = await stack.build(roads)
        // oxlint-disable-next-line no-await-in-loop
        servers.push({ built, at: await listen(built.server) })
      }
    })
    after(async () => {
      for (const { at, built } of servers) {
        // oxlint-disable-next-line no-await-in-loop
        await at.close()
        // oxlint-disable-next-line no-await-in-loop
        await built.close?.()
      }
    })

    for (const [name, { carries, waits = false, take }] of Object.entries(ROADS)) {
      for (const kind of carries) {
        if (stack === schemesStack && kind === 'session') continue
        test(`${name} with ${KINDS[kind].title}`, async () => {
          const at = servers[waits ? 1 : 0]?.at
          assert.ok(at !== undefined, 'the server has not started')
          const { right, wrong } = await loginsOf(kind, at)
          const { outcome, texts } = await take(at, right)
          assert.equal(outcome, 'open', texts.join())
          assert.equal(texts.at(-1), 'open')
          const refused = await take(at, wrong)
          assert.ok(refused.outcome === 401 || refused.outcome === 4401, String(refused.outcome))
          assert.deepEqual([await plainStatus(at, right), await plainStatus(at, wrong)], [426, 401])
          const key = `${name} | ${kind}`
          proven.set(key, (proven.get(key) ?? new Set()).add(stack.name))
        })
      }
    }
  })
}

const PAGE = new URL('../../docs/roads.md', import.meta.url)

function table(): string {
  const kinds = Object.keys(KINDS) as Kind[]
  const rows = Object.keys(ROADS).map((road) => {
    const cells = kinds.map((kind) => {
      const passed = proven.get(`${road} | ${kind}`)
      return passed === undefined ? '–' : String(passed.size)
    })
    return `| ${[road, ...cells].join(' | ')} |`
  })
  const head = ['road', ...kinds.map((kind) => KINDS[kind].title)]
  return [`| ${head.join(' | ')} |`, `|${head.map(() => ' --- |').join('')}`, ...rows].join('\n')
}

after(async () => {
  await trap.assertNone()
  const page = readFileSync(PAGE, 'utf8')
  const written = page.replace(
    /(<!-- roads -->)[\s\S]*(<!-- \/roads -->)/,
    (_all, open: string, close: string) => `${open}\n\n${table()}\n\n${close}`,
  )
  if (process.env['ROADS_WRITE'] === '1') return writeFileSync(PAGE, written)
  // The formatter pads the columns.
  const bare = (text: string): string => text.replaceAll(/[ -]{2,}/g, ' ')
  const advice = 'docs/roads.md is not what the tests have shown: run them with ROADS_WRITE=1, then npx oxfmt docs'
  return assert.equal(bare(page), bare(written), advice)
})
