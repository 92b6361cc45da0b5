import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { createServer, type IncomingMessage } from 'node:http'
import { connect, createServer as createTcpServer, type Socket } from 'node:net'
import { describe, it } from 'node:test'
import session from 'express-session'
import { createGate, type Gate, type GateOptions, type SessionStoreLike } from '../../src/index.ts'
import { listen } from '../support/servers.ts'
import { HeldClock } from '../unit/credentials/helpers.ts'
import { dialWire, postWire, quiet } from './races-wire.ts'

// The session store is the app's: it does for every request what it did before, and is given back as it was.

const SECRET = 'of-the-app'
const COOKIE = { Cookie: 'sid=a', Origin: 'http://localhost' }
const identify = (): { subject: string; session: string } => ({ subject: 'ann', session: 'a' })

async function closeGate(gate: Pick<Gate, 'close'>, clock: HeldClock): Promise<void> {
  const closed = gate.close()
  await quiet()
  clock.pass(2000)
  await closed
}

/** A store with one connection to its database: whoever gives it back calls the next one, as pools of callbacks do. */
class PooledStore extends session.Store {
  readonly rows = new Map<string, string>()
  isSlow = false
  answer = (): void => undefined
  #isBusy = false
  readonly #waiting: Array<() => void> = []

  #take(use: () => void): void {
    if (this.#isBusy) return void this.#waiting.push(use)
    this.#isBusy = true
    use()
  }

  #give(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#isBusy = false
    else setImmediate(next)
  }

  override get(id: string, done: (error: unknown, found?: session.SessionData | null) => void): void {
    this.#take(() => {
      const answered = this.isSlow ? new Promise<void>((resolve) => (this.answer = resolve)) : Promise.resolve()
      void answered.then(() => {
        this.#give()
        const row = this.rows.get(id)
        done(null, row === undefined ? null : (JSON.parse(row) as session.SessionData))
      })
    })
  }

  override set(id: string, data: session.SessionData, done?: (error?: unknown) => void): void {
    this.rows.set(id, JSON.stringify(data))
    done?.()
  }

  override destroy(id: string, done?: (error?: unknown) => void): void {
    this.rows.delete(id)
    done?.()
  }
}

describe('what other requests write while somebody is asked about, or after', () => {
  it('is written where a pool calls them back out of the re-check that had its only place', async () => {
    const clock = new HeldClock()
    const store = new PooledStore()
    const gate = createGate({
      clock,
      sessionStore: store,
      recheck: { every: '60s', jitter: 0 },
      identify: (req: IncomingMessage & { sessionID?: string }) => ({ subject: 'ann', session: req.sessionID }),
    })
    const sessions = session({ secret: SECRET, store, resave: false, saveUninitialized: false })
    const endpoint = gate.websocket(() => undefined)
    const server = createServer((req, res) => {
      sessions(req as never, res as never, () => {
        const { session: own } = req as unknown as { session: { user?: string } }
        if (req.url === '/') return endpoint(req, res)
        delete own.user
        return res.end('{}')
      })
    })
    gate.attach(server)
    const login = (id: string): string => {
      store.rows.set(id, JSON.stringify({ cookie: {}, user: id }))
      const signature = createHmac('sha256', SECRET).update(id).digest('base64').replace(/=+$/, '')
      return `connect.sid=${encodeURIComponent(`s:${id}.${signature}`)}`
    }
    const [ann, bob] = [login('ann'), login('bob')]
    dialWire(server, '/', { Cookie: ann, Origin: 'http://localhost' })
    await quiet()
    store.isSlow = true
    clock.pass(60_000) // the re-check has the place
    await quiet()
    store.isSlow = false
    const logout = postWire(server, '/logout', { Cookie: bob }) // and this one waits for it
    await quiet()
    store.answer()
    assert.equal((await logout).status, 200)
    assert.deepEqual(Object.keys(JSON.parse(store.rows.get('bob') ?? '{}') as object), ['cookie'])
    await closeGate(gate, clock)
  })

  it('is written where the store has connected to its server in a re-check: its answers come in that context', async () => {
    const database = createTcpServer((socket) => socket.on('data', (bytes) => socket.write(bytes)))
    await using at = await listen(database as never)
    // A client with callbacks, which connects when it is first asked, as drivers do.
    let socket: Socket | undefined
    const pending: Array<() => void> = []
    const query = (done: () => void): void => {
      pending.push(done)
      socket ??= connect(at.port, '127.0.0.1').on('data', (bytes) => {
        for (const _ of bytes) pending.shift()?.()
      })
      socket.write('?')
    }
    const clock = new HeldClock()
    const written: string[] = []
    const store = {
      destroy: () => undefined,
      set(id: string, _session: unknown, done: () => void): void {
        written.push(id)
        done()
      },
    }
    const gate = createGate({ clock, sessionStore: store, recheck: { every: '60s', jitter: 0 }, identify })
    const endpoint = gate.websocket(() => undefined)
    const server = createServer((req, res) => {
      if (gate.phase(req) === 'handshake') return endpoint(req, res)
      query(() => {
        if (req.url === '/') return endpoint(req, res)
        return store.set('bob', 'logged out', () => res.end('{}'))
      })
    })
    gate.attach(server)
    dialWire(server, '/', COOKIE)
    await quiet()
    const asked = new Promise<unknown>((resolve) => gate.on('rechecked', resolve))
    clock.pass(60_000)
    await asked
    // The re-check is over; this is another user, a while later.
    assert.equal((await postWire(server, '/logout', {})).status, 200)
    assert.deepEqual(written, ['bob'])
    socket?.destroy()
    await closeGate(gate, clock)
  })
})

describe('a store that the gate cannot watch', () => {
  it('is an error at start: a logout would not be seen', () => {
    const store: SessionStoreLike = Object.freeze({ destroy: () => undefined })
    assert.throws(() => createGate({ identify, sessionStore: store }), { code: 'GATE101_CONFIG' })
  })
})

describe('the store is given back', () => {
  for (const [order, last] of [
    ['in the order in which they came', 1],
    ['the other way round', 0],
  ] as const) {
    it(`by two gates that close ${order}`, async () => {
      const destroy = (): undefined => undefined
      const store: SessionStoreLike = { destroy }
      const gates = [createGate({ identify, sessionStore: store }), createGate({ identify, sessionStore: store })]
      await gates[1 - last]!.close()
      await gates[last]!.close()
      assert.equal(store.destroy, destroy)
    })
  }

  it('where another option is wrong', () => {
    const destroy = (): undefined => undefined
    const store: SessionStoreLike = { destroy }
    const options = { identify, sessionStore: store, heartbeat: 'often' } as unknown as GateOptions
    assert.throws(() => createGate(options), { code: 'GATE101_CONFIG' })
    assert.equal(store.destroy, destroy)
  })
})

describe('wrong types are errors at start', () => {
  const wrong: Readonly<Record<string, unknown>> = {
    'limits: a number': { limits: 5 },
    'limits: a list': { limits: [] },
    'limits: a text': { limits: '' },
    'recheck.onError: a list': { recheck: { onError: [] } },
    'closeCodes: a list': { closeCodes: [] },
    'closeCodes: a Date': { closeCodes: new Date() },
    // setTimeout() takes more than 2^31 - 1 ms for 1 ms.
    'heartbeat: longer than a timer can be': { heartbeat: '30d' },
  }
  for (const [name, options] of Object.entries(wrong)) {
    it(name, () => {
      const given = { identify, clock: new HeldClock(), ...(options as object) } as GateOptions
      assert.throws(() => createGate(given), { code: 'GATE101_CONFIG' })
    })
  }
})
