import assert from 'node:assert/strict'
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

/** How the tabs of one login renew their WebSockets by its cookie: a real browser, a real session. */

/** Told to the tabs as 2 s, so they renew after 1.6 s. */
const SESSION = 2900
const RENEWED_AFTER = 1600

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
  Object.assign(globalThis, { start, say })
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
  /** The tab of each request for a renewal, and when it came. */
  readonly posts: Array<{ readonly tab: string; readonly at: number }>
  /** How many handshakes came. */
  handshakes(): number
}

async function site(script: string): Promise<Site> {
  const app = express()
  const store = new MemoryStore()
  const posts: Site['posts'] = []
  let handshakes = 0
  app.use((_req, res, next) => {
    res.set('Content-Security-Policy', POLICY)
    next()
  })
  app.get('/page.js', (_req, res) => void res.type('js').send(script))
  app.get('/page', (_req, res) => void res.send('<!doctype html><script type="module" src="/page.js"></script>'))
  const cookie = { httpOnly: true, sameSite: 'strict', maxAge: SESSION } as const
  app.use(session({ secret: 'test', store, resave: false, saveUninitialized: false, rolling: true, cookie }))
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
    identify: ({
      sessionID,
      session: {
        cookie: { expires },
      },
    }: Request) => ({
      subject: 'ann',
      session: sessionID,
      expiresAt: expires ?? null,
    }),
    sessionStore: store,
    sessionCookies: ['connect.sid'],
  })
  app.get(
    ['/live', '/chat'],
    (_req, _res, next) => {
      handshakes += 1
      next()
    },
    gate.websocket((socket) => socket.on('message', (data) => socket.send(String(data)))),
  )
  app.post(
    '/live/renew',
    (req, _res, next) => {
      posts.push({ tab: req.get('x-tab') ?? '', at: Date.now() })
      // It counts as a use of the session when its answer goes out otherwise.
      req.session.touch()
      next()
    },
    gate.renew(),
  )
  const server = createServer(app)
  gate.attach(server)
  return { ...(await listen(server)), posts, handshakes: () => handshakes }
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

  /** Resolves when its WebSocket is open. */
  async start(path = '/live'): Promise<void> {
    await this.page.evaluate(`start(${JSON.stringify(path)})`)
  }

  /** Whether its WebSocket is open, seen from both sides. */
  async echoes(text: string): Promise<void> {
    const heard = this.says(`message ${text}`)
    await this.page.evaluate(`say(${JSON.stringify(text)})`)
    await heard
  }
}

describe('renewals, in Chromium', { skip: skipWithout(findChromium()), timeout: 40_000, concurrency: true }, () => {
  let browser: Browser
  let script: string

  before(async () => {
    ;[browser, script] = await Promise.all([launchChromium(), bundle()])
  })

  after(async () => await browser?.close())

  /** A site of its own, and its pages in the tabs of one person: what is slow is done before the time counts. */
  async function open(t: TestContext, names: readonly string[]): Promise<{ served: Site; tabs: Tab[] }> {
    const served = await site(script)
    const context = await browser.newContext({ baseURL: `http://127.0.0.1:${served.port}` })
    t.after(async () => {
      await context.close()
      await served.close()
    })
    const tabs = await Promise.all(names.map(async (name) => await openTab(context, name)))
    await logIn(tabs[0])
    return { served, tabs }
  }

  async function openTab(context: BrowserContext, name: string): Promise<Tab> {
    const tab = new Tab(await context.newPage())
    const ready = tab.says('ready')
    await tab.page.goto(`/page#${name}`)
    await ready
    return tab
  }

  test('one tab renews for all, over two lifetimes; where it is closed, another one does', async (t) => {
    const { served, tabs } = await open(t, ['a', 'b', 'c'])
    await Promise.all(tabs.map((tab) => tab.start()))
    const began = Date.now()
    const isLong = (): boolean => Date.now() - began > 2 * SESSION
    await Promise.all(tabs.map((tab) => tab.until(() => tab.count('auth renewed') > 2 && isLong())))
    await Promise.all(tabs.map((tab) => tab.echoes('here')))
    const rounds = (Date.now() - began) / RENEWED_AFTER
    const posts = served.posts.length
    // Each has asked when it was open; then one a round, or another one where the machine is slow: not three.
    assert.ok(posts >= 4 && posts <= 3 + 2 * rounds, `${posts} in ${rounds} rounds`)

    const busy = served.posts.at(-1)?.tab
    const closed = tabs.find(({ page }) => page.url().endsWith(String(busy)))
    await closed?.page.close()
    const others = tabs.filter((tab) => tab !== closed)
    assert.equal(others.length, 2)
    await Promise.all(others.map((tab) => tab.says('auth renewed', 2)))
    await Promise.all(others.map((tab) => tab.echoes('still here')))
    assert.notEqual(served.posts.at(-1)?.tab, busy)
    assert.equal(served.handshakes(), 3)
    for (const { said } of tabs) assert.deepEqual([...new Set(said)].toSorted(), expectedOf(said))
  })

  test('a tab that comes and goes takes nobody down with it', async (t) => {
    const { served, tabs } = await open(t, ['stays', 'goes'])
    const [stays, goes] = tabs
    assert.ok(stays && goes)
    const first = answered(stays)
    await stays.start()
    await first
    // It is told by its own question, or by that of the other one.
    const told = Promise.race([answered(goes), stays.says('auth renewed')])
    await goes.start()
    await told
    await goes.echoes('here')
    await goes.page.close()
    await stays.says('auth renewed', 2)
    await stays.echoes('still here')
    assert.deepEqual(
      served.posts.slice(-2).map(({ tab }) => tab),
      ['#stays', '#stays'],
    )
  })

  test('a logout in one tab closes all of them for good, and nobody comes back', async (t) => {
    const { served, tabs: all } = await open(t, ['again', 'a', 'b', 'c'])
    const [again, ...tabs] = all
    assert.ok(again)
    await Promise.all(tabs.map((tab) => tab.start()))
    const closed = tabs.map((tab) => tab.says('close 4401 revoked'))
    await tabs[0]?.page.evaluate(`fetch('/logout', { method: 'POST' }).then(({ status }) => status)`)
    await Promise.all(closed)
    const posts = served.posts.length
    // Who logs in again is somebody new, and brings none of the others back.
    await logIn(again)
    await again.start()
    await again.says('auth renewed')
    for (const { said } of tabs) {
      assert.equal(said.at(-1), 'close 4401 revoked')
      assert.ok(!said.some((text) => /reconnecting|violation/.test(text)), said.join())
    }
    assert.deepEqual([...new Set(served.posts.slice(posts).map(({ tab }) => tab))], ['#again'])
    assert.equal(served.handshakes(), 4)
  })

  test('two WebSockets of one page are renewed together', async (t) => {
    const { served, tabs } = await open(t, ['a'])
    const [tab] = tabs
    assert.ok(tab)
    await Promise.all([tab.start('/live'), tab.start('/chat')])
    await tab.until(() => tab.count('auth renewed') >= 4)
    await tab.echoes('here')
    // Two when they were open, and two rounds; each by itself would make six.
    assert.ok(served.posts.length <= 5, `${served.posts.length}`)
    assert.equal(served.handshakes(), 2)
  })
})

async function logIn(tab: Tab | undefined): Promise<void> {
  await tab?.page.evaluate(`fetch('/login', { method: 'POST' }).then(({ status }) => status)`)
}

/** The next answer to a request for a renewal. */
async function answered({ page }: Tab): Promise<void> {
  await page.waitForResponse((response) => response.url().endsWith('/renew'))
}

/** What a tab may have said that has never been closed. */
function expectedOf(said: readonly string[]): string[] {
  return ['auth renewed', 'message here', 'message still here', 'ready'].filter((text) => said.includes(text))
}
