import type { Server } from 'node:http'
import type { Express } from 'express'
import { buildSchema } from 'graphql'
import { useServer } from 'graphql-ws/use/ws'
import { createProxyMiddleware } from 'http-proxy-middleware'
import { Server as SocketIo } from 'socket.io'
import { WebSocketServer, type WebSocket } from 'ws'
import type { Gate } from '../../src/index.ts'
import { frame } from '../support/frames.ts'
import { handshakeText, type RawConnection } from '../support/raw.ts'
import { listen } from '../support/servers.ts'
import { KEY, requireKey } from '../libraries/support.ts'

/** What the app sees and says, whatever stands between it and the socket. */
export interface App {
  readonly seen: string[]
  readonly sayers: Array<(text: string) => void>
}

/** One way in which an app may have its sockets. */
export interface Endpoint {
  readonly target: string
  readonly protocol?: string
  /** It is ended by destroying its socket: no Close can be written. */
  readonly isRaw?: true
  /** The library has read a whole chunk before it hands on its first message. */
  readonly readsAhead?: true
  install(app: Express, gate: Gate, server: Server, to: App): Promise<(() => Promise<void>) | void>
  /** What a client says before it says anything. */
  greet?(client: RawConnection): Promise<void>
  encode(text: string): string
}

function serveEcho(to: App): (socket: WebSocket) => void {
  return (socket) => {
    socket.on('message', (data) => to.seen.push(String(data)))
    to.sayers.push((text) => socket.send(text))
  }
}

const says = async (client: RawConnection, word: string): Promise<void> => {
  await client.until((bytes) => (bytes.includes(word) ? true : undefined), word)
}

export const ENDPOINTS: Readonly<Record<string, Endpoint>> = {
  'gate.websocket()': {
    target: '/own',
    async install(app, gate, _server, to) {
      app.get('/own', requireKey, gate.websocket(serveEcho(to)))
    },
    encode: (text) => text,
  },
  'gate.websocket() with auth messages': {
    target: '/spoken',
    async install(app, gate, _server, to) {
      app.get('/spoken', requireKey, gate.websocket(serveEcho(to)))
    },
    encode: (text) => text,
  },
  'accept(wss)': {
    target: '/wss',
    async install(app, gate, _server, to) {
      const wss = new WebSocketServer({ noServer: true })
      wss.on('connection', serveEcho(to))
      app.get('/wss', requireKey, gate.accept(wss))
    },
    encode: (text) => text,
  },
  'a ws server that listens itself': {
    target: '/listens',
    async install(app, gate, server, to) {
      new WebSocketServer({ server, path: '/listens' }).on('connection', serveEcho(to))
      app.get('/listens', requireKey, gate.accept())
    },
    encode: (text) => text,
  },
  'graphql-ws': {
    target: '/graphql',
    protocol: 'graphql-transport-ws',
    async install(app, gate, server, to) {
      const wss = new WebSocketServer({ server, path: '/graphql' })
      useServer(
        {
          schema: buildSchema('type Query { me: String } type Subscription { said: String }'),
          roots: { query: { me: () => 'ann' }, subscription: { said: () => sayings(to) } },
          onSubscribe: (_context, id) => void to.seen.push(id),
        },
        wss,
      )
      app.use('/graphql', requireKey, gate.accept(wss))
    },
    async greet(client) {
      client.send(frame(JSON.stringify({ type: 'connection_init' })))
      await says(client, 'connection_ack')
      client.send(frame(JSON.stringify({ id: 'said', type: 'subscribe', payload: { query: 'subscription { said }' } })))
    },
    encode: (id) => JSON.stringify({ id, type: 'subscribe', payload: { query: '{ me }' } }),
  },
  'Socket.IO': {
    target: '/socket.io/?EIO=4&transport=websocket',
    readsAhead: true,
    async install(app, gate, server, to) {
      const io = new SocketIo(server)
      app.use('/socket.io', requireKey, gate.accept(io))
      io.engine.use(gate.engine(app))
      io.on('connection', (socket) => {
        socket.on('say', (text: string) => to.seen.push(text))
        to.sayers.push((text) => socket.emit('said', text))
      })
      return async () => {
        await io.close()
      }
    },
    async greet(client) {
      await says(client, '"sid"')
      client.send(frame('40'))
      await says(client, '40{')
    },
    encode: (text) => `42${JSON.stringify(['say', text])}`,
  },
  'http-proxy-middleware': {
    target: '/proxied',
    isRaw: true,
    readsAhead: true,
    async install(app, gate, _server, to) {
      const { createServer } = await import('node:http')
      const upstream = createServer()
      new WebSocketServer({ server: upstream }).on('connection', serveEcho(to))
      const behind = await listen(upstream)
      const proxy = createProxyMiddleware({ target: `http://127.0.0.1:${behind.port}` })
      app.use('/proxied', requireKey, gate.accept(proxy), proxy)
      return () => behind.close()
    },
    encode: (text) => text,
  },
}

/** A subscription's values, as they are said. */
async function* sayings(to: App): AsyncGenerator<{ said: string }> {
  const said: string[] = []
  let wake: () => void = () => undefined
  to.sayers.push((text) => {
    said.push(text)
    wake()
  })
  for (;;) {
    const [next] = said.splice(0, 1)
    if (next !== undefined) yield { said: next }
    else await new Promise<void>((resolve) => (wake = resolve))
  }
}

export function openingOf({ target, protocol }: Endpoint): string {
  return handshakeText({
    target,
    headers: { ...KEY, ...(protocol === undefined ? {} : { 'Sec-WebSocket-Protocol': protocol }) },
  })
}
