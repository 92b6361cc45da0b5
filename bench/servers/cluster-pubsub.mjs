// One node as it is written by hand: `ws`, and a message to all nodes that says who is out.
import { createServer } from 'node:http'
import { createClient } from 'redis'
import { WebSocketServer } from 'ws'
import { answersFor, join, rooms } from '../revoked.mjs'

const url = `redis://127.0.0.1:${process.env.CLUSTER_PORT}`
const publisher = createClient({ url }).on('error', () => {})
const subscriber = createClient({ url }).on('error', () => {})

export const answers = {
  ...answersFor({ one: (subject) => publisher.publish('kick', subject).catch(() => {}) }),
  isReady: () => publisher.isReady && subscriber.isReady,
}

export default async function start() {
  await Promise.all([publisher.connect(), subscriber.connect()])
  await subscriber.subscribe('kick', (subject) => {
    for (const ws of rooms.get(subject) ?? []) ws.close(4401, 'revoked')
  })
  const server = createServer()
  const sockets = new WebSocketServer({ server, clientTracking: false })
  sockets.on('connection', (ws, { headers }) => join(ws, headers.cookie.slice('sid='.length)))
  return server
}
