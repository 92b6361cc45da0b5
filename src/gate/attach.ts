import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { refuse } from '../core/decision.ts'
import { Gate101Error } from '../core/errors.ts'
import type { Listener } from '../door/run.ts'
import { createPathMatch } from '../handshake/target.ts'
import { holdUpgrades } from '../upgrade/intercept.ts'
import { survive } from '../upgrade/own.ts'
import { writeRefusal } from '../upgrade/refuse.ts'
import { checkNames } from './check-names.ts'
import { MAX_HEADERS } from './options.ts'
import { checkCanRunApp } from './runtime.ts'
import { takeUpgrade } from './take.ts'
import type { Attachment, GateState } from './state.ts'

export interface AttachOptions {
  /**
   * The app that decides, as Node calls it: an Express or Connect app, `koaApp.callback()`, `fastify.routing`,
   * `getRequestListener(honoApp.fetch)`. @defaultValue the server's own `request` listeners
   */
  readonly app?: Listener
  /** Paths that the gate holds: exact (`/live`) or by prefix (`/rooms/*`). @defaultValue every path */
  readonly paths?: readonly string[]
}

/** @returns a function that gives the server back; handshakes under way are still decided. */
export function attach(state: GateState, server: Server, options: AttachOptions): () => void {
  checkServer(server)
  checkNames('attach()', options, ['app', 'paths'])
  checkHeaderCount(server)
  if (state.identify !== undefined) checkCanRunApp()
  if (options.app !== undefined && typeof options.app !== 'function') throw wrongApp()
  const attachment: Attachment = {
    server,
    app: options.app ?? requestListeners(server),
    matches: createPathMatch(options.paths),
    partial: options.paths !== undefined,
  }
  const release = holdUpgrades(
    server,
    (req) => attachment.matches(req.url ?? ''),
    (req, socket, head) => {
      takeUpgrade(state, attachment, req, socket, head)
    },
    (req, socket) => {
      socket.on('error', survive)
      if (socket.writableEnded) return // another gate on this server has answered
      writeRefusal(socket, refuse('not_found'), state.clock, req.method)
    },
    (_req, socket) => {
      // The other listeners get it next, and nothing can keep it from them but that it is dead.
      socket.on('error', survive)
      socket.destroy()
      state.warn(
        'bypassed',
        'A handshake came past the gate, by an `emit` that was bound before gate.attach(server); it was cut. Call gate.attach(server) before the server listens.',
      )
    },
  )
  const stopLooking = watchForEngine(state, server, options.app !== undefined)
  state.attachments.add(attachment)
  return () => {
    stopLooking()
    state.attachments.delete(attachment)
    release()
  }
}

function checkServer(server: Server): void {
  if (typeof server?.emit === 'function' && typeof server.listeners === 'function') return
  throw new Gate101Error(
    'GATE101_CONFIG',
    'attach(server): give the http.Server or https.Server, such as createServer(app), not the app.',
  )
}

/** Node drops the headers above its own maximum silently: an Origin among them would seem absent. */
function checkHeaderCount({ maxHeadersCount }: Server): void {
  if (!maxHeadersCount || maxHeadersCount > MAX_HEADERS) return
  throw new Gate101Error(
    'GATE101_CONFIG',
    `attach(server): server.maxHeadersCount is ${maxHeadersCount}, so Node hides headers from the gate. Leave it unset, or above ${MAX_HEADERS}.`,
  )
}

function wrongApp(): Gate101Error {
  return new Gate101Error(
    'GATE101_CONFIG',
    'attach(server, { app }): app must be a function (req, res). Koa: app.callback(). Fastify: fastify.routing. Hono: getRequestListener(app.fetch).',
  )
}

/** The server's own app: each `request` listener as Node would call it, with a rejected promise not lost. */
function requestListeners(server: Server): Listener {
  return (req: IncomingMessage, res: ServerResponse) => {
    const listeners = server.listeners('request')
    if (listeners.length === 0) {
      throw new Gate101Error(
        'GATE101_NOT_ATTACHED',
        'The server has no request listener that could decide. Create it with one, or attach(server, { app }).',
      )
    }
    const [only] = listeners
    if (only !== undefined && listeners.length === 1) return Reflect.apply(only, server, [req, res]) as unknown
    return Promise.all(listeners.map((listener) => Reflect.apply(listener, server, [req, res]) as unknown))
  }
}

/**
 * Rule D5: engine.io answers its polling requests before the app; nobody but its own middleware can guard those. It may
 * be attached, and given that middleware, after the gate: so the look is taken a turn later, and when the server listens.
 */
function watchForEngine(state: GateState, server: Server, appGiven: boolean): () => void {
  const look = (): void => {
    if (appGiven && state.engines > 0) return
    const listeners = [...server.listeners('request'), ...server.listeners('upgrade')]
    // Its listeners are anonymous; two words of their source tell them.
    const found = listeners.some((listener) => /intercepting request for path|destroyUpgrade/.test(String(listener)))
    if (!found) return
    state.warn(
      'unguarded_engine',
      'A Socket.IO (engine.io) server answers polling requests on this server before the app. Write gate.attach(server, { app }) and io.engine.use(gate.engine(app)).',
    )
  }
  const soon = setImmediate(look)
  server.once('listening', look)
  return () => {
    clearImmediate(soon)
    server.off('listening', look)
  }
}
