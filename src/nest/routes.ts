import { Gate101Error } from '../core/errors.ts'

/** A route of either platform. Express gives `next`, Fastify does not. */
export type NestRoute = (req: never, res: never, next?: (error?: unknown) => void) => unknown

/** What gate101 uses of Nest's HTTP adapter. */
export interface NestHttpAdapter {
  getType(): string
  getInstance(): unknown
  get(path: string, route: NestRoute): unknown
  normalizePath?(path: string): string
}

/** What gate101 uses of a Fastify instance beyond its routes. */
interface FastifyLike {
  hasConstraintStrategy(name: string): boolean
  addConstraintStrategy(strategy: object): void
  hasRoute(route: { method: string; url: string }): boolean
  route(route: object): unknown
}

/** The gateway on one path. */
export interface GatewayRoute {
  readonly path: string
  readonly route: NestRoute
  /** Whether this request is a handshake that the gate has under way. */
  readonly isHandshake: (req: object) => boolean
}

const CONSTRAINT = 'gate101'

const VERBS = ['get', 'post', 'head', 'put', 'delete', 'patch', 'options', 'all', 'search']

/**
 * Puts the routes of gateways where Nest would put those of a controller: behind all middleware, that of modules too.
 * Handshakes come before the controllers (a page may have the same path), plain requests before the 404 alone.
 *
 * Nest says nothing at this moment, so the first route that it registers is waited for: its adapter's methods are set on
 * this one object until then.
 */
export function placeRoutes(adapter: NestHttpAdapter, routes: readonly GatewayRoute[]): void {
  const platform = platformOf(adapter)
  const placeHandshakes = once(() => {
    for (const route of routes) platform.handshakes(adapter, route)
  })
  const restore = VERBS.map((name) => before(adapter, name, placeHandshakes))
  const undo = before(adapter, 'setNotFoundHandler', () => {
    undo()
    placeHandshakes()
    for (const put of restore) put()
    for (const route of routes) platform.plain(adapter, route)
  })
}

/** Calls `call` before each call of a method, until the function returned is called. */
function before(target: object, name: string, call: () => void): () => void {
  const methods = target as Record<string, unknown>
  const method = methods[name]
  if (typeof method !== 'function') return () => undefined
  const own = Object.getOwnPropertyDescriptor(target, name)
  methods[name] = (...args: unknown[]): unknown => {
    call()
    return Reflect.apply(method, target, args)
  }
  return () => {
    if (own === undefined) delete methods[name]
    else Object.defineProperty(target, name, own)
  }
}

function once(call: () => void): () => void {
  let called = false
  return () => {
    if (called) return
    called = true
    call()
  }
}

interface Platform {
  handshakes(adapter: NestHttpAdapter, gateway: GatewayRoute): void
  plain(adapter: NestHttpAdapter, gateway: GatewayRoute): void
}

function platformOf(adapter: NestHttpAdapter): Platform {
  const type = adapter.getType()
  if (type === 'express') return express
  if (type === 'fastify') return fastify
  throw new Gate101Error(
    'GATE101_CONFIG',
    `GateWsAdapter works on the platforms express and fastify; this app runs on ${type}.`,
  )
}

const express: Platform = {
  handshakes(adapter, { path, route, isHandshake }) {
    adapter.get(adapter.normalizePath?.(path) ?? path, (req: never, res: never, next) =>
      isHandshake(req) ? route(req, res, next) : next?.(),
    )
  },
  plain(adapter, { path, route }) {
    adapter.get(adapter.normalizePath?.(path) ?? path, route)
  },
}

const fastify: Platform = {
  handshakes(adapter, { path, route, isHandshake }) {
    const instance = adapter.getInstance() as FastifyLike
    if (!instance.hasConstraintStrategy(CONSTRAINT)) instance.addConstraintStrategy(strategy(isHandshake))
    instance.route({
      method: 'GET',
      url: path,
      constraints: { [CONSTRAINT]: 'handshake' },
      exposeHeadRoute: false,
      handler: route,
    })
  },
  plain(adapter, { path, route }) {
    const instance = adapter.getInstance() as FastifyLike
    if (!instance.hasRoute({ method: 'GET', url: path })) adapter.get(path, route)
  },
}

/** Lets a route for handshakes stand beside one for pages on the same path. */
function strategy(isHandshake: (req: object) => boolean): object {
  return {
    name: CONSTRAINT,
    storage() {
      const routes = new Map<string, unknown>()
      return {
        get: (key: string) => routes.get(key) ?? null,
        set: (key: string, route: unknown) => void routes.set(key, route),
      }
    },
    deriveConstraint: (req: object) => (isHandshake(req) ? 'handshake' : undefined),
    mustMatchWhenDerived: false,
  }
}
