import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { dial, DialError, type DialOptions } from '../src/client.ts'
import { goDialler, run } from './interop/programs.ts'
import { next } from './support/next.ts'
import { findCurl, skipWithout } from './support/debian.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const go = goDialler()
const curl = findCurl()
const KEY = { 'x-api-key': 'test_api_key' }
/** For tests of sockets that must end: one that does not would keep the test waiting. */
const BOUND = { timeout: 20_000 }

let stop = async (): Promise<void> => {}
let printed: readonly string[] = []
let port = 0
let http = ''
let url = ''

/** Starts the demo as `npm start` does, on a free port, and waits until it has said all. */
async function startDemo(): Promise<void> {
  assert.ok(existsSync(`${root}/dist/index.js`), 'The demo imports gate101 by name: run `npm run build` first.')
  const child = spawn(process.execPath, ['--import', 'tsx', 'examples/demo.ts'], {
    cwd: root,
    env: { ...process.env, PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const closed = once(child, 'close')
  stop = async () => {
    child.kill()
    await closed
  }
  const lines: string[] = []
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line)
    if (line.startsWith('Ctrl-C')) break
  }
  child.stdout.resume()
  printed = lines
  port = Number(/localhost:(\d+)/.exec(lines[0] ?? '')?.[1])
  assert.ok(port > 0, lines.join('\n'))
}

before(async () => {
  await startDemo()
  http = `http://localhost:${port}`
  url = `ws://localhost:${port}/ws`
})

after(async () => {
  await Promise.all([stop(), go.close()])
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
      (await run('curl', ['-si', ...args, `localhost:${port}/ws`])).stdout
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
  await assertEchoes({ headers: KEY }, `ws://127.0.0.1:${port}/ws`)
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
  await assertEchoes({ headers: KEY }, `ws://[::1]:${port}/ws`)
})

test('Basic is let in by the same middleware', async () => {
  await assertEchoes({}, `ws://demo:demo@localhost:${port}/ws`)
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
  assert.deepEqual([code, reason], [4403, 'logged out'])
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
  assert.deepEqual([code, reason], [4403, 'logged in again'])
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
  const commands = printed.map((line) => line.trim()).filter((line) => /^(curl|npx) /.test(line))
  assert.equal(commands.length, 5)
  const expected = [/ 401 /, / 426 /, /"subject":"demo"/, /HTTP 401[\s\S]*missing_credential/, /^hello$/m]
  for (const [index, command] of commands.entries()) {
    const shell = command.replace('npx gate101', `'${process.execPath}' --import tsx src/cli.ts`)
    const { stdout, stderr } = await run('sh', ['-c', `cd '${root}' && ${shell}`])
    assert.match(`${stdout}${stderr}`, expected[index] ?? /^$/, command)
  }
})

test('a port that is taken is said, not thrown', async () => {
  const { code, stderr } = await run(process.execPath, ['--import', 'tsx', `${root}/examples/demo.ts`], {
    PORT: String(port),
  })
  assert.equal(code, 1)
  assert.match(
    stderr,
    new RegExp(`^Port ${port} cannot be used \\(EADDRINUSE\\)\\. Choose another: PORT=8081 npm start\n$`),
  )
})
