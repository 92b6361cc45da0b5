import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { connectRaw, handshakeText } from '../../support/raw.ts'
import { listen } from '../../support/servers.ts'

test('sockets are counted while the server holds them, upgraded ones too', async () => {
  const http = createServer()
  http.on('upgrade', (_req, socket) => socket.on('end', () => socket.end()).resume())
  await using server = await listen(http)
  assert.equal(server.openHandshakes(), 0)
  const client = await connectRaw({ port: server.port })
  client.send(handshakeText())
  await once(http, 'upgrade')
  assert.equal(server.openHandshakes(), 1)
  await assert.rejects(server.noneOpen(1), /still holds 1 connection/)
  client.destroy()
  await server.noneOpen()
  assert.equal(server.openHandshakes(), 0)
})

test('close destroys what is open, and may be called again', async () => {
  const http = createServer()
  const server = await listen(http)
  const client = await connectRaw({ port: server.port })
  await server.close()
  await server.close()
  await client.ended()
  assert.equal(server.openHandshakes(), 0)
  assert.equal(http.listening, false)
})
