import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, describe, test, type TestContext } from 'node:test'
import type { AcceptedEvent, RefusedEvent } from '../../src/index.ts'
import type { Certificate } from '../support/certs.ts'
import { acceptOf, closeFrame, frame, OPCODE, type Frame } from '../support/frames.ts'
import { connectRaw, handshake, rawRequest, SAMPLE_KEY, type RawConnection } from '../support/raw.ts'
import { parseResponse, valuesOf, type ParsedResponse } from '../support/response.ts'
import { listen, type Listening } from '../support/servers.ts'
import { trapFaults } from '../support/trap.ts'
import type { Adapter } from './adapters/types.ts'
import { KEY, Observer, PRIVATE_TEXT, type Build, type BuiltApp } from './app.ts'
import {
  POLICIES,
  type Case,
  type Expectation,
  type FrameFact,
  type HeaderFacts,
  type Policy,
  type Request,
} from './case.ts'
import { TABLE } from './table.ts'

/** One app that listens, with what it said since the case began. */
interface Running {
  readonly app: BuiltApp
  readonly listening: Listening
  readonly observer: Observer
  readonly refused: RefusedEvent[]
  readonly accepted: AcceptedEvent[]
}

export interface SuiteOptions {
  readonly door?: Build['door']
  readonly tls?: Certificate
  /** Which cases this app can have. @defaultValue all that the door has */
  readonly only?: (row: Case) => boolean
}

/** Runs the whole table against one adapter. */
export function conformance(title: string, adapter: Adapter, options: SuiteOptions = {}): void {
  const { door = 'app', tls, only = () => true } = options
  describe(title, () => {
    const trap = trapFaults()
    const apps = new Map<Policy, Promise<Running>>()
    const appFor = (policy: Policy): Promise<Running> => {
      const app = apps.get(policy) ?? start(adapter, policy, door, tls)
      apps.set(policy, app)
      return app
    }
    after(async () => {
      for (const app of apps.values()) await stop(await app)
      await trap.assertNone()
    })
    const rows = TABLE.filter((row) => only(row) && expectationOf(row, adapter, door, tls !== undefined) !== undefined)
    for (const group of new Set(rows.map((row) => row.group))) {
      describe(group, () => {
        for (const row of rows.filter((one) => one.group === group))
          test(row.name, async (t) => runCase(t, row, adapter, door, await appFor(row.policy ?? 'default'), tls))
        test('control: after all this a good handshake opens', async () => {
          for (const app of apps.values()) await control(await app, tls)
        })
      })
    }
    test('no socket is held and no connection counted once all clients are gone', async () => {
      for (const app of apps.values()) {
        const { listening, app: built } = await app
        await listening.noneOpen()
        assert.equal(built.gate.connections.size, 0)
      }
    })
  })
}

function expectationOf(row: Case, adapter: Adapter, door: Build['door'], tls: boolean): Expectation | undefined {
  if (tls && row.tls !== undefined) return row.tls
  const difference = row.differs?.[adapter.framework]
  const general = difference !== undefined && 'expect' in difference ? difference.expect : row.expect
  if (door === 'app') return general
  return row.schemes === 'same' ? general : row.schemes
}

async function start(
  adapter: Adapter,
  policy: Policy,
  door: Build['door'],
  tls: Certificate | undefined,
): Promise<Running> {
  const observer = new Observer()
  const app = await adapter.build({ options: POLICIES[policy], door, observer, tls })
  const listening = await listen(app.server)
  const running: Running = { app, listening, observer, refused: [], accepted: [] }
  app.gate.on('refused', (event) => running.refused.push(event))
  app.gate.on('accepted', (event) => running.accepted.push(event))
  return running
}

async function stop({ app, listening }: Running): Promise<void> {
  await listening.close()
  await app.close?.()
}

async function runCase(
  t: TestContext,
  row: Case,
  adapter: Adapter,
  door: Build['door'],
  running: Running,
  tls: Certificate | undefined,
): Promise<void> {
  const difference = row.differs?.[adapter.framework]
  if (difference !== undefined) t.diagnostic(`${adapter.framework} differs: ${difference.why}`)
  if (difference !== undefined && 'skip' in difference) return t.skip(difference.why)
  const expect = expectationOf(row, adapter, door, tls !== undefined)
  assert.ok(expect)
  const request = await withTicket(running, row.request, tls !== undefined)
  running.refused.length = 0
  running.accepted.length = 0
  await checkers[expect.to](running, request, expect as never, tls !== undefined)
}

type Checker<Kind extends Expectation['to']> = (
  running: Running,
  request: Request,
  expect: Extract<Expectation, { to: Kind }>,
  tls: boolean,
) => Promise<void>

/** Asks for a ticket where the case has one, and puts it where it belongs. */
async function withTicket(running: Running, request: Request, tls: boolean): Promise<Request> {
  const { mint, spent, ...rest } = request
  if (mint === undefined) return request
  const headers = { 'Content-Type': 'application/json', 'Content-Length': '2', ...mint }
  const asked = { target: '/ticket', method: 'POST', headers, plain: true, early: Buffer.from('{}') }
  const answer = await ask(running, asked, tls)
  assert.equal(answer.status, 200, answer.body.toString())
  const { ticket } = JSON.parse(answer.body.toString()) as { ticket: string }
  const filled = JSON.parse(JSON.stringify(rest).replaceAll('{ticket}', ticket)) as Request
  if (spent === true) await ask(running, filled, tls, 'response')
  return filled
}

const checkers: { [Kind in Expectation['to']]: Checker<Kind> } = {
  open: checkOpen,
  converse: checkConverse,
  refuse: checkRefuse,
  cut: checkCut,
  answer: checkAnswer,
}

const NOT_UPGRADING = { Upgrade: null, Connection: 'close', 'Sec-WebSocket-Key': null, 'Sec-WebSocket-Version': null }

function bytesOf(request: Request): Buffer {
  const headers = request.plain === true ? { ...NOT_UPGRADING, ...request.headers } : request.headers
  const head = handshake({ ...request, ...(headers === undefined ? {} : { headers }) }).join('\r\n')
  return Buffer.concat([Buffer.from(`${head}\r\n\r\n`, 'latin1'), request.early ?? Buffer.alloc(0)])
}

async function checkOpen(
  running: Running,
  request: Request,
  expect: Extract<Expectation, { to: 'open' }>,
  tls: boolean,
): Promise<void> {
  await using connection = await connectRaw({ port: running.listening.port, tls })
  connection.send(bytesOf(request))
  const response = await connection.response()
  assert.equal(response.status, 101, `${response.status} ${response.body.toString().slice(0, 300)}`)
  assert.deepEqual(response.interim, [])
  assert.deepEqual(valuesOf(response.headers, 'upgrade'), ['websocket'])
  assert.deepEqual(valuesOf(response.headers, 'connection'), ['Upgrade'])
  assert.deepEqual(valuesOf(response.headers, 'sec-websocket-accept'), [acceptOf(SAMPLE_KEY)])
  for (const name of NEVER_ON_A_101) assert.deepEqual(valuesOf(response.headers, name), [], name)
  checkHeaders(response.headers, expect.headers ?? {})
  assert.equal(running.accepted.length, 1)
  assert.equal(running.refused.length, 0)
  if (request.late !== undefined) connection.send(request.late)
  await checkFrames(connection, expect.receives ?? [])
}

/** The 101 of the gate itself, before the app has let anybody in: it says nothing but the subprotocol. */
async function checkConverse(
  running: Running,
  request: Request,
  expect: Extract<Expectation, { to: 'converse' }>,
  tls: boolean,
): Promise<void> {
  await using connection = await connectRaw({ port: running.listening.port, tls })
  connection.send(bytesOf(request))
  const { status, headers, body } = await connection.response()
  assert.equal(status, 101, `${status} ${body.toString().slice(0, 300)}`)
  const names = headers.map(([name]) => name.toLowerCase()).filter((name) => name !== 'sec-websocket-protocol')
  assert.deepEqual(names.toSorted(), ['connection', 'sec-websocket-accept', 'upgrade'])
  checkHeaders(headers, expect.headers ?? {})
  assert.equal(running.accepted.length, 0)
  if (request.late !== undefined) connection.send(request.late)
  await checkFrames(connection, expect.receives)
  assert.deepEqual(
    { refused: running.refused.map(({ code }) => code), accepted: running.accepted.length },
    expect.code === undefined ? { refused: [], accepted: 1 } : { refused: [expect.code], accepted: 0 },
  )
}

const NEVER_ON_A_101 = [
  'content-length',
  'content-type',
  'transfer-encoding',
  'keep-alive',
  'etag',
  'last-modified',
  'x-gate101-proof',
  'sec-websocket-extensions',
]

/** Exactly the frames that were expected: a Ping behind them is answered next, unless the last one was a Close. */
async function checkFrames(connection: RawConnection, facts: readonly FrameFact[]): Promise<void> {
  const last = facts.at(-1)
  const closes = typeof last === 'object' && 'close' in last
  const frames = await connection.frames(facts.length)
  for (const [index, fact] of facts.entries()) checkFrame(frames[index], fact)
  if (closes) {
    connection.send(closeFrame(last.close))
    await connection.ended()
    return
  }
  connection.send(frame('fence', { opcode: OPCODE.ping }))
  const fenced = await connection.frames(facts.length + 1)
  checkFrame(fenced[facts.length], { pong: 'fence' })
  assert.equal(fenced.length, facts.length + 1)
}

function checkFrame(got: Frame | undefined, fact: FrameFact): void {
  assert.ok(got)
  assert.equal(got.masked, false)
  if (typeof fact === 'string') assert.deepEqual([got.opcode, got.text], [OPCODE.text, fact])
  else if ('pong' in fact) assert.deepEqual([got.opcode, got.text], [OPCODE.pong, fact.pong])
  else if ('close' in fact) {
    assert.deepEqual([got.opcode, got.closeCode], [OPCODE.close, fact.close])
    if (fact.reason !== undefined) assert.equal(got.text, fact.reason)
  } else {
    const told = JSON.parse(got.text) as Record<string, unknown>
    for (const [name, value] of Object.entries(fact.json)) assert.deepEqual(told[name], value, name)
  }
}

async function checkRefuse(
  running: Running,
  request: Request,
  expect: Extract<Expectation, { to: 'refuse' }>,
  tls: boolean,
): Promise<void> {
  const closed = expect.closesApp === true ? once(running.observer, 'closed') : undefined
  const response = await ask(running, request, tls)
  checkRefusal(response)
  const event = running.refused[0]
  assert.deepEqual(
    { status: response.status, code: event?.code },
    { status: expect.status, code: expect.code },
    `${response.body.toString().slice(0, 300)} ${String(event?.cause)}`,
  )
  assert.equal(event?.status, expect.status)
  assert.equal(running.refused.length, 1)
  assert.equal(running.accepted.length, 0)
  checkHeaders(response.headers, expect.headers ?? {})
  if (request.method !== 'HEAD') {
    checkBody(response, expect.body)
    if (expect.code !== 'app') checkOwnRefusal(response, expect.code)
  }
  await closed
}

/** What holds for every refusal, the app's and the gate's. */
function checkRefusal(response: ParsedResponse): void {
  const values = (name: string): string[] => valuesOf(response.headers, name)
  assert.deepEqual(response.interim, [])
  assert.equal(response.rest.length, 0)
  assert.match(values('connection').join(), /^close\b/)
  assert.equal(values('cache-control').length, 1)
  assert.deepEqual(values('upgrade'), response.status === 426 ? ['websocket'] : [])
  for (const name of NEVER_ON_A_REFUSAL) assert.deepEqual(values(name), [], name)
}

const NEVER_ON_A_REFUSAL = [
  'sec-websocket-accept',
  'sec-websocket-protocol',
  'sec-websocket-extensions',
  'keep-alive',
  'x-gate101-proof',
]

/** The gate's own refusal: the fixed body with its code, and nothing of the app. */
function checkOwnRefusal(response: ParsedResponse, code: string): void {
  const text = response.body.toString()
  const body = JSON.parse(text) as Record<string, unknown>
  assert.equal(body['error'], code)
  assert.deepEqual(Object.keys(body), ['error', 'message', 'fix'])
  assert.equal(valuesOf(response.headers, 'cache-control')[0], 'no-store')
  assert.deepEqual(valuesOf(response.headers, 'set-cookie'), [])
  const all = `${response.headers.flat().join('\n')}\n${text}`
  for (const secret of [PRIVATE_TEXT, KEY, 'the app broke', 'identify broke']) assert.ok(!all.includes(secret), secret)
}

async function checkCut(
  running: Running,
  request: Request,
  expect: Extract<Expectation, { to: 'cut' }>,
  tls: boolean,
): Promise<void> {
  await using connection = await connectRaw({ port: running.listening.port, tls })
  connection.send(bytesOf(request))
  await connection.ended()
  const bytes = connection.received()
  const end = bytes.indexOf('\r\n\r\n')
  assert.ok(end > 0, 'the head came')
  assert.match(bytes.toString('latin1', 0, end), new RegExp(`^HTTP/1\\.1 ${expect.status} `))
  assert.equal(parseResponse(bytes, false), undefined, 'no false end')
  assert.ok(bytes.length - end <= expect.atMost + 1024, `${bytes.length - end} bytes of body`)
  assert.equal(running.refused[0]?.code, 'app')
}

async function checkAnswer(
  running: Running,
  request: Request,
  expect: Extract<Expectation, { to: 'answer' }>,
  tls: boolean,
): Promise<void> {
  const response = await ask(running, request, tls)
  assert.equal(response.status, expect.status, response.body.toString().slice(0, 300))
  checkHeaders(response.headers, expect.headers ?? {})
  if (request.method !== 'HEAD') checkBody(response, expect.body)
  assert.equal(running.accepted.length, 0)
  assert.deepEqual(
    running.refused.map(({ code }) => code),
    expect.code === undefined ? [] : [expect.code],
  )
}

/** The whole answer, once the server has ended the connection. */
async function ask(
  running: Running,
  request: Request,
  tls: boolean,
  until: 'response' | 'close' = 'close',
): Promise<ParsedResponse> {
  const to = { port: running.listening.port, tls }
  if (request.method !== 'HEAD') return await rawRequest({ ...to, bytes: bytesOf(request), until })
  await using connection = await connectRaw(to)
  connection.send(bytesOf(request))
  await connection.ended()
  // An answer to HEAD says how long its body would be, and has none.
  const head = connection
    .received()
    .toString('latin1')
    .replace(/content-length: \d+/i, 'Content-Length: 0')
  const response = parseResponse(Buffer.from(head, 'latin1'), true)
  assert.ok(response)
  return response
}

function checkHeaders(headers: ParsedResponse['headers'], facts: HeaderFacts): void {
  for (const [name, fact] of Object.entries(facts)) {
    const values = valuesOf(headers, name)
    if (fact instanceof RegExp) {
      assert.equal(values.length, 1, `${name}: ${values.join(' | ')}`)
      assert.match(values[0] ?? '', fact)
    } else assert.deepEqual(values, fact === null ? [] : [fact].flat(), name)
  }
}

function checkBody({ body }: ParsedResponse, fact: string | RegExp | undefined): void {
  if (fact instanceof RegExp) assert.match(body.toString(), fact)
  else if (fact !== undefined) assert.equal(body.toString(), fact)
}

async function control(running: Running, tls: Certificate | undefined): Promise<void> {
  running.accepted.length = 0
  running.refused.length = 0
  const request: Request = { headers: { 'X-Api-Key': KEY }, early: frame('control') }
  await checkOpen(running, request, { to: 'open', receives: ['control'] }, tls !== undefined)
}
