import assert from 'node:assert/strict'
import { once } from 'node:events'
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type RequestListener,
  type Server,
} from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { after, before, describe, it } from 'node:test'
import express from 'express'
import type { Identity } from '../../../src/core/identity.ts'
import { createAuthenticate } from '../../../src/schemes/middleware.ts'
import { apiKey, bearer } from '../../../src/schemes.ts'
import { patientClock } from '../../support/beats.ts'
import { deferred, heldClock } from './helpers.ts'

const started = deferred<AbortSignal>()
const schemes = [
  apiKey({ keys: [{ key: 'test_api_key', subject: 'demo' }] }),
  bearer({
    verify: (_token, signal) => {
      started.resolve(signal)
      return new Promise<null>(() => undefined)
    },
  }),
]

interface Answer {
  readonly status: number | undefined
  readonly headers: IncomingMessage['headers']
  readonly raw: readonly string[]
  readonly body: string
}

async function get(server: Server, headers: Record<string, string | string[]>): Promise<Answer> {
  const { port } = server.address() as AddressInfo
  const sent = httpRequest({ port, host: '127.0.0.1', path: '/me', headers, agent: false }).end()
  const [answer] = (await once(sent, 'response')) as [IncomingMessage]
  const chunks: Buffer[] = []
  for await (const chunk of answer) chunks.push(chunk as Buffer)
  return {
    status: answer.statusCode,
    headers: answer.headers,
    raw: answer.rawHeaders,
    body: Buffer.concat(chunks).toString(),
  }
}

async function listen(listener: RequestListener): Promise<Server> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

const show = (req: IncomingMessage): string => {
  const { identity } = req as IncomingMessage & { identity: Identity }
  return JSON.stringify([Object.keys(req).includes('identity'), identity.issuer, identity.subject])
}

function plain(): RequestListener {
  const authenticate = createAuthenticate(schemes, { deadline: 200, clock: patientClock })
  return (req, res) => {
    res.setHeader('X-Before', '1')
    res.setHeader('Content-Type', 'text/html')
    void authenticate(req, res, () => res.end(show(req)))
  }
}

function expressApp(): RequestListener {
  const app = express()
  app.use(createAuthenticate(schemes, { deadline: 200, clock: patientClock }))
  app.get('/me', (req, res) => void res.send(show(req)))
  return app
}

for (const [name, make] of [
  ['node:http', plain],
  ['express', expressApp],
] as const) {
  describe(`createAuthenticate on ${name}`, () => {
    let server: Server
    before(async () => {
      server = await listen(make())
    })
    after(() => server.close())

    it('lets a request in and sets req.identity', async () => {
      const answer = await get(server, { 'X-Api-Key': 'test_api_key' })
      assert.equal(answer.status, 200)
      assert.equal(answer.body, '[true,"apiKey","demo"]')
    })

    it('refuses with the fixed body and one challenge a line', async () => {
      const answer = await get(server, {})
      assert.equal(answer.status, 401)
      assert.equal((JSON.parse(answer.body) as { error: string }).error, 'missing_credential')
      assert.equal(answer.headers['content-type'], 'application/json; charset=utf-8')
      assert.equal(answer.headers['content-length'], String(Buffer.byteLength(answer.body)))
      assert.equal(answer.headers['cache-control'], 'no-store')
      assert.equal(answer.raw.filter((text) => text === 'WWW-Authenticate').length, 2)
      assert.equal(answer.headers['x-before'], name === 'express' ? undefined : '1')
    })

    it('sees a header that was sent twice', async () => {
      const answer = await get(server, { 'X-Api-Key': ['test_api_key', 'test_api_key'] })
      assert.equal(answer.status, 400)
    })

    it('refuses with 503 when the deadline has passed', async () => {
      const answer = await get(server, { Authorization: 'Bearer abc' })
      assert.equal(answer.status, 503)
      assert.equal((JSON.parse(answer.body) as { error: string }).error, 'handshake_timeout')
    })
  })
}

describe('createAuthenticate', () => {
  it('aborts the verification when the client goes away', { timeout: 60_000 }, async () => {
    const begun = deferred<AbortSignal>()
    const scheme = bearer({
      verify: (_token, signal) => {
        begun.resolve(signal)
        return new Promise<null>(() => undefined)
      },
    })
    const server = await listen((req, res) => {
      void createAuthenticate([scheme], { clock: heldClock() })(req, res, () => assert.fail('let in'))
    })
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer abc\r\n\r\n')
    const signal = await begun.promise
    const aborted = once(signal, 'abort')
    socket.destroy()
    await aborted
    server.close()
  })

  it('does not ask again about a request that is known', async () => {
    const identity = { issuer: 'x', subject: 'known' }
    const authenticate = createAuthenticate(schemes, { known: () => identity })
    const server = await listen((req, res) => authenticate(req, res, () => res.end(show(req))))
    assert.equal((await get(server, {})).body, '[true,"x","known"]')
    server.close()
  })

  it('throws at construction without schemes', () => {
    assert.throws(() => createAuthenticate([]), { code: 'GATE101_CONFIG' })
    assert.throws(() => createAuthenticate(schemes, { deadline: 0 }), { code: 'GATE101_CONFIG' })
  })
})
