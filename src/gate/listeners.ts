import type { IncomingMessage, ServerResponse } from 'node:http'
import { endWith101, writePlain } from './plain.ts'
import type { PostRoute } from './post-route.ts'
import type { Route } from './routes.ts'

/** An ordinary route of Express, Connect or `node:http`. */
export type RouteListener = (req: IncomingMessage, res: ServerResponse, next?: (error?: unknown) => void) => void

/** A WebSocket endpoint. */
export function endpoint(route: Route): RouteListener {
  return (req, res) => {
    if (route.mark(req, req)) endWith101(res)
    else void explained(route, req, res)
  }
}

async function explained(route: Route, req: IncomingMessage, res: ServerResponse): Promise<void> {
  writePlain(res, await route.explain(req, res, req))
}

/** A route that answers POST by itself. */
export function posting(answer: PostRoute): RouteListener {
  return (req, res) => {
    void answer(req, req).then((message) => {
      writePlain(res, message)
    })
  }
}

/** An endpoint whose plain requests go on to the next route. */
export function passage(route: Route): RouteListener {
  return (req, res, next) => {
    if (route.mark(req, req)) endWith101(res)
    else if (next === undefined) void explained(route, req, res)
    else next()
  }
}
