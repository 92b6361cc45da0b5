import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { WebSocket } from 'ws'
import { dial, DialError, type DialOptions } from '../src/client.ts'
import { goDialler, run } from './interop/programs.ts'
import { next } from './support/next.ts'
import { findCurl, skipWithout } from './support/debian.ts'
import { startDemo, type Demo } from './support/demo.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const go = goDialler()
const curl = findCurl()
const KEY = { 'x-api-key': 'test_api_key' }
/** For tests of sockets that must end: one that does not would keep the test waiting. */
const BOUND = { timeout: 120_000 }

let demo: Demo
let http = ''
let url = ''

before(async () => {
  demo = await startDemo()
  http = `http://localhost:${demo.port}`
  url = `ws://localhost:${demo.port}/ws`
})

after(async () => {
  await Promise.all([demo?.stop(), go.close()])
})

async function refusal(options?: DialOptions, to = url): Promise<DialError> {
  const error = await dial(to, { reconnect: false, ...options }).then(
    (socket) => {
      socket.terminate()
      assert.fail('the handshake was let in')
    },
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof DialError)
  return error
}

async function assertEchoes(options: DialOptions, to = url): Promise<void> {
  const socket = await dial(to, { reconnect: false, ...options })
  socket.send('hello')
  assert.equal((await next(socket, 'message')).data, 'hello')
  socket.close()
  await next(socket, 'close')
}

test('a Go program with the key is let in, and its text comes back', { skip: skipWithout(go.found) }, async () => {
  const { code, stdout } = await go.dial(url, KEY['x-api-key'], 'hello from Go')
  assert.deepEqual([code, stdout], [0, 'hello from Go\n'])
})

test('a Go program without the key gets a 401 that says what to do', { skip: skipWithout(go.found) }, async () => {
  const { code, stdout } = await go.dial(url)
  const [status, body = ''] = stdout.split('\n')
  assert.deepEqual([code, status], [1, '401'])
  const advice = JSON.parse(body)
  assert.equal(advice.error, 'missing_credential')
  assert.match(advice.fix, /X-Api-Key: test_api_key/)
})

test(
  'curl with the key gets 426 with advice; without it, the same 401 as a handshake',
  { skip: skipWithout(curl) },
  async () => {
    const get = async (...args: string[]): Promise<string> =>
      (await run('curl', ['-si', ...args, `localhost:${demo.port}/ws`])).stdout
    const [head = '', body = ''] = (await get('-H', 'X-Api-Key: test_api_key')).split('\r\n\r\n')
    assert.match(head, /^HTTP\/1.1 426 /)
    assert.match(head, /^upgrade: websocket$/im)
    assert.equal(JSON.parse(body).error, 'websocket_only')

    const [plainHead = '', plainBody = ''] = (await get()).split('\r\n\r\n')
    const error = await refusal()
    assert.match(plainHead, /^HTTP\/1.1 401 /)
    assert.deepEqual([error.status, error.body], [401, plainBody])
    const challenges = [...plainHead.matchAll(/^www-authenticate: (.*)$/gim)].map(([, value]) => value)
    assert.equal(error.headers?.['www-authenticate'], challenges.join(', '))
    assert.match(challenges.join(), /Basic .*ApiKey /)
  },
)

test('localhost answers over IPv4 and IPv6', async (t) => {
  await assertEchoes({ headers: KEY }, `ws://127.0.0.1:${demo.port}/ws`)
  const probe = createServer().listen(0, '::1')
  const has6 = await once(probe, 'listening').then(
    () => true,
    () => false,
  )
  probe.close()
  if (!has6) {
    console.warn('SKIPPED: no IPv6 loopback here')
    return t.skip('no IPv6 loopback here')
  }
  await assertEchoes({ headers: KEY }, `ws://[::1]:${demo.port}/ws`)
})

test('Basic is let in by the same middleware', async () => {
  await assertEchoes({}, `ws://demo:demo@localhost:${demo.port}/ws`)
  const me = await fetch(`${http}/me`, { headers: { authorization: `Basic ${btoa('demo:demo')}` } })
  assert.deepEqual(await me.json(), { subject: 'demo', by: 'password' })
})

test('a wrong credential is refused, whatever else is sent with it', async () => {
  const cookie = await logIn()
  for (const headers of [
    { 'x-api-key': 'wrong_key' },
    { authorization: `Basic ${btoa('demo:wrong')}` },
    { authorization: 'Bearer demo:demo' },
    { authorization: `Basic ${btoa('demo:wrong')}`, cookie, origin: http },
    { 'x-api-key': 'wrong_key', authorization: `Basic ${btoa('demo:demo')}` },
  ]) {
    const error = await refusal({ headers })
    assert.deepEqual([error.status, error.advice?.error], [401, 'invalid_credential'])
    const { origin: _, ...plain } = { origin: '', ...headers }
    assert.equal((await fetch(`${http}/me`, { headers: plain })).status, 401)
  }
})

async function logIn(
  body = JSON.stringify({ user: 'demo', password: 'demo' }),
  type = 'application/json',
  cookie = '',
): Promise<string> {
  const response = await fetch(`${http}/login`, { method: 'POST', headers: { 'content-type': type, cookie }, body })
  assert.deepEqual([response.status, await response.json()], [200, { subject: 'demo', by: 'session' }])
  const [line = ''] = response.headers.getSetCookie()
  assert.match(line, /HttpOnly; SameSite=Strict/)
  return line.split(';')[0] ?? ''
}

test('a session opens sockets until the logout, which ends them', BOUND, async () => {
  const cookie = await logIn('user=demo&password=demo', 'application/x-www-form-urlencoded')
  const headers = { cookie, origin: http }
  await assertEchoes({ headers })
  assert.deepEqual(await (await fetch(`${http}/me`, { headers: { cookie } })).json(), {
    subject: 'demo',
    by: 'session',
  })

  const socket = await dial(url, { headers, reconnect: false })
  const closed = next(socket, 'close')
  assert.equal((await fetch(`${http}/logout`, { method: 'POST', headers: { cookie } })).status, 200)
  const { code, reason } = await closed
  assert.deepEqual([code, reason], [4401, 'revoked'])
  assert.equal((await refusal({ headers })).status, 401)
  assert.equal((await fetch(`${http}/me`, { headers: { cookie } })).status, 401)
})

test('the logout of one session leaves the sockets of another', async () => {
  const socket = await dial(url, { headers: { cookie: await logIn(), origin: http } })
  await fetch(`${http}/logout`, { method: 'POST', headers: { cookie: await logIn() } })
  socket.send('still here')
  assert.equal((await next(socket, 'message')).data, 'still here')
  socket.terminate()
})

test('a login that takes the place of another ends the sockets of the one before', BOUND, async () => {
  const before = await logIn()
  const socket = await dial(url, { headers: { cookie: before, origin: http }, reconnect: false })
  const closed = next(socket, 'close')
  const after = await logIn(undefined, undefined, before)
  const { code, reason } = await closed
  assert.deepEqual([code, reason], [4401, 'revoked'])
  await assertEchoes({ headers: { cookie: after, origin: http } })
})

test('a ticket opens one socket, and needs a credential to be had', async () => {
  const ask = (headers: Record<string, string>): Promise<Response> =>
    fetch(`${http}/ws/ticket`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: '{}',
    })
  assert.equal((await ask({})).status, 401)
  const { ticket, expiresIn, url: path } = (await (await ask(KEY)).json()) as Record<string, string | number>
  assert.deepEqual([path, expiresIn], [`/ws?ticket=${ticket}`, 15])
  const to = new URL(String(path), url).href
  await assertEchoes({}, to)
  const error = await refusal({}, to)
  assert.deepEqual([error.status, error.advice?.error], [401, 'invalid_ticket'])
})

test('a token opens sockets as a header and as a subprotocol', async () => {
  assert.equal((await fetch(`${http}/token`, { method: 'POST' })).status, 401)
  const { token } = (await (await fetch(`${http}/token`, { method: 'POST', headers: KEY })).json()) as {
    token: string
  }
  for (const road of ['headers', 'subprotocol'] as const) {
    await assertEchoes({ roads: [road], credentials: () => ({ token }) })
    const error = await refusal({ roads: [road], credentials: () => ({ token: 'made-up' }) })
    assert.deepEqual([error.status, error.advice?.error], [401, 'invalid_credential'])
  }
})

test('the first message brings the password, where there is no credential before', async () => {
  const login = `${url}/login`
  const by = (password: string): DialOptions => ({
    roads: ['message'],
    credentials: () => ({ username: 'demo', password }),
  })
  await assertEchoes(by('demo'), login)
  const error = await refusal(by('wrong'), login)
  assert.deepEqual([error.status, error.closeCode, error.phase], [401, 4401, 'message'])
  assert.equal((await refusal({ headers: { 'x-api-key': 'wrong_key' } }, login)).phase, 'handshake')
})

test('a page of another site is refused, session or not', async () => {
  const error = await refusal({ headers: { cookie: await logIn(), origin: 'https://evil.example' } })
  assert.deepEqual([error.status, error.advice?.error], [403, 'bad_origin'])
})

test('a wrong login is refused', async () => {
  for (const body of ['{"user":"demo","password":"wrong"}', '{"user":["demo"],"password":{}}', '{}']) {
    const response = await fetch(`${http}/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    })
    assert.deepEqual([response.status, response.headers.getSetCookie()], [401, []])
  }
  assert.equal((await fetch(`${http}/login`, { method: 'POST' })).status, 401)
})

test("a browser gets no challenge that would open the browser's own password window", async () => {
  const { headers } = await fetch(`${http}/me`, { headers: { 'sec-fetch-mode': 'cors' } })
  assert.match(headers.get('www-authenticate') ?? '', /^ApiKey /)
})

test('the page comes with a strict policy, and holds to it', async () => {
  const page = await fetch(http)
  const html = await page.text()
  assert.equal(page.status, 200)
  assert.match(
    page.headers.get('content-security-policy') ?? '',
    /^default-src 'none'; script-src 'self'; style-src 'self'/,
  )
  assert.doesNotMatch(html, /\sstyle=|<style|\son[a-z]+=|https?:\/\/|<script(?![^>]*\bsrc=)/)
  const linked = [...html.matchAll(/(?:src|href)="([^":]+)"/g)].map(([, path]) => path ?? '')
  assert.deepEqual(linked.toSorted(), ['page.css', 'page.js'])
  for (const path of linked) assert.equal((await fetch(`${http}/${path}`)).status, 200)
})

test('it prints the commands to try, and they are right', { skip: skipWithout(curl) }, async () => {
  const commands = demo.printed.map((line) => line.trim()).filter((line) => /^(curl|npx) /.test(line))
  assert.equal(commands.length, 5)
  const expected = [/ 401 /, / 426 /, /"subject":"demo"/, /HTTP 401[\s\S]*missing_credential/, /^hello$/m]
  for (const [index, command] of commands.entries()) {
    const shell = command.replace('npx gate101', `'${process.execPath}' --import tsx src/cli.ts`)
    const { stdout, stderr } = await run('sh', ['-c', `cd '${root}' && ${shell}`])
    assert.match(`${stdout}${stderr}`, expected[index] ?? /^$/, command)
  }
})

test('after a change of the password, what was had by the old one is worth nothing', BOUND, async (t) => {
  const own = await startDemo()
  t.after(() => own.stop())
  const at = `http://localhost:${own.port}`
  const post = (path: string, headers: Record<string, string>, body: object = {}): Promise<Response> =>
    fetch(`${at}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    })
  const cookieOf = async (): Promise<string> => {
    const response = await post('/login', {}, { user: 'demo', password: 'demo' })
    return response.headers.getSetCookie()[0]?.split(';')[0] ?? ''
  }
  const [mine, other] = [{ cookie: await cookieOf() }, { cookie: await cookieOf() }]
  const bearer = async (headers: Record<string, string>): Promise<{ authorization: string }> => {
    const { token } = (await (await post('/token', headers)).json()) as { token: string }
    return { authorization: `Bearer ${token}` }
  }
  const [ofDemo, ofRobot] = [await bearer(mine), await bearer(KEY)]
  const { url: ticket } = (await (await post('/ws/ticket', { ...other, origin: at })).json()) as { url: string }
  const statusOf = async (headers: Record<string, string>): Promise<number> =>
    (await fetch(`${at}/me`, { headers })).status

  assert.equal((await post('/password', mine, { current: 'wrong', password: 'new' })).status, 403)
  assert.equal((await post('/password', mine, { current: 'demo', password: '' })).status, 403)
  assert.equal((await post('/password', KEY, { current: 'demo', password: 'new' })).status, 403)
  assert.deepEqual(await Promise.all([mine, other, ofDemo, ofRobot].map(statusOf)), [200, 200, 200, 200])

  assert.equal((await post('/password', mine, { current: 'demo', password: 'new' })).status, 200)
  assert.deepEqual(await Promise.all([mine, other, ofDemo, ofRobot].map(statusOf)), [200, 401, 401, 200])
  assert.equal((await refusal({ headers: { origin: at } }, `ws://localhost:${own.port}${ticket}`)).status, 401)
  const basic = (password: string) => ({ authorization: `Basic ${btoa(`demo:${password}`)}` })
  assert.deepEqual(await Promise.all([basic('demo'), basic('new')].map(statusOf)), [401, 200])
})

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} ends every WebSocket with 1012, and with 1013 what waits for its first message`, BOUND, async () => {
    const own = await startDemo()
    const at = `ws://localhost:${own.port}/ws`
    const open = await Promise.all(Array.from({ length: 5 }, () => dial(at, { headers: KEY, reconnect: false })))
    const waiting = new WebSocket(`${at}/login`)
    await once(waiting, 'open')
    const closes = open.map(async (socket) => (await next(socket, 'close')).code)
    closes.push(once(waiting, 'close').then(([code]: number[]) => code ?? 0))
    assert.equal(await own.stop(signal), 0)
    assert.deepEqual(await Promise.all(closes), [1012, 1012, 1012, 1012, 1012, 1013])
  })
}

test('a port that is taken is said, not thrown', async () => {
  const { code, stderr } = await run(process.execPath, ['--import', 'tsx', `${root}/examples/demo.ts`], {
    PORT: String(demo.port),
  })
  assert.equal(code, 1)
  assert.match(
    stderr,
    new RegExp(`^Port ${demo.port} cannot be used \\(EADDRINUSE\\)\\. Choose another: PORT=8081 npm start\n$`),
  )
})
