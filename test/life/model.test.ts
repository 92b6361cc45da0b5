import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { IdentityInput, SelectorInput } from '../../src/index.ts'
import { Model, type Closing, type Conn, type Except, type Login, type ModelLimits } from './model-state.ts'
import { dialWire, postWire, quiet, type Client } from './races-wire.ts'
import { makeWorld, type Served, type World } from './races-world.ts'

// The same each time. Others: GATE101_MODEL_SEED, with GATE101_MODEL_RUNS; GATE101_MODEL_PATH is that of a run that has failed.

const RUNS = Number(process.env['GATE101_MODEL_RUNS'] ?? 150)
const SEED = Number(process.env['GATE101_MODEL_SEED'] ?? 11)
const PATH = process.env['GATE101_MODEL_PATH']

const START = Date.UTC(2026, 10, 23)
const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const MAX_AGE = HOUR

/** The gate, and what belongs to each connection of the model, by its number. */
interface Real {
  readonly world: World
  readonly clients: Client[]
  readonly served: Served[]
}

function people(): Login[] {
  const login = (name: string, subject: string, more: Partial<Login> = {}): Login => ({
    name,
    subject,
    issuer: 'app',
    credential: undefined,
    tags: [],
    issuedAt: null,
    expiresAt: null,
    isGone: false,
    ...more,
  })
  return [
    login('a1', 'ann', { credential: 'k1', tags: ['t1'], issuedAt: START - HOUR }),
    login('a2', 'ann', { tags: ['t1', 't2'], expiresAt: START + 30 * MINUTE }),
    login('a3', 'ann', { credential: 'k1', issuedAt: START - 10 * MINUTE, expiresAt: START + 90 * MINUTE }),
    login('b1', 'bob', { credential: 'k2', tags: ['t2'], issuedAt: START - 5 * MINUTE, expiresAt: START + HOUR }),
    login('b2', 'bob', { tags: ['t1'] }),
    login('i1', 'ann', { issuer: 'idp', credential: 'k3', tags: ['t1'], expiresAt: START + 3 * HOUR }),
  ]
}

function identityOf({ name, issuer, subject, credential, tags, issuedAt, expiresAt }: Login): IdentityInput {
  const date = (ms: number | null): Date | null => (ms === null ? null : new Date(ms))
  return { issuer, subject, session: name, credential, tags, issuedAt: date(issuedAt), expiresAt: date(expiresAt) }
}

const cookieOf = ({ name }: Login): Record<string, string> => ({ Cookie: `sid=${name}`, Origin: 'http://localhost' })

/** In steps within which every question gets its answer. */
async function pass({ world }: Real, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 9 * SECOND) {
    world.clock.pass(Math.min(left, 9 * SECOND))
    await quiet()
  }
}

/** The model and the gate say the same. */
function agree(model: Model, { world, clients, served }: Real): void {
  const { registry, deadlines, rechecks } = world.state
  const { open } = model
  assert.equal(world.gate.connections.size, open.length, 'how many are open')
  for (const conn of model.conns) assertSame(model, conn, clients[conn.number], served[conn.number])
  const count = (isIt: (conn: Conn) => boolean): number => open.filter(isIt).length
  for (const login of model.logins) {
    const { name, subject, credential } = login
    assert.equal(
      registry.count('session', name),
      count(({ sessions }) => sessions.has(name)),
      `of session ${name}`,
    )
    assert.equal(
      registry.count('subject', subject),
      count((conn) => conn.login.subject === subject),
      `of ${subject}`,
    )
    if (credential !== undefined)
      assert.equal(
        registry.count('credential', credential),
        count(({ credentials }) => credentials.has(credential)),
      )
  }
  for (const tag of ['t1', 't2'])
    assert.equal(
      registry.count('tag', tag),
      count(({ login }) => login.tags.includes(tag)),
      tag,
    )
  assert.equal(deadlines.size, open.length, 'deadlines')
  const groups = new Set(open.map(({ login }) => login))
  assert.ok(rechecks.size >= groups.size && rechecks.size <= open.length, `${rechecks.size} groups`)
  assert.equal(world.state.caps.size, 0, 'handshakes under way')
}

function assertSame(model: Model, conn: Conn, client: Client | undefined, served: Served | undefined): void {
  assert.ok(client !== undefined && served !== undefined)
  const { connection } = served
  const who = `connection ${conn.number} of ${conn.login.name}`
  assert.equal(!connection.signal.aborted, conn.isOpen, `${who}: open`)
  if (!conn.isOpen) {
    assert.ok(client.closed !== undefined, `${who}: its client is there`)
    const { closings } = conn
    const { code, reason } = client.closed
    assert.ok(
      closings.length === 0 || closings.some((closing) => closing.code === code && closing.reason === reason),
      `${who}: ${code} ${reason}, not ${JSON.stringify(closings)}`,
    )
    return
  }
  assert.equal(client.closed, undefined, `${who}: its client has gone`)
  const { issuer, subject, session, credential, tags, expiresAt } = connection.identity
  const { login } = conn
  assert.deepEqual(
    { issuer, subject, session, credential, tags, expiresAt: expiresAt?.getTime() ?? null },
    {
      issuer: login.issuer,
      subject: login.subject,
      session: login.name,
      credential: login.credential,
      tags: login.tags,
      expiresAt: login.expiresAt,
    },
    who,
  )
  const ends = login.expiresAt === null ? null : new Date(Math.min(login.expiresAt, model.endOf(conn).at))
  assert.deepEqual(connection.expiresAt, ends, `${who}: expiresAt`)
}

/** One step: `run` does the same to both. */
class Step implements fc.AsyncCommand<Model, Real> {
  readonly #name: string
  readonly #run: (model: Model, real: Real) => Promise<void>
  readonly #when: (model: Readonly<Model>) => boolean

  constructor(
    name: string,
    run: (model: Model, real: Real) => Promise<void>,
    when: (model: Readonly<Model>) => boolean = () => true,
  ) {
    this.#name = name
    this.#run = run
    this.#when = when
  }

  check(model: Readonly<Model>): boolean {
    return this.#when(model)
  }

  async run(model: Model, real: Real): Promise<void> {
    await this.#run(model, real)
    await quiet()
    agree(model, real)
  }

  toString(): string {
    return this.#name
  }
}

const hasOpen = (model: Readonly<Model>): boolean => model.open.length > 0
const pick = <Item>(items: readonly Item[], n: number): Item => {
  const item = items[n % items.length]
  assert.ok(item !== undefined)
  return item
}

function connect(n: number): Step {
  return new Step(`connect(${n})`, async (model, { world, clients, served }) => {
    const login = pick(model.logins, n)
    const client = dialWire(world.server, '/ws', cookieOf(login))
    await quiet()
    const opens = model.connect(login)
    assert.equal(client.status === 101, opens, `${login.name}: ${client.status}`)
    if (!opens) return
    clients.push(client)
    served.push(world.served.at(-1)!)
  })
}

/** A new login of the same person, issued now. */
function logIn(n: number, minutes: number | null): Step {
  return new Step(`logIn(${n}, ${minutes})`, async (model, { world }) => {
    const expiresAt = minutes === null ? null : model.now + minutes * MINUTE
    const name = `l${model.logins.length}`
    const login = { ...pick(model.logins, n), name, issuedAt: model.now, expiresAt, isGone: false }
    model.logins.push(login)
    world.logins.set(name, identityOf(login))
  })
}

function renewSession(n: number): Step {
  return new Step(`renewSession(${n})`, async (model, { world }) => {
    const login = pick(model.logins, n)
    const answer = await postWire(world.server, '/renew', cookieOf(login))
    if (model.isRefused(login)) return assert.equal(answer.status, 401)
    const all = model.ofSession(login)
    const own = all.filter((conn) => conn.login.subject === login.subject && conn.login.issuer === login.issuer)
    if (all.length > 0 && own.length === 0) return assert.equal(answer.status, 403)
    const said = own.map((conn) => model.renew(conn, login))
    const renewed = said.filter((status) => status === 200).length
    if (renewed === 0 && said.length > 0)
      return assert.ok(said.includes(answer.status), `${answer.status}, not ${said.join()}`)
    assert.deepEqual([answer.status, answer.body['renewed']], [200, renewed])
  })
}

function renewToken(c: number, n: number): Step {
  return new Step(
    `renewToken(${c}, ${n})`,
    async (model, { world, served }) => {
      const conn = pick(model.conns, c)
      const login = pick(model.logins, n)
      const headers = { ...cookieOf(login), 'Gate101-Connection': served[conn.number]?.connection.token ?? '' }
      const answer = await postWire(world.server, '/renew', headers)
      // The app is asked before the connection is known: whom it refuses, it refuses for all. A revocation may have spared one.
      if (model.isRefused(login) && (!conn.isOpen || model.isOut(login))) return assert.equal(answer.status, 401)
      assert.equal(answer.status, conn.isOpen ? model.renew(conn, login) : 404)
    },
    ({ conns }) => conns.length > 0,
  )
}

type Kind = 'session' | 'credential' | 'subject' | 'issuer' | 'tag' | 'connection'

function selectorOf(kind: Kind, login: Login, conn: Conn | undefined): SelectorInput | undefined {
  const { name, subject, issuer, credential, tags } = login
  if (kind === 'session') return { session: name }
  if (kind === 'subject') return { subject }
  if (kind === 'issuer') return { subject, issuer }
  if (kind === 'credential') return credential === undefined ? undefined : { credential }
  if (kind === 'connection') return conn === undefined ? undefined : { connection: `#${conn.number}` }
  return tags[0] === undefined ? undefined : { tag: tags[0] }
}

function revoke(kind: Kind, n: number, c: number, but: 'none' | 'session' | 'connection'): Step {
  return new Step(`revoke(${kind}, ${n}, ${c}, ${but})`, async (model, { world, served }) => {
    const conn = model.conns.length === 0 ? undefined : pick(model.conns, c)
    const selector = selectorOf(kind, pick(model.logins, n), conn)
    if (selector === undefined || (conn === undefined && but !== 'none')) return
    const idOf = (one: Conn): string => served[one.number]?.connection.id ?? ''
    const excepts: Record<typeof but, Except> = {
      none: undefined,
      session: conn && { session: conn.login.name },
      connection: conn && { connection: conn.number },
    }
    const except = excepts[but]
    const { matched, closed } = model.revoke(selector, except)
    const given = 'connection' in selector && conn !== undefined ? { connection: idOf(conn) } : selector
    const real = except && ('session' in except ? except : { connection: idOf(conn!) })
    const told = await world.gate.revoke(given, real === undefined ? {} : { except: real })
    assert.deepEqual([told.matched, told.closed], [matched, closed])
  })
}

function logOut(n: number): Step {
  return new Step(`logOut(${n})`, async (model, { world }) => {
    const login = pick(model.logins, n)
    model.logOut(login)
    await new Promise((resolve) => world.store.destroy(login.name, resolve))
  })
}

function wait(ms: number): Step {
  return new Step(`wait(${ms})`, async (model, real) => {
    model.pass(ms)
    await pass(real, ms)
  })
}

/** A session that is used over HTTP moves on; within the next minute the gate has seen it. */
function extend(n: number, minutes: number): Step {
  return new Step(`extend(${n}, ${minutes})`, async (model, real) => {
    const login = pick(model.logins, n)
    if (login.isGone || login.expiresAt === null || login.expiresAt <= model.now) return
    login.expiresAt = model.now + minutes * MINUTE
    real.world.logins.set(login.name, identityOf(login))
    // Where it is over sooner than was known, that may be seen when it is asked about.
    model.pass(61 * SECOND, undefined, [SAYS[401]!])
    await pass(real, 61 * SECOND)
  })
}

const SAYS: Readonly<Record<number, Closing>> = {
  401: { code: 4401, reason: 'unauthorized' },
  302: { code: 4401, reason: 'unauthorized' },
  403: { code: 4403, reason: 'forbidden' },
}

/** For a minute the app refuses a login. */
function refuse(n: number, status: keyof typeof SAYS): Step {
  return new Step(`refuse(${n}, ${status})`, async (model, real) => {
    const login = pick(model.logins, n)
    if (login.isGone) return
    real.world.statuses.set(login.name, status)
    model.pass(61 * SECOND, { login, closing: SAYS[status]! })
    await pass(real, 61 * SECOND)
    real.world.statuses.clear()
  })
}

/** For a minute the app has no answer: nobody ends by that, and who is over by then ends when it is back. */
function fail(n: number): Step {
  return new Step(`fail(${n})`, async (model, real) => {
    real.world.statuses.set(pick(model.logins, n).name, 503)
    await pass(real, 61 * SECOND)
    real.world.statuses.clear()
    model.pass(100 * SECOND)
    await pass(real, 39 * SECOND)
  })
}

const GOES = {
  terminate: ({ ws }: Client) => ws.terminate(),
  close: ({ ws }: Client) => ws.close(1000),
  'half-close': ({ ws }: Client) => (Reflect.get(ws, '_socket') as { end(): void }).end(),
}

function go(how: keyof typeof GOES, c: number): Step {
  return new Step(
    `go(${how}, ${c})`,
    async (model, { clients }) => {
      const conn = pick(model.open, c)
      GOES[how](clients[conn.number]!)
      model.close(conn)
    },
    hasOpen,
  )
}

function end(c: number): Step {
  return new Step(
    `end(${c})`,
    async (model, { served }) => {
      const conn = pick(model.open, c)
      served[conn.number]?.connection.end('by the app')
      model.close(conn, { code: 4403, reason: 'by the app' })
    },
    hasOpen,
  )
}

const n = fc.nat(9)
const steps = [
  n.map(connect),
  n.map(connect),
  n.map(connect),
  fc.tuple(n, fc.option(fc.integer({ min: 1, max: 90 }))).map(([which, minutes]) => logIn(which, minutes)),
  n.map(renewSession),
  fc.tuple(n, n).map(([c, which]) => renewToken(c, which)),
  fc.tuple(n, n).map(([c, which]) => renewToken(c, which)),
  fc
    .tuple(
      fc.constantFrom<Kind>('session', 'credential', 'subject', 'issuer', 'tag', 'connection'),
      n,
      n,
      fc.constantFrom<'none' | 'session' | 'connection'>('none', 'none', 'session', 'connection'),
    )
    .map((given) => revoke(...given)),
  n.map(logOut),
  fc.constantFrom(1, SECOND, 30 * SECOND, 5 * MINUTE, 40 * MINUTE).map(wait),
  fc.tuple(n, fc.integer({ min: 0, max: 100 })).map(([which, minutes]) => extend(which, minutes)),
  fc.tuple(n, fc.constantFrom(401, 302, 403)).map(([which, status]) => refuse(which, status)),
  n.map(fail),
  fc.tuple(fc.constantFrom<keyof typeof GOES>('terminate', 'close', 'half-close'), n).map(([how, c]) => go(how, c)),
  n.map(end),
]

function setUp(limits: ModelLimits): { model: Model; real: Real } {
  const logins = people()
  const known = new Map(logins.map((login) => [login.name, identityOf(login)]))
  const world = makeWorld({ at: async () => undefined }, known, {
    maxAge: MAX_AGE,
    limits: {
      connections: limits.connections,
      connectionsPerSession: limits.perSession,
      connectionsPerSubject: limits.perSubject,
      renewalsPerMinute: 1000,
      overflow: limits.replaces ? 'replace-oldest' : 'refuse',
    },
  })
  return { model: new Model(START, MAX_AGE, limits, logins), real: { world, clients: [], served: [] } }
}

const DAY = 24 * HOUR

/** The gate is closed: of all that was, nothing is left. */
async function nothingLeft(model: Model, { world, clients }: Real, drain: number): Promise<void> {
  const { state, server, clock, store } = world
  const was = model.open
  const destroy = Object.getOwnPropertyDescriptor(store, 'destroy')?.value as unknown
  const closed = world.gate.close({ drain })
  for (let ms = 0; ms <= drain + SECOND; ms += SECOND) {
    await quiet()
    clock.pass(SECOND)
  }
  await closed
  for (const { number } of was) assert.deepEqual(clients[number]?.closed, { code: 1012, reason: 'restart' })
  assert.notEqual(Object.getOwnPropertyDescriptor(store, 'destroy')?.value, destroy, 'the store is not given back')
  const { registry, deadlines, rechecks, caps, waitingCaps, waiting } = state
  assert.deepEqual([registry.size, registry.sockets, deadlines.size, rechecks.size], [0, 0, 0, 0])
  assert.deepEqual([caps.size, waitingCaps.size, waiting.size], [0, 0, 0])
  for (const { name, subject, credential = '', tags } of model.logins) {
    const left = [
      registry.count('session', name),
      registry.count('subject', subject),
      registry.count('credential', credential),
    ]
    assert.deepEqual(
      [...left, ...tags.map((tag) => registry.count('tag', tag))].filter((count) => count > 0),
      [],
    )
  }
  // What it remembers goes with it.
  clock.pass(91 * DAY)
  assert.equal(clock.timers, 0, 'timers')
  for (const { ws } of clients) assert.equal(ws.readyState, ws.CLOSED)
  for (const event of ['upgrade', 'connection']) assert.ok(server.listenerCount(event) <= 1, event)
}

describe('the model of one life', () => {
  it('whatever happens: it and the gate agree after each step, and nothing is left at the end', async (t) => {
    t.diagnostic(`seed ${SEED}, ${RUNS} runs`)
    const setup = fc.record({ replaces: fc.boolean(), drain: fc.constantFrom(0, 0, 5 * SECOND) })
    const commands = fc.commands(steps, { maxCommands: 40, size: 'max' })
    await fc.assert(
      fc.asyncProperty(setup, commands, async ({ replaces, drain }, todo) => {
        const { model, real } = setUp({ connections: 7, perSession: 2, perSubject: 4, replaces })
        try {
          await fc.asyncModelRun(() => ({ model, real }), todo)
          await nothingLeft(model, real, drain)
        } finally {
          await real.world.dispose()
        }
      }),
      { numRuns: RUNS, seed: SEED, endOnFailure: false, ...(PATH === undefined ? {} : { path: PATH }) },
    )
  })
})
