import assert from 'node:assert/strict'
import { after, before, describe, test, type TestContext } from 'node:test'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { dial, type DialSocket } from '../../src/client.ts'
import { findChromium, launchChromium } from '../support/chromium.ts'
import { skipWithout } from '../support/debian.ts'
import { startDemo, startJumpingDemo, type Demo, type JumpingDemo } from '../support/demo.ts'
import { next } from '../support/next.ts'

/** What ends a WebSocket of the demo, or keeps it open, as the people at its pages see it: in real tabs. */

const MINUTE = 60_000
/** What the demo gives a session that nobody uses. */
const SESSION = 60 * MINUTE
/** An end that comes sooner does not wait for a question to the app: those come after 48 s or more. Milliseconds. */
const AT_ONCE = 20_000
/** What ends is seen in a page by then, however slow the machine is. Milliseconds. */
const PATIENCE = 120_000

interface Tab {
  readonly page: Page
  /** Presses a button of the section "One life". @returns what the page says of it */
  press(which: 'login' | 'connect' | 'renew' | 'logout' | 'change'): Promise<string>
  /** Waits until the page says this of its WebSocket. */
  shows(state: RegExp): Promise<string>
  /** The time when its WebSocket of now closes. */
  closing(): Promise<number>
}

async function openTab(context: BrowserContext, { port }: Demo): Promise<Tab> {
  context.setDefaultTimeout(PATIENCE)
  const page = await context.newPage()
  let closed: Promise<number> | undefined
  page.on('websocket', (socket) => {
    closed = new Promise((resolve) => {
      socket.once('close', () => resolve(Date.now()))
    })
  })
  await page.goto(`http://localhost:${port}/`)
  await page.locator('#session', { hasText: /^GET \/me/ }).waitFor()
  return {
    page,
    async press(which) {
      await page.click(`#life [data-try=${which}]`)
      const output = page.locator('#life output', { hasText: /^(Accepted|Refused|Not connected)/ })
      await output.waitFor()
      return (await output.textContent()) ?? ''
    },
    async shows(text) {
      const state = page.locator('#state', { hasText: text })
      await state.waitFor()
      return (await state.textContent()) ?? ''
    },
    async closing() {
      assert.ok(closed, 'there is no WebSocket')
      return await closed
    },
  }
}

/** A tab whose person is logged in, in a browser of its own. */
async function logInElsewhere(t: TestContext, browser: Browser, demo: Demo): Promise<Tab> {
  const context = await browser.newContext()
  t.after(() => context.close())
  const tab = await openTab(context, demo)
  assert.match(await tab.press('login'), /^Accepted/)
  await tab.shows(/^Open, for demo\.$/)
  return tab
}

/** Another tab beside this one: the same cookies, so the same session. */
async function openBeside(tab: Tab, demo: Demo): Promise<Tab> {
  const beside = await openTab(tab.page.context(), demo)
  await beside.shows(/^Open, for demo\.$/)
  return beside
}

/** The time when the page sends such a request: a browser with much to do is slow to take a click. */
async function sending({ page }: Tab, path: string): Promise<number> {
  await page.waitForRequest((request) => new URL(request.url()).pathname === path)
  return Date.now()
}

/** Renews, and fails where its WebSocket does not say so itself: it is not open. @returns until when it is open now */
async function renew(tab: Tab, count = 1): Promise<Date> {
  assert.equal(
    await tab.press('renew'),
    `Accepted. Renewed: ${count} WebSocket${count === 1 ? '' : 's'} of this session.`,
  )
  // The wire shows what has come since the button was pressed.
  const told = tab.page.locator('#life .wire li', { hasText: /^←\{"subject":"demo"/ }).first()
  await told.waitFor()
  await tab.shows(/^Open, for demo\.$/)
  const { expiresAt } = JSON.parse((await told.textContent())?.slice(1) ?? '') as { expiresAt: string }
  return new Date(expiresAt)
}

const LOGGED_OUT = 'Closed with 4401 revoked: its session was logged out, or the password was changed.'

describe('one life, in Chromium', { skip: skipWithout(findChromium()), timeout: 400_000 }, () => {
  let browser: Browser
  let demo: Demo

  before(async () => {
    browser = await launchChromium()
    demo = await startDemo()
  })

  after(async () => {
    await browser?.close()
    await demo?.stop()
  })

  test('logging out in one tab closes the WebSocket of the other, which says why, and of nobody else', async (t) => {
    const first = await logInElsewhere(t, browser, demo)
    const second = await openBeside(first, demo)
    const stranger = await logInElsewhere(t, browser, demo)

    const said = demo.says(2, /^ended/)
    const sent = sending(first, '/logout')
    assert.equal(await first.press('logout'), 'Accepted. You are logged out.')
    const took = (await second.closing()) - (await sent)
    assert.ok(took < AT_ONCE, `${took} ms`)
    assert.equal(await second.shows(/^Closed/), LOGGED_OUT)
    assert.equal(await first.shows(/^Closed/), LOGGED_OUT)
    await second.page.locator('#session', { hasText: 'you are not logged in' }).waitFor()
    for (const line of await said) assert.match(line, /^ended demo revoked 4401 after /)

    assert.match(await second.press('connect'), /^Refused\. 4401 app: The middleware refused/)
    await renew(stranger)
  })

  test('logging in again closes the WebSockets of the session before', async (t) => {
    const first = await logInElsewhere(t, browser, demo)
    const second = await openBeside(first, demo)
    assert.match(await first.press('login'), /^Accepted/)
    assert.equal(await second.shows(/^Closed/), LOGGED_OUT)
    await first.shows(/^Open/)
    await second.press('connect')
    await second.shows(/^Open/)
  })

  test('works by keyboard alone', async (t) => {
    const { page, press, shows } = await logInElsewhere(t, browser, demo)
    await press('logout')
    await shows(/^Closed/)
    await page.focus('#life [name=password]')
    await page.keyboard.press('Enter')
    await shows(/^Open/)
    for (const name of ['Log in', 'Connect', 'Renew']) {
      await page.keyboard.press('Tab')
      assert.equal(await page.evaluate('document.activeElement.textContent'), name)
    }
    await page.keyboard.press('Enter')
    await page.locator('#life output', { hasText: 'Renewed: 1 WebSocket of this session.' }).waitFor()
    assert.equal(await page.evaluate('document.activeElement.textContent'), 'Renew', 'the focus stays')
  })

  test('changing the password closes all but the session in which it is changed', async (t) => {
    const own = await startDemo()
    t.after(() => own.stop())
    const first = await logInElsewhere(t, browser, own)
    const second = await openBeside(first, own)
    const other = await logInElsewhere(t, browser, own)
    const byPassword = await dial(`ws://demo:demo@localhost:${own.port}/ws`, { reconnect: false })
    const robot = await dial(`ws://localhost:${own.port}/ws`, { headers: { 'x-api-key': 'test_api_key' } })
    t.after(() => robot.terminate())

    const closed = next(byPassword, 'close')
    const said = own.says(1, /^revoked/)
    await first.page.fill('#life [name=current]', 'demo')
    await first.page.fill('#life [autocomplete=new-password]', 'open "sesame')
    const sent = sending(first, '/password')
    assert.match(
      await first.press('change'),
      /^Accepted\. The password is changed, and 2 WebSockets of other logins closed\.$/,
    )
    const took = (await other.closing()) - (await sent)
    assert.ok(took < AT_ONCE, `${took} ms`)
    assert.equal(await other.shows(/^Closed/), LOGGED_OUT)
    const { code, reason } = await closed
    assert.deepEqual([code, reason], [4401, 'revoked'])
    assert.deepEqual(await said, ['revoked by subject 2 of 4 closed'])
    assert.doesNotMatch(await first.page.locator('main').innerText(), /sesame/)

    await renew(first, 2)
    await second.shows(/^Open/)
    robot.send('still here')
    assert.equal((await next(robot, 'message')).data, 'still here')

    assert.match(await other.press('connect'), /^Refused\. 4401 app/)
    assert.match(await other.press('login'), /^Refused\. 401 invalid_credential/)
    await other.page.fill('#life [name=password]', 'open "sesame')
    assert.match(await other.press('login'), /^Accepted/)
    await other.shows(/^Open/)
  })

  test('a wrong current password changes nothing', async (t) => {
    const first = await logInElsewhere(t, browser, demo)
    const other = await logInElsewhere(t, browser, demo)
    await first.page.fill('#life [name=current]', 'wrong')
    await first.page.fill('#life [autocomplete=new-password]', 'new')
    assert.match(await first.press('change'), /^Refused\. 403 not_changed/)
    await renew(other)
    assert.match(await other.press('login'), /^Accepted/)
  })

  describe('a session of an hour', () => {
    let long: JumpingDemo

    before(async () => {
      long = await startJumpingDemo()
    })

    after(async () => {
      await long?.stop()
    })

    /** Asks with a password: the session is not used. @returns how many WebSockets are open */
    async function open(): Promise<number> {
      const headers = { Authorization: `Basic ${btoa('demo:demo')}`, Connection: 'close' }
      const answer = await fetch(`http://127.0.0.1:${long.port}/sockets`, { headers })
      assert.equal(answer.status, 200)
      return ((await answer.json()) as unknown[]).length
    }

    /** Lets minutes pass after which it is still open. */
    async function passes(minutes: number): Promise<void> {
      await long.jump(minutes * MINUTE)
      assert.equal(await open(), 1, 'it is open')
    }

    /** Lets the minutes pass after which its session is over. @returns the minutes that it was open */
    async function expires(tab: Tab, minutes: number): Promise<number> {
      const said = long.says(1, /^ended/)
      await long.jump(minutes * MINUTE)
      assert.equal(await tab.shows(/^Closed/), 'Closed with 4401 expired: the session was not used over HTTP in time.')
      const [line = ''] = await said
      assert.equal(await open(), 0)
      return Number(/^ended demo expired 4401 after ([\d.]+) s$/.exec(line)?.[1]) / 60
    }

    test('closes the WebSocket when it expires, neither sooner nor later', async (t) => {
      const tab = await logInElsewhere(t, browser, long)
      await tab.page.locator('#ends', { hasText: /ends in (60:00|5\d:\d\d)/ }).waitFor()
      await passes(50)
      const age = await expires(tab, 11)
      assert.ok(age > 60 && age < 65, `${age} minutes`)
      await tab.page.locator('#session', { hasText: 'you are not logged in' }).waitFor()
    })

    test('that is used over HTTP meanwhile keeps the WebSocket open', async (t) => {
      const tab = await logInElsewhere(t, browser, long)
      await passes(40)
      assert.equal(await tab.page.evaluate(`fetch('/me').then(({ status }) => status)`), 200)
      await passes(40)
      const age = await expires(tab, 21)
      assert.ok(age > 100 && age < 105, `${age} minutes`)
    })

    test('keeps the WebSocket open where it is renewed, and the page is told until when', async (t) => {
      const tab = await logInElsewhere(t, browser, long)
      await passes(40)
      const left = (await renew(tab)).getTime() - (await long.now())
      assert.ok(left > SESSION - 5 * MINUTE && left <= SESSION, `${left} ms`)
      await passes(40)
      const age = await expires(tab, 21)
      assert.ok(age > 100 && age < 105, `${age} minutes`)
    })
  })

  test('a server that is told to stop says so to every WebSocket, and none breaks', async (t) => {
    const stopping = await startDemo()
    const tabs: Tab[] = []
    for (let n = 0; n < 3; n++) tabs.push(await logInElsewhere(t, browser, stopping))
    const programs: DialSocket[] = []
    const headers = { 'x-api-key': 'test_api_key' }
    for (let n = 0; n < 3; n++)
      programs.push(await dial(`ws://localhost:${stopping.port}/ws`, { headers, reconnect: false }))
    const closes = programs.map((socket) => next(socket, 'close'))
    assert.equal(await stopping.stop(), 0)
    for (const { code, reason } of await Promise.all(closes)) assert.deepEqual([code, reason], [1012, 'restart'])
    for (const tab of tabs)
      assert.equal(await tab.shows(/^Closed/), 'Closed with 1012 restart: the server stops or starts anew.')
    await tabs[0]?.page.locator('#session', { hasText: 'The server does not answer' }).waitFor()
  })
})
