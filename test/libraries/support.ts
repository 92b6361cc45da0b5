import { createServer, type Server } from 'node:http'
import { once } from 'node:events'
import express, { type Express, type RequestHandler } from 'express'
import { WebSocket, type ClientOptions } from 'ws'
import { createGate, type Gate } from '../../src/index.ts'

export const KEY = { 'X-Api-Key': 'k' }

/** The one guard of all these apps; sets a header, so that tests can look for it on the 101. */
export const requireKey: RequestHandler = (req, res, next) => {
  res.setHeader('X-Guard', 'was here')
  if (req.headers['x-api-key'] === 'k') next()
  else res.status(401).set('WWW-Authenticate', 'ApiKey').json({ error: 'no key' })
}

export function makeApp(): { app: Express; server: Server; gate: Gate } {
  const app = express()
  return { app, server: createServer(app), gate: createGate({ identify: () => ({ subject: 'ann' }) }) }
}

export interface Dialled {
  readonly status: number
  readonly headers: NodeJS.Dict<string | string[]>
  readonly body: string
  readonly ws: WebSocket
}

/** Dials and says what came back: 101 with the open socket, or the refusal. */
export async function dial(
  port: number,
  path: string,
  options: ClientOptions = {},
  protocols: string[] = [],
): Promise<Dialled> {
  const ws = new WebSocket(`ws://127.0.0.1:${port}${path}`, protocols, options)
  let headers: Dialled['headers'] = {}
  ws.on('upgrade', (response) => {
    headers = response.headers
  })
  return await new Promise<Dialled>((resolve, reject) => {
    ws.on('open', () => resolve({ status: 101, headers, body: '', ws }))
    ws.on('error', reject)
    ws.on('unexpected-response', (_request, response) => {
      let body = ''
      response.on('data', (chunk) => (body += String(chunk)))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body, ws }))
    })
  })
}

/** What the other end answers to a text. */
export async function echo(ws: WebSocket, text: string): Promise<string> {
  const answer = once(ws, 'message')
  ws.send(text)
  return String((await answer)[0])
}

export async function closed(ws: WebSocket): Promise<number> {
  const [code] = (await once(ws, 'close')) as [number]
  return code
}
