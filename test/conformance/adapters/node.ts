import type { IncomingMessage, ServerResponse } from 'node:http'
import connect from 'connect'
import express from 'express'
import express4 from 'express4'
import onHeaders from 'on-headers'
import type { Gate } from '../../../src/index.ts'
import {
  asyncContext,
  BEFORE,
  failure,
  FORBIDDEN,
  handlerFor,
  judge,
  LATE_REFUSAL,
  methodOf,
  REPLACEMENT,
  ROUTES,
  writeAnswer,
  writeEnd,
  type End,
  type Outer,
  type RouteSpec,
} from '../app.ts'
import { makeGate, serve, type Adapter, type NodeMiddleware, type Setup } from './types.ts'

const same = (req: IncomingMessage): IncomingMessage => req

/** The app's guard as Connect middleware. */
export const guard: NodeMiddleware = (req, res, next) => {
  const refusal = judge(req)
  if (refusal !== undefined) return writeAnswer(res, refusal.status, refusal.headers, refusal.body)
  return asyncContext.run('alice', next)
}

/** @param failAsync - how this framework lets an async handler fail. */
function endOf(gate: Gate, end: End, failAsync: NodeMiddleware): NodeMiddleware {
  if (end.type === 'websocket') return gate.websocket(handlerFor(end.handler, same), end.options)
  if (end.type === 'ticket') return gate.ticket(end.path)
  if (end.type === 'rejects') return failAsync
  if (end.type === 'throws') {
    return () => {
      throw failure()
    }
  }
  return (_req, res) => writeEnd(res, end)
}

const OUTERS: Record<Outer, NodeMiddleware> = {
  'throws-after': (_req, _res, next) => {
    next()
    throw failure()
  },
  'forbids-after': (_req, res, next) => {
    next()
    writeAnswer(res, LATE_REFUSAL.status, [], LATE_REFUSAL.body)
  },
  'replaces-after': (_req, res, next) => {
    next()
    writeAnswer(res, REPLACEMENT.status, [], REPLACEMENT.body)
  },
  'sets-after': (_req, res, next) => {
    onHeaders(res, () => {
      res.setHeader('X-After', 'yes')
    })
    next()
  },
  'sets-before': (_req, res, next) => {
    for (const [name, value] of BEFORE) res.appendHeader(name, value)
    next()
  },
  'sets-forbidden': (_req, res, next) => {
    for (const [name, value] of FORBIDDEN) res.setHeader(name, value)
    next()
  },
}

/** The middlewares of one route, in order. */
export function chainOf(gate: Gate, setup: Setup, route: RouteSpec, failAsync: NodeMiddleware): NodeMiddleware[] {
  const chain: NodeMiddleware[] = [
    (req, res, next) => {
      setup.observer.watch(req, res)
      next()
    },
  ]
  if (route.outer !== undefined) chain.push(OUTERS[route.outer])
  if (route.guarded !== false) chain.push(setup.door === 'schemes' ? gate.authenticate() : guard)
  chain.push(endOf(gate, route.end, failAsync))
  return chain
}

/** Runs middlewares one after the other. Rejects with the first failure; never settles otherwise. */
async function runChain(chain: readonly NodeMiddleware[], req: IncomingMessage, res: ServerResponse): Promise<void> {
  await new Promise<void>((_resolve, reject) => {
    const run = (index: number): void => {
      try {
        const returned = chain[index]?.(req, res, () => {
          run(index + 1)
        })
        if (returned instanceof Promise) returned.catch(reject)
      } catch (error) {
        reject(error)
      }
    }
    run(0)
  })
}

const rejecting: NodeMiddleware = async () => {
  await Promise.resolve()
  throw failure()
}

/** Where a framework does not look at what a handler returns, apps hand the failure on themselves. */
const passing: NodeMiddleware = (_req, _res, next) => {
  setImmediate(next, failure())
}

const verbOf = (route: RouteSpec): 'get' | 'post' => (methodOf(route) === 'GET' ? 'get' : 'post')

/** An error logger, as most apps have one: it takes a turn of the event loop more until the error is answered. */
const hearingErrors = (
  error: unknown,
  _req: IncomingMessage,
  _res: ServerResponse,
  next: (error: unknown) => void,
): void => {
  next(error)
}

/** Plain `node:http`: a table of paths, as small services have it. */
export const nodeHttp: Adapter = {
  framework: 'http',
  async build(setup) {
    const gate = makeGate(setup, same)
    const routes = new Map(
      ROUTES.map((route) => [`${methodOf(route)} ${route.path}`, chainOf(gate, setup, route, rejecting)]),
    )
    const listener = (req: IncomingMessage, res: ServerResponse): unknown => {
      const chain = routes.get(`${req.method} ${(req.url ?? '').split('?')[0]}`)
      if (chain !== undefined) return runChain(chain, req, res)
      return writeAnswer(res, 404, [], 'no such page')
    }
    const server = serve(setup, listener)
    gate.attach(server)
    return { server, gate }
  },
}

export const connectApp: Adapter = {
  framework: 'connect',
  async build(setup) {
    const gate = makeGate(setup, same)
    const app = connect()
    for (const route of ROUTES) {
      for (const middleware of chainOf(gate, setup, route, passing)) app.use(route.path, middleware)
    }
    const server = serve(setup, app)
    gate.attach(server)
    return { server, gate }
  },
}

export const expressApp: Adapter = {
  framework: 'express5',
  async build(setup) {
    const gate = makeGate(setup, same)
    const app = express()
    for (const route of ROUTES) app[verbOf(route)](route.path, ...chainOf(gate, setup, route, rejecting))
    app.use(hearingErrors)
    const server = serve(setup, app)
    gate.attach(server)
    return { server, gate }
  },
}

export const express4App: Adapter = {
  framework: 'express4',
  async build(setup) {
    const gate = makeGate(setup, same)
    const app = express4()
    for (const route of ROUTES) app[verbOf(route)](route.path, ...chainOf(gate, setup, route, passing))
    app.use(hearingErrors)
    const server = serve(setup, app)
    gate.attach(server)
    return { server, gate }
  },
}
