import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { after, describe, test } from 'node:test'
import { createGate, type GateOptions } from '../../src/index.ts'
import { stateOf } from '../../src/gate/state.ts'
import { trapFaults } from '../support/trap.ts'
import {
  gateOptions,
  MINUTE,
  SECOND,
  start,
  turns,
  type Opened,
  type SessionStack,
  type Site,
} from './recheck-world.ts'

// How many questions there are: one for each credential, so many at a time, at these times.

const trap = trapFaults()
after(async () => await trap.assertNone())

interface Counting {
  readonly stack: Pick<SessionStack, 'build'>
  /** Each run of the guard of a re-check: credential, path and address. */
  readonly runs: string[]
  /** Called by each; it goes on when that has settled. */
  wait: (key: string) => Promise<void> | undefined
  status: (key: string) => number
}

function counting(options: Partial<GateOptions<IncomingMessage>> = {}): Counting {
  const runs: string[] = []
  const counted: Counting = {
    runs,
    wait: () => undefined,
    status: () => 200,
    stack: {
      async build(world, appOptions) {
        const keyOf = ({ headers }: IncomingMessage): string => headers.cookie ?? String(headers['x-api-key'])
        const gate = createGate({
          ...gateOptions(world, appOptions),
          origins: ['http://one.example', 'http://two.example'],
          ...options,
          identify: (req) => ({ subject: keyOf(req) }),
        })
        const live = gate.websocket(() => undefined)
        const app = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
          const key = keyOf(req)
          if (gate.phase(req) === 'recheck') {
            runs.push(`${key} ${req.url} ${req.socket.remoteAddress}`)
            await counted.wait(key)
          }
          if (counted.status(key) === 200) live(req, res)
          else res.writeHead(counted.status(key)).end()
        }
        return { server: createServer((req, res) => void app(req, res)), gate }
      },
    },
  }
  return counted
}

async function openAll(site: Site, count: number, headers: (n: number) => Record<string, string>): Promise<Opened[]> {
  const opened: Opened[] = []
  for (let n = 0; n < count; n++) opened.push(await site.open(headers(n)))
  return opened
}

const key = (name: string): Record<string, string> => ({ 'X-Api-Key': name })
const isOpen = ({ ws }: Opened): boolean => ws.readyState === ws.OPEN

describe('one question for each credential', () => {
  test('ten sockets: the guard runs once each time, for all of them', async () => {
    const counted = counting()
    await using site = await start(counted.stack)
    const opened = await openAll(site, 10, () => key('a'))
    for (let n = 1; n < 6; n++) {
      assert.equal((await site.recheck()).connections, 10)
      assert.equal(counted.runs.length, n)
    }
    counted.status = () => 401
    await site.recheck()
    assert.equal(counted.runs.length, 6)
    for (const one of opened) assert.deepEqual(await one.closed, { code: 4401, reason: 'unauthorized' })
  })

  test('sockets that came later share it; those that have gone are not asked for', async () => {
    const counted = counting()
    await using site = await start(counted.stack)
    const [first] = await openAll(site, 1, () => key('a'))
    await site.live(30 * SECOND)
    const later = await openAll(site, 2, () => key('a'))
    assert.equal((await site.recheck(30 * SECOND)).connections, 3)
    first?.ws.close()
    await first?.closed
    assert.equal((await site.recheck()).connections, 2)
    for (const { ws, closed } of later) {
      ws.terminate()
      await closed
    }
    await turns()
    await site.live(5 * MINUTE)
    assert.equal(counted.runs.length, 2)
    assert.equal(stateOf(site.gate).rechecks.size, 0)
  })

  const apart: ReadonlyArray<readonly [string, (site: Site) => Promise<unknown>]> = [
    ['another key', (site) => site.open(key('b'))],
    ['another cookie', (site) => site.open({ Cookie: 'sid=1', Origin: 'http://one.example' })],
    ['another path', (site) => site.open(key('a'), '/ws/2')],
    ['another query', (site) => site.open(key('a'), '/ws?room=2')],
    ['another address', (site) => site.open(key('a'), '/ws', '127.0.0.2')],
    ['another Host', (site) => site.open({ ...key('a'), Host: 'localhost' })],
    ['another Origin', (site) => site.open({ ...key('a'), Origin: 'http://two.example' })],
    ["another address of a proxy's client", (site) => site.open({ ...key('a'), 'X-Forwarded-For': '203.0.113.9' })],
    ['a key and a bearer token', (site) => site.open({ ...key('a'), Authorization: 'Bearer t' })],
  ]
  for (const [what, open] of apart) {
    test(`${what} is a question of its own`, async () => {
      const counted = counting()
      await using site = await start(counted.stack)
      await site.open(key('a'))
      await site.open(key('a'))
      await open(site)
      site.clock.pass(MINUTE)
      await turns()
      assert.equal(counted.runs.length, 2)
      assert.deepEqual(
        site.events.flatMap((event) => (event.type === 'rechecked' ? [event.connections] : [])).toSorted(),
        [1, 2],
      )
    })
  }

  test('what was made for one handshake alone is not', async () => {
    const counted = counting()
    await using site = await start(counted.stack)
    for (let n = 0; n < 3; n++)
      await site.open({ ...key('a'), 'User-Agent': 'one', 'Sec-WebSocket-Key': Buffer.alloc(16, n).toString('base64') })
    assert.equal((await site.recheck()).connections, 3)
  })

  test('one person, two keys: the end of one is not the end of the other', async () => {
    const counted = counting({ identify: () => ({ subject: 'alice' }) })
    await using site = await start(counted.stack)
    const [one, other] = [await site.open(key('a')), await site.open(key('b'))]
    counted.status = (name) => (name === 'a' ? 401 : 200)
    site.clock.pass(MINUTE)
    await one.closed
    await turns()
    assert.ok(isOpen(other))
  })
})

describe('how many at a time', () => {
  test('not more than `concurrency`; all of them get their turn', async () => {
    const counted = counting()
    await using site = await start(counted.stack, { gate: { recheck: { every: '60s', jitter: 0, concurrency: 4 } } })
    await openAll(site, 40, (n) => key(`k${n}`))
    const waiting: Array<() => void> = []
    let most = 0
    counted.wait = () =>
      new Promise((go) => {
        waiting.push(go)
        most = Math.max(most, waiting.length)
      })
    site.clock.pass(MINUTE)
    for (let done = 0; done < 40; done++) {
      await turns()
      assert.equal(waiting.length, Math.min(4, 40 - done))
      waiting.shift()?.()
    }
    await turns()
    assert.equal(most, 4)
    assert.equal(new Set(counted.runs).size, 40)
    assert.equal(counted.runs.length, 40)
  })

  test('a handshake is served while all turns are taken', async () => {
    const counted = counting()
    await using site = await start(counted.stack, { gate: { recheck: { every: '60s', jitter: 0, concurrency: 2 } } })
    await openAll(site, 6, (n) => key(`k${n}`))
    counted.wait = () => new Promise(() => undefined)
    site.clock.pass(MINUTE)
    await turns()
    assert.equal(counted.runs.length, 2)
    assert.ok(isOpen(await site.open(key('new'))))
  })

  test('and while hundreds of them are run', async () => {
    const counted = counting()
    await using site = await start(counted.stack)
    const count = 600
    await openAll(site, count, (n) => key(`k${n}`))
    let before = -1
    site.gate.on('accepted', () => (before = counted.runs.length))
    const opening = site.open(key('new'))
    site.clock.pass(MINUTE)
    await opening
    assert.ok(before >= 0 && before < count, `only after ${before} of ${count}`)
    while (counted.runs.length < count) await turns(1)
  })

  test('who is waited for comes before the schedule: a session that was destroyed, an expiry', async () => {
    const store = { destroy: (_id: string, done: () => void) => done() }
    const counted = counting({ sessionStore: store })
    await using site = await start(counted.stack, { gate: { recheck: { every: '60s', jitter: 0, concurrency: 1 } } })
    await openAll(site, 5, (n) => key(`k${n}`))
    const held: Array<() => void> = []
    counted.wait = () => new Promise((go) => held.push(go))
    site.clock.pass(MINUTE)
    await turns()
    const last = [...stateOf(site.gate).registry.values()].at(-1)
    assert.ok(last?.facts !== undefined)
    stateOf(site.gate).rechecks.now(last.facts, 'session')
    held.shift()?.()
    await turns()
    assert.deepEqual(
      counted.runs.map((run) => run.slice(0, 2)),
      ['k0', 'k4'],
    )
  })
})

describe('jitter', () => {
  async function times(jitter: number, count: number): Promise<number[]> {
    const counted = counting()
    await using site = await start(counted.stack, { gate: { recheck: { every: '60s', jitter } } })
    await openAll(site, count, (n) => key(`k${n}`))
    const asked: number[] = []
    const began = site.clock.now()
    counted.wait = async () => void asked.push(site.clock.now() - began)
    for (let n = 0; n < 600 && asked.length < count; n++) {
      site.clock.pass(100)
      await turns(2)
    }
    return asked.slice(0, count)
  }

  test('none: all at the same time', async () => {
    assert.deepEqual(new Set(await times(0, 20)), new Set([MINUTE]))
  })

  test('a half: all over the second half, never late', async () => {
    const asked = await times(0.5, 60)
    assert.ok(Math.min(...asked) >= MINUTE / 2)
    assert.ok(Math.max(...asked) <= MINUTE)
    const tenths = new Set(asked.map((time) => Math.floor(time / 3000)))
    assert.ok(tenths.size >= 6, `in ${tenths.size} tenths of the half minute`)
  })
})

test('an address that the app judges by is that of the connection', async () => {
  const counted = counting()
  await using site = await start(counted.stack)
  const opened = await site.open(key('a'), '/ws?x=1', '127.0.0.3')
  const recheck = once(opened.ws, 'close')
  await site.recheck()
  assert.deepEqual(counted.runs, ['a /ws?x=1 127.0.0.3'])
  opened.ws.close()
  await recheck
})
