import assert from 'node:assert/strict'
import { createServer, type IncomingMessage } from 'node:http'
import { after, before, describe, it } from 'node:test'
import { buildSchema } from 'graphql'
import { createClient } from 'graphql-ws'
import { useServer } from 'graphql-ws/use/ws'
import { createProxyMiddleware } from 'http-proxy-middleware'
import type { RequestHandler } from 'express'
import { WebSocket, WebSocketServer } from 'ws'
import { listen } from '../../support/servers.ts'
import { trapFaults } from '../../support/trap.ts'
import { API_KEYS, expressApp, fastifyApp, jwtFor, koaApp, schemesApp, seen, type Build, type Seen } from './apps.ts'
import { assertNowhere, ORIGIN, serve, serveMade, type Headers } from './support.ts'

let trap: ReturnType<typeof trapFaults>
before(() => {
  trap = trapFaults()
})
after(() => trap.assertNone())

const token = jwtFor('alice')
const encoded = Buffer.from(token).toString('base64url')
const alice: Headers = { Authorization: `Bearer ${token}` }
const aliceKey: Headers = { 'X-Api-Key': API_KEYS.alice }

/** Where a credential stands in the target (`{}` is the credential), and what is left. */
const PLACES: ReadonlyArray<readonly [sent: string, left: string]> = [
  ['?ticket={}', ''],
  ['?a=1&ticket={}', '?a=1'],
  ['?ticket={}&a=1', '?a=1'],
  ['?a=1&ticket={}&a=2', '?a=1&a=2'],
  ['?&ticket={}&', '?&'],
  ['?a=%20x&&ticket={}&b=+&c', '?a=%20x&&b=+&c'],
  ['?a[b]=c&%74icket={}&next=//evil.example/../x?y', '?a[b]=c&next=//evil.example/../x?y'],
  ['?room=%C3%A9&tickets=1&ticket={}', '?room=%C3%A9&tickets=1'],
  ['?Ticket=1&ticket={}&ticket[]=2', '?Ticket=1&ticket[]=2'],
]

const fill = (text: string, credential: string): string => text.replace('{}', credential)

const APPS: ReadonlyArray<readonly [name: string, build: Build]> = [
  ['Express', expressApp],
  ['Koa', koaApp],
  ['Fastify', fastifyApp],
  ['ws behind schemes', schemesApp],
]

for (const [name, build] of APPS) {
  describe(`a ticket in the URL, on ${name}`, () => {
    it('is gone before anybody looks; the rest is there byte for byte', async () => {
      await using served = await serve(build, { tickets: { perSession: 100 } })
      for (const [sent, left] of PLACES) {
        const ticket = await served.ticket(aliceKey)
        served.made.runs.length = 0
        const answer = await served.dial(`/live${fill(sent, ticket)}`)
        assert.equal(answer.status, 101, `${sent}: ${answer.response.body.toString()}`)
        assert.equal(answer.seen?.url, `/live${left}`, sent)
        for (const run of served.made.runs) {
          assert.equal(run.url, `/live${left}`)
          if (run.originalUrl !== undefined) assert.equal(run.originalUrl, `/live${left}`)
        }
        assertNowhere([ticket, ticket.slice(0, 20)], served.made.runs, 'what the app saw')
        assertNowhere([ticket, ticket.slice(0, 20)], [answer.seen, answer.response.headers], 'what the handler saw')
        assertNowhere([ticket], served.made.log, 'the log')
        assertNowhere([ticket, API_KEYS.alice], served.events, 'the events')
      }
    })

    it('is an ordinary parameter, and an ordinary subprotocol, where tickets are off', async () => {
      if (name === 'ws behind schemes') return
      const made = await noTickets()
      await using served = await serveMade(made)
      const url = '/live?ticket=seat-12&ticket=seat-13&access_token=mine'
      assert.equal((await served.dial(url, alice)).seen?.url, url)
      const offered = `ticket.gate101.x, base64url.bearer.authorization.gate101.${encoded}, gate101`
      const { protocol, seen: saw } = await served.dial('/live', { ...alice, 'Sec-WebSocket-Protocol': offered })
      assert.equal(saw?.headers['sec-websocket-protocol'], offered)
      assert.equal(protocol, 'gate101')
    })
  })
}

/** An app without ticket routes. */
async function noTickets(): ReturnType<Build> {
  const { default: express } = await import('express')
  const { createGate } = await import('../../../src/index.ts')
  const gate = createGate({ identify: () => ({ subject: 'alice' }) })
  const app = express()
  const runs: Seen[] = []
  app.get(
    '/live',
    gate.websocket((socket, req) => {
      socket.send(JSON.stringify({ subject: 'alice', ...seen(req) }))
    }) as RequestHandler,
  )
  const server = createServer(app)
  gate.attach(server)
  return { server, gate: gate as never, runs, log: [] }
}

interface Upstream extends AsyncDisposable {
  readonly port: number
  readonly saw: Seen[]
}

async function upstream(): Promise<Upstream> {
  const saw: Seen[] = []
  const server = createServer((_req, res) => res.end())
  const wss = new WebSocketServer({ noServer: true })
  server.on('upgrade', (req: IncomingMessage, socket, head) => {
    saw.push(seen(req))
    wss.handleUpgrade(req, socket, head, (ws) => ws.send(JSON.stringify({ subject: 'upstream', ...seen(req) })))
  })
  const listening = await listen(server)
  return { port: listening.port, saw, [Symbol.asyncDispose]: () => listening.close() }
}

describe('other libraries get what is left', () => {
  it('http-proxy: the upstream sees neither ticket nor token item, and the header in their place', async () => {
    await using behind = await upstream()
    const proxy = createProxyMiddleware({ target: `http://127.0.0.1:${behind.port}`, changeOrigin: true })
    const options = { subprotocolTokens: true, dangerouslyAllowQueryToken: true }
    const made = await expressApp(options, (app, gate, requireLogin) => {
      app.use('/proxied', requireLogin, gate.accept(proxy as never) as RequestHandler, proxy)
      app.post('/proxied-ticket', requireLogin, gate.ticket('/proxied') as RequestHandler)
    })
    await using served = await serveMade(made)
    const ticket = await served.ticket(alice, '/proxied-ticket')
    const rows: ReadonlyArray<readonly [target: string, offered: string, left: string]> = [
      [`/proxied?a=1&ticket=${ticket}&b=2`, 'chat', '/?a=1&b=2'],
      ['/proxied?a=1', `chat, base64url.bearer.authorization.gate101.${encoded}`, '/?a=1'],
      [`/proxied?access_token=${token}&b=2`, 'chat', '/?b=2'],
    ]
    for (const [target, offered, left] of rows) {
      behind.saw.length = 0
      const answer = await served.dial(target, { 'Sec-WebSocket-Protocol': offered, Cookie: 'sid=other' })
      assert.deepEqual([answer.status, answer.protocol], [101, 'chat'], target)
      const [saw] = behind.saw
      assert.ok(saw?.url === left || saw?.url === `/proxied${left.slice(1)}`, String(saw?.url))
      assert.equal(saw.headers['sec-websocket-protocol'], 'chat')
      assert.equal(saw.headers.authorization, `Bearer ${token}`)
      assert.equal(saw.headers.cookie, undefined)
      assertNowhere([ticket, encoded], [saw, answer.response.headers], 'upstream')
      assertNowhere([token], [saw.url, answer.response.headers], 'upstream URL')
    }
  })

  it('ws: handleProtocols and the connection event', async () => {
    const offers: string[][] = []
    const wss = new WebSocketServer({
      noServer: true,
      handleProtocols: (offered) => {
        offers.push([...offered])
        return [...offered][0] ?? false
      },
    })
    const saw: Seen[] = []
    wss.on('connection', (ws, req) => {
      saw.push(seen(req))
      ws.send('{}')
    })
    const made = await expressApp({ subprotocolTokens: true }, (app, gate, requireLogin) => {
      app.get('/library', requireLogin, gate.accept(wss) as RequestHandler)
      app.post('/library-ticket', requireLogin, gate.ticket('/library') as RequestHandler)
    })
    await using served = await serveMade(made)
    const ticket = await served.ticket(alice, '/library-ticket')
    const item = `ticket.gate101.${ticket}`
    const bearerItem = `base64url.bearer.authorization.gate101.${encoded}`
    assert.equal((await served.dial('/library', { 'Sec-WebSocket-Protocol': `${item}, v1, v2` })).protocol, 'v1')
    const second = await served.dial('/library', { 'Sec-WebSocket-Protocol': ['v2', bearerItem, 'v1'] })
    assert.equal(second.protocol, 'v2', `${second.status} ${second.response.body.toString()}`)
    assert.deepEqual(offers, [
      ['v1', 'v2'],
      ['v2', 'v1'],
    ])
    assert.equal(saw.length, 2)
    for (const { headers } of saw) assert.equal(headers.authorization, `Bearer ${token}`)
    assertNowhere([ticket, encoded], saw, 'the connection event')
  })

  it('graphql-ws answers for the user of the token, as a browser sends it', async () => {
    const wss = new WebSocketServer({ noServer: true })
    const made = await expressApp({ subprotocolTokens: true }, (app, gate, requireLogin) => {
      useServer(
        {
          schema: buildSchema('type Query { me: String }'),
          roots: { query: { me: (_args: object, context: { subject: string }) => context.subject } },
          context: ({ extra }) => ({ subject: gate.connection(extra.request)?.identity.subject }),
        },
        wss,
      )
      app.get('/graphql', requireLogin, gate.accept(wss) as RequestHandler)
    })
    await using served = await serveMade(made)
    const selected: string[] = []
    class WithToken extends WebSocket {
      constructor(url: string, protocol: string) {
        super(url, [`base64url.bearer.authorization.gate101.${encoded}`, protocol])
        this.once('open', () => selected.push(this.protocol))
      }
    }
    const client = createClient({
      url: `ws://127.0.0.1:${served.port}/graphql`,
      webSocketImpl: WithToken,
      retryAttempts: 0,
    })
    const results = []
    for await (const result of client.iterate({ query: '{ me }' })) results.push(result)
    assert.deepEqual(JSON.parse(JSON.stringify(results)), [{ data: { me: 'alice' } }])
    assert.deepEqual(selected, ['graphql-transport-ws'])
    await client.dispose()
  })
})

/** What Node makes of the lines of a request, in each of its forms. */
function formsOf(req: IncomingMessage): Record<string, unknown> {
  const { headers } = req
  const distinct = Object.fromEntries(Object.entries(req.headersDistinct))
  return {
    inherits: 'hasOwnProperty' in headers,
    headers: { ...headers },
    distinct,
    lines: req.rawHeaders.length,
  }
}

it('a request that has lost its credential reads as Node makes one: headers, headersDistinct, lines that came twice', async () => {
  const forms: Array<Record<string, unknown>> = []
  const made = await expressApp({ subprotocolTokens: true }, (app, gate, requireLogin) => {
    const look: RequestHandler = (req, _res, next) => {
      forms.push(formsOf(req))
      next()
    }
    app.get('/forms', requireLogin, look, gate.websocket((socket) => socket.send('{}')) as RequestHandler)
    app.post('/forms-ticket', requireLogin, gate.ticket('/forms') as RequestHandler)
  })
  await using served = await serveMade(made)
  const rest = { 'User-Agent': ['one', 'two'], 'X-List': ['1', '2'], Referer: ['http://localhost/a', 'http://b/'] }
  const offered = { ...rest, 'Sec-WebSocket-Protocol': 'gate101' }
  const item = `base64url.bearer.authorization.gate101.${encoded}`
  const sealed = { ...alice, Cookie: 'a=1', 'X-Api-Key': 'unused' }
  const ticket = await served.ticket(sealed, '/forms-ticket')
  const rows: ReadonlyArray<readonly [plain: Headers, target: string, carried: Headers]> = [
    [{ ...offered, ...alice }, '/forms', { ...rest, 'Sec-WebSocket-Protocol': `gate101, ${item}` }],
    [{ ...offered, ...alice }, '/forms', { ...rest, 'Sec-WebSocket-Protocol': ['gate101', item] }],
    [{ ...offered, ...sealed, Origin: null }, `/forms?ticket=${ticket}`, offered],
  ]
  for (const [plain, target, carried] of rows) {
    forms.length = 0
    for (const [path, headers] of [
      ['/forms', plain],
      [target, carried],
    ] as const)
      assert.equal((await served.dial(path, headers)).status, 101, `${path} ${JSON.stringify(headers)}`)
    assert.deepEqual(forms[1], forms[0])
  }
})

describe('C4: after every road and every way out, no credential is anywhere', () => {
  it('in events, logs, warnings, output, answers and 101s', async () => {
    // Of this test alone: what other tests print when they fail is heard here, too.
    const token = jwtFor('alice', 'only-here')
    const encoded = Buffer.from(token).toString('base64url')
    const alice: Headers = { Authorization: `Bearer ${token}` }
    const said: string[] = []
    const unhook = hookOutput(said)
    const causes: unknown[] = []
    const made = await expressApp(
      {
        subprotocolTokens: ['gate101', 'kubernetes', 'phoenix', 'openai', 'bearer'],
        dangerouslyAllowQueryToken: true,
        refuse: 'auto',
      },
      (app, gate, requireLogin) => {
        app.get('/throws', requireLogin, () => {
          throw new Error('broken')
        })
        app.get('/page', (_req, res) => void res.send('a page'))
        app.get('/teapot', (_req, res) => void res.status(403).end('no'))
        app.get(
          '/library',
          requireLogin,
          gate.accept(new WebSocketServer({ noServer: true, verifyClient: () => false })) as RequestHandler,
        )
        app.get(
          '/broken-library',
          requireLogin,
          gate.accept(() => {
            throw new Error('broken')
          }) as RequestHandler,
        )
        app.use((_error: unknown, _req: unknown, res: { status(n: number): { end(): void } }, _next: unknown) =>
          res.status(500).end(),
        )
      },
    )
    await using served = await serveMade(made)
    const Cookie = await served.login('alice')
    const secrets = new Set<string>([token, encoded, API_KEYS.alice, Cookie.split('=')[1] ?? '', 'wrong-token-77'])
    const answers: unknown[] = []
    for (const path of [
      '/live',
      '/other',
      '/throws',
      '/teapot',
      '/page',
      '/library',
      '/broken-library',
      '/missing',
      '/x/../live',
    ]) {
      const ticket = await served.ticket({ Cookie, Origin: ORIGIN })
      const lost = await served.ticket(alice)
      const [wrong, made48] = ['wrong-token-77', 'A'.repeat(64)]
      for (const secret of [ticket, lost, Buffer.from(wrong).toString('base64url')]) secrets.add(secret)
      const item = (form: string): Headers => ({ 'Sec-WebSocket-Protocol': `gate101, ${form}, refusal.gate101` })
      const rows: ReadonlyArray<readonly [query: string, headers: Headers]> = [
        [`?ticket=${ticket}`, { Origin: ORIGIN }],
        [`?ticket=${ticket}`, { Origin: ORIGIN }],
        [`?ticket=${lost}`, { Origin: 'https://evil.example' }],
        [`?ticket=${lost}`, item('chat')],
        [`?ticket=${made48}`, {}],
        ['', item(`base64url.bearer.authorization.gate101.${encoded}`)],
        ['', item(`base64url.bearer.authorization.k8s.io.${encoded}`)],
        ['', item(`base64url.bearer.phx.${encoded}`)],
        ['', item(`openai-insecure-api-key.${token}`)],
        ['', item(`bearer.${token}`)],
        ['', item(`bearer.${wrong}`)],
        ['', item(`base64url.bearer.authorization.gate101.${encoded}==`)],
        ['', { 'Sec-WebSocket-Protocol': `bearer.${token}` }],
        [`?access_token=${token}`, {}],
        [`?access_token=${token}`, alice],
        [`?access_token=${wrong}`, item('chat')],
        ['', { Cookie, Origin: ORIGIN }],
        ['', aliceKey],
        ['', alice],
      ]
      for (const [query, headers] of rows) {
        const { response } = await served.dial(path + query, headers)
        answers.push(
          response.status,
          response.headers.filter(([name]) => !/^set-cookie$/i.test(name)),
          response.body.toString(),
        )
      }
    }
    for (const event of served.events) if ('cause' in event) causes.push(String((event.cause as Error).stack))
    await new Promise(setImmediate)
    unhook()
    const words = [...secrets]
    const kinds = new Set(served.events.map((event) => (event.type === 'refused' ? event.code : event.type)))
    for (const kind of [
      'accepted',
      'app',
      'library',
      'not_accepted',
      'invalid_ticket',
      'ticket_mismatch',
      'bad_token',
      'bad_origin',
      'credential_conflict',
      'subprotocol_required',
      'bad_target',
      'no_listener',
    ])
      assert.ok(kinds.has(kind), `${kind} is one of the ways out: ${[...kinds].join()}`)
    assertNowhere(words, served.events, 'the events')
    assertNowhere(words, causes, 'the causes')
    assertNowhere(words, answers, 'the answers')
    assertNowhere(words, said, 'output and warnings')
    assertNowhere(words, [...made.gate.connections], 'the connections')
    assertNowhere(words, made.gate, 'the gate')
    assertNowhere(words, made.log, 'the log of the app')
  })
})

/** Everything that the process writes or warns of. */
function hookOutput(said: string[]): () => void {
  const onWarning = (warning: Error): unknown => said.push(`${warning.message} ${warning.stack ?? ''}`)
  process.on('warning', onWarning)
  const undo = [process.stdout, process.stderr].map((stream) => {
    const write = stream.write
    stream.write = ((...args: Parameters<typeof write>) => {
      said.push(Buffer.from(args[0]).toString())
      return Reflect.apply(write, stream, args) as boolean
    }) as typeof write
    return () => {
      stream.write = write
    }
  })
  return () => {
    process.off('warning', onWarning)
    for (const one of undo) one()
  }
}

it('the answer with the ticket asks that no page sends it on', async () => {
  await using served = await serve(expressApp)
  const response = await served.mint(alice)
  assert.equal(response.header('referrer-policy'), 'no-referrer')
  assert.deepEqual(response.values('set-cookie'), [])
})
