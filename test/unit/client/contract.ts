import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { WebSocketServer, type WebSocket } from 'ws'
import { listen, type Listening } from '../../support/servers.ts'

/** One handshake as the server saw it. */
export interface Seen {
  readonly url: string
  readonly offered: readonly string[]
  readonly authorization: string | undefined
  readonly cookie: string | undefined
}

export interface Contract extends Listening {
  readonly seen: Seen[]
  /** Plain requests: method, URL, Authorization, body. */
  readonly plain: Array<readonly [method: string, url: string, authorization: string | undefined, body: string]>
  readonly sockets: Set<WebSocket>
}

interface Answer {
  readonly status: number
  readonly headers?: Record<string, string>
  readonly body?: string
}

export interface Serves {
  /** An answer refuses; a text selects that subprotocol; else `gate101`, or the first that is no credential. */
  handshake?(seen: Seen, count: number): Answer | string | undefined
  open?(socket: WebSocket, seen: Seen, count: number): void
  plain?(req: IncomingMessage, res: ServerResponse, body: string): void
}

async function bodyOf(req: IncomingMessage): Promise<string> {
  let body = ''
  for await (const chunk of req) body += String(chunk)
  return body
}

/** A server that keeps to the wire protocol of gate101, as the test says. */
export async function contract(serves: Serves): Promise<Contract> {
  const seen: Seen[] = []
  const plain: Contract['plain'] = []
  const sockets = new Set<WebSocket>()
  const server = createServer(async (req, res) => {
    const body = await bodyOf(req)
    plain.push([req.method ?? '', req.url ?? '', req.headers.authorization, body])
    if (serves.plain === undefined) res.writeHead(426).end()
    else serves.plain(req, res, body)
  })
  let selected: string | false = false
  const wss = new WebSocketServer({ noServer: true, handleProtocols: () => selected })
  server.on('upgrade', (req, socket, head) => {
    const { authorization, cookie } = req.headers
    const offered = (req.headers['sec-websocket-protocol'] ?? '').split(/, */).filter((one) => one !== '')
    const one = { url: req.url ?? '', offered, authorization, cookie }
    const count = seen.push(one)
    const answer = serves.handshake?.(one, count)
    if (typeof answer === 'object') {
      const { status, headers = {}, body = '' } = answer
      const lines = Object.entries({ ...headers, 'Content-Length': String(Buffer.byteLength(body)) })
      socket.end(
        `HTTP/1.1 ${status} x\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}Connection: close\r\n\r\n${body}`,
      )
      return
    }
    selected = answer ?? offered.find((item) => !/bearer|refusal/.test(item)) ?? false
    wss.handleUpgrade(req, socket, head, (ws) => {
      sockets.add(ws)
      ws.on('error', () => {})
      ws.on('close', () => sockets.delete(ws))
      serves.open?.(ws, one, count)
    })
  })
  return { ...(await listen(server)), seen, plain, sockets }
}

export const json = (res: ServerResponse, status: number, body: object, headers: Record<string, string> = {}): void => {
  res.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(JSON.stringify(body))
}
