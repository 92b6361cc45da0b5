import assert from 'node:assert/strict'
import { it } from 'node:test'
import { createTRPCClient, createWSClient, wsLink } from '@trpc/client'
import { initTRPC } from '@trpc/server'
import { applyWSSHandler } from '@trpc/server/adapters/ws'
import { WebSocket, WebSocketServer } from 'ws'
import { listen } from '../support/servers.ts'
import { dial, KEY, makeApp, requireKey } from './support.ts'

it('tRPC answers a query for the user whom the middleware let in, and nobody else', async () => {
  const { app, server, gate } = makeApp()
  const t = initTRPC.context<{ subject: string | undefined }>().create()
  const router = t.router({ me: t.procedure.query(({ ctx }) => ctx.subject ?? 'nobody') })
  const wss = new WebSocketServer({ server })
  applyWSSHandler({ wss, router, createContext: ({ req }) => ({ subject: gate.connection(req)?.identity.subject }) })
  app.use('/trpc', requireKey, gate.accept(wss))
  gate.attach(server)
  await using listening = await listen(server)
  assert.equal((await dial(listening.port, '/trpc')).status, 401)

  class WithKey extends WebSocket {
    constructor(url: string | URL) {
      super(url, { headers: KEY })
    }
  }
  const connection = createWSClient({ url: `ws://127.0.0.1:${listening.port}/trpc`, WebSocket: WithKey as never })
  const client = createTRPCClient<typeof router>({ links: [wsLink({ client: connection })] })
  assert.equal(await client.me.query(), 'ann')
  await connection.close()
  await listening.noneOpen()
})
