import { AsyncLocalStorage } from 'node:async_hooks'
import { EventEmitter, once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { WebSocket } from 'ws'
import type { Connection, Gate, GateOptions, IdentityInput, WebSocketOptions } from '../../src/index.ts'

/**
 * The app that every adapter builds, as data: the same routes with the same middleware, each said in the framework's own
 * words. Only the words differ, so a difference in what a client sees is one of the framework.
 */

export const KEY = 'test_api_key'
export const BANNED_KEY = 'banned_api_key'
export const SESSION = 'session=alice-session'
export const BEARER = 'test-bearer-token'

/** Stands in for whatever an app's page may hold; must never reach a client that was refused by the gate. */
export const PRIVATE_TEXT = 'for-logged-in-readers-only'

/** What stands at the end of a route. */
export type End =
  | { readonly type: 'websocket'; readonly handler: HandlerName; readonly options?: WebSocketOptions }
  | {
      readonly type: 'answer'
      readonly status: number
      readonly headers?: ReadonlyArray<readonly [string, string]>
      readonly body?: string
    }
  /** A POST route that makes tickets for a path. */
  | { readonly type: 'ticket'; readonly path: string }
  /** Throws in the handler itself. */
  | { readonly type: 'throws' }
  /** Fails later, in the way in which the framework lets an async handler fail. */
  | { readonly type: 'rejects' }
  /** Never answers. */
  | { readonly type: 'hangs' }
  /** Sends a head and some of a body, and never ends it. */
  | { readonly type: 'drips'; readonly status: number; readonly contentType: string }
  /** A body of so many KiB, in chunks of 64. */
  | { readonly type: 'big'; readonly status: number; readonly kib: number }
  /** 103 before the answer. */
  | { readonly type: 'hints'; readonly status: number }
  /** Status 101 by the app itself, without the gate. */
  | { readonly type: 'bare101' }

/** Middleware around the guard and the end of a route. */
export type Outer =
  | 'throws-after'
  | 'forbids-after'
  | 'replaces-after'
  | 'sets-after'
  | 'sets-before'
  | 'sets-forbidden'

export interface RouteSpec {
  readonly path: string
  /** Whether the app's authentication stands before the end. @defaultValue true */
  readonly guarded?: boolean
  readonly outer?: Outer
  readonly end: End
}

/** Of the requests that a route answers. */
export function methodOf({ end }: RouteSpec): 'GET' | 'POST' {
  return end.type === 'ticket' ? 'POST' : 'GET'
}

const echo: End = { type: 'websocket', handler: 'echo' }

export const BIG_KIB = 4096

export const ROUTES: readonly RouteSpec[] = [
  { path: '/ws', end: echo },
  { path: '/late', end: { type: 'websocket', handler: 'late' } },
  { path: '/one-by-one', end: { type: 'websocket', handler: 'oneByOne' } },
  { path: '/greet', end: { type: 'websocket', handler: 'greet' } },
  { path: '/whoami', end: { type: 'websocket', handler: 'whoami' } },
  { path: '/ticket', end: { type: 'ticket', path: '/whoami' } },
  { path: '/handler-throws', end: { type: 'websocket', handler: 'throws' } },
  { path: '/handler-rejects', end: { type: 'websocket', handler: 'rejects' } },
  { path: '/protocols', end: { type: 'websocket', handler: 'echo', options: { protocols: ['v2', 'v1'] } } },
  { path: '/unguarded', guarded: false, end: echo },
  { path: '/anonymous', guarded: false, end: { type: 'websocket', handler: 'whoami', options: { anonymous: true } } },
  {
    path: '/answers/challenge',
    guarded: false,
    end: {
      type: 'answer',
      status: 401,
      headers: [
        ['WWW-Authenticate', 'Basic realm="a"'],
        ['WWW-Authenticate', 'Bearer'],
      ],
      body: 'who?',
    },
  },
  {
    path: '/answers/403',
    end: {
      type: 'answer',
      status: 403,
      headers: [
        ['Content-Type', 'application/problem+json'],
        ['Cache-Control', 'private, max-age=60'],
      ],
      body: '{"title":"no"}',
    },
  },
  {
    path: '/answers/302',
    end: {
      type: 'answer',
      status: 302,
      headers: [
        ['Location', '/login?next=%2Fws'],
        ['Set-Cookie', 'flash=1; Path=/; HttpOnly'],
        ['Set-Cookie', 'seen=2; Path=/'],
      ],
    },
  },
  { path: '/answers/404', end: { type: 'answer', status: 404, body: 'no such room' } },
  { path: '/answers/429', end: { type: 'answer', status: 429, headers: [['Retry-After', '30']], body: 'slow down' } },
  { path: '/answers/500', end: { type: 'answer', status: 500, body: 'the app says 500' } },
  {
    path: '/answers/503',
    end: {
      type: 'answer',
      status: 503,
      headers: [
        ['Upgrade', 'h2c'],
        ['Sec-WebSocket-Accept', 'forged'],
        ['Sec-WebSocket-Version', '13'],
        ['Keep-Alive', 'timeout=5'],
      ],
      body: 'closed today',
    },
  },
  {
    path: '/answers/200',
    end: { type: 'answer', status: 200, headers: [['Set-Cookie', `private=${PRIVATE_TEXT}`]], body: PRIVATE_TEXT },
  },
  { path: '/answers/201', end: { type: 'answer', status: 201, body: PRIVATE_TEXT } },
  { path: '/answers/204', end: { type: 'answer', status: 204 } },
  { path: '/throws', end: { type: 'throws' } },
  { path: '/rejects', end: { type: 'rejects' } },
  { path: '/hangs', end: { type: 'hangs' } },
  { path: '/events', end: { type: 'drips', status: 200, contentType: 'text/event-stream' } },
  { path: '/drips', end: { type: 'drips', status: 503, contentType: 'text/plain' } },
  { path: '/big', end: { type: 'big', status: 500, kib: BIG_KIB } },
  { path: '/large', end: { type: 'big', status: 500, kib: 960 } },
  { path: '/hints', end: { type: 'hints', status: 403 } },
  { path: '/bare101', end: { type: 'bare101' } },
  { path: '/outer/throws-after', outer: 'throws-after', end: echo },
  { path: '/outer/forbids-after', outer: 'forbids-after', end: echo },
  { path: '/outer/replaces-after', outer: 'replaces-after', end: echo },
  { path: '/outer/sets-after', outer: 'sets-after', end: echo },
  { path: '/outer/sets-before', outer: 'sets-before', end: echo },
  { path: '/outer/sets-forbidden', outer: 'sets-forbidden', end: echo },
]

/** Headers that middleware sets before `next()`. */
export const BEFORE: ReadonlyArray<readonly [string, string]> = [
  ['X-Before', 'yes'],
  ['Set-Cookie', 'a=1; Path=/; HttpOnly'],
  ['Set-Cookie', 'b=2; Path=/; Expires=Thu, 01 Jan 2099 00:00:00 GMT'],
]

/** Headers that have no place on a 101, or that would break the handshake. */
export const FORBIDDEN: ReadonlyArray<readonly [string, string]> = [
  ['Content-Type', 'text/html'],
  ['Content-Language', 'en'],
  ['ETag', '"1"'],
  ['Last-Modified', 'Thu, 01 Jan 2015 00:00:00 GMT'],
  ['Keep-Alive', 'timeout=5'],
  ['Upgrade', 'h2c'],
  ['Sec-WebSocket-Accept', 'forged'],
  ['Sec-WebSocket-Protocol', 'forged'],
  ['Sec-WebSocket-Extensions', 'permessage-deflate'],
  ['X-Kept', 'yes'],
]

export const LATE_REFUSAL = { status: 403, body: 'forbidden after all' } as const
export const REPLACEMENT = { status: 200, body: `a page instead: ${PRIVATE_TEXT}` } as const

/** An answer as data, for the guards. */
export interface Answer {
  readonly status: number
  readonly headers: ReadonlyArray<readonly [string, string]>
  readonly body: string
}

export const NO_KEY: Answer = {
  status: 401,
  headers: [
    ['WWW-Authenticate', 'ApiKey realm="app"'],
    ['Content-Type', 'application/json'],
  ],
  body: '{"app":"send X-Api-Key"}',
}

const BANNED: Answer = {
  status: 403,
  headers: [['Content-Type', 'application/json']],
  body: '{"app":"this key is banned"}',
}

/** The app's own authentication, once; every adapter wraps it in the framework's middleware. */
export function judge(req: IncomingMessage): Answer | undefined {
  const key = req.headers['x-api-key']
  if (key === BANNED_KEY) return BANNED
  if (key === KEY) return undefined
  if (req.headers.authorization === `Bearer ${BEARER}`) return undefined
  if (key === undefined && (req.headers.cookie ?? '').split('; ').includes(SESSION)) return undefined
  return NO_KEY
}

/** What the guard runs the rest of the request in. */
export const asyncContext = new AsyncLocalStorage<string>()

/** `identify` of the app; a header of the test says how it is to behave. */
export function identifyRequest(req: IncomingMessage): ReturnType<NonNullable<GateOptions['identify']>> {
  const alice: IdentityInput = { subject: 'alice', expiresAt: new Date(4_000_000_000_000) }
  switch (req.headers['x-identify']) {
    case undefined:
      return alice
    case 'null':
      return null
    case 'undefined':
      return undefined
    case 'throws':
      throw new Error('identify broke')
    case 'rejects':
      return Promise.reject(new Error('identify broke'))
    case 'hangs':
      return new Promise<never>(() => undefined)
    case 'async':
      return new Promise((resolve) => setImmediate(resolve, { subject: 'async-alice' }))
    case 'number':
      return { subject: 'alice', expiresAt: 4_000_000_000 as unknown as Date }
    case 'expired':
      return { subject: 'alice', expiresAt: new Date(1000) }
    case 'empty':
      return { subject: '' }
    case 'numeric':
      return { subject: 42 as unknown as string }
    default:
      throw new Error('The test sends an X-Identify that the app does not know.')
  }
}

type Handler = (socket: WebSocket, req: IncomingMessage, connection: Connection) => unknown

const HANDLERS = {
  echo(socket) {
    socket.on('message', (data, isBinary) => {
      socket.send(data, { binary: isBinary })
    })
  },
  /** Listens only once its own work is done, long after the first messages came. */
  async late(socket) {
    await new Promise((resolve) => setTimeout(resolve, 40))
    HANDLERS.echo(socket)
  },
  /** Listens late as well, and waits for each message anew. */
  async oneByOne(socket) {
    await new Promise((resolve) => setTimeout(resolve, 40))
    for (;;) {
      const [data] = (await once(socket, 'message', { signal: closing(socket) })) as [Buffer]
      await new Promise((resolve) => setImmediate(resolve))
      if (String(data) === 'end') return
      socket.send(`one: ${String(data)}`)
    }
  },
  greet(socket) {
    socket.send('hello')
  },
  whoami(socket, req, connection) {
    const { issuer, subject, expiresAt } = connection.identity
    socket.send(JSON.stringify({ issuer, subject, expiresAt, url: req.url, context: asyncContext.getStore() ?? null }))
  },
  throws() {
    throw new Error('the handler broke')
  },
  async rejects() {
    await Promise.resolve()
    throw new Error('the handler broke')
  },
} as const satisfies Record<string, Handler>

export type HandlerName = keyof typeof HANDLERS

function closing(socket: WebSocket): AbortSignal {
  const controller = new AbortController()
  socket.once('close', () => controller.abort())
  return controller.signal
}

/** @param requestOf - finds the `IncomingMessage` in the framework's own context. */
export function handlerFor<Context>(
  name: HandlerName,
  requestOf: (context: Context) => IncomingMessage,
): (socket: WebSocket, context: Context, connection: Connection) => unknown {
  const handler: Handler = HANDLERS[name]
  return (socket, context, connection) => {
    const returned = handler(socket, requestOf(context), connection)
    // A peer that leaves ends `oneByOne` by an abort: that is no failure.
    if (name === 'oneByOne') return (returned as Promise<unknown>).catch(() => undefined)
    return returned
  }
}

export const failure = (): Error => new Error('the app broke')

/** Writes the end of a route on a plain `ServerResponse`, for the frameworks that hand it out. */
export function writeEnd(
  res: ServerResponse,
  end: Exclude<End, { type: 'websocket' | 'ticket' | 'throws' | 'rejects' }>,
): void {
  switch (end.type) {
    case 'answer':
      writeAnswer(res, end.status, end.headers ?? [], end.body ?? '')
      return
    case 'hangs':
      return
    case 'drips':
      res.writeHead(end.status, { 'Content-Type': end.contentType })
      res.write(`data: ${PRIVATE_TEXT}\n\n`)
      return
    case 'big':
      res.statusCode = end.status
      writeChunks(res, end.kib)
      return
    case 'hints':
      res.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' })
      writeAnswer(res, end.status, [], 'no')
      return
    case 'bare101':
      res.statusCode = 101
      res.end()
  }
}

export function writeAnswer(res: ServerResponse, status: number, headers: Answer['headers'], body: string): void {
  res.statusCode = status
  for (const [name, value] of headers) res.appendHeader(name, value)
  res.end(body)
}

export const CHUNK = Buffer.alloc(64 * 1024, 'x')

function writeChunks(res: ServerResponse, kib: number): void {
  let left = kib / 64
  const more = (): void => {
    while (left-- > 0) {
      if (!res.write(CHUNK)) {
        res.once('drain', more)
        return
      }
    }
    res.end()
  }
  more()
}

export function* chunks(kib: number): Generator<Buffer> {
  for (let n = 0; n < kib / 64; n++) yield CHUNK
}

/** Emits `closed` with the path when the app's own response object hears that its client has gone. */
export class Observer extends EventEmitter {
  watch(req: IncomingMessage, res: ServerResponse): void {
    const path = req.url ?? ''
    res.once('close', () => {
      if (!res.writableFinished) this.emit('closed', path)
    })
  }
}

/** What the suite asks of an app that was built. */
export interface BuiltApp {
  readonly server: import('node:http').Server
  readonly gate: Pick<Gate, 'on' | 'connections'>
  /** Closes what the framework opened beyond its server. */
  readonly close?: () => Promise<unknown>
}

/** How the app is to be built. */
export interface Build {
  /** Options of the gate, without the door. */
  readonly options: Omit<GateOptions, 'identify' | 'authenticate'>
  /** Which door: the app's own guard and `identify`, or the built-in scheme as gate and as HTTP middleware. */
  readonly door: 'app' | 'schemes'
  readonly observer: Observer
}
