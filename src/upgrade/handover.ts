import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import type { HeaderPairs } from '../core/decision.ts'
import { Gate101Error } from '../core/errors.ts'
import { otherListeners, type UpgradeListener } from './intercept.ts'
import { survive } from './own.ts'

/** A `ws` `WebSocketServer`, in any of its modes. */
export interface WebSocketServerLike {
  shouldHandle(req: IncomingMessage): boolean | Promise<boolean>
  handleUpgrade(
    req: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    done: (ws: WebSocket, req: IncomingMessage) => void,
  ): void
  emit(event: 'connection', ws: WebSocket, req: IncomingMessage): boolean
}

/** A server with Node's own signature: engine.io, crossws. */
export interface UpgradeHandlerLike {
  handleUpgrade(req: IncomingMessage, socket: Duplex, head: Buffer): unknown
}

/** A Socket.IO server. */
export interface EngineOwnerLike {
  readonly engine: UpgradeHandlerLike
}

/** http-proxy-middleware: a middleware with `upgrade` beside it. */
export interface UpgraderLike {
  upgrade(req: never, socket: never, head: never): unknown
}

/** The WebSocket library that takes an accepted handshake. Used as it is; nothing in it is changed. */
export type Library = WebSocketServerLike | UpgradeHandlerLike | EngineOwnerLike | UpgraderLike | UpgradeListener

/** How an accepted handshake gets to its library. */
export type Deliver = (
  server: Server | undefined,
  req: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  /** Called with the library's WebSocket before anybody else sees it, where the library shows it. */
  made: (ws: WebSocket) => void,
) => unknown

/**
 * Finds out once, when the route is made, how the library wants its handshakes.
 *
 * @throws Gate101Error `GATE101_CONFIG` when `to` is none of the known shapes.
 */
export function deliverTo(to: Library | undefined): Deliver {
  if (to === undefined) return toSoleListener
  if (has(to, 'shouldHandle') && has(to, 'handleUpgrade')) return toWebSocketServer(to as WebSocketServerLike)
  if (has(to, 'upgrade')) return toUpgrader(to as UpgraderLike)
  if (has(to, 'handleUpgrade')) return toHandler(() => to as UpgradeHandlerLike)
  // Socket.IO has its engine only once it is attached to a server.
  if (typeof to === 'object' && ('engine' in to || has(to, 'attachApp')))
    return toHandler(() => (to as EngineOwnerLike).engine)
  if (typeof to === 'function') return (_server, req, socket, head) => to(req, socket, head)
  throw new Gate101Error(
    'GATE101_CONFIG',
    'accept(to): `to` must be a ws WebSocketServer, a Socket.IO or engine.io server, a proxy middleware with upgrade(), or a function (req, socket, head).',
  )
}

function has(value: object, method: string): boolean {
  return typeof (value as Record<string, unknown>)[method] === 'function'
}

/** Rule D4: without a name there must be exactly one candidate. */
const toSoleListener: Deliver = (server, req, socket, head) => {
  const others = server === undefined ? [] : otherListeners(server)
  const [only] = others
  if (only === undefined || others.length > 1) throw listenersError(others)
  return Reflect.apply(only, server, [req, socket, head])
}

const listening = new WeakSet([toSoleListener])

/** Whether the library listens to the upgrade event itself: it gets whatever the gate does not hold, too. */
export function listensItself(deliver: Deliver): boolean {
  return listening.has(deliver)
}

function listenersError(others: readonly UpgradeListener[]): Gate101Error {
  const names = others.map((listener) => listener.name || 'anonymous').join(', ')
  const found =
    others.length === 0 ? 'the server has no other upgrade listener' : `the server has ${others.length} (${names})`
  return new Gate101Error(
    'GATE101_LISTENERS',
    `accept() without a library needs exactly one other upgrade listener; ${found}. Write accept(library).`,
  )
}

function toWebSocketServer(to: WebSocketServerLike): Deliver {
  return (_server, req, socket, head, made) => {
    to.handleUpgrade(req, socket, head, (ws) => {
      made(ws)
      // Most apps forget this listener; without it a malformed frame ends the process.
      ws.on('error', survive)
      to.emit('connection', ws, req)
    })
  }
}

function toHandler(handler: () => UpgradeHandlerLike): Deliver {
  return (_server, req, socket, head) => handler().handleUpgrade(req, socket, head)
}

/**
 * A proxy middleware that has already put itself on the server's upgrade event answers `upgrade()` by doing nothing.
 * Whether it looked at the request tells which of the two it is.
 */
function toUpgrader(to: UpgraderLike): Deliver {
  const deliver: Deliver = (server, req, socket, head, made) => {
    const url = req.url
    let looked = false
    Object.defineProperty(req, 'url', {
      configurable: true,
      enumerable: true,
      get: () => {
        looked = true
        return url
      },
      set: (value: string) => {
        plain(req, value)
      },
    })
    let returned: unknown
    try {
      returned = to.upgrade(req as never, socket as never, head as never)
    } finally {
      if (Object.getOwnPropertyDescriptor(req, 'url')?.get !== undefined) plain(req, url)
    }
    if (looked) return returned
    listening.add(deliver)
    if (server !== undefined && otherListeners(server).length > 1) throw proxyError()
    return toSoleListener(server, req, socket, head, made)
  }
  return deliver
}

function proxyError(): Gate101Error {
  return new Gate101Error(
    'GATE101_LISTENERS',
    'accept(proxy): the proxy has put itself on the upgrade event, and so have others: which one it is cannot be told. Make the proxy without `ws: true`; accept(proxy) hands it its handshakes all the same.',
  )
}

function plain(req: IncomingMessage, url: string | undefined): void {
  Object.defineProperty(req, 'url', { configurable: true, enumerable: true, writable: true, value: url })
}

const MAX_HEAD = 64 * 1024
const SWITCHING = 'HTTP/1.1 101 '

/** What a library answered; called just before the answer goes out. */
export interface LibraryAnswer {
  switched(): void
  refused(status: number): void
  /** The 101 has gone out before: neither it nor a refusal is written a second time. */
  readonly silent?: boolean
}

/**
 * Slips headers into the 101 that a library writes: `write` and `end` are set on this one socket until either's first
 * call; a tunnel may write the 101 in pieces, which wait for its last one. A library that refuses mostly does it by `end`.
 *
 * @returns a function that takes the hooks off again.
 */
export function slipHeaders(socket: Duplex, headers: HeaderPairs, answer: LibraryAnswer): () => void {
  const write = Reflect.get(socket, 'write')
  const end = Reflect.get(socket, 'end')
  let held = ''
  const hookedWrite = (chunk: unknown, ...rest: unknown[]): boolean => {
    const text = held + textOf(chunk, rest[0])
    const status = statusOf(text)
    const headEnd = text.indexOf('\r\n\r\n')
    const done = rest.find((argument) => typeof argument === 'function') as (() => void) | undefined
    if (headEnd < 0 && text.length < MAX_HEAD && (status === 101 || isStatusBegun(text))) {
      held = text
      if (done !== undefined) process.nextTick(done)
      return true
    }
    restore()
    const switches = status === 101 && headEnd >= 0
    if (switches) answer.switched()
    else answer.refused(status)
    if (!switches && answer.silent === true) return mute(socket)
    const out = switches ? switching(text, headEnd, headers, answer.silent) : text
    return Reflect.apply(write, socket, [out, 'latin1', done])
  }
  const hookedEnd = (...given: unknown[]): Duplex => {
    restore()
    answer.refused(statusOf(held + textOf(given[0], given[1])))
    if (answer.silent === true) {
      mute(socket)
      return socket
    }
    if (held !== '') Reflect.apply(write, socket, [held, 'latin1'])
    return Reflect.apply(end, socket, given)
  }
  // Put back rather than deleted: an object that has lost a property stays slow for as long as the connection lives.
  const restore = (): void => {
    if (socket.write === hookedWrite) socket.write = write
    if (socket.end === hookedEnd) socket.end = end
  }
  socket.write = hookedWrite as Duplex['write']
  socket.end = hookedEnd as Duplex['end']
  return restore
}

function switching(text: string, headEnd: number, headers: HeaderPairs, silent = false): string {
  if (silent) return text.slice(headEnd + 4)
  const lines = headers.map(([name, value]) => `\r\n${name}: ${value}`).join('')
  return text.slice(0, headEnd) + lines + text.slice(headEnd)
}

/** What a library says in HTTP would be read as frames. */
export function mute(socket: Duplex): true {
  socket.write = () => true
  socket.end = () => socket
  return true
}

/**
 * A `ws` server that listens to the upgrade event itself keeps its WebSocket from us, but leaves it on the socket. Where
 * the app forgot to listen to its errors, a malformed frame would end the process.
 *
 * @returns that WebSocket, where there is one.
 */
export function hearErrorsOf(socket: Duplex): WebSocket | undefined {
  for (const key of Object.getOwnPropertySymbols(socket)) {
    if (key.description !== 'websocket') continue
    const ws = Reflect.get(socket, key) as Partial<WebSocket> | null | undefined
    if (ws?.listenerCount?.('error') === 0) ws.on?.('error', survive)
    if (typeof ws?.terminate === 'function' && typeof ws.close === 'function') return ws as WebSocket
  }
  return undefined
}

/** Too short to know the status, and HTTP so far. */
function isStatusBegun(text: string): boolean {
  return text.length < SWITCHING.length && /^HTTP\/1\.1 \d{0,3}$/.test(text + 'HTTP/1.1 '.slice(text.length))
}

function statusOf(text: string): number {
  return Number(/^HTTP\/1\.1 (\d{3}) /.exec(text)?.[1] ?? 0)
}

/** The bytes that will go out, one character for each. */
function textOf(chunk: unknown, encoding?: unknown): string {
  if (typeof chunk === 'string') {
    return Buffer.from(chunk, typeof encoding === 'string' ? (encoding as BufferEncoding) : 'utf8').toString('latin1')
  }
  return chunk instanceof Uint8Array ? Buffer.from(chunk).toString('latin1') : ''
}
