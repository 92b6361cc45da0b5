import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { describe, it } from 'node:test'
import { createGate, type Gate, type GateOptions, type IdentityInput } from '../../src/index.ts'
import { apiKey } from '../../src/schemes.ts'
import { HeldClock } from '../unit/credentials/helpers.ts'
import { dialWire, postWire, quiet } from './races-wire.ts'

// What those before have left: logouts that something overtakes, values that change behind the back, one who goes for the others.

const SECOND = 1000
const MINUTE = 60 * SECOND
const START = Date.UTC(2026, 10, 23)
// oxlint-disable-next-line unicorn/no-thenable -- the option is called so
const KEEPING = { every: '60s', jitter: 0, onError: { then: 'keep' } } as const

interface App {
  readonly clock: HeldClock
  readonly gate: Gate
  readonly server: Server
  /** What the app knows of each cookie `sid`. */
  readonly logins: Map<string, IdentityInput>
  /** Awaited by the guard before it reads the login, and after. */
  before: (req: IncomingMessage) => unknown
  after: (req: IncomingMessage) => unknown
  dispose(): Promise<void>
}

function sidOf({ headers }: IncomingMessage): string {
  return /sid=([^;]+)/.exec(headers.cookie ?? '')?.[1] ?? ''
}

function appOf(options: Partial<GateOptions<IncomingMessage>> = {}, serve: () => unknown = () => undefined): App {
  const clock = new HeldClock()
  const found = new WeakMap<IncomingMessage, IdentityInput>()
  const gate = createGate({
    clock,
    recheck: { every: '60s', jitter: 0 },
    identify: (req: IncomingMessage) => found.get(req),
    ...options,
  } as GateOptions<IncomingMessage>)
  const [endpoint, renew] = [gate.websocket(serve as never), gate.renew()]
  const server = createServer((req, res) => {
    void (async () => {
      await app.before(req)
      const login = app.logins.get(sidOf(req))
      await app.after(req)
      if (login === undefined) {
        res.statusCode = 401
        return res.end()
      }
      found.set(req, login)
      return req.url === '/renew' ? renew(req, res) : endpoint(req, res)
    })()
  })
  gate.attach(server)
  const app: App = {
    clock,
    gate,
    server,
    logins: new Map(),
    before: () => undefined,
    after: () => undefined,
    async dispose() {
      const closed = gate.close()
      await quiet()
      clock.pass(2000)
      await closed
    },
  }
  return app
}

const withCookie = (sid: string): Record<string, string> => ({ Cookie: `sid=${sid}`, Origin: 'http://localhost' })

function held(): { readonly wait: Promise<void>; readonly go: () => void } {
  let go = (): void => undefined
  const wait = new Promise<void>((resolve) => (go = resolve))
  return { wait, go }
}

async function uncaughtIn(act: () => unknown): Promise<readonly string[]> {
  const found: string[] = []
  const hear = (error: unknown): void => void found.push(String(error))
  process.on('uncaughtException', hear)
  process.on('unhandledRejection', hear)
  try {
    await act()
    await quiet()
  } finally {
    process.off('uncaughtException', hear)
    process.off('unhandledRejection', hear)
  }
  return found
}

describe('a session that was destroyed', () => {
  it('of a connection that lives by another one by now: that other one is left alone', async () => {
    const rows = new Set(['old', 'new'])
    const store = { destroy: async (id: string): Promise<void> => void rows.delete(id) }
    const app = appOf({ sessionStore: store })
    for (const sid of rows) app.logins.set(sid, { subject: 'ann', session: sid })
    const ann = dialWire(app.server, '/', withCookie('old'))
    await quiet()
    const [connection] = [...app.gate.connections]
    const headers = { ...withCookie('new'), 'Gate101-Connection': connection!.token }
    assert.equal((await postWire(app.server, '/renew', headers)).status, 200)
    app.logins.delete('old')
    await store.destroy('old')
    await quiet()
    app.clock.pass(MINUTE)
    await quiet()
    assert.deepEqual([...rows], ['new'])
    assert.equal(ann.closed, undefined)
    await app.dispose()
  })

  it('by a login that takes a new one, and renews with it in the same request: the new one is left alone', async () => {
    const rows = new Set(['old', 'new'])
    const store = { destroy: async (id: string): Promise<void> => void rows.delete(id) }
    const app = appOf({ sessionStore: store })
    for (const sid of rows) app.logins.set(sid, { subject: 'ann', session: sid })
    const ann = dialWire(app.server, '/', withCookie('old'))
    await quiet()
    const [connection] = [...app.gate.connections]
    const slow = held()
    app.before = (req) => (app.gate.phase(req) === 'recheck' ? slow.wait : undefined)
    app.logins.delete('old')
    await store.destroy('old')
    await quiet()
    const headers = { ...withCookie('new'), 'Gate101-Connection': connection!.token }
    assert.equal((await postWire(app.server, '/renew', headers)).status, 200)
    slow.go()
    await quiet()
    app.clock.pass(MINUTE)
    await quiet()
    assert.deepEqual([...rows], ['new'])
    assert.equal(ann.closed, undefined)
    await app.dispose()
  })

  it('while a handshake is under way, and a check is asked about persons: nothing is open', async () => {
    const store = { destroy: async (_id: string): Promise<void> => undefined }
    const app = appOf({ sessionStore: store, recheck: { check: () => true } })
    app.logins.set('a', { subject: 'ann', session: 'a' })
    const slow = held()
    app.after = () => slow.wait
    const ann = dialWire(app.server, '/', withCookie('a'))
    await quiet()
    app.logins.delete('a')
    await store.destroy('a')
    await quiet()
    slow.go()
    await quiet()
    app.clock.pass(10 * MINUTE)
    await quiet()
    assert.equal(app.gate.connections.size, 0)
    assert.notEqual(ann.closed, undefined)
    await app.dispose()
  })

  it('while a re-check is under way that says yes: an app that hangs after that keeps nobody', async () => {
    const store = { destroy: async (_id: string): Promise<void> => undefined }
    const app = appOf({ sessionStore: store, recheck: KEEPING })
    app.logins.set('a', { subject: 'ann', session: 'a' })
    const ann = dialWire(app.server, '/', withCookie('a'))
    await quiet()
    const slow = held()
    app.after = () => slow.wait
    app.clock.pass(MINUTE)
    await quiet()
    app.logins.delete('a')
    await store.destroy('a')
    await quiet()
    app.before = () => new Promise(() => undefined)
    slow.go()
    await quiet()
    for (let n = 0; n < 20; n++) {
      app.clock.pass(MINUTE)
      await quiet()
    }
    assert.notEqual(ann.closed, undefined)
    await app.dispose()
  })

  it('and a store that fails when a re-check destroys it once more: the process goes on', async () => {
    let calls = 0
    const store = {
      destroy: async (_id: string): Promise<void> => {
        if (++calls > 1) throw new Error('The store is away.')
      },
    }
    const app = appOf({ sessionStore: store })
    app.logins.set('a', { subject: 'ann', session: 'a' })
    dialWire(app.server, '/', withCookie('a'))
    await quiet()
    app.logins.delete('a')
    assert.deepEqual(await uncaughtIn(async () => await store.destroy('a')), [])
    await app.dispose()
  })

  for (const road of ['a handshake', 'a renewal'] as const) {
    it(`while ${road} with it is under way: an app that hangs after that keeps nobody`, async () => {
      const store = { destroy: async (_id: string): Promise<void> => undefined }
      const app = appOf({ sessionStore: store, recheck: KEEPING })
      app.logins.set('a', { subject: 'ann', session: 'a' })
      const slow = held()
      const isHeld = ({ url }: IncomingMessage): boolean => (url === '/renew') === (road === 'a renewal')
      app.after = (req) => (isHeld(req) && app.gate.phase(req) !== 'recheck' ? slow.wait : undefined)
      const ann = dialWire(app.server, '/', withCookie('a'))
      await quiet()
      const renewed = road === 'a renewal' ? postWire(app.server, '/renew', withCookie('a')) : undefined
      await quiet()
      app.before = () => new Promise(() => undefined)
      app.logins.delete('a')
      await store.destroy('a')
      await quiet()
      slow.go()
      await renewed
      await quiet()
      for (let n = 0; n < 20; n++) {
        app.clock.pass(MINUTE)
        await quiet()
      }
      assert.notEqual(ann.closed, undefined)
      await app.dispose()
    })
  }
})

describe('a Date that the app was given', () => {
  it('of a key: what a handler does with it moves no expiry', async () => {
    const clock = new HeldClock()
    const gate = createGate({
      clock,
      recheck: false,
      authenticate: apiKey({ keys: [{ key: 'test_api_key', subject: 'ann', expiresAt: new Date(START + MINUTE) }] }),
    })
    const endpoint = gate.websocket((_socket, _req, { identity }) => {
      // In ten minutes at the latest, this app tells its client.
      identity.expiresAt?.setMinutes(identity.expiresAt.getMinutes() + 10)
    })
    const server = createServer((req, res) => endpoint(req, res))
    gate.attach(server)
    const first = dialWire(server, '/', { 'X-Api-Key': 'test_api_key' })
    await quiet()
    assert.equal(first.status, 101)
    clock.pass(2 * MINUTE)
    await quiet()
    const late = dialWire(server, '/', { 'X-Api-Key': 'test_api_key' })
    await quiet()
    assert.equal(late.status, 401)
    const closed = gate.close()
    await quiet()
    clock.pass(2000)
    await closed
  })
})

describe('somebody whom the app has thrown out', () => {
  it('is not kept by one socket after the other that goes while the app is asked', async () => {
    const app = appOf({ recheck: KEEPING })
    app.logins.set('a', { subject: 'ann', session: 'a' })
    const tabs = Array.from({ length: 12 }, () => dialWire(app.server, '/', withCookie('a')))
    await quiet()
    app.logins.delete('a')
    const open = [...tabs]
    app.after = async () => {
      open.shift()?.ws.terminate()
      await quiet()
    }
    for (let n = 0; n < 10 * MINUTE; n += 10 * SECOND) {
      app.clock.pass(10 * SECOND)
      for (let m = 0; m < 4; m++) await quiet()
      if (open.length < 8) break
    }
    assert.equal(app.gate.connections.size, 0)
    await app.dispose()
  })
})

describe('a session that has moved on', () => {
  it('keeps its connections at their expiry, also where no error is forgiven', async () => {
    const app = appOf({ recheck: { every: '10m', jitter: 0, onError: { after: 0 } } })
    app.logins.set('a', { subject: 'ann', session: 'a', expiresAt: new Date(START + MINUTE) })
    const ann = dialWire(app.server, '/', withCookie('a'))
    await quiet()
    app.logins.set('a', { subject: 'ann', session: 'a', expiresAt: new Date(START + 5 * MINUTE) })
    app.clock.pass(MINUTE)
    await quiet()
    app.clock.pass(MINUTE)
    await quiet()
    assert.equal(ann.closed, undefined)
    await app.dispose()
  })
})

describe('a check', () => {
  it('that gives back what it got: the rights of a Set are nobody else’s', async () => {
    const app = appOf({ recheck: { every: '60s', jitter: 0, check: (identity) => ({ ...identity, tags: ['seen'] }) } })
    app.logins.set('a', { subject: 'ann', claims: new Set(['admin']) })
    app.logins.set('b', { subject: 'ann', claims: new Set(['guest']) })
    for (const sid of ['a', 'b']) dialWire(app.server, '/', withCookie(sid))
    await quiet()
    app.clock.pass(MINUTE)
    await quiet()
    const claims = [...app.gate.connections].map(({ identity }) => [...(identity.claims as Set<string>)])
    assert.deepEqual(claims, [['admin'], ['guest']])
    await app.dispose()
  })
})

describe('listeners', () => {
  it('that add themselves again, as some do in the place of once(): each is called once', async () => {
    const app = appOf()
    app.logins.set('a', { subject: 'ann', session: 'a' })
    dialWire(app.server, '/', withCookie('a'))
    await quiet()
    const [connection] = [...app.gate.connections]
    let calls = 0
    const again = (): void => {
      if (++calls < 1000) connection!.on('renewed', again)
    }
    connection!.on('renewed', again)
    await postWire(app.server, '/renew', withCookie('a'))
    assert.equal(calls, 1)
    await app.dispose()
  })
})

describe('an identity', () => {
  it('that a check has made of the one that it got: the process goes on', async () => {
    const check = (identity: IdentityInput): IdentityInput => Object.create(identity) as IdentityInput
    const app = appOf({ recheck: { every: '60s', jitter: 0, check } })
    app.logins.set('a', { subject: 'ann', session: 'a' })
    dialWire(app.server, '/', withCookie('a'))
    await quiet()
    assert.deepEqual(await uncaughtIn(() => app.clock.pass(MINUTE)), [])
    await app.dispose()
  })
})

describe('an auth message on the open connection', () => {
  for (const [name, pad] of [
    ['small', ''],
    ['larger than a first message may be', ' '.repeat(5000)],
  ] as const) {
    it(`never reaches the app: ${name}`, async () => {
      const got: string[] = []
      const app = appOf({ firstMessage: { paths: ['/'], headers: ['authorization'] } }, ((socket: {
        on(event: string, hear: (data: unknown) => void): void
      }) => socket.on('message', (data) => got.push(String(data)))) as never)
      app.logins.set('a', { subject: 'ann', session: 'a' })
      const ann = dialWire(app.server, '/', withCookie('a'))
      await quiet()
      ann.ws.send('hello')
      await quiet()
      ann.ws.send(`{"type":"auth",${pad}"token":"a-secret-token"}`)
      await quiet()
      assert.deepEqual(
        got.map((text) => text.slice(0, 5)),
        ['hello'],
      )
      await app.dispose()
    })
  }
})

describe('a renewal', () => {
  it('is no reason to ask about it before its time', async () => {
    const app = appOf()
    let asked = 0
    app.logins.set('a', { subject: 'ann', session: 'a' })
    dialWire(app.server, '/', withCookie('a'))
    await quiet()
    app.gate.on('rechecked', () => asked++)
    await postWire(app.server, '/renew', withCookie('a'))
    await quiet()
    app.clock.pass(0)
    await quiet()
    assert.equal(asked, 0)
    await app.dispose()
  })
})
