import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { connect, createSecureServer, type ClientHttp2Session } from 'node:http2'
import { test } from 'node:test'
import { WebSocket } from 'ws'
import { createGate } from '../../src/index.ts'
import { makeCertificate } from '../support/certs.ts'
import { findOpenssl, skipWithout } from '../support/debian.ts'
import { listen } from '../support/servers.ts'

// A browser loads the page over HTTP/2 and opens the WebSocket over HTTP/1.1, on the same server.

const COOKIE = 'sid=alice'

async function ask(
  session: ClientHttp2Session,
  headers: Record<string, string>,
): Promise<{ status: number; text: string }> {
  const stream = session.request({ 'sec-fetch-site': 'same-origin', ...headers })
  stream.end()
  let text = ''
  stream.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  const [answer] = (await once(stream, 'response')) as [{ ':status': number }]
  await once(stream, 'end')
  return { status: answer[':status'], text }
}

test('a ticket that was asked for over HTTP/2 opens a WebSocket', { skip: skipWithout(findOpenssl()) }, async () => {
  const certificate = makeCertificate()
  const gate = createGate({
    identify: (req: IncomingMessage) => (req.headers.cookie === COOKIE ? { subject: 'alice' } : null),
  })
  const live = gate.websocket((socket, _req, { identity }) => socket.send(identity.subject))
  const ticket = gate.ticket('/live')
  const app = (req: IncomingMessage, res: ServerResponse): void => {
    if (req.headers.cookie !== COOKIE) res.writeHead(401).end()
    else if (req.url === '/ticket') ticket(req, res)
    else live(req, res)
  }
  const server = createSecureServer({ ...certificate, allowHTTP1: true }, app as never) as unknown as Server
  gate.attach(server)
  await using listening = await listen(server)
  const origin = `https://localhost:${listening.port}`
  const session = connect(origin, { ca: certificate.cert })
  try {
    const json = { 'content-type': 'application/json', cookie: COOKIE }
    const foreign = await ask(session, {
      ':method': 'POST',
      ':path': '/ticket',
      ...json,
      origin: 'https://evil.example',
    })
    assert.equal(foreign.status, 403)
    const minted = await ask(session, { ':method': 'POST', ':path': '/ticket', ...json, origin })
    assert.equal(minted.status, 200, minted.text)
    const probe = await ask(session, { ':method': 'GET', ':path': '/live', cookie: COOKIE })
    assert.equal(probe.status, 426, probe.text)

    const { url } = JSON.parse(minted.text) as { url: string }
    const socket = new WebSocket(`wss://localhost:${listening.port}${url}`, { origin, ca: certificate.cert })
    const [data] = (await once(socket, 'message')) as [Buffer]
    assert.equal(data.toString(), 'alice')
    socket.close()
    await once(socket, 'close')
  } finally {
    session.destroy()
  }
})
