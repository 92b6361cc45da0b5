import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { connect, createServer as createTcpServer } from 'node:net'
import { pipeline } from 'node:stream/promises'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import express from 'express'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { findChromium, launchChromium } from '../support/chromium.ts'
import { skipWithout } from '../support/debian.ts'
import { startDemo, type Demo } from '../support/demo.ts'
import { listen, type Listening } from '../support/servers.ts'

/** The demo in a real browser: each road from its own page, from a page of another origin, and under another name. */

const root = fileURLToPath(new URL('../..', import.meta.url))
const chromium = findChromium()
const KEY = 'test_api_key'
/** For tests that wait for what the demo says: it may have less to say than it should. */
const BOUND = { timeout: 120_000 }

/**
 * Passes everything on to the demo and keeps the head of each handshake as the browser wrote it. The browser's own
 * tools leave the cookie out of what they show of a handshake with another origin.
 */
async function listenIn(port: number): Promise<Listening & { readonly heads: readonly string[] }> {
  const heads: string[] = []
  const server = createTcpServer((near) => {
    near.once('data', (first: Buffer) => {
      const head = first.toString('latin1')
      if (/^upgrade: websocket\r$/im.test(head)) heads.push(head)
    })
    // A peer that goes is no fault here: the other one is told by the end of its connection.
    pipeline(near, connect(port, 'localhost'), near).catch(() => {})
  })
  return Object.assign(await listen(server, 'localhost'), { heads })
}

describe('the demo in Chromium', { skip: skipWithout(chromium), timeout: 300_000 }, () => {
  let demo: Demo
  let wire: Awaited<ReturnType<typeof listenIn>>
  let elsewhere: Listening
  let browser: Browser
  let context: BrowserContext
  let page: Page
  const problems: string[] = []

  before(async () => {
    demo = await startDemo()
    wire = await listenIn(demo.port)
    const app = express().use(express.static(`${root}/examples/demo`))
    elsewhere = await listen(createServer(app), 'localhost')
    browser = await launchChromium(['--host-resolver-rules=MAP evil.test 127.0.0.1'])
  })

  after(async () => {
    await browser?.close()
    await elsewhere?.close()
    await wire?.close()
    await demo?.stop()
  })

  const own = (): string => `http://localhost:${wire.port}`

  /** A page of the demo, or of another origin that does the same with the demo. */
  async function visit(url: string, options: Parameters<Browser['newContext']>[0] = {}): Promise<void> {
    await context?.close()
    context = await browser.newContext(options)
    context.setDefaultTimeout(BOUND.timeout)
    page = await context.newPage()
    page.on('pageerror', (error) => problems.push(error.message))
    page.on('console', (message) => {
      const isAnswer = /^(?:Failed to load resource|WebSocket connection to)/.test(message.text())
      if (message.type() === 'error' && !isAnswer && page.url().startsWith(own())) problems.push(message.text())
    })
    await page.goto(url)
  }

  /** Runs the function of a file beside this one in the page. */
  async function inPage<Result>(file: string, argument: unknown = null): Promise<Result> {
    const text = readFileSync(new URL(file, import.meta.url), 'utf8').replace(/^\/\/.*$/m, '')
    return await page.evaluate<Result>(`(${text.slice(text.indexOf('function')).trim()})(${JSON.stringify(argument)})`)
  }

  async function outcomeOf(road: string): Promise<string> {
    const output = page.locator(`#${road} output`, { hasText: /^(Accepted|Refused|Not connected)/ })
    await output.waitFor()
    return (await output.textContent()) ?? ''
  }

  async function click(road: string, which: string): Promise<{ outcome: string; wire: string }> {
    await page.click(`#${road} [data-try=${which}]`)
    const outcome = await outcomeOf(road)
    return { outcome, wire: (await page.locator(`#${road} .wire li`).allTextContents()).join('\n') }
  }

  const ROADS: ReadonlyArray<readonly [road: string, wire: RegExp, refused: RegExp, refusedWire: RegExp]> = [
    [
      'cookie',
      /adds Cookie[^]*101, Sec-WebSocket-Protocol: gate101/,
      /^Refused\. 4401 app: The middleware refused/,
      /Close 4401 app/,
    ],
    [
      'ticket',
      /GET \/ws\?ticket=[^]*101, Sec-WebSocket-Protocol: gate101/,
      /^Refused\. 4401 invalid_ticket: .*one handshake only/,
      /Close 4401 invalid_ticket/,
    ],
    [
      'subprotocol',
      /bearer\.authorization\.gate101[^]*101, Sec-WebSocket-Protocol: gate101/,
      /^Refused\. 4401 app/,
      /Close 4401 app/,
    ],
    [
      'message',
      /←\{"type":"auth_ok","subject":"demo"/,
      /^Refused\. 4401 app/,
      /"auth_error","status":401,"code":"app"/,
    ],
  ]

  describe('from its own page', () => {
    before(async () => {
      await visit(own())
    })
    for (const [road, wire, refused, refusedWire] of ROADS) {
      test(`${road}: accepted, with the wire shown`, async () => {
        const shown = await click(road, 'good')
        assert.match(shown.outcome, /^Accepted\. The middleware let/)
        assert.match(shown.wire, wire)
        assert.match(shown.wire, /←hello/)
      })
      test(`${road}: refused, with the reason`, async () => {
        const shown = await click(road, 'bad')
        assert.match(shown.outcome, refused)
        assert.match(shown.wire, refusedWire)
      })
    }

    test('shows what was on the wire', async () => {
      const fieldsOf = (text: string): string[] =>
        [...text.matchAll(/^[→·]?(?:the browser adds )?((?:Origin|Cookie|Sec-WebSocket-Protocol): .*?)\r?$/gm)]
          .map(([, field = '']) => field.replace(/(gate101\.demo=|authorization\.gate101\.[\w-]{6})[^,]*/, '$1…'))
          .toSorted()
      const compare = async (road: string): Promise<string> => {
        const from = wire.heads.length
        const shown = (await click(road, 'good')).wire
        const handshake = shown.slice(shown.indexOf('GET /ws'))
        const [sent = '', ...more] = wire.heads.slice(from)
        assert.deepEqual([fieldsOf(handshake), more], [fieldsOf(sent), []])
        const target = handshake.slice(0, handshake.indexOf('\n')).replace(/…?\s+\(Upgrade: websocket\)$/, '')
        assert.ok(sent.startsWith(target), `${target}, ${sent}`)
        return sent
      }
      assert.match(await compare('cookie'), /^Cookie: /m)
      for (const road of ['ticket', 'subprotocol', 'message']) assert.match(await compare(road), /^Cookie: /m)
      await click('cookie', 'bad')
      for (const road of ['ticket', 'subprotocol', 'message']) assert.doesNotMatch(await compare(road), /^Cookie: /m)
    })

    test('shows neither a whole ticket or token nor a password', async () => {
      const from = wire.heads.length
      await click('ticket', 'good')
      await click('subprotocol', 'good')
      await page.fill('#message [name=password]', 'opensesame')
      await click('message', 'good')
      const sent = wire.heads.slice(from).join('\n')
      const ticket = /ticket=([\w-]+)/.exec(sent)?.[1]
      const item = /authorization\.gate101\.([\w-]+)/.exec(sent)?.[1]
      assert.ok(ticket !== undefined && item !== undefined, sent)
      const text = await page.locator('main').innerText()
      for (const secret of [ticket, item, Buffer.from(item, 'base64url').toString(), 'opensesame'])
        assert.ok(!text.includes(secret), secret)
    })

    test('works by keyboard alone', async () => {
      await visit(own())
      const focused = (): Promise<string> => page.evaluate<string>(`document.activeElement?.textContent?.trim() ?? ''`)
      for (let n = 0; n < 20 && (await focused()) !== 'Connect with a made-up token'; n++)
        await page.keyboard.press('Tab')
      assert.equal(await page.evaluate<string>(`getComputedStyle(document.activeElement).outlineStyle`), 'solid')
      await page.keyboard.press('Enter')
      assert.match(await outcomeOf('subprotocol'), /^Refused/)
      assert.equal(await focused(), 'Connect with a made-up token')
      for (let n = 0; n < 3; n++) await page.keyboard.press('Tab')
      assert.equal(await focused(), 'Connect')
      await page.keyboard.press('Enter')
      assert.match(await outcomeOf('message'), /^Accepted/)
    })
  })

  describe('from a page of another origin', () => {
    before(async () => {
      // The same site, as far as cookies go: the session cookie of the demo travels along.
      await visit(own())
      await click('cookie', 'good')
      await page.goto(`http://localhost:${elsewhere.port}/?server=${encodeURIComponent(own())}`)
    })

    for (const road of ['life', ...ROADS.map(([name]) => name)]) {
      for (const which of road === 'life' ? ['login', 'connect', 'renew', 'logout'] : ['good', 'bad']) {
        test(`${road}: refused, and the page says why: ${which}`, async () => {
          const { outcome, wire } = await click(road, which)
          assert.equal(
            outcome,
            `Refused. This page is of another origin, http://localhost:${elsewhere.port}, which may not connect.`,
          )
          assert.doesNotMatch(wire, /←/)
        })
      }
    }

    test('good credentials do not help: cookie, ticket, token; and are good from the right page', BOUND, async () => {
      // It is there before the ticket: that lasts for 15 s only.
      const right = await context.newPage()
      await right.goto(own())
      const headers = { 'content-type': 'application/json', 'x-api-key': KEY, origin: own() }
      const { url } = (await (await fetch(`${own()}/ws/ticket`, { method: 'POST', headers, body: '{}' })).json()) as {
        url: string
      }
      const { token } = (await (await fetch(`${own()}/token`, { method: 'POST', headers })).json()) as { token: string }
      const item = `base64url.bearer.authorization.gate101.${Buffer.from(token).toString('base64url')}`
      const handshakes = [
        [`${own()}/ws`, ['gate101']],
        [`${own()}${url}`, ['gate101']],
        [`${own()}/ws`, ['gate101', item]],
        [`${own()}/ws/login`, ['gate101']],
      ]
      const [from, said] = [wire.heads.length, demo.says(4)]
      assert.deepEqual(await inPage('dial.js', handshakes), ['1006', '1006', '1006', '1006'])
      const refused = (path: string): string => `refused ${path} 403 bad_origin`
      assert.deepEqual((await said).toSorted(), [...Array(3).fill(refused('/ws')), refused('/ws/login')])
      const cookies = wire.heads.slice(from).map((head) => /^cookie: gate101\.demo=s/im.test(head))
      assert.deepEqual(cookies, [true, true, true, true], 'the cookie went along, and did not help')

      page = right
      assert.deepEqual(await inPage('dial.js', handshakes), Array(4).fill('open gate101'))
    })
  })

  test('under a name that somebody else has pointed here (DNS rebinding): 421', BOUND, async () => {
    await visit(`http://evil.test:${demo.port}/page.css`)
    const handshakes = ['/ws', '/ws/login'].map((path) => [`http://evil.test:${demo.port}${path}`, ['gate101']])
    const said = demo.says(2)
    assert.deepEqual(await inPage('dial.js', handshakes), ['1006', '1006'])
    assert.deepEqual((await said).toSorted(), [
      'refused /ws 421 host_not_allowed',
      'refused /ws/login 421 host_not_allowed',
    ])
  })

  test('a server that is away is no refusal of this page', async () => {
    const other = await startDemo()
    await visit(`http://localhost:${other.port}`)
    await other.stop()
    for (const road of ['life', ...ROADS.map(([name]) => name)]) {
      const { outcome } = await click(road, road === 'life' ? 'login' : 'good')
      assert.equal(outcome, 'Not connected. The server does not answer. Is it running?')
    }
  })

  for (const colorScheme of ['light', 'dark'] as const) {
    test(`has contrast enough for all of its text: ${colorScheme}`, async () => {
      await visit(own(), { colorScheme, viewport: { width: 360, height: 800 } })
      await click('ticket', 'good')
      await click('subprotocol', 'bad')
      for (const [button, state] of [
        ['login', /^Open/],
        ['logout', /^Closed/],
      ] as const) {
        await click('life', button)
        await page.locator('#state', { hasText: state }).waitFor()
        const { least, wide } = await inPage<{ least: { ratio: number }; wide: boolean }>('contrast.js')
        assert.ok(least.ratio >= 4.5, JSON.stringify(least))
        assert.equal(wide, false, 'the page is wider than the window')
      }
    })
  }

  test('nothing failed in the page, and its policy held', () => {
    assert.deepEqual(problems, [])
  })
})
