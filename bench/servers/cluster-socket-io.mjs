// One node of Socket.IO with its adapter for Redis; who is out is disconnected by the room that is called like them.
import { createServer } from 'node:http'
import { createAdapter } from '@socket.io/redis-adapter'
import { createClient } from 'redis'
import { Server } from 'socket.io'
import { answersFor, rooms } from '../revoked.mjs'

const url = `redis://127.0.0.1:${process.env.CLUSTER_PORT}`
const publisher = createClient({ url }).on('error', () => {})
const subscriber = publisher.duplicate().on('error', () => {})
// What it cannot publish it leaves as a rejection that nobody handles.
process.on('unhandledRejection', () => {})

const DAY = 24 * 60 * 60_000

let io

export const answers = {
  ...answersFor({ one: (subject) => void io.in(subject).disconnectSockets(true) }),
  isReady: () => publisher.isReady && subscriber.isReady,
}

export default async function start() {
  await Promise.all([publisher.connect(), subscriber.connect()])
  const server = createServer()
  io = new Server(server, {
    transports: ['websocket'],
    path: '/ws',
    adapter: createAdapter(publisher, subscriber),
    // The clients answer nothing.
    pingInterval: DAY,
  })
  io.on('connection', (socket) => {
    const subject = socket.request.headers.cookie.slice('sid='.length)
    const room = rooms.get(subject) ?? new Set()
    rooms.set(subject, room.add(socket))
    void socket.join(subject)
    socket.on('disconnect', () => room.delete(socket))
  })
  return server
}
