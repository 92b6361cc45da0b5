import { createServer } from 'node:http'
import { buildSchema } from 'graphql'
import { useServer } from 'graphql-ws/use/ws'
import { WebSocketServer } from 'ws'
import { isKey } from '../api-key.mjs'

export default function start() {
  const server = createServer()
  const wss = new WebSocketServer({ server, path: '/ws' })
  const schema = buildSchema('type Query { echo(text: String!): String! }')
  const roots = { query: { echo: ({ text }) => text } }
  useServer({ schema, roots, onConnect: (context) => isKey(context.extra.request.headers['x-api-key']) }, wss)
  return server
}
