import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer as createTcp, type Socket } from 'node:net'
import { createServer, type IncomingMessage } from 'node:http'
import { createInterface } from 'node:readline'
import { after, describe, test } from 'node:test'
import express, { type RequestHandler } from 'express'
import session, { type SessionData } from 'express-session'
import fastify, { type FastifyRequest } from 'fastify'
import { websocket } from '../../src/fastify.ts'
import { createGate } from '../../src/index.ts'
import { listen, type Listening } from '../support/servers.ts'
import { trapFaults } from '../support/trap.ts'
import { gateOptions, start, turns, type SessionStack } from './recheck-world.ts'
import {
  addExpressPages,
  addFastifyPages,
  addFastifySession,
  expressGuard,
  expressSession,
  identifyFastify,
} from './session-apps.ts'

// Clients of databases that call back from one shared socket run what follows in the async context in which that socket was
// made: a re-check must leave nothing behind there.

const trap = trapFaults()
after(async () => await trap.assertNone())

interface Database extends AsyncDisposable {
  readonly port: number
  readonly rows: Map<string, unknown>
  /** Each write. */
  readonly writes: string[]
  /** As at an idle time-out, or when the server starts anew. */
  cut(): Promise<void>
}

type Query = readonly ['get' | 'set' | 'destroy', string, unknown?]

/** A database that speaks lines of JSON, over TCP. */
async function startDatabase(): Promise<Database> {
  const rows = new Map<string, unknown>()
  const writes: string[] = []
  const sockets = new Set<Socket>()
  const server = createTcp((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => undefined)
    createInterface({ input: socket }).on('line', (line) => {
      const [call, id, data] = JSON.parse(line) as Query
      if (call !== 'get') writes.push(`${call} ${id}`)
      if (call === 'set') rows.set(id, data)
      if (call === 'destroy') rows.delete(id)
      socket.write(`${JSON.stringify(rows.get(id) ?? null)}\n`)
    })
  })
  const listening: Listening = await listen(server as never)
  return {
    port: listening.port,
    rows,
    writes,
    cut: async () => {
      for (const socket of sockets) {
        socket.destroy()
        await once(socket, 'close')
      }
      await turns()
    },
    [Symbol.asyncDispose]: async () => await listening.close(),
  }
}

type Done = (error: unknown, data?: SessionData | null) => void

/** One socket for all, made when it is first needed; answers come in order, and are given on from its 'data'. */
class SocketStore extends session.Store {
  readonly #port: number
  readonly #waiting: Done[] = []
  #socket: Socket | undefined

  constructor(port: number) {
    super()
    this.#port = port
  }

  override get(id: string, done: Done): void {
    this.#ask(['get', id], done)
  }

  override set(id: string, data: SessionData, done?: (error?: unknown) => void): void {
    this.#ask(['set', id, data], (error) => done?.(error))
  }

  override destroy(id: string, done?: (error?: unknown) => void): void {
    this.#ask(['destroy', id], (error) => done?.(error))
  }

  end(): void {
    this.#socket?.destroy()
  }

  #ask(query: Query, done: Done): void {
    const socket = (this.#socket ??= this.#connect())
    this.#waiting.push(done)
    socket.write(`${JSON.stringify(query)}\n`)
  }

  #connect(): Socket {
    const socket = connect(this.#port, '127.0.0.1')
    socket.on('error', () => undefined)
    socket.on('close', () => (this.#socket = undefined))
    createInterface({ input: socket }).on('line', (line) => {
      this.#waiting.shift()?.(null, JSON.parse(line) as SessionData | null)
    })
    return socket
  }
}

function onExpress(store: SocketStore): Pick<SessionStack, 'build'> {
  return {
    async build(world, options) {
      const gate = createGate({
        ...gateOptions(world, options),
        sessionStore: store,
        identify: (req) => {
          const { session: known, sessionID } = req as IncomingMessage & {
            session: { user?: string }
            sessionID: string
          }
          return { subject: String(known.user), session: sessionID }
        },
      })
      const app = express()
      app.set('env', 'test')
      app.use(expressSession(store))
      addExpressPages(app, world)
      app.get('/ws', expressGuard(world), gate.websocket(() => undefined) as RequestHandler)
      return { server: createServer(app), gate, store, close: async () => store.end() }
    },
  }
}

function onFastify(store: SocketStore): Pick<SessionStack, 'build'> {
  return {
    async build(world, options) {
      const gate = createGate<FastifyRequest>({
        ...gateOptions(world, options),
        sessionStore: store,
        identify: async (request) => await identifyFastify(world, request),
      })
      const app = fastify()
      await addFastifySession(app, store, true)
      const preHandler = addFastifyPages(app, world, options)
      app.get(
        '/ws',
        { preHandler },
        websocket(gate, () => undefined),
      )
      await app.ready()
      return { server: app.server, gate, store, close: async () => [store.end(), await app.close()] }
    },
  }
}

describe('sessionStore, and a database client that calls back from a socket of another context', () => {
  for (const [name, stackOf] of [
    ['express-session', onExpress],
    ['@fastify/session', onFastify],
  ] as const) {
    test(`${name}: where a re-check has made the socket, sessions of real requests are saved all the same`, async () => {
      await using database = await startDatabase()
      const store = new SocketStore(database.port)
      await using site = await start(stackOf(store))
      const cookie = await site.login()
      const opened = await site.openBy(cookie)
      await database.cut()
      assert.equal((await site.recheck()).outcome, 'accepted')
      // A request that reads its session first, and so goes on from the answer of the database.
      assert.equal((await site.ask('POST', '/login?name=bob', cookie)).status, 200)
      const saved = database.rows.get(opened.connection.identity.session ?? '') as { user?: string }
      assert.equal(saved.user, 'bob', 'what a request has written into its session is lost')
      assert.equal(opened.ws.readyState, opened.ws.OPEN)
    })
  }
})
