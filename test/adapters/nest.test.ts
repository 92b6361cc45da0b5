import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { after, describe, test } from 'node:test'
import {
  Catch,
  Controller,
  ForbiddenException,
  Get,
  HttpException,
  Next,
  Req,
  Res,
  UnauthorizedException,
  UseGuards,
  UseInterceptors,
  type ArgumentsHost,
  type CanActivate,
  type ExceptionFilter,
  type ExecutionContext,
  type INestApplication,
} from '@nestjs/common'
import { throwError } from 'rxjs'
import { WebSocketServer } from 'ws'
import { createGate, type Connection, type Gate, type GateOptions } from '../../src/index.ts'
import { accept, authenticate, websocket } from '../../src/nest.ts'
import { apiKey } from '../../src/schemes.ts'
import { frame } from '../support/frames.ts'
import { connectRaw, handshake, handshakeText, rawRequest } from '../support/raw.ts'
import { trapFaults } from '../support/trap.ts'
import { method, parameters, PLATFORMS, startNest, type Made, type Platform } from './nest-app.ts'

interface NestRequest {
  readonly headers: IncomingMessage['headers']
  user?: { readonly id: string }
}

const KEY = 'test_api_key'

const requestOf = (context: ExecutionContext): NestRequest => context.switchToHttp().getRequest<NestRequest>()

/** Throws without a key, says no to a wrong one, waits for the word of a test where the key is `slow`. */
class KeyGuard implements CanActivate {
  readonly events = new EventEmitter()

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = requestOf(context)
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

const identify = (req: NestRequest): { subject: string } | undefined =>
  req.user === undefined ? undefined : { subject: req.user.id }

type Route = (req: object, res: object, next?: () => void) => unknown

/** A controller with one route at `/live`, behind a guard. */
function controllerOf(route: Route, ...decorators: MethodDecorator[]): new () => object {
  const Live = class {
    live(req: object, res: object, next: () => void): unknown {
      return route(req, res, next)
    }
    page(): string {
      return 'a page'
    }
  }
  Controller()(Live)
  method(Live, 'live', Get('live'), ...decorators)
  method(Live, 'page', Get('page'))
  parameters(Live, 'live', Req(), Res(), Next())
  return Live
}

async function start(
  platform: Platform,
  gate: Gate<NestRequest>,
  controller: new () => object,
  prepare: (app: INestApplication) => void = () => undefined,
): Promise<Made> {
  return await startNest(platform, { controllers: [controller] }, (app, server) => {
    prepare(app)
    gate.attach(server)
  })
}

const gateOf = (options: Partial<GateOptions<NestRequest>> = {}): Gate<NestRequest> =>
  createGate<NestRequest>({ identify, ...options })

const lines = (headers: Record<string, string> = {}, target = '/live'): string[] => handshake({ target, headers })

const PLAIN = { Upgrade: null, Connection: 'close', 'Sec-WebSocket-Key': null, 'Sec-WebSocket-Version': null }

for (const platform of PLATFORMS) {
  describe(`a controller's method on ${platform}`, () => {
    const trap = trapFaults()
    after(async () => await trap.assertNone())

    test('is opened when its guard lets the handshake in, and sees what the guard did', async () => {
      const gate = gateOf()
      const route = websocket(gate, (socket, req, connection) => {
        socket.send(`${req.user?.id} ${connection.identity.subject}`)
      })
      await using made = await start(platform, gate, controllerOf(route, UseGuards(new KeyGuard())))
      await using connection = await connectRaw(made)
      connection.send(handshakeText({ target: '/live', headers: { 'X-Api-Key': KEY } }))
      assert.equal((await connection.response()).status, 101)
      assert.equal((await connection.frames(1))[0]?.text, 'alice alice')
      assert.equal(gate.connections.size, 1)
    })

    test("is refused with Nest's own answer when the guard says no, throws, or an Observable fails", async () => {
      const gate = gateOf()
      let opened = 0
      const failing = { canActivate: () => throwError(() => new ForbiddenException('not today')) }
      const Live = controllerOf(
        websocket(gate, () => {
          opened += 1
        }),
        UseGuards(new KeyGuard()),
      )
      const Failing = controllerOf(
        websocket(gate, () => undefined),
        UseGuards(failing),
      )
      Controller('failing')(Failing)
      await using made = await startNest(platform, { controllers: [Live, Failing] }, (_app, server) => {
        gate.attach(server)
      })
      const cases = [
        [{}, '/live', 401, 'which key?'],
        [{ 'X-Api-Key': 'wrong' }, '/live', 403, 'Forbidden resource'],
        [{ 'X-Api-Key': KEY }, '/failing/live', 403, 'not today'],
      ] as const
      for (const [headers, target, status, message] of cases) {
        const refused = await rawRequest({ port: made.port, lines: lines(headers, target) })
        const plain = await rawRequest({
          port: made.port,
          lines: handshake({ target, headers: { ...PLAIN, ...headers } }),
        })
        assert.equal(refused.status, status)
        assert.equal(JSON.parse(refused.text).message, message)
        assert.deepEqual([plain.status, plain.text], [refused.status, refused.text])
        assert.equal(refused.header('cache-control'), 'no-store')
        assert.equal(refused.closed, true)
      }
      assert.equal(opened, 0)
    })

    test('answers 426 with advice to a plain request that its guard lets in', async () => {
      const gate = gateOf()
      await using made = await start(
        platform,
        gate,
        controllerOf(
          websocket(gate, () => undefined),
          UseGuards(new KeyGuard()),
        ),
      )
      const plain = await rawRequest({
        port: made.port,
        lines: handshake({ target: '/live', headers: { ...PLAIN, 'X-Api-Key': KEY } }),
      })
      assert.equal(plain.status, 426)
      assert.equal(plain.header('upgrade'), 'websocket')
      assert.equal(JSON.parse(plain.text).error, 'websocket_only')
    })

    test('gets no message before its guard is done, and all of them after, in order', async () => {
      const gate = gateOf()
      const guard = new KeyGuard()
      const heard: string[] = []
      const route = websocket(gate, (socket) => {
        socket.on('message', (data: Buffer) => {
          heard.push(data.toString())
          if (heard.length === 3) socket.send('three')
        })
      })
      await using made = await start(platform, gate, controllerOf(route, UseGuards(guard)))
      await using connection = await connectRaw(made)
      const asked = once(guard.events, 'asked')
      const early = Buffer.concat([frame('1'), frame('2')])
      const text = handshakeText({ target: '/live', headers: { 'X-Api-Key': 'slow' } })
      connection.send(Buffer.concat([Buffer.from(text), early]))
      await asked
      connection.send(frame('3'))
      assert.deepEqual(heard, [])
      assert.equal(connection.received().length, 0)
      guard.events.emit('go')
      assert.equal((await connection.frames(1))[0]?.text, 'three')
      assert.deepEqual(heard, ['1', '2', '3'])
    })

    test('hands the handshake to a library, and a plain request gets 426', async () => {
      const gate = gateOf()
      const wss = new WebSocketServer({ noServer: true })
      wss.on('connection', (socket, req) => {
        socket.send(String(gate.connection(req, socket)?.identity.subject))
      })
      const Live = controllerOf((req, res) => accept(gate, wss)(req, res), UseGuards(new KeyGuard()))
      await using made = await start(platform, gate, Live)
      await using connection = await connectRaw(made)
      connection.send(handshakeText({ target: '/live', headers: { 'X-Api-Key': KEY } }))
      assert.equal((await connection.frames(1))[0]?.text, 'alice')
      const refused = await rawRequest({ port: made.port, lines: lines() })
      assert.equal(refused.status, 401)
      const plain = await rawRequest({
        port: made.port,
        lines: handshake({ target: '/live', headers: { ...PLAIN, 'X-Api-Key': KEY } }),
      })
      assert.equal(plain.status, 426)
    })

    test("is refused by an interceptor that throws, and answered by the app's own exception filter", async () => {
      const gate = gateOf()
      const shared: { app?: INestApplication } = {}
      class Teapot implements ExceptionFilter<HttpException> {
        catch(error: HttpException, host: ArgumentsHost): void {
          shared.app?.getHttpAdapter().reply(host.switchToHttp().getResponse(), { short: error.message }, 418)
        }
      }
      Catch(HttpException)(Teapot)
      const interceptor = { intercept: () => throwError(() => new HttpException('stout', 400)) }
      const Live = controllerOf(
        websocket(gate, () => undefined),
        UseInterceptors(interceptor),
      )
      await using made = await start(platform, gate, Live, (app) => {
        shared.app = app
        app.useGlobalFilters(new Teapot())
      })
      const refused = await rawRequest({ port: made.port, lines: lines({ 'X-Api-Key': KEY }) })
      assert.deepEqual([refused.status, refused.text], [418, '{"short":"stout"}'])
    })

    test('schemes are a guard: for handshakes, for pages, and with their challenge', async () => {
      const gate = createGate<NestRequest>({
        authenticate: apiKey({ keys: [{ key: KEY, subject: 'service' }] }),
      })
      const guard = UseGuards(authenticate(gate))
      const Live = controllerOf(
        websocket(gate, (socket, req, connection: Connection) => {
          socket.send(`${(req as unknown as Connection).identity.subject} ${connection.identity.subject}`)
        }),
        guard,
      )
      await using made = await start(platform, gate, Live)
      const refused = await rawRequest({
        port: made.port,
        lines: handshake({ target: '/live', headers: { ...PLAIN, 'X-Api-Key': 'wrong' } }),
      })
      assert.equal(refused.status, 401)
      assert.match(JSON.parse(refused.text).message, /The credential was not accepted\. /)
      assert.notEqual(refused.header('www-authenticate'), undefined)
      await using connection = await connectRaw(made)
      connection.send(handshakeText({ target: '/live', headers: { 'X-Api-Key': KEY } }))
      assert.equal((await connection.frames(1))[0]?.text, 'service service')
    })
  })
}
