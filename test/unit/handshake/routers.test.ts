import assert from 'node:assert/strict'
import { createServer, IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { describe, it } from 'node:test'
import express from 'express'
import express4 from 'express4'
import fc from 'fast-check'
import { Hono } from 'hono'
import { Server as SocketIoServer } from 'socket.io'
import { WebSocketServer } from 'ws'
import { checkTarget, createPathMatch, foldPath } from '../../../src/handshake/target.ts'
import { connectRaw } from '../../support/raw.ts'
import { listen } from '../../support/servers.ts'

const pieces = [
  '/',
  '/ws',
  '/WS',
  'ws',
  'w%73',
  'x',
  '/..',
  '/.',
  '/%2e%2e',
  '..',
  '//',
  '\\',
  ';a',
  '%2f',
  '?',
  '#',
  '%zz',
]
const hostile = fc.array(fc.constantFrom(...pieces), { maxLength: 6 }).map((parts) => `/${parts.join('')}`)

/** Whether one of Express's routers takes the target to the route `/ws`, or into what is mounted there. */
function expressTakes(module: { Router: () => express.Router }, target: string): { route: boolean; mount: boolean } {
  const took = { route: false, mount: false }
  const run = (add: (router: express.Router) => void): void => {
    const router = module.Router()
    add(router)
    const req = new IncomingMessage(new Socket())
    Object.assign(req, { method: 'GET', url: target })
    router(req as express.Request, new ServerResponse(req) as express.Response, () => {})
  }
  run((router) => router.get('/ws', () => void (took.route = true)))
  run((router) => router.use('/ws', () => void (took.mount = true)))
  return took
}

describe('createPathMatch beside real routers', () => {
  const exact = createPathMatch(['/ws'])
  const prefix = createPathMatch(['/ws/*'])

  for (const [name, module] of [
    ['Express 5', express],
    ['Express 4', express4 as unknown as typeof express],
  ] as const) {
    it(`holds what ${name} takes to the path`, () => {
      let routed = 0
      let mounted = 0
      fc.assert(
        fc.property(hostile, (target) => {
          const took = expressTakes(module, target)
          routed += Number(took.route)
          mounted += Number(took.mount)
          if (took.route) assert.ok(exact(target))
          if (took.mount) assert.ok(prefix(target))
        }),
        { numRuns: 1000 },
      )
      assert.ok(routed > 0 && mounted > routed)
    })
  }

  it('holds what Hono takes to the path', async () => {
    const app = new Hono()
    app.get('/ws', (c) => c.text('taken'))
    let routed = 0
    await fc.assert(
      fc.asyncProperty(hostile, async (target) => {
        if (!URL.canParse(target, 'http://h')) return
        const response = await app.request(new Request(new URL(target, 'http://h')))
        if (response.status !== 200) return
        routed++
        assert.ok(exact(target))
      }),
      { numRuns: 500 },
    )
    assert.ok(routed > 0)
  })

  const targets = [
    '/a',
    '/A',
    '/a/',
    '/a/x',
    '/a/../x',
    '/a/%2e%2e/x',
    '/a/..%2fx',
    '/a//../../x',
    '/a/\\..',
    '/a/#',
    '/x',
    '//a/',
  ]
  const opened = async (port: number, target: string): Promise<boolean> => {
    await using client = await connectRaw({ port })
    const key = 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'
    const query = '?EIO=4&transport=websocket'
    client.send(`GET ${target}${query} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n${key}\r\n`)
    return await client.until(
      (bytes, ended) =>
        ended || bytes.includes('\r\n\r\n') ? bytes.toString('latin1').startsWith('HTTP/1.1 101') : undefined,
      'an answer or the end',
    )
  }

  it('holds what Socket.IO, which compares the beginning, takes', async () => {
    const server = createServer()
    const io = new SocketIoServer(server, { path: '/a', serveClient: false, destroyUpgradeTimeout: 1 })
    await using listening = await listen(server)
    const match = createPathMatch(['/a/*'])
    const taken: string[] = []
    for (const target of targets) {
      if (!(await opened(listening.port, target))) continue
      taken.push(target)
      assert.ok(match(target), target)
    }
    assert.ok(taken.includes('/a/../x') && !taken.includes('/x'))
    io.engine.close()
  })

  it('holds what ws, which compares the whole path, takes', async () => {
    const server = createServer()
    const wss = new WebSocketServer({ server, path: '/a' })
    await using listening = await listen(server)
    const match = createPathMatch(['/a'])
    const taken: string[] = []
    for (const target of targets) {
      if (!(await opened(listening.port, target))) continue
      taken.push(target)
      assert.ok(match(target), target)
    }
    assert.deepEqual(taken, ['/a'])
    for (const client of wss.clients) client.terminate()
    wss.close()
  })
})

describe('targets that pass', () => {
  it('fold to the path that Express and a URL parser read, but for case and a trailing slash', () => {
    let passed = 0
    fc.assert(
      fc.property(hostile, (target) => {
        if (checkTarget(target) !== undefined) return
        passed++
        const parsed = new URL(target, 'http://h').pathname.toLowerCase()
        const bare = parsed.length > 1 && parsed.endsWith('/') ? parsed.slice(0, -1) : parsed
        assert.equal(foldPath(target), bare)
        const took = expressTakes(express, target)
        assert.equal(took.route, bare === '/ws')
        assert.equal(took.mount, bare === '/ws' || bare.startsWith('/ws/'))
      }),
      { numRuns: 2000 },
    )
    assert.ok(passed > 0)
  })
  it('is decided at once for what is long', () => {
    const long = 200_000
    const match = createPathMatch(['/ws', '/rooms/*'])
    for (const text of ['/a', '//', '/%2e', '/..', ';', '%', '/a?', '\\', '/rooms/../']) {
      const target = `/${text.repeat(long / text.length)}!`
      assert.equal(checkTarget(target)?.code, 'target_too_long')
      assert.equal(typeof checkTarget(target, long * 2)?.code, 'string')
      assert.equal(typeof match(target), 'boolean')
    }
  })
})
