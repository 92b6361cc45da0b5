import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, describe, test } from 'node:test'
import { WebSocket } from 'ws'
import { startDemo, type Demo } from './support/demo.ts'

/** The demo on three nodes: one port, and one login for all of them. */
describe('npm start -- --nodes 3', { timeout: 240_000 }, () => {
  let demo: Demo
  let base = ''

  before(async () => {
    demo = await startDemo({ DEMO_ENGINE: 'ipc' }, ['--nodes', '3'])
    base = `http://localhost:${demo.port}`
  })

  after(async () => {
    await demo?.stop()
  })

  async function post(path: string, body: object, cookie = ''): Promise<Response> {
    const headers = { 'Content-Type': 'application/json', Cookie: cookie, Origin: base, Connection: 'close' }
    return await fetch(`${base}${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
  }

  async function logIn(password = 'demo'): Promise<string> {
    const response = await post('/login', { user: 'demo', password })
    assert.equal(response.status, 200)
    return response.headers
      .getSetCookie()
      .map((cookie) => cookie.split(';')[0])
      .join('; ')
  }

  async function open(cookie: string): Promise<{ ws: WebSocket; node: string; closed: Promise<string> }> {
    const ws = new WebSocket(`${base.replace('http', 'ws')}/ws/life`, { headers: { Cookie: cookie, Origin: base } })
    const closed = once(ws, 'close').then(([code, reason]) => `${code} ${String(reason)}`)
    const [data] = (await once(ws, 'message')) as [Buffer]
    const { node } = JSON.parse(String(data)) as { node: string }
    return { ws, node, closed }
  }

  const openAll = async (cookie: string, count: number): ReturnType<typeof Promise.all<ReturnType<typeof open>[]>> =>
    await Promise.all(Array.from({ length: count }, () => open(cookie)))

  async function nodesOf(cookie: string): Promise<Set<string>> {
    const response = await fetch(`${base}/sockets`, { headers: { Cookie: cookie } })
    const items = (await response.json()) as Array<{ node: string }>
    return new Set(items.map(({ node }) => node))
  }

  test('says which node holds each WebSocket; a logout ends those of all', async () => {
    const cookie = await logIn()
    const sockets = await openAll(cookie, 9)
    assert.deepEqual([...new Set(sockets.map(({ node }) => node))].toSorted(), ['node 1', 'node 2', 'node 3'])
    assert.equal((await nodesOf(cookie)).size, 3)
    await post('/logout', {}, cookie)
    for (const { closed } of sockets) assert.equal(await closed, '4401 revoked')
    assert.equal((await fetch(`${base}/me`, { headers: { Cookie: cookie } })).status, 401)
  })

  test('a changed password ends the others on every node, and is known to every node', async () => {
    const [here, elsewhere] = [await logIn(), await logIn()]
    const own = await openAll(here, 3)
    const others = await openAll(elsewhere, 6)
    const changed = await post('/password', { current: 'demo', password: 'another' }, here)
    assert.deepEqual(await changed.json(), { closed: 6 })
    for (const { closed } of others) assert.equal(await closed, '4401 revoked')
    for (const { ws } of own) assert.equal(ws.readyState, WebSocket.OPEN)
    for (let n = 0; n < 3; n++) {
      assert.equal((await post('/login', { user: 'demo', password: 'demo' })).status, 401)
      await logIn('another')
    }
  })

  test('SIGTERM ends each WebSocket with 1012, and all processes', async () => {
    const sockets = await openAll(await logIn('another'), 6)
    const code = await demo.stop('SIGTERM')
    assert.equal(code, 0)
    for (const { closed } of sockets) assert.equal(await closed, '1012 restart')
  })
})
