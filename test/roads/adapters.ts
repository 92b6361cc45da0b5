import { connectApp, express4App, express5, nodeHttp } from './apps/connect.ts'
import { fastifyApp } from './apps/fastify.ts'
import { honoApp } from './apps/hono.ts'
import { koaApp } from './apps/koa.ts'
import { nestOnExpress, nestOnFastify } from './apps/nest.ts'
import { schemes } from './apps/schemes.ts'
import type { Options, RoadsAdapter, RoadsApp } from './apps/types.ts'
import { listen, type Listening } from '../support/servers.ts'
import type { GateEvent } from '../../src/index.ts'

/** Those in which an app decides. */
export const APPS: readonly RoadsAdapter[] = [
  nodeHttp,
  connectApp,
  express4App,
  express5,
  koaApp,
  fastifyApp,
  honoApp,
  nestOnExpress,
  nestOnFastify,
]

export const ADAPTERS: readonly RoadsAdapter[] = [...APPS, schemes]

export interface Running extends AsyncDisposable {
  readonly app: RoadsApp
  readonly listening: Listening
  readonly port: number
  readonly events: GateEvent[]
}

export async function start(adapter: RoadsAdapter, options?: Options): Promise<Running> {
  const app = await adapter.build(options)
  const listening = await listen(app.server)
  const events: GateEvent[] = []
  for (const type of ['accepted', 'refused', 'aborted', 'ended', 'warning'] as const)
    app.gate.on(type, (event) => events.push(event))
  return {
    app,
    listening,
    port: listening.port,
    events,
    async [Symbol.asyncDispose]() {
      await listening.close()
      await app.close?.()
    },
  }
}
