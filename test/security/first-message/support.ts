import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { getRequestListener, type HttpBindings } from '@hono/node-server'
import express from 'express'
import fastify from 'fastify'
import { Hono } from 'hono'
import Koa from 'koa'
import { WebSocketServer } from 'ws'
import { websocket as onFastify } from '../../../src/fastify.ts'
import { websocket as onHono } from '../../../src/hono.ts'
import { createGate, type Gate, type GateEvent, type GateOptions } from '../../../src/index.ts'
import { websocket as onKoa } from '../../../src/koa.ts'
import { basic } from '../../../src/schemes.ts'
import { patientClock } from '../../support/beats.ts'
import { frame, OPCODE, readFrames, type Frame } from '../../support/frames.ts'
import { connectRaw, handshakeText, type HandshakeText, type RawConnection, type RawTarget } from '../../support/raw.ts'
import { parseResponse, type ParsedResponse } from '../../support/response.ts'
import { listen, type Listening } from '../../support/servers.ts'

/** The password that everybody has here: long enough to be found wherever it turns up. */
export const PASSWORD = 'pw-Zx81-swordfish'

/** What the app's login says to an `Authorization` value: a subject, or its own answer. */
export type Say =
  | string
  | { readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: string }
export type Guard = (authorization: string | undefined, req: IncomingMessage | undefined) => Say | Promise<Say>

export const NO: Say = { status: 401, headers: { 'WWW-Authenticate': 'Basic', 'Set-Cookie': 'first=answer' } }

/** Whoever has the password is who they say. */
export const guard: Guard = (authorization) => {
  const [scheme, value = ''] = (authorization ?? '').split(' ')
  if (scheme !== 'Basic') return NO
  const [username = '', ...rest] = Buffer.from(value, 'base64').toString().split(':')
  return rest.join(':') === PASSWORD ? username : NO
}

export interface Made {
  readonly server: Server
  readonly gate: Gate<never>
  /** Messages that the app's handler was given. */
  readonly delivered: string[]
  /** How often the app's handler was called. */
  readonly opened: () => number
  /** `accepted`, `refused <code> <status>`, `aborted`, `ended <reason>`, in their order. */
  readonly said: string[]
  readonly events: GateEvent[]
}

type Options = Omit<GateOptions, 'identify' | 'authenticate'>
type Handler = (
  socket: { on(event: 'message', listener: (data: Buffer) => void): unknown; send(text: string): void },
  ...context: unknown[]
) => void

interface Parts {
  readonly guard: Guard
  readonly options: Options & { readonly firstMessage: NonNullable<GateOptions['firstMessage']> }
  readonly handler: Handler
}

const subjects = new WeakMap<IncomingMessage, string>()

async function ask(parts: Parts, req: IncomingMessage, res: ServerResponse): Promise<Exclude<Say, string> | undefined> {
  const said = await parts.guard(req.headers.authorization, req)
  if (typeof said !== 'string') {
    for (const [name, value] of Object.entries(said.headers ?? {})) res.setHeader(name, value)
    return said
  }
  subjects.set(req, said)
  return undefined
}

const identified = (req: IncomingMessage): { subject: string } | null => {
  const subject = subjects.get(req)
  return subject === undefined ? null : { subject }
}

/** The same app on each framework, and a gate that has no app: `guard`, then `handler` on /ws. */
const STACKS: Readonly<Record<string, (parts: Parts) => Promise<{ server: Server; gate: Gate<never> }>>> = {
  async Express(parts) {
    const app = express()
    const gate = createGate({ identify: identified, clock: patientClock, ...parts.options })
    app.use(async (req, res, next) => {
      const no = await ask(parts, req, res)
      if (no === undefined) next()
      else res.status(no.status).send(no.body ?? 'no')
    })
    app.get('/ws', gate.websocket(parts.handler as never) as never)
    // Express's own handler would print what the guard throws.
    app.use(
      (_error: unknown, _req: unknown, res: express.Response, _next: unknown) => void res.status(500).end('broken'),
    )
    const server = createServer(app)
    gate.attach(server)
    return { server, gate: gate as unknown as Gate<never> }
  },
  async Koa(parts) {
    const app = new Koa()
    app.silent = true
    const gate = createGate<Koa.Context>({
      identify: (ctx) => identified(ctx.req),
      clock: patientClock,
      ...parts.options,
    })
    const route = onKoa(gate, parts.handler as never)
    app.use(async (ctx, next) => {
      const no = await ask(parts, ctx.req, ctx.res)
      if (no === undefined) return ctx.path === '/ws' ? route(ctx, next) : next()
      ctx.status = no.status
      ctx.body = no.body ?? 'no'
      return undefined
    })
    const server = createServer(app.callback())
    gate.attach(server)
    return { server, gate: gate as unknown as Gate<never> }
  },
  async Fastify(parts) {
    const app = fastify()
    const gate = createGate<{ raw: IncomingMessage }>({
      identify: ({ raw }) => identified(raw),
      clock: patientClock,
      ...parts.options,
    })
    app.addHook('onRequest', async (request, reply) => {
      const no = await ask(parts, request.raw, reply.raw)
      if (no !== undefined) await reply.code(no.status).send(no.body ?? 'no')
    })
    app.get('/ws', onFastify(gate, parts.handler as never))
    await app.ready()
    gate.attach(app.server)
    return { server: app.server, gate: gate as unknown as Gate<never> }
  },
  async Hono(parts) {
    const app = new Hono<{ Bindings: HttpBindings }>()
    const gate = createGate<{ env: HttpBindings }>({
      identify: (c) => identified(c.env.incoming),
      clock: patientClock,
      ...parts.options,
    })
    app.onError((_error, c) => c.text('broken', 500))
    app.use(async (c, next) => {
      const said = await parts.guard(c.req.header('authorization'), c.env.incoming)
      if (typeof said !== 'string') return c.body(said.body ?? 'no', said.status as 401, { ...said.headers })
      subjects.set(c.env.incoming, said)
      return next()
    })
    app.get('/ws', onHono(gate as never, parts.handler as never) as never)
    const server = createServer(getRequestListener(app.fetch))
    gate.attach(server)
    return { server, gate: gate as unknown as Gate<never> }
  },
  async 'no app'(parts) {
    const verify = async (username: string, password: string): Promise<{ subject: string } | null> => {
      const value = Buffer.from(`${username}:${password}`).toString('base64')
      const said = await parts.guard(`Basic ${value}`, undefined)
      return typeof said === 'string' ? { subject: said } : null
    }
    const gate = createGate({ authenticate: basic({ verify }), clock: patientClock, ...parts.options })
    const server = createServer()
    new WebSocketServer({ server, perMessageDeflate: true }).on('connection', parts.handler)
    gate.attach(server)
    return { server, gate: gate as unknown as Gate<never> }
  },
}

export type StackName = 'Express' | 'Koa' | 'Fastify' | 'Hono' | 'no app'
export const STACK_NAMES = Object.keys(STACKS) as StackName[]

export interface MakeOptions extends Omit<Options, 'firstMessage'> {
  readonly guard?: Guard
  readonly handler?: Handler
  readonly firstMessage?: Partial<NonNullable<GateOptions['firstMessage']>>
}

/** An app whose handler echoes, with the first message on for /ws. */
export async function make(stack: StackName, options: MakeOptions = {}): Promise<Made> {
  const { guard: own = guard, handler, firstMessage = {}, ...rest } = options
  const delivered: string[] = []
  let opened = 0
  const echo: Handler = (socket) => {
    socket.on('message', (data) => {
      delivered.push(String(data))
      socket.send(`echo ${String(data)}`)
    })
  }
  const { server, gate } = await (STACKS[stack] as NonNullable<(typeof STACKS)[string]>)({
    guard: own,
    handler: (...given) => {
      opened += 1
      ;(handler ?? echo)(...given)
    },
    options: { ...rest, firstMessage: { paths: ['/ws'], ...firstMessage } },
  })
  return { server, gate, delivered, opened: () => opened, ...record(gate) }
}

export function record(gate: Pick<Gate<never>, 'on'>): { said: string[]; events: GateEvent[] } {
  const said: string[] = []
  const events: GateEvent[] = []
  for (const type of ['refused', 'accepted', 'aborted', 'ended', 'warning'] as const)
    gate.on(type, (event: GateEvent) => {
      events.push(event)
      if (event.type === 'refused') said.push(`refused ${event.code} ${event.status}`)
      else if (event.type === 'ended') said.push(`ended ${event.reason}`)
      else if (event.type !== 'warning') said.push(event.type)
    })
  return { said, events }
}

/** Resolves with the next event of one of these types. */
export function nextEvent(
  gate: Pick<Gate<never>, 'on'>,
  ...types: ReadonlyArray<GateEvent['type']>
): Promise<GateEvent> {
  return new Promise((resolve) => {
    for (const type of types) gate.on(type, resolve)
  })
}

/** Opens a socket that waits; what `with` holds goes out in the packet of the handshake. */
export async function openWaiting(
  listening: RawTarget,
  text: HandshakeText & { readonly with?: Uint8Array } = {},
): Promise<RawConnection> {
  const connection = await connectRaw(listening)
  connection.send(Buffer.concat([Buffer.from(handshakeText(text)), text.with ?? Buffer.alloc(0)]))
  const response = await connection.response()
  assert.equal(response.status, 101, response.body.toString())
  return connection
}

export function authText(username = 'ann', password = PASSWORD): string {
  return JSON.stringify({ type: 'auth', username, password })
}

export function authFrame(username?: string, password?: string): Buffer {
  return frame(authText(username, password))
}

function framesOf(bytes: Buffer, ended: boolean): { response: ParsedResponse; frames: Frame[] } | undefined {
  const response = parseResponse(bytes, ended)
  return response === undefined ? undefined : { response, frames: readFrames(response.rest).frames }
}

/** Everything up to the server's Close. `texts` are parsed where they are JSON. */
export async function closeOf(
  connection: RawConnection,
): Promise<{ code: number | undefined; reason: string; texts: unknown[] }> {
  const frames = await connection.until((bytes, ended) => {
    const found = framesOf(bytes, ended)?.frames ?? []
    return found.some(({ opcode }) => opcode === OPCODE.close) ? found : undefined
  }, 'a Close frame')
  const close = frames.find(({ opcode }) => opcode === OPCODE.close)
  const texts = frames.filter(({ opcode }) => opcode === OPCODE.text).map(({ text }) => parsed(text))
  return { code: close?.closeCode, reason: close?.text ?? '', texts }
}

/** What comes first: the code of a Close, or 0 for `auth_ok`. */
export async function outcomeOf(connection: RawConnection): Promise<number> {
  return await connection.until((bytes, ended) => {
    const found = framesOf(bytes, ended)?.frames ?? []
    const close = found.find(({ opcode }) => opcode === OPCODE.close)
    if (close !== undefined) return close.closeCode ?? -1
    return found.some(({ text }) => text.startsWith('{"type":"auth_ok"')) ? 0 : undefined
  }, 'an outcome')
}

/** Waits for this many text frames. */
export async function textsOf(connection: RawConnection, count: number): Promise<unknown[]> {
  const texts = await connection.until((bytes, ended) => {
    const found = (framesOf(bytes, ended)?.frames ?? []).filter(({ opcode }) => opcode === OPCODE.text)
    return found.length >= count ? found : undefined
  }, `${count} texts`)
  return texts.map(({ text }) => parsed(text))
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

export function assertOk(answer: unknown, subject = 'ann'): void {
  assert.deepEqual(answer, { type: 'auth_ok', subject, expiresAt: null, expiresIn: null })
}

/** Opens one more and logs in: what came before has broken nothing. */
export async function assertServes(listening: Listening): Promise<void> {
  await using connection = await openWaiting(listening)
  connection.send(authFrame())
  assertOk((await textsOf(connection, 1))[0])
  connection.send(frame('alive'))
  assert.equal((await textsOf(connection, 2))[1], 'echo alive')
}

export async function serve(made: Made): Promise<Listening> {
  return await listen(made.server)
}

/** A promise that the test settles by hand. */
export function byHand<Value>(): {
  promise: Promise<Value>
  settle: (value: Value) => void
  asked: Promise<void>
  ask: () => Promise<Value>
} {
  let settle: (value: Value) => void = () => undefined
  let onAsked: () => void = () => undefined
  const promise = new Promise<Value>((resolve) => {
    settle = resolve
  })
  const asked = new Promise<void>((resolve) => {
    onAsked = resolve
  })
  return {
    promise,
    settle,
    asked,
    ask: () => {
      onAsked()
      return promise
    },
  }
}
