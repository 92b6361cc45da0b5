import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { createServer } from 'node:http'
import { after, before, describe, test, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import express, { type Request } from 'express'
import session, { MemoryStore } from 'express-session'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { createGate } from '../../src/index.ts'
import { findChromium, launchChromium } from '../support/chromium.ts'
import { skipWithout } from '../support/debian.ts'
import { listen, type Listening } from '../support/servers.ts'
import { HeldClock } from '../unit/credentials/helpers.ts'

/**
 * How the tabs of one login renew their WebSockets by its cookie: a real browser, a real session. Time passes where the
 * test says so, in the tabs and at the gate.
 */

const LIFETIME = 60_000
/** What the tabs wait of it: they ask at 80 to 90 %, here without chance. */
const RENEWED_AFTER = 0.8 * LIFETIME

/** Nothing inline, nothing evaluated, nobody else. */
const POLICY = [
  `default-src 'none'`,
  `script-src 'self'`,
  `connect-src 'self'`,
  `base-uri 'none'`,
  `require-trusted-types-for 'script'`,
].join('; ')

const PAGE = `
  import { dial } from './src/client/browser.ts'
  addEventListener('securitypolicyviolation', ({ violatedDirective }) => console.log('violation', violatedDirective))
  // All tabs want to renew at the same moment.
  Math.random = () => 0
  // The moment in which the others hear of a renewal lasts until the test has seen that they have.
  const moments = []
  const { setTimeout } = globalThis
  let isPatient = false
  globalThis.setTimeout = (call, ms) => {
    if (ms >= 1000) return setTimeout(call, ms)
    if (isPatient) call()
    else moments.push(call)
  }
  /** Lets the moments pass until nothing is left that this tab wanted to renew. */
  const quiet = async () => {
    isPatient = true
    for (const call of moments.splice(0)) call()
    const { locks } = navigator
    const { held, pending } = await locks.query()
    const names = new Set([...held, ...pending].map(({ name }) => name))
    await Promise.all([...names].map((name) => locks.request(name, () => undefined)))
    isPatient = false
  }
  const renew = { url: '/live/renew', headers: { 'x-tab': location.hash } }
  const sockets = []
  const start = async (path) => {
    const socket = await dial(path, { renew })
    sockets.push(socket)
    socket.on('auth', ({ state }) => console.log('auth', state))
    socket.on('reconnecting', ({ error }) => console.log('reconnecting', error.closeCode))
    socket.on('close', ({ code, reason }) => console.log('close', code, reason))
    socket.on('message', ({ data }) => console.log('message', data))
  }
  const say = (text) => sockets.forEach((socket) => socket.send(text))
  Object.assign(globalThis, { start, say, quiet })
  console.log('ready')`

async function bundle(): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents: PAGE, resolveDir: fileURLToPath(new URL('../..', import.meta.url)), loader: 'ts' },
    bundle: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    write: false,
    logLevel: 'silent',
  })
  return outputFiles[0]?.text ?? ''
}

interface Site extends Listening {
  readonly clock: HeldClock
  /** The tab of each request for a renewal. */
  readonly posts: string[]
  /** How many WebSockets were opened. */
  opened(): number
  /** Keeps requests for a renewal waiting from now on. @returns what answers them */
  hold(): () => void
  /** Resolves when so many requests for a renewal have come. */
  posted(count: number): Promise<void>
}

async function site(script: string): Promise<Site> {
  const app = express()
  const store = new MemoryStore()
  const clock = new HeldClock()
  const posts: string[] = []
  const posted = new EventEmitter()
  let answered = Promise.resolve()
  let opened = 0
  app.use((_req, res, next) => {
    res.set('Content-Security-Policy', POLICY)
    next()
  })
  app.get('/page.js', (_req, res) => void res.type('js').send(script))
  app.get('/page', (_req, res) => void res.send('<!doctype html><script type="module" src="/page.js"></script>'))
  const cookie = { httpOnly: true, sameSite: 'strict' } as const
  app.use(session({ secret: 'test', store, resave: false, saveUninitialized: false, cookie }))
  app.post('/login', (req, res) => {
    Object.assign(req.session, { user: 'ann' })
    res.end()
  })
  app.post('/logout', (req, res) => req.session.destroy(() => res.end()))
  app.use((req, res, next) => {
    if ('user' in req.session) next()
    else res.status(401).end()
  })
  const gate = createGate({
    identify: ({ sessionID }: Request) => ({
      subject: 'ann',
      session: sessionID,
      expiresAt: new Date(clock.now() + LIFETIME),
    }),
    clock,
    sessionStore: store,
    sessionCookies: ['connect.sid'],
  })
  gate.on('accepted', () => (opened += 1))
  app.get(
    ['/live', '/chat'],
    gate.websocket((socket) => socket.on('message', (data) => socket.send(String(data)))),
  )
  app.post(
    '/live/renew',
    async (req, _res, next) => {
      posts.push(req.get('x-tab') ?? '')
      posted.emit('post')
      await answered
      next()
    },
    gate.renew(),
  )
  const server = createServer(app)
  gate.attach(server)
  return Object.assign(await listen(server), {
    clock,
    posts,
    opened: () => opened,
    hold: () => {
      let go = (): void => undefined
      answered = new Promise((resolve) => (go = resolve))
      return go
    },
    posted: async (count: number) => {
      while (posts.length < count) await once(posted, 'post')
    },
  })
}

/** A tab, and all that its page has said. */
class Tab {
  readonly page: Page
  readonly said: string[] = []
  readonly #waiting = new Set<() => void>()

  constructor(page: Page) {
    this.page = page
    page.on('console', (message) => {
      // The browser has its say there, too.
      if (message.type() === 'log') this.said.push(message.text())
      for (const check of this.#waiting) check()
    })
  }

  count(text: string): number {
    return this.said.filter((one) => one === text).length
  }

  /** Waits until it says this, so often more. */
  async says(text: string, more = 1): Promise<void> {
    const until = this.count(text) + more
    await this.until(() => this.count(text) >= until)
  }

  async until(isSo: () => boolean): Promise<void> {
    await new Promise<void>((resolve) => {
      const check = (): void => {
        if (!isSo()) return
        this.#waiting.delete(check)
        resolve()
      }
      this.#waiting.add(check)
      check()
    })
  }

  /** Resolves when its WebSocket is open, and was told for how long. */
  async start(path = '/live'): Promise<void> {
    await this.page.evaluate(`start(${JSON.stringify(path)})`)
    await this.quiet()
  }

  /** Resolves when nothing is left that it wanted to renew. */
  async quiet(): Promise<void> {
    await this.page.evaluate('quiet()')
  }

  /** Whether its WebSocket is open, seen from both sides. */
  async echoes(text: string): Promise<void> {
    const heard = this.says(`message ${text}`)
    await this.page.evaluate(`say(${JSON.stringify(text)})`)
    await heard
  }
}

/** The tabs of one person. */
interface World {
  readonly served: Site
  readonly context: BrowserContext
  readonly tabs: readonly Tab[]
}

/** Time for a renewal: nobody gets an answer before all tabs have asked for their turn. @returns what lets them answer */
async function begin({ served, context }: World): Promise<() => void> {
  const answer = served.hold()
  served.clock.pass(RENEWED_AFTER)
  await context.clock.runFor(RENEWED_AFTER)
  return answer
}

/** Resolves when each of these has heard that it was renewed, and nobody wants to renew any more. */
async function end(answer: () => void, tabs: readonly Tab[]): Promise<void> {
  const told = tabs.map((tab) => tab.says('auth renewed'))
  answer()
  await Promise.all(told)
  await Promise.all(tabs.map((tab) => tab.quiet()))
}

/** One lifetime after which all of these go on. @returns the tabs that have asked for it */
async function round(world: World, tabs = world.tabs): Promise<string[]> {
  const { posts } = world.served
  const before = posts.length
  await end(await begin(world), tabs)
  return posts.slice(before)
}

describe('renewals, in Chromium', { skip: skipWithout(findChromium()), timeout: 120_000, concurrency: true }, () => {
  let browser: Browser
  let script: string

  before(async () => {
    ;[browser, script] = await Promise.all([launchChromium(), bundle()])
  })

  after(async () => await browser?.close())

  /** A site of its own, and its pages in the tabs of one person. */
  async function open(t: TestContext, names: readonly string[]): Promise<World> {
    const served = await site(script)
    const context = await browser.newContext({ baseURL: `http://127.0.0.1:${served.port}` })
    t.after(async () => {
      await context.close()
      await served.close()
    })
    context.setDefaultTimeout(120_000)
    const now = served.clock.now()
    await context.clock.install({ time: now })
    await context.clock.pauseAt(now + 60_000)
    const tabs = await Promise.all(names.map(async (name) => await openTab(context, name)))
    await logIn(tabs[0])
    return { served, context, tabs }
  }

  async function openTab(context: BrowserContext, name: string): Promise<Tab> {
    const tab = new Tab(await context.newPage())
    const ready = tab.says('ready')
    await tab.page.goto(`/page#${name}`)
    await ready
    return tab
  }

  test('one tab renews for all, over two lifetimes; where it is closed, another one does', async (t) => {
    const world = await open(t, ['a', 'b', 'c'])
    const { served, tabs } = world
    for (const tab of tabs) await tab.start()
    assert.deepEqual(served.posts.splice(0), ['#a', '#b', '#c'], 'each has asked how long it is open')
    assert.equal((await round(world)).length, 1)
    assert.equal((await round(world)).length, 1)
    await Promise.all(tabs.map((tab) => tab.echoes('here')))

    // It goes before it was answered.
    const answer = await begin(world)
    await served.posted(3)
    const busy = served.posts.at(-1)
    const closed = tabs.find(({ page }) => page.url().endsWith(String(busy)))
    assert.ok(closed)
    await closed.page.close()
    await served.posted(4)
    const others = tabs.filter((tab) => tab !== closed)
    await end(answer, others)
    assert.equal(served.posts.length, 4)
    assert.equal((await round(world, others)).length, 1)
    assert.ok(!served.posts.slice(3).includes(String(busy)))
    await Promise.all(others.map((tab) => tab.echoes('still here')))
    assert.equal(served.opened(), 3)
    for (const { said } of tabs) assert.deepEqual([...new Set(said)].toSorted(), expectedOf(said))
  })

  test('a tab that comes and goes takes nobody down with it', async (t) => {
    const world = await open(t, ['stays', 'goes'])
    const { served, tabs } = world
    const [stays, goes] = tabs
    assert.ok(stays && goes)
    await stays.start()
    await goes.start()
    await goes.echoes('here')
    await goes.page.close()
    await round(world, [stays])
    await round(world, [stays])
    await stays.echoes('still here')
    assert.deepEqual(served.posts, ['#stays', '#goes', '#stays', '#stays'])
    assert.equal(served.opened(), 2)
  })

  test('a logout in one tab closes all of them for good, and nobody comes back', async (t) => {
    const world = await open(t, ['again', 'a', 'b', 'c'])
    const { served, tabs: all } = world
    const [again, ...tabs] = all
    assert.ok(again)
    for (const tab of tabs) await tab.start()
    const closed = tabs.map((tab) => tab.says('close 4401 revoked'))
    await tabs[0]?.page.evaluate(`fetch('/logout', { method: 'POST' }).then(({ status }) => status)`)
    await Promise.all(closed)
    const posts = served.posts.length
    // Who logs in again is somebody new, and brings none of the others back.
    await logIn(again)
    await again.start()
    assert.deepEqual(await round(world, [again]), ['#again'])
    await Promise.all(tabs.map((tab) => tab.quiet()))
    for (const { said } of tabs) {
      assert.equal(said.at(-1), 'close 4401 revoked')
      assert.ok(!said.some((text) => /reconnecting|violation/.test(text)), said.join())
    }
    assert.deepEqual(served.posts.slice(posts), ['#again', '#again'])
    assert.equal(served.opened(), 4)
  })

  test('two WebSockets of one page are renewed together', async (t) => {
    const world = await open(t, ['a'])
    const { served, tabs } = world
    const [tab] = tabs
    assert.ok(tab)
    await tab.start('/live')
    await tab.start('/chat')
    assert.equal(served.posts.splice(0).length, 2, 'each has asked how long it is open')
    for (let n = 1; n <= 2; n++) {
      assert.equal((await round(world)).length, 1)
      await tab.until(() => tab.count('auth renewed') === 2 * n)
    }
    await tab.echoes('here')
    assert.equal(served.opened(), 2)
  })
})

async function logIn(tab: Tab | undefined): Promise<void> {
  await tab?.page.evaluate(`fetch('/login', { method: 'POST' }).then(({ status }) => status)`)
}

/** What a tab may have said that has never been closed. */
function expectedOf(said: readonly string[]): string[] {
  return ['auth renewed', 'message here', 'message still here', 'ready'].filter((text) => said.includes(text))
}
