import assert from 'node:assert/strict'
import { it } from 'node:test'
import { buildSchema } from 'graphql'
import { createClient } from 'graphql-ws'
import { useServer } from 'graphql-ws/use/ws'
import { WebSocket, WebSocketServer } from 'ws'
import { listen } from '../support/servers.ts'
import { dial, KEY, makeApp, requireKey } from './support.ts'

it('graphql-ws answers a query for the user whom the middleware let in, and nobody else', async () => {
  const { app, server, gate } = makeApp()
  const wss = new WebSocketServer({ server, path: '/graphql' })
  useServer(
    {
      schema: buildSchema('type Query { me: String }'),
      roots: { query: { me: (_args: object, context: { subject: string }) => context.subject } },
      context: ({ extra }) => ({ subject: gate.connection(extra.request)?.identity.subject }),
    },
    wss,
  )
  app.use('/graphql', requireKey, gate.accept(wss))
  gate.attach(server)
  await using listening = await listen(server)
  assert.equal((await dial(listening.port, '/graphql', {}, ['graphql-transport-ws'])).status, 401)

  class WithKey extends WebSocket {
    constructor(url: string, protocols: string | string[]) {
      super(url, protocols, { headers: KEY })
    }
  }
  const client = createClient({
    url: `ws://127.0.0.1:${listening.port}/graphql`,
    webSocketImpl: WithKey,
    retryAttempts: 0,
  })
  const results = []
  for await (const result of client.iterate({ query: '{ me }' })) results.push(result)
  assert.deepEqual(JSON.parse(JSON.stringify(results)), [{ data: { me: 'ann' } }])
  await client.dispose()
  await listening.noneOpen()
})
