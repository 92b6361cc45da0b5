import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { after, describe, test } from 'node:test'
import {
  Controller,
  Get,
  Inject,
  Injectable,
  Scope,
  UnauthorizedException,
  type CanActivate,
  type ExecutionContext,
  type INestApplication,
  type MiddlewareConsumer,
  type Type,
} from '@nestjs/common'
import { ConnectedSocket, MessageBody, SubscribeMessage, WebSocketGateway, WsException } from '@nestjs/websockets'
import { of } from 'rxjs'
import { createGate, type Connection, type Gate } from '../../src/index.ts'
import { GateWsAdapter, type GatewayClient, type GateWsAdapterOptions, type GatewayServer } from '../../src/nest.ts'
import { frame, OPCODE } from '../support/frames.ts'
import { connectRaw, handshake, handshakeText, rawRequest, type RawConnection } from '../support/raw.ts'
import { trapFaults } from '../support/trap.ts'
import { method, parameters, PLATFORMS, startNest, type Made, type Platform } from './nest-app.ts'

interface NestRequest {
  readonly headers: IncomingMessage['headers']
  user?: { readonly id: string }
}

const KEY = 'test_api_key'
const PLAIN = { Upgrade: null, Connection: 'close', 'Sec-WebSocket-Key': null, 'Sec-WebSocket-Version': null }

/** Throws without a key, says no to a wrong one, waits for the word of a test where the key is `slow`. */
class KeyGuard implements CanActivate {
  readonly events = new EventEmitter()

  async canActivate(context: ExecutionContext): Promise<boolean> {
    assert.equal(context.getType(), 'http')
    const request = context.switchToHttp().getRequest<NestRequest>()
    const key = request.headers['x-api-key']
    if (key === undefined) throw new UnauthorizedException('which key?')
    if (key === 'slow') {
      setImmediate(() => this.events.emit('asked'))
      await once(this.events, 'go')
    }
    request.user = { id: 'alice' }
    return key === KEY || key === 'slow'
  }
}

/** What a gateway saw, and one method for each kind of message. */
class Chat {
  readonly clients: GatewayClient[] = []
  readonly requests: IncomingMessage[] = []
  readonly heard: unknown[] = []
  readonly events = new EventEmitter()
  server: GatewayServer | undefined

  afterInit(server: GatewayServer): void {
    this.server = server
  }
  handleConnection(client: GatewayClient, req: IncomingMessage): void {
    this.clients.push(client)
    this.requests.push(req)
  }
  handleDisconnect(client: GatewayClient): void {
    this.events.emit('gone', client)
  }
  echo(data: unknown): object {
    this.heard.push(data)
    return { event: 'echo', data }
  }
  whoami(client: GatewayClient): object {
    return { event: 'whoami', data: client.identity.subject }
  }
  many(): unknown {
    return of(1, null, 2)
  }
  nothing(data: unknown): void {
    this.heard.push(data)
  }
  fails(): void {
    throw new WsException('no such room')
  }
}

function gatewayClass(metadata: object = {}, port?: number): typeof Chat {
  const Gateway = class extends Chat {}
  for (const name of ['echo', 'whoami', 'many', 'nothing', 'fails'] as const) {
    const copy = { [name]: Chat.prototype[name] }[name]
    Object.defineProperty(Gateway.prototype, name, { value: copy, writable: true, configurable: true })
    method(Gateway, name, SubscribeMessage(name))
  }
  parameters(Gateway, 'echo', MessageBody())
  parameters(Gateway, 'nothing', MessageBody())
  parameters(Gateway, 'whoami', ConnectedSocket())
  if (port === undefined) WebSocketGateway(metadata)(Gateway)
  else WebSocketGateway(port, metadata)(Gateway)
  return Gateway
}

interface Served extends Made {
  readonly gate: Gate<NestRequest>
}

interface Setting {
  readonly gateways: ReadonlyArray<Type<object>>
  readonly adapter?: GateWsAdapterOptions
  readonly providers?: ReadonlyArray<Type<object>>
  readonly controllers?: Array<Type<object>>
  readonly prepare?: (app: INestApplication) => void
  readonly configure?: (consumer: MiddlewareConsumer) => void
}

async function serve(platform: Platform, setting: Setting): Promise<Served> {
  const gate = createGate<NestRequest>({
    identify: (req) => (req.user === undefined ? undefined : { subject: req.user.id }),
  })
  const made = await startNest(
    platform,
    {
      providers: [...setting.gateways, ...(setting.providers ?? [])],
      controllers: setting.controllers ?? [],
    },
    (app, server) => {
      setting.prepare?.(app)
      app.useWebSocketAdapter(new GateWsAdapter(app, gate, setting.adapter))
      gate.attach(server)
    },
    setting.configure,
  )
  return { ...made, gate }
}

async function open(port: number, target: string, key = KEY): Promise<RawConnection> {
  const connection = await connectRaw({ port })
  connection.send(handshakeText({ target, headers: { 'X-Api-Key': key } }))
  assert.equal((await connection.response()).status, 101)
  return connection
}

const message = (event: string, data?: unknown): Buffer => frame(JSON.stringify({ event, data }))

const texts = async (connection: RawConnection, count: number): Promise<string[]> =>
  (await connection.frames(count)).map(({ text }) => text)

for (const platform of PLATFORMS) {
  describe(`a gateway on ${platform}`, () => {
    const trap = trapFaults()
    after(async () => await trap.assertNone())

    test('sees accepted clients alone, with their identity', async () => {
      const Gateway = gatewayClass({ path: '/chat' })
      await using made = await serve(platform, { gateways: [Gateway], adapter: { guards: [new KeyGuard()] } })
      const chat = made.app.get<Chat>(Gateway)
      const none = await rawRequest({ port: made.port, lines: handshake({ target: '/chat' }) })
      assert.deepEqual([none.status, JSON.parse(none.text).message], [401, 'which key?'])
      const wrong = await rawRequest({
        port: made.port,
        lines: handshake({ target: '/chat', headers: { 'X-Api-Key': 'wrong' } }),
      })
      assert.deepEqual([wrong.status, JSON.parse(wrong.text).message], [403, 'Forbidden resource'])
      assert.equal(chat.clients.length, 0)

      await using connection = await open(made.port, '/chat')
      connection.send(message('whoami'))
      assert.deepEqual(await texts(connection, 1), ['{"event":"whoami","data":"alice"}'])
      const [client] = chat.clients
      const [req] = chat.requests
      assert.ok(client !== undefined && req !== undefined)
      assert.equal(client.identity.subject, 'alice')
      assert.equal(req.url, '/chat')
      const live: Connection | undefined = made.gate.connection(req)
      assert.equal(live, client.connection)
      assert.deepEqual([...(chat.server?.clients ?? [])], [client])

      const gone = once(chat.events, 'gone')
      connection.destroy()
      assert.equal((await gone)[0], client)
      assert.equal(chat.server?.clients.size, 0)
      assert.equal(made.gate.connections.size, 0)
    })

    test('answers messages as the adapter of Nest for ws does', async () => {
      const Gateway = gatewayClass({ path: '/chat' })
      await using made = await serve(platform, { gateways: [Gateway], adapter: { guards: [new KeyGuard()] } })
      await using connection = await open(made.port, '/chat')
      for (const nonsense of ['', 'null', '17', '[]', '{', '{"event":"toString"}', '{"event":{}}'])
        connection.send(frame(nonsense))
      connection.send(frame(JSON.stringify({ event: 'echo', data: 'binary' }), { opcode: OPCODE.binary }))
      connection.send(Buffer.concat([message('fails'), message('many'), message('nothing', 1), message('echo', [2])]))
      // Each answer comes when it is ready: Nest keeps no order between handlers.
      assert.deepEqual((await texts(connection, 5)).toSorted(), [
        '1',
        '2',
        '{"event":"echo","data":"binary"}',
        '{"event":"echo","data":[2]}',
        '{"event":"exception","data":{"status":"error","message":"no such room","cause":{"pattern":"fails"}}}',
      ])
      assert.deepEqual(made.app.get<Chat>(Gateway).heard, ['binary', 1, [2]])
    })

    test('hears nothing before the guard is done, and everything after, in order', async () => {
      const guard = new KeyGuard()
      const Gateway = gatewayClass({ path: '/chat' })
      await using made = await serve(platform, { gateways: [Gateway], adapter: { guards: [guard] } })
      const chat = made.app.get<Chat>(Gateway)
      await using connection = await connectRaw(made)
      const asked = once(guard.events, 'asked')
      const text = handshakeText({ target: '/chat', headers: { 'X-Api-Key': 'slow' } })
      connection.send(Buffer.concat([Buffer.from(text), message('echo', 1), message('echo', 2)]))
      await asked
      connection.send(message('echo', 3))
      assert.deepEqual([chat.clients.length, chat.heard.length], [0, 0])
      guard.events.emit('go')
      await connection.frames(3)
      assert.deepEqual(chat.heard, [1, 2, 3])
    })

    test('stands behind the middleware of the app and of its modules', async () => {
      const Gateway = gatewayClass({ path: '/chat' })
      type Next = (req: object, res: { setHeader(name: string, value: string): void }, next: () => void) => void
      const header =
        (name: string): Next =>
        (_req, res, next) => {
          res.setHeader(name, 'here')
          next()
        }
      await using made = await serve(platform, {
        gateways: [Gateway],
        adapter: { guards: [new KeyGuard()] },
        prepare: (app) => app.use(header('X-App')),
        configure: (consumer) => consumer.apply(header('X-Module')).forRoutes('{*path}'),
      })
      await using connection = await connectRaw(made)
      connection.send(handshakeText({ target: '/chat', headers: { 'X-Api-Key': KEY } }))
      const { status, headers } = await connection.response()
      assert.equal(status, 101)
      assert.deepEqual(
        headers.filter(([name]) => /^x-(app|module)$/i.test(name)).map(([, value]) => value),
        ['here', 'here'],
      )
      const refused = await rawRequest({ port: made.port, lines: handshake({ target: '/chat' }) })
      assert.deepEqual([refused.status, refused.header('x-app'), refused.header('x-module')], [401, 'here', 'here'])
    })

    test('shares the path / with a page of a controller', async () => {
      const Page = class {
        page(): string {
          return 'a page'
        }
      }
      Controller()(Page)
      method(Page, 'page', Get())
      await using made = await serve(platform, {
        gateways: [gatewayClass()],
        controllers: [Page],
        adapter: { guards: [new KeyGuard()] },
      })
      const page = await rawRequest({ port: made.port, lines: handshake({ target: '/', headers: PLAIN }) })
      assert.deepEqual([page.status, page.text], [200, 'a page'])
      const refused = await rawRequest({ port: made.port, lines: handshake({ target: '/' }) })
      assert.equal(refused.status, 401)
      await using connection = await open(made.port, '/')
      connection.send(message('echo', 1))
      assert.deepEqual(await texts(connection, 1), ['{"event":"echo","data":1}'])
    })

    test('answers a plain request with 426, or with what the guard says', async () => {
      await using made = await serve(platform, {
        gateways: [gatewayClass({ path: 'chat' })],
        adapter: { guards: [new KeyGuard()] },
      })
      const plain = async (headers: Record<string, string>, target = '/chat'): Promise<number> =>
        (await rawRequest({ port: made.port, lines: handshake({ target, headers: { ...PLAIN, ...headers } }) })).status
      assert.equal(await plain({ 'X-Api-Key': KEY }), 426)
      assert.equal(await plain({}), 401)
      assert.equal(await plain({ 'X-Api-Key': KEY }, '/nowhere'), 404)
      const elsewhere = await rawRequest({
        port: made.port,
        lines: handshake({ target: '/nowhere', headers: { 'X-Api-Key': KEY } }),
      })
      assert.equal(elsewhere.status, 404)
    })

    test('two on one path both hear a client; one on another path does not', async () => {
      const [One, Two, Other] = [
        gatewayClass({ path: '/a' }),
        gatewayClass({ path: '/a' }),
        gatewayClass({ path: '/b' }),
      ]
      await using made = await serve(platform, {
        gateways: [One, Two, Other],
        adapter: { guards: [new KeyGuard()] },
      })
      await using connection = await open(made.port, '/a')
      connection.send(message('echo', 1))
      await connection.frames(2)
      assert.deepEqual(
        [One, Two, Other].map((Gateway) => made.app.get<Chat>(Gateway).heard),
        [[1], [1], []],
      )
    })

    test('ends its clients with 1012 when the app closes, also one that answers nothing', async () => {
      await using made = await serve(platform, {
        gateways: [gatewayClass({ path: '/chat' })],
        adapter: { guards: [new KeyGuard()] },
      })
      await using connection = await open(made.port, '/chat')
      const closed = made.app.close()
      const [close] = await connection.frames(1)
      assert.deepEqual([close?.closeCode, close?.text], [1012, 'restart'])
      await connection.ended()
      await closed
      assert.equal(made.gate.connections.size, 0)
    })
  })
}

describe('guards of gateways', () => {
  const ask = async (guards: GateWsAdapterOptions['guards'], providers: Array<Type<object>> = []): Promise<number> => {
    await using made = await serve('express', {
      gateways: [gatewayClass({ path: '/chat' })],
      providers,
      adapter: guards === undefined ? {} : { guards },
    })
    await using connection = await connectRaw(made)
    connection.send(handshakeText({ target: '/chat', headers: { 'X-Api-Key': KEY } }))
    return (await connection.response()).status
  }
  const saying = (answer: unknown): CanActivate => ({
    canActivate(context): never {
      context.switchToHttp().getRequest<NestRequest>().user = { id: 'alice' }
      return answer as never
    },
  })

  test('may answer with a boolean, a promise or an Observable, of which the last value counts', async () => {
    assert.equal(await ask([saying(true)]), 101)
    assert.equal(await ask([saying(false)]), 403)
    assert.equal(await ask([saying(Promise.resolve(true))]), 101)
    assert.equal(await ask([saying(Promise.resolve(false))]), 403)
    assert.equal(await ask([saying(of(false, true))]), 101)
    assert.equal(await ask([saying(of(true, false))]), 403)
    assert.equal(await ask([saying(of())]), 403)
    assert.equal(await ask([saying(undefined)]), 403)
  })

  test('all have to say yes, one after the other', async () => {
    const asked: string[] = []
    const noting = (name: string, answer: boolean): CanActivate => ({
      async canActivate(context): Promise<boolean> {
        await new Promise((resolve) => setImmediate(resolve))
        asked.push(name)
        return (await saying(answer).canActivate(context)) as boolean
      },
    })
    assert.equal(await ask([noting('a', true), noting('b', false), noting('c', true)]), 403)
    assert.deepEqual(asked, ['a', 'b'])
  })

  test('without any, the identity decides: nobody gets in as nobody', async () => {
    assert.equal(await ask(undefined), 403)
  })

  test('that throw anything else are a 500 with nothing of the error in it', async () => {
    const failing: CanActivate = {
      canActivate(): never {
        throw new Error('secret of the app')
      },
    }
    await using made = await serve('express', {
      gateways: [gatewayClass({ path: '/chat' })],
      adapter: { guards: [failing] },
    })
    const refused = await rawRequest({
      port: made.port,
      lines: handshake({ target: '/chat', headers: { 'X-Api-Key': KEY } }),
    })
    assert.equal(refused.status, 500)
    assert.doesNotMatch(refused.text, /secret/)
  })

  test('are taken from the container, with what they need', async () => {
    class Keys {
      readonly known = [KEY]
    }
    Injectable()(Keys)
    class NeedsKeys implements CanActivate {
      readonly keys: Keys
      constructor(keys: Keys) {
        this.keys = keys
      }
      canActivate(context: ExecutionContext): boolean {
        const request = context.switchToHttp().getRequest<NestRequest>()
        request.user = { id: 'alice' }
        return this.keys.known.includes(String(request.headers['x-api-key']))
      }
    }
    Injectable()(NeedsKeys)
    Inject(Keys)(NeedsKeys, undefined, 0)
    assert.equal(await ask([NeedsKeys], [Keys, NeedsKeys]), 101)
    await assert.rejects(ask([NeedsKeys]), { code: 'GATE101_CONFIG', message: /NeedsKeys is in no module/ })
  })

  test('are made where they need nothing', async () => {
    assert.equal(await ask([KeyGuard]), 101)
  })

  test('that live for one request alone, or are none, are an error at start', async () => {
    class PerRequest extends KeyGuard {}
    Injectable({ scope: Scope.REQUEST })(PerRequest)
    await assert.rejects(ask([PerRequest], [PerRequest]), { code: 'GATE101_CONFIG', message: /request-scoped/ })
    await assert.rejects(ask([{} as CanActivate]), { code: 'GATE101_CONFIG', message: /guards must hold guards/ })
  })
})

describe('what a gateway cannot have is an error at start', () => {
  const cases: ReadonlyArray<readonly [string, Type<object>, RegExp]> = [
    ['another port', gatewayClass({}, 8081), /port 8081 is not the app's own server/],
    ['a namespace', gatewayClass({ namespace: '/chat' }), /unknown option "namespace"/],
    ['cors', gatewayClass({ cors: true }), /createGate\(\{ origins \}\)/],
    ['an option of another adapter', gatewayClass({ path: '/a', pingTimeout: 1 }), /"pingTimeout"/],
  ]
  for (const [name, gateway, expected] of cases) {
    test(name, async () => {
      await assert.rejects(serve('express', { gateways: [gateway] }), { code: 'GATE101_CONFIG', message: expected })
    })
  }
  test('an option of the adapter that is not known', async () => {
    const adapter = { guard: [] } as GateWsAdapterOptions
    await assert.rejects(serve('express', { gateways: [], adapter }), { message: /unknown option "guard"/ })
  })
})
